"""Can a run answer its question at all? One rule, which the answer box, the summary and the exit code share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchbook.judge.catalogue import BY_CODE
from benchbook.records.record import Record, Verdict
from benchbook.terms.benchmarks import leading

# What other reasons bring about: with a busy machine repeats disagree and answers come in heaps. The cause is advised on.
_CONSEQUENCES = {
    "repeats_disagree",
    "repeats_trend",
    "repeat_outlier",
    "stream_bunched",
    "floor_above_load",
    "ceiling_below_serving",
    "tpot_contradicts_latency",
}


@dataclass(frozen=True)
class NoAnswer:
    """Why a run cannot answer: what of its evidence is not VALID, and what to do first."""

    evidence: str  # '13 of 16 serve repeats are not VALID (machine_busy 9, repeats_disagree 7)'
    remedy: str  # 'Against machine_busy: end other processes …', of the cause that is said most often

    def __str__(self) -> str:
        return f"This run cannot answer: {self.evidence}. {self.remedy}."


def why_no_answer(records: Sequence[Record], allowed: Collection[str] = ()) -> NoAnswer | None:
    """Return why `records`, judged together, cannot answer their experiment's question; None when they can.

    They cannot when more than half of the measured repeats that an answer rests on are SUSPECT or INVALID: of a mean
    over them nobody knows what it is the mean of. Records that hold no measurement do not count here. Codes that the
    experiment has `allowed` make none of them doubtful.
    """
    measured = [record for record in records if record.is_measured]
    benchmark = next((name for name in leading() if any(record.benchmark == name for record in measured)), None)
    evidence = [record for record in measured if record.benchmark == benchmark]
    doubted = [
        record for record in evidence if record.verdict is not Verdict.VALID and _codes([record]).keys() - allowed
    ]
    if 2 * len(doubted) <= len(evidence):
        return None
    codes = _codes(doubted)
    worst = max(codes, key=lambda code: (codes[code] if code not in _CONSEQUENCES else 0, codes[code]))
    return NoAnswer(
        evidence=f"{len(doubted)} of {len(evidence)} {benchmark} repeats are not VALID ({reasons_text(doubted)})",
        remedy=f"Against {worst}: {BY_CODE[worst].remedy}",
    )


def reasons_text(doubted: Sequence[Record]) -> str:
    """Return 'machine_busy 9, repeats_disagree 7; some have several reasons', the reasons against these records."""
    codes = _codes(doubted)
    said = ", ".join(f"{code} {number}" for code, number in codes.most_common())
    return f"{said}; some have several reasons" if codes.total() > len(doubted) else said


def _codes(doubted: Sequence[Record]) -> Counter[str]:
    return Counter(why.code for record in doubted for why in record.reasons if why.severity != "note")
