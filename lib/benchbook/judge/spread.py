"""The mean of repeats never travels without its spread and its count."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from benchbook.judge.stats import stdev

_SIGNIFICANT_DIGITS = 3


@dataclass(frozen=True)
class Spread:
    """Repeats of one value, in the value's own unit."""

    mean: float
    stdev: float | None  # of the sample (n - 1); None for one repeat, where it is unknown and not 0
    count: int
    minimum: float
    maximum: float


def spread_of(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the `values` that were measured (not None, not NaN); None when there are none."""
    measured = [float(value) for value in values if value is not None and not math.isnan(value)]
    if not measured:
        return None
    spread = stdev(measured) if len(measured) > 1 else None
    return Spread(statistics.fmean(measured), spread, len(measured), min(measured), max(measured))


def number_text(value: float | None, decimals: int | None = None) -> str:
    """Return `value` with three significant digits or all digits before the point: '0.123', '12.3', '1,234'."""
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


def spread_text(spread: Spread, unit: str = "") -> str:
    """Return '12.3 ± 0.4 ms (3 repeats)' or '12.3 ms (1 repeat, spread unknown)'."""
    value = f"{plus_minus_text(spread.mean, spread.stdev)} {unit}".rstrip()
    if spread.stdev is None:
        return f"{value} (1 repeat, spread unknown)"
    return f"{value} ({spread.count} repeats)"


def percent_text(share: float | None) -> str:
    """Return '67%', '4.2%' or, for nothing, an en dash: a small share is not none."""
    if share is None or math.isnan(share):
        return "–"
    return f"{share:.0%}" if share >= 0.1 else f"{share * 100:.2g}%"


def time_text(time_utc: str) -> str:
    """Return '2026-11-23 20:15:00', to the second, for a time as records hold it."""
    return time_utc[:19].replace("T", " ")


def _decimals(value: float) -> int:
    """Return how many decimals show three significant digits of `value`."""
    if value == 0:
        return 0
    return min(6, max(0, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value)))))
