"""Figures of others become a run like any: each a record with a verdict, the files themselves beside them.

results/import/<run_id>/
    run.json  sources/<file>  cases/<case_key>/repeat=<n>/record.json  [raw.json, where it tells of each request]
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchbook.judge.foreign import judged_foreign
from benchbook.numbers.figures import Figures
from benchbook.numbers.files import Read
from benchbook.numbers.naming import EXPERIMENT, identities
from benchbook.numbers.vllm import UNTOLD, started
from benchbook.reading import read_bytes
from benchbook.records.conditions import Conditions
from benchbook.records.described import described
from benchbook.records.files import make_folder, write_json, write_text
from benchbook.records.header import LaunchFacts, LaunchModel, RunHeader, RunState, rows_of
from benchbook.records.host import HostFacts
from benchbook.records.parts import Provenance, Source
from benchbook.records.provenance import utc_now
from benchbook.records.record import IMPORTED, Identity, Outcome, Record, Verdict
from benchbook.records.record_file import record_of
from benchbook.records.store import Store
from benchbook.records.typed import refused
from benchbook.terms.asked import Asked
from benchbook.terms.benchmarks import BENCHMARKS, SERVE
from benchbook.terms.errors import StoreError

SOURCES = "sources"
_MEANS = ("mean_input_tokens", "mean_output_tokens")


@dataclass(frozen=True)
class Imported:
    """A run made of figures of others."""

    store: Store
    records: tuple[Record, ...]


def make_run(read: Read, results_dir: Path, command: str, launch: str, told: Mapping[str, Any]) -> Imported | None:
    """Write the run of what was read; None, and nothing, where no record can be made of any of it.

    `launch` names the server of all, '' takes the files' names; `told` adds to workloads. What no record can hold is
    added to what `read` refused, and what was read twice to what it left out.
    """
    figures = [(path, _told_more(one, launch, told)) for path, one in read.figures]
    sources = _sources(dict.fromkeys(path for path, _ in figures))
    made: dict[tuple[str, int], tuple[Figures, Record]] = {}
    for (path, one), identity in zip(figures, identities([one for _, one in figures])):
        try:
            record = _judged(one, identity, path, sources[path])
        except (StoreError, ValidationError) as error:
            why = str(error) if isinstance(error, StoreError) else f"{one.where}: {refused(error)[0].text}"
            read.refused.append(why)
            continue
        place = record.identity.case_key, record.identity.repeat
        if place in made:
            read.left_out.append(
                f"{one.where} is repeat {place[1]} of {record.identity.case_id}, which was read already"
            )
        else:
            made[place] = one, record
    return _written_run(made.values(), sources, results_dir, command) if made else None


def _written_run(
    made: Collection[tuple[Figures, Record]], sources: Mapping[Path, Source], results_dir: Path, command: str
) -> Imported:
    store, records = Store.create(results_dir, EXPERIMENT), []
    for one, record in made:
        if one.record is None:
            record = record.model_copy(update={"identity": record.identity.model_copy(update={"run_id": store.run_id})})
        store.save(record.identity.case_key, record)
        if one.raw is not None:
            write_json(store.folder_of(record) / "raw.json", one.raw)
        records.append(record)
    for path, source in sources.items():
        make_folder((store.run_dir / source.file).parent)
        write_text(store.run_dir / source.file, read_bytes(path).decode("utf-8", "replace"))
    store.write_header(_header(records, {record.identity.launch: one.args for one, record in made}, store, command))
    return Imported(store, tuple(records))


def _told_more(one: Figures, launch: str, told: Mapping[str, Any]) -> Figures:
    if one.record is not None:
        return one
    notes = tuple(note for note in one.notes if note != UNTOLD or "batch_size" not in told)
    return replace(one, launch=launch or one.launch, workload={**one.workload, **told}, notes=notes)


def _judged(one: Figures, identity: Identity, path: Path, source: Source) -> Record:
    """Return the record of figures, which can be read back; raise StoreError or ValidationError for what none can hold."""
    found = one.record or judged_foreign(_record(one, identity, path, source), one.notes, one.raw)
    return record_of(found.model_dump_json().encode(), one.where)


def _record(one: Figures, identity: Identity, path: Path, source: Source) -> Record:
    ended = one.ended_utc or _written(path)
    told = described(one.benchmark, one.workload)
    return Record(
        identity=identity,
        benchmark=one.benchmark,
        workload=dict(one.workload),
        asked=_asked(one, told.asked),
        curve=one.curve or told.curve or _curve(one),
        load=told.load,
        outcome=Outcome.MEASURED,
        values={key: one.values.get(key) for key in BENCHMARKS[one.benchmark].metrics},
        verdict=Verdict.VALID,  # until the checks have seen it
        started_utc=started(ended, one.values.get("duration_s")),
        ended_utc=ended,
        started_monotonic_s=0.0,
        ended_monotonic_s=0.0,
        client=one.client,
        way=IMPORTED,
        raw_file="raw.json" if one.raw is not None else None,
        host=HostFacts.of(kind=BENCHMARKS[one.benchmark].host_kind, engine=one.engine, model=one.model),
        conditions=Conditions.of(sent=one.sent) if one.sent else Conditions(),
        provenance=Provenance(source=source.model_copy(update={"tool": one.tool, "where": _place(one, path)})),
    )


def _asked(one: Figures, asked: Asked) -> Asked:
    """Return what was asked, with lengths as they were counted: nobody knows how they were drawn, or how answers end."""
    if asked.input_tokens_each is not None or one.benchmark != SERVE.name:
        return asked
    inputs, outputs = (one.workload.get(key) for key in _MEANS)
    return Asked(requests=asked.requests, input_tokens_each=inputs or None, output_tokens_each=outputs or None)


def _curve(one: Figures) -> str:
    lengths = [one.workload.get(key) for key in _MEANS]
    return f"{lengths[0]:g} in / {lengths[1]:g} out" if all(lengths) else ""


def _header(records: Sequence[Record], args: Mapping[str, Mapping[str, Any]], store: Store, command: str) -> RunHeader:
    launches = {
        launch: LaunchFacts(
            model=LaunchModel.of(name=record.host.model), engine=record.host.engine, args=dict(args[launch])
        )
        for launch, record in {record.identity.launch: record for record in records}.items()
    }
    tools = dict.fromkeys(
        record.provenance.source.tool if record.provenance.source else "benchbook" for record in records
    )
    return RunHeader(
        experiment=EXPERIMENT,
        run_id=store.run_id,
        question=f"What may be said of these figures of others ({', '.join(tools)}), measured elsewhere?",
        command=command,
        state=RunState.FINISHED,
        started_utc=utc_now(),
        ended_utc=utc_now(),
        launches=launches,
        plan=tuple(rows_of(list(records))),
    )


def _sources(paths: Collection[Path]) -> dict[Path, Source]:
    """Return of each file its name in the run, where no two have one, and its SHA-256."""
    found: dict[Path, Source] = {}
    names: set[str] = set()
    for path in paths:
        name, number = path.name, 2
        while name in names:
            name, number = f"{path.stem}-{number}{path.suffix}", number + 1
        names.add(name)
        found[path] = Source.of(file=f"{SOURCES}/{name}", sha256=hashlib.sha256(read_bytes(path)).hexdigest())
    return found


def _written(path: Path) -> str:
    """Return when the file was written, which is the latest that it can have been measured."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat()


def _place(one: Figures, path: Path) -> str | None:
    return one.where.removeprefix(str(path)).lstrip(", ") or None
