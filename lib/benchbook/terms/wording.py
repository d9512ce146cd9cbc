"""Words that all rooms have in common."""

from __future__ import annotations


def counted(number: int, noun: str, shown: str | None = None, plural: str | None = None) -> str:
    """Return '1 case', '12 cases' or, with `shown` in place of the number, '3 to 12 cases'."""
    return f"{number if shown is None else shown} {noun if number == 1 else plural or noun + 's'}"


def ordinal(number: int) -> str:
    """Return '1st', '2nd', '3rd', '4th'."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{suffix}"
