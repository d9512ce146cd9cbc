"""Figures of others, judged by all that they tell: what a file tells request by request is looked at so, the rest by values.

What nobody could look at is listed as for a measurement of ours: figures know nothing of the server, client and machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchbook.judge import sources
from benchbook.judge.catalogue import reason
from benchbook.judge.checks import CHECKS, VALUE_CHECKS, record_reasons, with_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.sources import Evidence
from benchbook.judge.unseen import LOOKS, RECORDS, not_looked
from benchbook.records.record import Record
from benchbook.terms.benchmarks import BENCHMARKS

ALONE = "the file has figures alone: nothing of single requests, the server, the client and the machine"


def judged_foreign(record: Record, notes: tuple[str, ...], raw: Mapping[str, Any] | None = None) -> Record:
    """Return `record` with all that can be said of it from its values, from `raw` and by `notes` on how it was read."""
    figures = Measured.of(record)
    detailed = replace(figures, raw=raw or {})
    found = {why.code: why for why in record_reasons(figures, VALUE_CHECKS)}
    if raw:
        found |= {why.code: why for why in record_reasons(detailed, CHECKS)}
    if not any(record.values.get(key) for key in _CHECKABLE[record.benchmark]):
        notes = (*notes, "neither counts nor times nor tokens are told: nothing could be checked")
    if notes:
        found["read_as"] = reason("read_as", "; ".join(notes))
    unseen = not_looked(detailed) if raw else _unseen(figures)
    return with_reasons(record, found.values()).model_copy(update={"not_looked": unseen})


def _unseen(figures: Measured) -> dict[str, str]:
    """Return the checks that figures give nothing to, each with why."""
    found = {}
    for code, look in LOOKS.items():
        if look is RECORDS or not look.needs and code not in _NEEDS or not look.concerns(figures):
            continue
        if why := _NEEDS[code](figures) if code in _NEEDS else ALONE:
            found[code] = why
    return dict(sorted(found.items()))


def _duration(measured: Measured) -> str:
    is_told = measured.value("duration_s") is not None and measured.mean_e2el_ms is not None
    return "" if is_told else "how long it took, or how long a request takes, is not told"


def _sum(measured: Measured) -> str:
    told = [measured.value(f"mean_{kind}_ms") for kind in ("ttft", "tpot", "e2el")]
    return "" if all(told) and measured.output_tokens_each else "not all of mean TTFT, TPOT, E2EL and length are told"


def _rate(measured: Measured) -> str:
    return "" if measured.answered_rps is not None else "the rate answered is not told"


def _sent_rate(measured: Measured) -> str:
    return "" if measured.conditions.sent.rate_rps is not None else "the rate sent is not told"


def _in_flight(measured: Measured) -> str:
    told = measured.answered_rps, measured.value("mean_e2el_ms")
    return "" if None not in told else "the rate answered, or the mean E2EL, is not told"


def _samples(measured: Measured) -> str:
    key = measured.row.samples
    is_told = key is None or measured.values.get(key) or measured.workload.get(key)
    return "" if is_told else "of how many samples percentiles are is not told"


# One of which must be told before anything can be held against anything.
_COUNTS = ("completed", "failed", "duration_s", "total_output_tokens")
_CHECKABLE = {name: row.metrics if row.times == "iterations" else _COUNTS for name, row in BENCHMARKS.items()}
# What each check of values lives from; one that is not here needs more than a file of figures has.
_NEEDS: Mapping[str, Evidence] = {
    "requests_failed": sources.failures,
    "nothing_completed": sources.completions,
    "too_short": _duration,
    "latency_sum_broken": _sum,
    "littles_law": _in_flight,
    "overloaded": _rate,
    "rate_not_reached": _sent_rate,
    "percentile_not_earned": _samples,
}
