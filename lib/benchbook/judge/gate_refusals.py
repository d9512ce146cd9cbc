"""Why a gate says nothing: of what failed, is INVALID, degenerate, in doubt, or gives other answers, no speed is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchbook.judge.accuracy import Kept, accuracy_of, margin_text
from benchbook.judge.answerable import why_no_answer
from benchbook.judge.coherence import outputs_differ
from benchbook.judge.degenerate import degenerate_model
from benchbook.records.record import Record, Verdict


@dataclass(frozen=True)
class Side:
    """One side of a gate: what it is called, its records, and how many of its planned repeats have none."""

    name: str
    records: Sequence[Record]
    missing: int = 0


def refusals(base: Side, new: Side, may_differ: bool = False) -> tuple[list[str], bool]:
    """Return why nothing may be said, and whether that is because something failed or is INVALID, or answers are lost.

    `may_differ` lets launches pass whose greedy answers differ: somebody has looked, or it is meant.
    """
    broken = [text for side in (base, new) if (text := _broken(side))] + _lost_answers(base, new)
    told = [*broken, *(text for side in (base, new) if (text := _degenerate(side)))]
    told += [] if may_differ else _other_answers(base, new)
    if other := _other_device(base, new):
        told.append(other)
    if not told and (doubt := why_no_answer([*base.records, *new.records])):
        told.append(f"{doubt.evidence}. {doubt.remedy}.")
    return told, bool(broken)


def _broken(side: Side) -> str:
    invalid = [record for record in side.records if record.is_measured and record.verdict is Verdict.INVALID]
    codes = Counter(why.code for record in invalid for why in record.reasons if why.severity == "invalid")
    parts = [
        (sum(not record.is_measured for record in side.records), "failed"),
        (side.missing, "are missing"),
        (len(invalid), f"are INVALID ({', '.join(codes)})"),
    ]
    said = [f"{number} {what}" for number, what in parts if number]
    whole = len(side.records) + side.missing
    return f"Of {whole} repeats of {side.name}, {', '.join(said)}: what is lost may be what was slow." if said else ""


def _degenerate(side: Side) -> str:
    found = next(degenerate_model([record for record in side.records if record.is_believed]), None)
    if found is None:
        return ""
    return f"The model of {side.name} degenerates ({found[1].evidence}): its speed is that of no model."


def _lost_answers(base: Side, new: Side) -> list[str]:
    """Return that the new side loses more answers than its guard allows."""
    found = accuracy_of(base.records, new.records, (base.name, new.name))
    if found is None or found.kept is not Kept.LOST:
        return []
    return [
        f"{new.name} answers worse than {base.name}: {found.numbers}, where {margin_text(found.margin)} may be lost. "
        "A speed that is bought with answers is none."
    ]


def _other_answers(base: Side, new: Side) -> list[str]:
    """Return that the greedy answers of the sides differ, though only settings of speed do."""
    together = [_as_of(name, record) for name, side in (("", base), (new.name, new)) for record in side.records]
    found = next(outputs_differ(together), None)
    if found is None:
        return []
    share = found[1].evidence.partition(" of launch")[0]
    return [
        f"Only {share} of {new.name} are those of {base.name}, though nothing but settings of speed differs: a speed that "
        "is bought with other answers is none. Where that is meant or looked at: --answers-may-differ."
    ]


def _as_of(launch: str, record: Record) -> Record:
    return record.model_copy(update={"identity": record.identity.model_copy(update={"launch": launch})})


def _other_device(base: Side, new: Side) -> str:
    devices = [{record.identity.fingerprint_parts.get("device") for record in side.records} for side in (base, new)]
    if None in devices[0] | devices[1] or devices[0] == devices[1]:
        return ""
    return f"{base.name} and {new.name} were measured on different devices: what differs may be theirs."
