"""What no single record can know: checks over the repeats of a case, over launches and over modes, run together.

`judged_together` runs them when a run is read; records on disk stay as they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchbook.judge import accuracy, arms, attached, coherence, degenerate, repeats, starts
from benchbook.judge.checks import COUNTED, VALUE_CHECKS, record_reasons, with_reasons
from benchbook.judge.evidence import Finding, Measured
from benchbook.judge.unseen import not_looked
from benchbook.records.record import Reason, Record

GroupCheck = Callable[[Sequence[Record]], Iterator[Finding]]

CASE_CHECKS: tuple[GroupCheck, ...] = (*repeats.CASE_CHECKS, *starts.CASE_CHECKS)
RUN_CHECKS: tuple[GroupCheck, ...] = (
    *repeats.RUN_CHECKS,
    starts.kv_capacity_differs,
    *degenerate.CHECKS,
    *coherence.CHECKS,
    *arms.CHECKS,
    *accuracy.CHECKS,
    *attached.RUN_CHECKS,
)


def judged_together(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return `records` in their order, each with what its case, its launch and the other modes say against it."""
    everything = tuple(records)
    # What is INVALID already is no evidence against others.
    measured = [record for record in everything if record.is_believed]
    found: dict[int, list[Reason]] = {}
    for check, group in [
        *((check, group) for group in repeats.by_case(measured) for check in CASE_CHECKS),
        *((check, measured) for check in RUN_CHECKS),
    ]:
        for record, why in check(group):
            reasons = found.setdefault(id(record), [])
            if why.code not in {known.code for known in (*record.reasons, *reasons)}:
                reasons.append(why)
    return tuple(with_reasons(record, found[id(record)]) if id(record) in found else record for record in everything)


def judged_alone_and_together(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return published figures with all that can be said from values alone, first one by one, then together.

    Where a count is missing, `not_looked` names the check that needs it.
    """
    return judged_together(map(_judged_alone, records))


def _judged_alone(record: Record) -> Record:
    measured = Measured.of(record)
    unseen = {code: why for code, why in not_looked(measured).items() if code in COUNTED}
    return with_reasons(record, record_reasons(measured, VALUE_CHECKS)).model_copy(update={"not_looked": unseen})
