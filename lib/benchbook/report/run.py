"""A run as a report reads it: its header, its records in the order of its plan, and what the plan still misses."""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from benchbook import collector
from benchbook.judge.answerable import NoAnswer, why_no_answer
from benchbook.judge.group import judged_together
from benchbook.judge.searched import Searched
from benchbook.judge.spread import Spread
from benchbook.launch_differences import PACKAGES
from benchbook.parameters import refuse_unknown
from benchbook.reading import MOST_WRITTEN_BYTES, read_bytes
from benchbook.records.handover import RECORD_FILE
from benchbook.records.header import LaunchFacts, PlanRow, RunHeader, rows_of
from benchbook.records.named_runs import newest_run
from benchbook.records.raw import read_raw
from benchbook.records.record import Record, Verdict
from benchbook.records.runs import results_nearby
from benchbook.records.store import Store
from benchbook.report.curves import Curves, Line, serve_curves
from benchbook.report.offline_levels import Ceiling, Key, batch_latencies, ceilings
from benchbook.report.table import case_table, measured_table, with_rooflines
from benchbook.terms.errors import StoreError

REMARK_FILE = "remark.txt"  # in a run's folder: what somebody has to say about the run, shown at the top of its report


@dataclass(frozen=True, eq=False)  # a key by itself, for what is kept of it
class Run:
    """One run's folder, read once. Records that belong to no case of the plan are counted and left out.

    `records` are judged together: what repeats, launches and modes say against each other is among their reasons.
    """

    run_dir: Path
    header: RunHeader
    records: tuple[Record, ...]
    num_stale: int
    alone: tuple[Verdict, ...] = ()  # what each of `records` was judged when it was measured
    damage: tuple[str, ...] = ()  # what of the folder could not be read, a sentence a file: it is in nothing else here

    def settings(self, launch: str) -> dict[str, Any]:
        """Return what tells `launch` from another, as name to value: its model, its packages, flags and variables."""
        facts = self.header.launches.get(launch) or LaunchFacts()
        if facts.attached:
            return dict(facts.attached)
        named = {"engine": facts.engine, "program": facts.program, "command": facts.command}
        engine = {name: said for name, said in named.items() if said}
        model = facts.model.ref or facts.model.name
        return {"model": model, **engine, **self.packages(launch), **facts.args, **facts.env}

    def packages(self, launch: str) -> dict[str, str]:
        """Return the versions of vLLM and what it stands on under `launch`, by name; {} where nobody told."""
        facts = self.header.launches.get(launch) or LaunchFacts()
        ours = [host for host in facts.hosts if host.argv]  # of what somebody else started nobody knows
        if ours and facts.engine and not facts.python:  # its own version, and not that of vLLM beside it
            return {facts.engine: ours[-1].version} if ours[-1].version else {}
        found = (ours[-1].packages or self.header.provenance.packages) if ours else {}
        return {name: found[name] for name in PACKAGES if name in found}

    def label(self, launch: str, *, beside: Mapping[str, str]) -> str:
        """Return 'next (vLLM 0.33.0)', the launch with its vLLM where that is another one than that of `beside`."""
        its, other = self.packages(launch).get("vllm"), beside.get("vllm")
        return f"{launch} (vLLM {its})" if its and other and its != other else launch

    @property
    def question(self) -> str:
        """Return the question that the experiment asks."""
        return self.header.question or self.header.experiment

    @property
    def name(self) -> str:
        """Return 'experiment/run_id', by which commands find the run: the names of its two folders."""
        return f"{self.run_dir.parent.name}/{self.run_dir.name}"

    @cached_property
    def remark(self) -> str:
        """Return what somebody wrote into REMARK_FILE, in one line, '' without one: what no record can know."""
        path = self.run_dir / REMARK_FILE
        try:
            return (
                " ".join(read_bytes(path, MOST_WRITTEN_BYTES).decode(errors="replace").split())
                if path.is_file()
                else ""
            )
        except StoreError as error:
            return f"It cannot be shown: {error}."

    @property
    def plan(self) -> Sequence[PlanRow]:
        """Return the planned cases as run.json keeps them."""
        return self.header.plan

    @property
    def slo(self) -> Mapping[str, float]:
        """Return the limits that the experiment sets, by metric key; empty without any."""
        return self.header.slo

    @property
    def failures(self) -> tuple[Record, ...]:
        """Return the records that hold no measurement."""
        return tuple(record for record in self.records if not record.is_measured)

    @cached_property
    def causes(self) -> list[list[Record]]:
        """Return the failures by how they ended and why: each list has one cause."""
        found: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in self.failures:
            failure = record.failure
            found[record.outcome, *((failure.code, failure.evidence) if failure else ())].append(record)
        return list(found.values())

    @cached_property
    def by_launch(self) -> Mapping[str, Sequence[Record]]:
        """Return the records of each launch; none for a launch without any."""
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            found[record.identity.launch].append(record)
        return found

    @cached_property
    def searched(self) -> Searched | None:
        """Return the search over launches that this run is; None where it is none."""
        return Searched.of(self.header.search, self.records) if self.header.search else None

    def comparable(self, launch: str) -> Sequence[Record]:
        """Return the records by which a launch may be compared: of a search those that its screening has not seen."""
        return self.searched.confirming(launch) if self.searched else self.by_launch[launch]

    @property
    def evidence(self) -> Sequence[Record]:
        """Return the records that the run's answer rests on: of a search its confirmation, once it came to one."""
        confirming = [record for name in self.by_launch for record in self.comparable(name)] if self.searched else []
        return confirming or self.records

    @cached_property
    def no_answer(self) -> NoAnswer | None:
        """Return why the run cannot answer its question; None when it can. Other outputs may be what was asked for."""
        search = self.header.search
        return why_no_answer(self.evidence, {"outputs_differ"} if search and search.allow_other_outputs else set())

    @property
    def has_random_weights(self) -> bool:
        """Return whether any model of this run has random weights: speed means something, text does not."""
        launches = self.header.launches.values()
        return any(launch.model.random_weights for launch in launches) or any(
            record.host.random_weights for record in self.records
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """Return the tidy table, one row a repeat."""
        return with_rooflines(self.measured_table, self.records)

    @cached_property
    def measured_table(self) -> pd.DataFrame:
        """Return the same without rooflines, which are half of making it and which few ask for."""
        return measured_table(self.records, self.header.price)

    @cached_property
    def cases(self) -> pd.DataFrame:
        """Return the case table: one row a case, with means and standard deviations."""
        return case_table(self.measured_table)

    @cached_property
    def curve_of(self) -> Mapping[str, str]:
        """Return on which curve each case lies, by case id."""
        return {record.identity.case_id: record.curve for record in self.records}

    @cached_property
    def curves(self) -> list[Curves]:
        """Return the lines that figures draw and sentences speak of, closed loops apart from open ones."""
        return serve_curves(self.measured_table, self.curve_of)

    @property
    def lines(self) -> list[Line]:
        """Return the lines of all curves."""
        return [line for curves in self.curves for line in curves.lines]

    @cached_property
    def ceilings(self) -> dict[Key, Ceiling]:
        """Return throughput mode's output throughput by launch and curve."""
        return ceilings(self.measured_table, self.curve_of)

    @cached_property
    def batch_latencies(self) -> dict[Key, dict[int, Spread]]:
        """Return latency mode's latency (ms) by launch and curve, and batch size."""
        return batch_latencies(self.measured_table, self.curve_of)

    @cached_property
    def missing(self) -> dict[str, int]:
        """Return how many planned repeats have no record, by case id; cases that lack none are left out."""
        found = Counter(record.identity.case_id for record in self.records)
        lacking = {case.case_id: case.repeats - found[case.case_id] for case in self.plan}
        return {case_id: number for case_id, number in lacking.items() if number > 0}

    @cached_property
    def told(self) -> set[tuple[str, str]]:
        """Return what is said of any repeat: severities and codes."""
        return {(reason.severity, reason.code) for record in self.records for reason in record.reasons}

    @cached_property
    def verdicts(self) -> dict[Verdict, int]:
        """Return how many measured repeats have each verdict."""
        found = Counter(record.verdict for record in self.records if record.is_measured)
        return {verdict: found[verdict] for verdict in Verdict}

    def repeat_path(self, record: Record, name: str) -> Path:
        """Return the path of a repeat's file relative to the run's folder, where the report lies."""
        return self._repeat_dir(record).relative_to(self.run_dir) / name

    def raw(self, record: Record) -> dict[str, Any]:
        """Return vLLM's own result file of a repeat; raise StoreError when it is not there, or damaged."""
        return read_raw(self.run_dir / self.repeat_path(record, record.raw_file or ""))

    def has_file(self, record: Record, name: str) -> bool:
        """Return whether the repeat has a file of this name."""
        return (self._repeat_dir(record) / name).is_file()

    def _repeat_dir(self, record: Record) -> Path:
        return Store(self.run_dir).folder_of(record)


@collector.at_rest()
def load_run(run_dir: str | Path = "") -> Run:
    """Read a run: the folder `run_dir`, or a name as `benchbook list` shows it; '' takes the newest that has finished.

    Names are looked up in results/ of the current folder or of one above. Raises ExperimentError where there is no run.
    """
    refuse_unknown()
    store = Store.open(run_dir, results_nearby()) if str(run_dir) else Store(newest_run(results_nearby()))
    (header, damaged_header), (records, damaged_records) = store.read_header(), store.read_records()
    if damaged_header:  # records tell themselves what they are of
        known = {row.case_key for row in header.plan}
        unplanned = (row for row in rows_of(records) if row.case_key not in known)
        header = header.model_copy(update={"plan": (*header.plan, *unplanned)})
    record_of = {record.identity.case_key: record for record in records}
    rows = {row.case_key: row for row in _along_loads(header.plan, record_of)}
    alone, foreign, num_stale = [], [], 0
    for record in records:
        row = rows.get(record.identity.case_key)
        if row is None:  # measured under other conditions than the plan's: it must not mix with the others
            num_stale += 1
        elif what := _what_differs(record, row):
            path = store.folder_of(record) / RECORD_FILE
            foreign.append(f"{path} is not of its case: it has another {what}")
        else:
            alone.append(record)
    places = {key: place for place, key in enumerate(rows)}
    alone.sort(key=lambda record: (places[record.identity.case_key], record.identity.repeat))
    run = Run(
        store.run_dir,
        header,
        judged_together(alone),
        num_stale=num_stale,
        alone=tuple(record.verdict for record in alone),
        damage=(*damaged_header, *damaged_records, *foreign),
    )
    gc.freeze()  # a run stays while its notebook does
    return run


def _what_differs(record: Record, row: PlanRow) -> str:
    """Return what of `record` is not as its case was planned: of a copy, or of a changed file; '' where all is."""
    identity = record.identity
    facts = {
        "fingerprint": (identity.fingerprint, row.fingerprint or identity.fingerprint),
        "launch": (identity.launch, row.launch),
        "benchmark": (record.benchmark, row.benchmark),
        "workload": (record.workload, row.workload),
    }
    return next((what for what, (found, planned) in facts.items() if found != planned), "")


def _along_loads(plan: Sequence[PlanRow], record_of: Mapping[str, Record]) -> list[PlanRow]:
    """Return the cases in the plan's order, but those of one curve, which differ in their load only, by rising load.

    `record_of` has a record of each case by its key; a case that nothing was recorded of is on no curve.
    """
    curves: dict[tuple[Any, ...], list[tuple[float, PlanRow]]] = {}
    for case in plan:
        record = record_of.get(case.case_key)
        load = record.load if record else None
        curve = (case.launch, case.benchmark, record and record.curve, load and load.by)
        curves.setdefault(curve, []).append((load.value if load else 0, case))
    return [case for curve in curves.values() for _, case in sorted(curve, key=itemgetter(0))]
