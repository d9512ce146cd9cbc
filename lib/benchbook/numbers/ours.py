"""Records of benchbook's own in a file of another: beside what that tells, in llm-d's report, in MLflow's artifacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchbook.numbers import llmd
from benchbook.numbers.figures import Figures, Told, checked_place
from benchbook.records.record import Record
from benchbook.records.record_file import record_of

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
