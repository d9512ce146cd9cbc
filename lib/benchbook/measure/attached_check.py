"""Can an attached launch be measured at all? What its address and its keys tell before anybody is asked."""

from __future__ import annotations

from dataclasses import replace

from benchbook.hosts.process.address import server_url
from benchbook.hosts.way import way_of
from benchbook.measure.launch_check import Checked
from benchbook.plan.document import Document
from benchbook.plan.launches import Launch
from benchbook.terms.errors import ExperimentError

_OFFLINE = (
    "is a server that runs already: latency and throughput load an engine of their own, so restrict them to other "
    "launches with launches:"
)


def checked_attached(doc: Document, launch: Launch, *, has_offline: bool) -> Checked:
    """Return `launch` with its address as it is asked at; what cannot be one is noted as a fault of `doc`.

    A variable that is not set, or certificates that are not here, keep it from being measured and not from being planned.
    """
    attached, place = launch.attached, ("launches", launch.name)
    if has_offline:
        doc.faults.note(doc.error((*place, "attach"), _OFFLINE))
    with doc.faults.noted():
        attached = replace(attached, address=_url(doc, (*place, "attach"), attached.address))
        behind = [_url(doc, (*place, "behind", index), url) for index, url in enumerate(attached.reach.behind)]
        also = [_url(doc, (*place, "attach", index), url) for index, url in enumerate(attached.reach.also, start=1)]
        attached = replace(attached, reach=replace(attached.reach, behind=tuple(behind), also=tuple(also)))
    unfit = []
    try:
        way_of(attached.reach)
    except ExperimentError as error:
        unfit.append(doc.error((*place, "attach"), str(error)))
    return Checked(replace(launch, attached=attached), _notes(doc, launch), unfit)


def _url(doc: Document, where: tuple[str | int, ...], address: str) -> str:
    try:
        return server_url(address)
    except ExperimentError as error:
        raise doc.error(where, str(error), is_secret=True) from None  # which shows of it what may be seen


def _notes(doc: Document, launch: Launch) -> list[str]:
    reach, said = launch.attached.reach, []
    if reach.insecure:
        said.append("insecure believes whoever answers: the key goes to them as well")
    if reach.proxy:
        said.append("proxy has it asked by the shell's proxy, whose time is in every latency")
    return [f"note: {doc.place_text(('launches', launch.name, 'attach'))}: {why}" for why in said]
