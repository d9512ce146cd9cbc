"""Where launches ran: at which places of the machine, what neighbours cost there, and how their GPUs are linked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from benchbook.records.header import RunHeader
from benchbook.records.host import HostFacts, PlaceFacts
from benchbook.terms.wording import counted, listed


def place_rows(header: RunHeader) -> list[tuple[str, str]]:
    """Return what a report says of places and links, each with its heading; [] where there is nothing to say."""
    hosts = {name: launch.hosts for name, launch in header.launches.items()}
    places = {str(host.place): host.place for each in hosts.values() for host in each if host.place}
    nodes = [place.node for place in places.values() if place.node]
    rows = [("Nodes", _nodes_text(nodes, hosts))] if nodes else []
    rows += [("Places", _places_text(places.values()))] if places and not nodes else []
    return rows + [(f"GPUs of launch {name}", text) for name, each in hosts.items() if (text := _links_text(each))]


def _places_text(places: Iterable[PlaceFacts]) -> str:
    ordered = sorted(places, key=lambda place: place.number)
    last = ordered[-1]
    texts = [f"{place}: {listed([*place.cards, _cores_text(place)])}" for place in ordered]
    cost = last.neighbours.cost_text
    neighbours = f"neighbours cost {cost}" if cost else "what neighbours cost is not known"
    alone = "one block ran at a time" if last.at_once == 1 else f"{last.at_once} blocks at once, {neighbours}"
    return f"{'; '.join(texts)}. {alone[0].upper()}{alone[1:]}."


def _nodes_text(nodes: Collection[str], hosts: Mapping[str, Collection[HostFacts]]) -> str:
    """Return on which nodes of a cluster launches were started, and how often."""
    starts = [f"{name} {counted(len(each), 'start')}" for name, each in hosts.items()]
    return f"{counted(len(nodes), 'node')} of a cluster: {listed(sorted(nodes))}. {listed(starts)}."


def _cores_text(place: PlaceFacts) -> str:
    return f"processors {place.cores}" if place.cores else "all processors"


def _links_text(hosts: Iterable[HostFacts]) -> str:
    kinds: Mapping[str, str] = next((host.links for host in hosts if host.links), {})
    found = dict.fromkeys(kinds.values())
    return f"{counted(len(kinds), 'pair')}, linked by {listed(list(found))}" if found else ""
