"""Cases chosen by a pattern for their whole name, or for one of its parts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean

_MOST_PARTS = 12  # in a message


def matches(pattern: str, case_id: str) -> bool:
    """Return whether `pattern` fits the whole name of a case or a part of it, between its commas.

    'eager', 'serve', 'max_concurrency=8' and 'eager,*' all fit 'eager,serve,lengths=128x64,max_concurrency=8'.
    """
    return any(fnmatchcase(name, pattern) for name in (case_id, *case_id.split(",")))


def fitting(pattern: str, case_ids: Iterable[str], where: str) -> frozenset[str]:
    """Return those of `case_ids`, which stand in the file or run `where`, that `pattern` fits.

    Raises ExperimentError, with the nearest parts of their names, where there is none.
    """
    names = list(case_ids)
    found = frozenset(name for name in names if matches(pattern, name))
    if not found:
        parts = list(dict.fromkeys(part for name in names for part in name.split(",")))
        near = did_you_mean(alike(pattern, parts, most=3))
        hint = near or f"parts of their names are {', '.join(parts[:_MOST_PARTS])}"
        raise ExperimentError(f"{where}: no case fits {pattern!r}; {hint}")
    return found


def without_searched(case_ids: Collection[str], searched: Collection[str], where: str) -> frozenset[str]:
    """Return those of `case_ids` that are not of a search (`searched`), which is measured as a whole.

    Raises ExperimentError where all are.
    """
    left = frozenset(case_ids).difference(searched)
    if not left:
        raise ExperimentError(
            f"{where}: all cases that fit are of a search, which is measured as a whole or not at all: ask for no cases"
        )
    return left
