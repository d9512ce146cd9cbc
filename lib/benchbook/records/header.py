"""run.json: what a run asks, what it planned, how far it is, where it was made; read as far as it is whole.

A header names a run and never decides over its numbers: those stand in records, each with what it belongs to. So what is
damaged in a header is left out and told, and the rest is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from benchbook.reading import read_json
from benchbook.records.fingerprint import case_key
from benchbook.records.parts import HostFacts, Provenance, Workload
from benchbook.records.record import Record
from benchbook.records.typed import (
    OPEN,
    BenchmarkName,
    FolderName,
    Name,
    Number,
    Positive,
    Seconds,
    Time,
    Whole,
    refused,
)
from benchbook.records.upgrade import HEADER_FORMAT, upgraded_header
from benchbook.terms.errors import StoreError

MOST_FAULTS = 5  # told of one file
# States of a run. PARTIAL: what `run --only` asked for is measured, and more is left. DAMAGED: nobody can tell.
FINISHED, FAILED, PARTIAL = "finished", "failed", "partial"
RUNNING, INTERRUPTED, DAMAGED = "running", "interrupted", "damaged"

_OF_PARTS = ("plan", "launches", "wall_s_by_job", "reached", "slo")  # of these, a damaged part is left out alone


class Model(TypedDict, total=False):
    """The model of a launch."""

    __pydantic_config__ = OPEN
    name: str | None
    ref: str | None
    path: str
    random_weights: bool | None


class Launch(TypedDict, total=False):
    """A launch, with every start of its hosts."""

    __pydantic_config__ = OPEN
    model: Model
    engine: str  # where it is not vLLM
    args: dict[str, Any]
    env: dict[str, str]
    hosts: list[HostFacts]


class PlanRow(TypedDict):
    """A planned case."""

    __pydantic_config__ = OPEN
    case_id: Name
    case_key: FolderName
    launch: str
    benchmark: BenchmarkName
    workload: Workload
    repeats: Whole
    fingerprint: NotRequired[str]
    why_num_prompts: NotRequired[str | None]


class Until(TypedDict):
    """For which precision rounds are added, and how many at most."""

    __pydantic_config__ = OPEN
    at_most: Positive
    targets: dict[str, Number]


class RunHeader(TypedDict, total=False):
    """run.json. What `read_header` returns has every key."""

    __pydantic_config__ = OPEN
    schema_version: Literal[HEADER_FORMAT]
    experiment: Name
    run_id: Name
    question: str
    command: str
    state: Literal["finished", "failed", "partial", "running", "interrupted"]
    started_utc: Time
    ended_utc: Time | None
    wall_s: Seconds | None
    repeats: Positive | None
    until: Until | None
    seed: int | None
    order_seed: int | None
    slo: dict[str, Number]
    launches: dict[str, Launch]
    plan: list[PlanRow]
    provenance: Provenance
    wall_s_by_job: dict[str, Annotated[list[Seconds], Field(min_length=1)]]
    reached: dict[str, dict[str, Number | None]]


_HEADER = TypeAdapter(RunHeader)
_NEEDED = ("experiment", "run_id", "state", "launches", "plan")  # without which a reader knows less than it should
_ABSENT = {
    "schema_version": HEADER_FORMAT,
    "question": "",
    "command": "",
    "state": DAMAGED,
    "started_utc": "",
    **dict.fromkeys(("ended_utc", "wall_s", "repeats", "until", "seed", "order_seed")),
}


def read_header(path: Path) -> tuple[RunHeader, list[str]]:
    """Return the header in `path` as far as it is whole, and a sentence for each damage: file, key, value.

    What is left out has the value of what was never noted; a run is then named by its folder.
    """
    try:
        found, faults = _whole_parts(upgraded_header(read_json(path)))
        faults += [f"{key} is missing" for key in _NEEDED if key not in found]
        more = [f"{path}: {len(faults) - MOST_FAULTS} more like these"] if len(faults) > MOST_FAULTS else []
        told = [f"{path}: {fault}" for fault in faults[:MOST_FAULTS]] + more
    except StoreError as error:
        found, told = {}, [str(error)]
    names = {"experiment": path.parent.parent.name, "run_id": path.parent.name}
    empty = {"slo": {}, "launches": {}, "plan": [], "provenance": {}, "wall_s_by_job": {}, "reached": {}}
    return {**_ABSENT, **names, **empty, **found}, told


def rows_of(records: list[Record]) -> list[PlanRow]:
    """Return the plan that `records` are of, as far as they tell: each case with as many repeats as there are."""
    rows: dict[str, PlanRow] = {}
    for record in records:
        identity = record.identity
        key = case_key(identity.case_id, identity.fingerprint)
        row = rows.setdefault(
            key,
            {
                "case_id": identity.case_id,
                "case_key": key,
                "launch": identity.launch,
                "fingerprint": identity.fingerprint,
                "benchmark": record.benchmark,
                "workload": record.workload,
                "repeats": 0,
            },
        )
        row["repeats"] = max(row["repeats"], identity.repeat + 1)
    return list(rows.values())


def _whole_parts(found: dict[str, Any]) -> tuple[RunHeader, list[str]]:
    """Return what of `found` is as it must be, and what is said of the rest."""
    faults: dict[str, None] = {}
    while True:
        try:
            return _HEADER.validate_python(found), list(faults)
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
