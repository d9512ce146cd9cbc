"""Disturbed from outside: the repeats that are measured again, for what was seen around them and never for their value.

Which codes are an outside cause stands in the catalogue. None of their checks reads a result: they look at the
processors, the GPU and the server's log. So whether a repeat is replaced does not depend on how fast it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchbook.judge.catalogue import OUTSIDE
from benchbook.records.record import Record
from benchbook.terms.wording import counted


def disturbed_by(record: Record) -> str:
    """Return the outside causes against this record, 'gpu_shared machine_busy'; '' without any."""
    return " ".join(sorted({reason.code for reason in record.reasons} & OUTSIDE))


def is_due_again(record: Record, budget: int) -> bool:
    """Return whether this measured repeat was disturbed, and has been measured again less than `budget` times."""
    return bool(disturbed_by(record)) and len(record.identity.disturbed) < budget


def again_sentence(records: Sequence[Record]) -> str:
    """Return how many of these repeats were measured again, how often and why; '' where none was."""
    again = [record for record in records if record.identity.disturbed]
    if not again:
        return ""
    causes = Counter(code for record in again for codes in record.identity.disturbed for code in codes.split())
    why = ", ".join(f"{code} {number}" for code, number in causes.most_common())
    tries = sum(len(record.identity.disturbed) for record in again)
    still = sum(bool(disturbed_by(record)) for record in again)
    which = "It" if len(again) == 1 else f"{still} of them"
    return (
        f"{counted(len(again), 'repeat')} {_was(len(again))} disturbed from outside ({why}) and measured again, "
        f"{counted(tries, 'time')} in all; the last try counts, earlier ones lie beside it and are in no mean."
        + (f" {which} {_was(still)} disturbed in the last try too." if still else "")
    )


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
