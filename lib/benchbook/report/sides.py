"""What may be laid beside something else: a launch of a run, ours or imported, or a publication, with what it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.judge.group import judged_alone_and_together
from benchbook.records.parts import gpus_text
from benchbook.records.published import WAY, all_published
from benchbook.records.record import IMPORTED, Record
from benchbook.records.store import Store
from benchbook.report.differences import launches_of
from benchbook.report.run import load_run
from benchbook.terminal import tell_damage
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import no_such

PUBLISHED = "published/"  # before the name of a publication, in the place of a run's
_UNKNOWN = "not told"


@dataclass(frozen=True)
class Side:
    """One launch of one run, or the figures of one publication."""

    run: str
    launch: str
    records: tuple[Record, ...]
    facts: Mapping[str, str]  # what the figures are of: model, engine, device …
    settings: Mapping[str, Any]  # flags and variables, where they are known
    remark: str = ""

    @property
    def name(self) -> str:
        """Return the launch with its run."""
        return f"{self.launch} ({self.run})" if self.launch else self.run

    @property
    def short(self) -> str:
        """Return the last part of the run's name."""
        return self.run.rpartition("/")[2]

    @property
    def is_others(self) -> bool:
        """Return whether somebody else measured it."""
        return any(record.way in (IMPORTED, WAY) for record in self.records)


def sides_of(name: str, results: Path) -> list[Side]:
    """Return the launches of a run, or that of 'run:launch', or a publication; ExperimentError where there is none."""
    if found := _publication(name):
        return [found]
    wanted, _, launch = name.partition(":")
    run = load_run(Store.open(wanted, results).run_dir)
    tell_damage(run.damage)
    names = launches_of(run)
    if launch and launch not in names:
        raise ExperimentError(f"{run.name}: {no_such('launch', launch, names)}")
    return [
        Side(run.name, one, tuple(run.comparable(one)), facts_of(run.comparable(one)), run.settings(one), run.remark)
        for one in ([launch] if launch else names)
        if run.comparable(one)
    ]


def is_published(name: str) -> bool:
    """Return whether `name` is that of a publication."""
    return name.startswith(PUBLISHED) or any(one.name == name for one in all_published()[0])


def facts_of(records: Sequence[Record]) -> dict[str, str]:
    """Return what figures are of, as far as their first record tells."""
    first = next((record for record in records if record.is_measured), records[0])
    host, machine, packages = first.host, first.provenance.machine, first.provenance.packages
    gpus = gpus_text(machine.gpus)
    cpu = f"{machine.cpu}, {machine.cpu_cores} cores" if machine.cpu else ""
    source = first.provenance.source
    tool = source.tool if source else "its publication" if first.way == WAY else "benchbook"
    return {
        "measured by": tool or _UNKNOWN,
        "on": first.started_utc[:10],
        "model": host.model or _UNKNOWN,
        "engine": " ".join(filter(None, (host.engine, host.version))) or _UNKNOWN,
        "device": gpus or cpu or _UNKNOWN,
        "torch": packages.get("torch", _UNKNOWN),
        "client": first.client or _UNKNOWN,
        "weights": "random" if host.random_weights else _UNKNOWN if host.random_weights is None else "trained",
        "commit of benchbook": (first.provenance.git.commit or _UNKNOWN)[:12],
    }


def _publication(name: str) -> Side | None:
    """Return the publication that is meant; None where the name is no publication's."""
    wanted = name.removeprefix(PUBLISHED)
    found = next((one for one in all_published()[0] if one.name == wanted), None)
    if found is None:
        if name.startswith(PUBLISHED):
            raise ExperimentError(
                f"no publication {wanted!r} (there are: {', '.join(one.name for one in all_published()[0])})"
            )
        return None
    records = judged_alone_and_together(found.records)
    told = {"on": "published", "engine": "engine", "device": "hardware", "model": "model"}
    facts = facts_of(records) | {key: str(found.source.get(source, _UNKNOWN)) for key, source in told.items()}
    return Side(f"{PUBLISHED}{found.name}", "", records, facts, {})
