"""Words that all rooms have in common: how a number, a share, a plural and a list are said."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SIGNIFICANT_DIGITS = 3


def counted(number: int, noun: str, shown: str | None = None, plural: str | None = None) -> str:
    """Return '1 case', '12 cases' or, with `shown` in place of the number, '3 to 12 cases'."""
    many = plural or f"{noun}s"
    return f"{f'{number:,}' if shown is None else shown} {noun if number == 1 else many}"


def ordinal(number: int) -> str:
    """Return '1st', '2nd', '3rd', '4th'."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{suffix}"


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Return 'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def lengths_text(lengths: tuple[int, int]) -> str:
    """Return '128 in / 64 out'."""
    return f"{lengths[0]} in / {lengths[1]} out"


def mean_tokens_text(tokens: float) -> str:
    """Return tokens of a request on average: '128', '84.8'."""
    return f"{tokens:.1f}".removesuffix(".0")


def number_text(value: float | None, decimals: int | None = None) -> str:
    """Return a count whole, else three significant digits or all before the point: '0.123', '12.3', '1,234'."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.{_decimals(value) if decimals is None else decimals}f}"


def plus_minus_text(mean: float, stdev: float | None) -> str:
    """Return '12.3 ± 0.4', or '12.3' where the spread is unknown."""
    if stdev is None or math.isnan(stdev):
        return number_text(mean)
    spread = number_text(stdev, _decimals(mean))
    if stdev > 0 and float(spread.replace(",", "")) == 0:
        spread = f"{stdev:.1g}"  # a small spread is not none
    return f"{number_text(mean)} ± {spread}"


def percent_text(share: float | None) -> str:
    """Return '67%', '4.2%' or, for nothing, an en dash: a small share is not none."""
    if share is None or math.isnan(share):
        return "–"
    return f"{share:.0%}" if share >= 0.1 else f"{share * 100:.2g}%"


def percent_number(share: float) -> str:
    """Return '6.1', '0.04' or '1,840': a change in percent, for where the sign of several of them stands once."""
    percent = 100 * share
    decimals = 0 if abs(percent) >= 99.5 else 1 if abs(percent) >= 0.095 or percent == 0 else 2
    return f"{percent:,.{decimals}f}"


def time_text(time_utc: str) -> str:
    """Return '2026-11-23 20:15:00', to the second, for a time as records hold it."""
    return time_utc[:19].replace("T", " ")


def duration_text(seconds: float) -> str:
    """Return '45 s', '3 min 20 s' or '2 h 05 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _decimals(value: float) -> int:
    """Return how many decimals show three significant digits of `value`."""
    if value == 0 or isinstance(value, int):
        return 0
    return min(6, max(0, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value)))))
