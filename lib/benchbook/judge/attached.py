"""Servers of somebody else: what it costs a number, and a comparison, that nobody here started them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Finding, Measured
from benchbook.judge.pairs import Arm, MatchedCase
from benchbook.records.fingerprint import digest
from benchbook.records.record import Reason, Record
from benchbook.terms.wording import listed, percent_number

MAX_NETWORK_SHARE = 0.05  # of the median TTFT, which two arms on different ways differ by for nothing that they do
_COUNTED = ("prompt_tokens", "generation_tokens")
SLACK = 0.01  # of the tokens: one may be counted a moment late


def foreign_traffic(measured: Measured) -> Reason | None:
    """Suspect when a server of somebody else answered more than this client's requests while it was measured."""
    if excess := traffic_of_others(measured):
        return reason("foreign_traffic", f"the server counted, beyond this client's own, {excess}")
    return None


def traffic_of_others(measured: Measured) -> str:
    """Return what an attached server counted beyond this client's requests and tokens; '' without anything."""
    if not measured.is_of_requests or measured.host.attached is None or measured.value("failed"):
        return ""
    counters = measured.host.counters
    ended = [count for name, count in counters.items() if name.startswith("requests_ended")]
    rows = [("requests", sum(ended) if ended else None, measured.value("completed"), 0.0)]
    rows += [
        (name.replace("_", " "), counters.get(name), measured.value(value), SLACK)
        for name, value in zip(_COUNTED, ("total_input_tokens", "total_output_tokens"), strict=True)
    ]
    more = [
        f"{theirs - ours:,.0f} {what}"
        for what, theirs, ours, slack in rows
        if theirs is not None and ours is not None and theirs - ours > slack * ours
    ]
    return ", ".join(more)


def network_differs(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect launches under one load of which the way to one is longer than to another, by too much of the TTFT."""
    if all(record.host.attached is None for record in records):
        return  # no way is longer than another
    loads: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        if round_trip_ms(record) is not None and record.values.get("median_ttft_ms"):
            by_launch = loads.setdefault(digest([record.benchmark, record.workload]), {})
            by_launch.setdefault(record.identity.launch, []).append(record)
    for by_launch in loads.values():
        ways = {launch: median(map(round_trip_ms, found)) for launch, found in by_launch.items()}
        least_ttft_ms = min(median(record.values["median_ttft_ms"] for record in found) for found in by_launch.values())
        apart_ms = max(ways.values()) - min(ways.values())
        if apart_ms > MAX_NETWORK_SHARE * least_ttft_ms:
            said = ", ".join(f"launch {launch!r} {way_ms:.3g} ms" for launch, way_ms in ways.items())
            share = f"they differ by {percent_number(apart_ms / least_ttft_ms)} % of the shortest median TTFT"
            found = reason("network_differs", f"a round trip takes to {said}; {share}")
            yield from ((record, found) for each in by_launch.values() for record in each)


def round_trip_ms(record: Record) -> float | None:
    """Return how long the way to a server is; 0 to one that was started here, None where nobody could tell."""
    if record.host.kind != "server":
        return None
    return 0.0 if record.host.attached is None else record.conditions.network.round_trip_ms


def cost_said(base: str, other: str, cases: Sequence[MatchedCase]) -> list[str]:
    """Return what it costs a comparison that one of its launches, or both, are servers of somebody else."""
    arms = ((base, [case.base for case in cases]), (other, [case.other for case in cases]))
    return [said for name, found in arms if (said := _cost(name, found))]


def short_cost(base: str, other: str, cases: Sequence[MatchedCase]) -> str:
    """Return the same in the few words that a claim has room for; '' where both were started here."""
    arms = ((base, [case.base for case in cases]), (other, [case.other for case in cases]))
    there = [(name, records[0].host.attached) for name, found in arms if (records := _attached(found))]
    return "".join(
        f"; {name} is the one server that was there{', on another machine' if facts.is_elsewhere else ''}"
        for name, facts in there
    )


def _attached(arms: Sequence[Arm]) -> list[Record]:
    return [record for arm in arms for record in arm.records.values() if record.host.attached is not None]


def _cost(name: str, arms: Sequence[Arm]) -> str:
    records = _attached(arms)
    if not records:
        return ""
    facts = records[0].host.attached
    since = min((record.host.ready_utc for record in records if record.host.ready_utc), default="")
    found = f", as it ran since {since[:16].replace('T', ' ')} UTC" if since else ""
    said = (
        f"{name} is a server that nobody started here, at {listed([facts.address, *facts.also])}{found}: all its rounds are of that one start, so "
        "what its starts differ by is in no interval, and with which settings it runs is not known."
    )
    if facts.is_elsewhere:
        said += " It is on another machine, whose heat and neighbours taking turns does not even out."
    ways = [
        (way_ms, ttft_ms)
        for record in records
        if (way_ms := round_trip_ms(record)) is not None and (ttft_ms := record.values.get("median_ttft_ms"))
    ]
    if ways:
        share = median(way_ms / ttft_ms for way_ms, ttft_ms in ways)
        way = f"{median(way_ms for way_ms, _ in ways):.3g} ms"
        said += f" A round trip to it takes {way}, {percent_number(share)} % of its median TTFT, which holds it."
    return said


CHECKS: tuple[Check, ...] = (foreign_traffic,)
RUN_CHECKS = (network_differs,)
