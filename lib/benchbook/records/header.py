"""run.json: what a run asks, what it planned, how far it is, where it was made; read as far as it is whole.

A header names a run and never decides over its numbers: those stand in records, each with what it belongs to. So what is
damaged in a header is left out and told, and the rest is used.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchbook.reading import read_json
from benchbook.records.fingerprint import case_key
from benchbook.records.host import HostFacts
from benchbook.records.parts import Provenance, Workload
from benchbook.records.record import Record
from benchbook.records.typed import (
    Args,
    BenchmarkName,
    FolderName,
    Items,
    Name,
    Number,
    Part,
    Positive,
    Seconds,
    Time,
    Whole,
    refused,
)
from benchbook.records.upgrade import HEADER_FORMAT, upgraded_header
from benchbook.terms.errors import StoreError

MOST_FAULTS = 5  # told of one file
_OF_PARTS = (
    "plan",
    "finds",
    "launches",
    "wall_s_by_job",
    "reached",
    "slo",
)  # of these, a damaged part is left out alone
_NEEDED = ("experiment", "run_id", "state", "launches", "plan")  # without which a reader knows less than it should


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    FINISHED = "finished"
    PARTIAL = "partial"  # what `run --only` asked for is measured, and more is left
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"  # nobody can tell


class LaunchModel(Part):
    """The model of a launch."""

    name: str | None = None
    ref: str | None = None
    path: str | None = None
    random_weights: bool | None = None


class LaunchFacts(Part):
    """A launch, with every start of its hosts."""

    model: LaunchModel = LaunchModel()
    engine: str | None = None  # where it is not vLLM
    python: str | None = None  # its interpreter, where that is of another environment than benchbook's
    program: str | None = None  # in place of its engine's own first words
    command: str | None = None  # the whole of what is started; the engine is what it speaks
    attached: Args = {}  # where and how it was reached, if somebody else runs it
    args: Args = {}
    env: dict[str, str] = {}
    hosts: Items[HostFacts] = ()


class PlanRow(Part):
    """A planned case."""

    case_id: Name
    case_key: FolderName
    launch: str
    benchmark: BenchmarkName
    workload: Workload
    repeats: Whole  # raised by each round that is added
    fingerprint: str | None = None
    why_num_prompts: str | None = None


class Until(Part):
    """For which precision rounds are added, and how many at most."""

    at_most: Positive
    targets: dict[str, Number]


class Price(Part):
    """What is paid for what is measured on; None: not a part of the price."""

    gpu_hour: Number | None = None
    currency: str = "USD"
    kwh: Number | None = None
    pue: Number = 1.0  # what a data centre draws for each kWh of its machines


class Find(Part):
    """A search: the loads that an answer can name, of which few are measured, and what is asked of them."""

    launch: str
    curve: str
    by: str  # the setting that is turned up
    loads: Items[Number]
    cases: Items[Name]  # by their ids, one a load
    limits: dict[str, Number] = {}
    attainment: Number | None = None
    saturation: Number | None = None
    at_most: Positive = 1
    budget_s: Seconds | None = None


class Search(Part):
    """A search over launches: which there are, what is asked of them, and what the installed vLLM or the machine refused."""

    default: str
    cases: dict[
        str, Name
    ]  # of the default and each candidate, by launch: the id of the one case that is measured of it
    metric: str
    limits: dict[str, Number] = {}
    confirmations: Positive  # rounds
    budget_s: Seconds | None = None
    allow_other_outputs: bool = False
    seed: int = 0  # of the order in each round of screening
    left_out: dict[str, str] = {}  # candidates that cannot run, and why


class RunHeader(Part):
    """run.json. What it never noted, or what is damaged in it, is empty."""

    schema_version: Literal[HEADER_FORMAT] = HEADER_FORMAT
    experiment: Name = "?"
    run_id: Name = "?"
    question: str = ""
    command: str = ""
    state: Annotated[RunState, Field(strict=False)] = RunState.DAMAGED
    started_utc: Time = ""
    ended_utc: Time | None = None
    wall_s: Seconds | None = None
    repeats: Positive | None = None
    until: Until | None = None
    finds: Items[Find] = ()
    search: Search | None = None
    seed: int | None = None
    order_seed: int | None = None
    slo: dict[str, Number] = {}
    price: Price | None = None
    launches: dict[str, LaunchFacts] = {}
    plan: Items[PlanRow] = ()
    provenance: Provenance = Provenance()
    wall_s_by_job: dict[str, Annotated[Items[Seconds], Field(min_length=1)]] = {}
    reached: dict[str, dict[str, Number | None]] = {}  # half-widths as shares, by case and metric

    def is_needed(self, launch: str) -> bool:
        """Return whether a run lacks something without this launch: that a search's candidate fails is what it found."""
        return self.search is None or launch == self.search.default


def read_header(path: Path) -> tuple[RunHeader, list[str]]:
    """Return the header in `path` as far as it is whole, and a sentence for each damage: file, key, value.

    What is left out has the value of what was never noted; a run is then named by its folder.
    """
    names = {"experiment": path.parent.parent.name, "run_id": path.parent.name}
    try:
        found = upgraded_header(read_json(path))
        header, faults = _whole_parts(found)
        faults += [f"{key} is missing" for key in _NEEDED if key not in found]
        more = [f"{path}: {len(faults) - MOST_FAULTS} more like these"] if len(faults) > MOST_FAULTS else []
        told = [f"{path}: {fault}" for fault in faults[:MOST_FAULTS]] + more
    except StoreError as error:
        header, told = RunHeader(), [str(error)]
    absent = {key: name for key, name in names.items() if key not in header.model_fields_set}
    return header.model_copy(update=absent), told


def rows_of(records: list[Record]) -> list[PlanRow]:
    """Return the plan that `records` are of, as far as they tell: each case with as many repeats as there are."""
    rows: dict[str, PlanRow] = {}
    for record in records:
        identity = record.identity
        key = case_key(identity.case_id, identity.fingerprint)
        row = rows.get(key) or PlanRow(
            case_id=identity.case_id,
            case_key=key,
            launch=identity.launch,
            fingerprint=identity.fingerprint,
            benchmark=record.benchmark,
            workload=record.workload,
            repeats=0,
        )
        rows[key] = row.model_copy(update={"repeats": max(row.repeats, identity.repeat + 1)})
    return list(rows.values())


def _whole_parts(found: dict[str, Any]) -> tuple[RunHeader, list[str]]:
    """Return what of `found` is as it must be, the rest of which is removed from it, and what is said of that."""
    faults: dict[str, None] = {}
    while True:
        try:
            return RunHeader.model_validate(found), list(faults)
        except ValidationError as error:
            damages = refused(error)
            faults |= dict.fromkeys(damage.text for damage in damages)
            for key in {damage.where[0] for damage in damages}:
                _leave_out(found, key, [damage.where for damage in damages if damage.where[0] == key])


def _leave_out(found: dict[str, Any], key: str, ways: list[tuple[str | int, ...]]) -> None:
    """Remove the damaged parts of found[key], or all of it where it is one."""
    if key not in _OF_PARTS or any(len(way) == 1 for way in ways):
        del found[key]
        return
    for part in sorted({way[1] for way in ways}, reverse=True):
        del found[key][part]
