"""The folders of attempts at one repeat: `repeat=0` has the last, `repeat=0,attempt=1` one that was moved aside before it."""

from __future__ import annotations

import os
from pathlib import Path

from benchbook.reading import read_json
from benchbook.records.handover import RECORD_FILE
from benchbook.records.record import Outcome
from benchbook.terms.errors import StoreError

_ATTEMPT = ",attempt="  # behind the name of a repeat's folder, and before the number of what was moved aside


def standing(folder: str) -> str:
    """Return the folder of a repeat's final attempt, or, while it has no record, of the last that was measured before."""
    if os.path.lexists(f"{folder}/{RECORD_FILE}"):
        return folder
    before = (aside_of(folder, attempt) for attempt in reversed(attempts_at(folder)))
    return next((aside for aside in before if is_measured(aside)), folder)


def is_measured(folder: str) -> bool:
    """Return whether the record in `folder` says that it was measured; it is not validated."""
    try:
        return read_json(f"{folder}/{RECORD_FILE}").get("outcome") == Outcome.MEASURED.value
    except StoreError:
        return False  # still to come, or cut


def aside_of(folder: Path | str, attempt: int) -> str:
    """Return where an attempt at the repeat of `folder` is moved to before the next one."""
    return f"{folder}{_ATTEMPT}{attempt}"


def attempts_at(folder: Path | str) -> list[int]:
    """Return the numbers of the attempts at the repeat of `folder` that were moved aside, ascending."""
    beginning = f"{os.path.basename(folder)}{_ATTEMPT}"
    names = names_in(os.path.dirname(folder))
    numbers = [name.removeprefix(beginning) for name in names if name.startswith(beginning)]
    return sorted(int(number) for number in numbers if number.isdecimal())


def names_in(folder: str) -> list[str]:
    """Return the sorted names in `folder`, none where it is no folder or may not be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
