"""All checks of one measurement, in the order in which their reasons are read."""

from __future__ import annotations

from collections.abc import Iterable

from benchbook.judge import (
    accounting,
    attached,
    conditions,
    course,
    figures,
    guards,
    offered,
    reached,
    sample,
    sent,
    stalls,
    steady,
    streams,
    telemetry,
    warmth,
)
from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason, Record, verdict_of

CHECKS: tuple[Check, ...] = (
    *accounting.CHECKS,
    *figures.CHECKS,
    *streams.CHECKS,
    *offered.CHECKS,
    *sent.CHECKS,
    *stalls.CHECKS,
    *steady.CHECKS,
    *course.CHECKS,
    *warmth.CHECKS,
    *conditions.CHECKS,
    *attached.CHECKS,
    *telemetry.CHECKS,
    *sample.CHECKS,
    *reached.CHECKS,
    *guards.CHECKS,
)
# Those that need no more than the values of a record: what can be asked of a published figure.
VALUE_CHECKS: tuple[Check, ...] = (
    accounting.requests_failed,
    accounting.nothing_completed,
    *figures.CHECKS,
    streams.itl_per_chunk,
    streams.latency_sum_broken,
    offered.littles_law,
    offered.rate_not_reached,
    offered.too_short,
    steady.overloaded,
    *warmth.CHECKS,
    *sample.CHECKS,
    *guards.CHECKS,
)
COUNTED = ("requests_failed", "nothing_completed")  # of them, those that need a count which not everybody tells


def record_reasons(measured: Measured, checks: Iterable[Check] = CHECKS) -> tuple[Reason, ...]:
    """Return why this measurement is not (fully) to be believed; notes are remarks that do not lower the verdict.

    A check that raises costs no number: what it would have said is unknown, and `check_failed` says so.
    """
    return tuple(found for check in checks if (found := _found(check, measured)))


def _found(check: Check, measured: Measured) -> Reason | None:
    try:
        return check(measured)
    except Exception as error:  # whatever it is: the measurement is over, and its raw file is whole
        return reason("check_failed", f"{check.__name__}: {type(error).__name__}: {error}"[:300])


def itl_course(measured: Measured) -> tuple[float | None, ...] | None:
    """Return the median ITL by sixths, see `course`; None too where the raw file cannot be read so (`check_failed`)."""
    try:
        return course.itl_by_sixths_ms(measured)
    except Exception:  # as above
        return None


def half_widths(measured: Measured, keys: Iterable[str]) -> dict[str, float | None]:
    """Return how well each metric of `keys` is known, see `reached`; None too where the raw file cannot be read so."""
    try:
        return reached.half_widths(measured, keys)
    except Exception:  # as above
        return dict.fromkeys(keys)


def with_reasons(record: Record, reasons: Iterable[Reason]) -> Record:
    """Return `record` with `reasons` added, and the verdict that follows."""
    added = (*record.reasons, *reasons)
    return record.model_copy(update={"reasons": added, "verdict": verdict_of(added)})
