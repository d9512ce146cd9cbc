"""Figures of others become a run like any: each a record with a verdict, the files themselves beside them.

results/import/<run_id>/
    run.json  sources/<file>  cases/<case_key>/repeat=<n>/record.json  [raw.json, where it tells of each request]
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbook.judge.foreign import judged_foreign
from benchbook.numbers.figures import Figures
from benchbook.numbers.files import Read
from benchbook.numbers.vllm import started
from benchbook.reading import read_bytes
from benchbook.records.conditions import Conditions
from benchbook.records.described import described
from benchbook.records.files import make_folder, write_json, write_text
from benchbook.records.fingerprint import combined, fingerprint_parts
from benchbook.records.header import LaunchFacts, LaunchModel, RunHeader, RunState, rows_of
from benchbook.records.host import HostFacts
from benchbook.records.parts import Provenance, Source
from benchbook.records.provenance import utc_now
from benchbook.records.record import IMPORTED, Identity, Outcome, Record, Verdict
from benchbook.records.store import Store
from benchbook.terms.asked import Asked
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.redaction import redacted

EXPERIMENT = "import"
SOURCES = "sources"
_MEANS = ("mean_input_tokens", "mean_output_tokens")
_MOST_CHARS = 120


@dataclass(frozen=True)
class Imported:
    """A run made of figures of others."""

    store: Store
    records: tuple[Record, ...]


def make_run(read: Read, results_dir: Path, command: str, launch: str, told: Mapping[str, Any]) -> Imported:
    """Write the run of what was read. `launch` names the server of all, '' takes the files' names; `told` adds to workloads."""
    store = Store.create(results_dir, EXPERIMENT)
    named = list(
        _named(
            [replace(one, launch=launch or one.launch, workload={**one.workload, **told}) for _, one in read.figures]
        )
    )
    kept = _keep_sources(store, dict.fromkeys(path for path, _ in read.figures))
    records = []
    for (path, _), (one, identity) in zip(read.figures, named):
        record = one.record or judged_foreign(
            _record(one, identity.model_copy(update={"run_id": store.run_id}), path, kept[path]), one.notes, one.raw
        )
        store.save(record.identity.case_key, record)
        if one.raw is not None:
            write_json(store.folder_of(record) / "raw.json", one.raw)
        records.append(record)
    store.write_header(_header(records, store, command, [path.name for path in kept]))
    return Imported(store, tuple(records))


def _named(figures: Sequence[Figures]) -> Iterator[tuple[Figures, Identity]]:
    """Yield each with its launch, case and repeat: what is not told to be a repeat of another is a case of its own."""
    repeats: dict[str, int] = {}
    owners: dict[str, str] = {}
    for one in figures:
        family = one.repeats_of or re.sub(r"\d+", "", one.where)
        launch = _safe(one.launch or (one.model or one.tool).rstrip("/").rpartition("/")[2])
        settings = ",".join(f"{key}={value}" for key, value in one.workload.items())
        case = f"{one.benchmark},{settings}" if settings else one.benchmark
        if (
            not one.case and owners.setdefault(f"{launch},{case}", family) != family
        ):  # the same words, and nobody says the same server
            launch = _safe(f"{launch}-{Path(one.where.partition(',')[0]).stem}")
            owners[f"{launch},{case}"] = family
        case_id = one.case or _short(f"{launch},{_safe(case)}")
        number = one.repeat if one.repeat is not None else repeats.get(case_id, 0)
        repeats[case_id] = number + 1
        parts = fingerprint_parts(
            launch=[launch, dict(one.args)], workload=dict(one.workload), model=one.model, tool=one.tool
        )
        yield (
            one,
            Identity(
                experiment=EXPERIMENT,
                launch=launch,
                case_id=case_id,
                fingerprint=combined(parts),
                fingerprint_parts=parts,
                repeat=number,
            ),
        )


def _record(one: Figures, identity: Identity, path: Path, kept: tuple[str, str]) -> Record:
    name, digest = kept
    ended = one.ended_utc or _written(path)
    told = described(one.benchmark, one.workload)
    return Record(
        identity=identity,
        benchmark=one.benchmark,
        workload=dict(one.workload),
        asked=_asked(one, told.asked),
        curve=told.curve or _curve(one),
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
        provenance=Provenance(
            source=Source.of(file=f"{SOURCES}/{name}", sha256=digest, tool=one.tool, where=_place(one, path))
        ),
    )


def _asked(one: Figures, asked: Asked) -> Asked:
    """Return what was asked, with lengths as they were counted: nobody knows how they were drawn, or how answers end."""
    if asked.input_tokens_each is not None or one.benchmark != "serve":
        return asked
    inputs, outputs = (one.workload.get(key) for key in _MEANS)
    return Asked(requests=asked.requests, input_tokens_each=inputs or None, output_tokens_each=outputs or None)


def _curve(one: Figures) -> str:
    lengths = [one.workload.get(key) for key in _MEANS]
    return f"{lengths[0]:g} in / {lengths[1]:g} out" if all(lengths) else ""


def _header(records: Sequence[Record], store: Store, command: str, files: Sequence[str]) -> RunHeader:
    launches = {
        record.identity.launch: LaunchFacts(model=LaunchModel.of(name=record.host.model), engine=record.host.engine)
        for record in records
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


def _keep_sources(store: Store, paths: Iterator[Path] | Mapping[Path, None]) -> dict[Path, tuple[str, str]]:
    """Return the name in the run and the SHA-256 of each file, of which a copy without secrets lies there."""
    folder, kept = make_folder(store.run_dir / SOURCES), {}
    for path in paths:
        content, name, number = read_bytes(path), path.name, 2
        while (folder / name).exists():
            name, number = f"{path.stem}-{number}{path.suffix}", number + 1
        write_text(folder / name, redacted(content.decode("utf-8", "replace")))
        kept[path] = name, hashlib.sha256(content).hexdigest()
    return kept


def _written(path: Path) -> str:
    """Return when the file was written, which is the latest that it can have been measured."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat()


def _place(one: Figures, path: Path) -> str | None:
    return one.where.removeprefix(str(path)).lstrip(", ") or None


def _safe(text: str) -> str:
    """Return `text` as part of a folder's name."""
    return re.sub(r"[^\w.,=+@ ()-]", "_", text)[:_MOST_CHARS] or "unnamed"


def _short(text: str) -> str:
    if len(text) <= _MOST_CHARS + 30:
        return text
    return f"{text[:_MOST_CHARS]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
