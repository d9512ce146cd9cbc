"""Records of benchbook's own in a file of another: beside what that tells, in llm-d's report, in MLflow's artifacts.

And published figures, as results/published keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchbook.numbers import llmd
from benchbook.numbers.figures import Figures, Told, checked_place
from benchbook.numbers.vllm import without_zeros
from benchbook.records.record import Record
from benchbook.records.record_file import record_of
from benchbook.terms.benchmarks import BENCHMARKS

_KEYS = {"schema_version", "identity", "benchmark", "outcome", "verdict"}


def is_record(told: Mapping[str, Any]) -> bool:
    """Return whether this is a record of benchbook."""
    return told.keys() >= _KEYS


def record(told: Told) -> Figures:
    """Return the figures that a record is: it is kept as it is, with its verdict."""
    return _kept(record_of(json.dumps(told.content).encode(), told.where), told.where)


def in_report(told: Told) -> Figures:
    """Return what a report of llm-d tells; of one that benchbook wrote, its record, of which all must be that tells of it."""
    native = told.value(llmd.OURS)
    if native is None:
        return llmd.report(told)
    found = record_of(json.dumps(native).encode(), f"{told.where}: {llmd.OURS}")
    if llmd.written(found)["results"] != told.value("results"):
        raise told.refused("results", "they", f"are not those of the record in {llmd.OURS}: one of the two was changed")
    return _kept(found, told.where)


def is_publication(told: Mapping[str, Any]) -> bool:
    """Return whether this is a file of published figures."""
    return {"name", "source", "records"} <= told.keys() and isinstance(told["records"], list)


def publication(told: Told) -> list[Figures]:
    """Return what each row of a publication tells."""
    source = told.at("source")
    rows = [
        Told(row, f"{told.where}, row {number}")
        for number, row in enumerate(told.value("records"), 1)
        if isinstance(row, Mapping)
    ]
    return [_row(row, told.text("name") or "published", source.text("model"), source.text("engine")) for row in rows]


def _row(told: Told, name: str, model: str | None, engine: str | None) -> Figures:
    benchmark, values = told.text("benchmark"), told.at("values")
    if benchmark not in BENCHMARKS:
        raise told.refused("benchmark", benchmark, f"must be one of {', '.join(BENCHMARKS)}")
    if unknown := sorted(set(values.content) - set(BENCHMARKS[benchmark].metrics)):
        raise told.refused(f"values.{unknown[0]}", values.content[unknown[0]], "is no metric of it")
    assumed = told.text("assumed")
    return Figures(
        told.where,
        "published figures",
        without_zeros({key: values.number(key) for key in BENCHMARKS[benchmark].metrics}),
        benchmark,
        told.at("workload").content,
        model=model,
        engine=engine,
        notes=(assumed,) if assumed else (),
        launch=name,
    )


def _kept(found: Record, where: str) -> Figures:
    identity = found.identity
    checked_place(identity.case_id, where)
    checked_place(identity.case_key, where)
    return Figures(
        where,
        "benchbook",
        found.values,
        found.benchmark,
        found.workload,
        model=found.host.model,
        engine=found.host.engine,
        launch=identity.launch,
        repeat=identity.repeat,
        record=found,
    )
