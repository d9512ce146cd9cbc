"""Sentences with numbers, produced from the data: what a figure shows, said once more.

A line stops scaling where every further doubling of the requests in flight adds
less than 10 % output throughput.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from benchbook.judge.spread import Spread, number_text, plus_minus_text, spread_text
from benchbook.report.lines import OUTPUT_THROUGHPUT, USER_SPEED, Line
from benchbook.report.run import Run

MIN_GAIN = 0.10  # per doubling of the requests in flight; below it, a line has stopped scaling
_E2EL = "mean_e2el_ms"


def peak_of(line: Line) -> tuple[int, Spread] | None:
    """Return (requests in flight, output tok/s) where `line` is highest; None without a believed repeat."""
    return max(line.points(OUTPUT_THROUGHPUT).items(), key=lambda point: point[1].mean, default=None)


def stops_scaling_at(means: Mapping[int, float]) -> int | None:
    """Return the concurrency from which on every doubling adds less than MIN_GAIN; None where it still rises."""
    steps = list(itertools.pairwise(means))
    slow = [_gain_per_doubling(means, low, high) < MIN_GAIN for low, high in steps]
    for index, (low, _) in enumerate(steps):
        if all(slow[index:]):
            return low
    return None


def peak_sentence(line: Line) -> str:
    """Return where output throughput is highest, with its spread."""
    peak = peak_of(line)
    if peak is None:
        return f"No repeat of {_where(line)} can be believed, so it has no curve."
    concurrency, spread = peak
    value, where = spread_text(spread, "tok/s"), _where(line)
    if len(line.points(OUTPUT_THROUGHPUT)) == 1:
        return f"Output throughput is {value} with {in_flight(concurrency)}, the only concurrency tried ({where})."
    return f"Output throughput peaks at {value} with {in_flight(concurrency)} ({where})."


def scaling_sentence(line: Line) -> str:
    """Return where the line stops scaling, by the rule, or how much its last step still added; '' for one point."""
    means = line.means(OUTPUT_THROUGHPUT)
    if len(means) < 2:
        return ""
    stop = stops_scaling_at(means)
    if stop is not None:
        return f"It stops scaling at {stop}: every further doubling of the concurrency adds less than {MIN_GAIN:.0%}."
    return f"{_last_step(means)} (the rule: scaling stops where every further doubling adds less than {MIN_GAIN:.0%})."


def latency_sentence(line: Line, concurrency: int) -> str:
    """Return what one user waits at `concurrency`: TTFT, TPOT, speed and E2EL, as far as they were measured."""
    said = [
        f"{name} is {_mean_at(line, key, concurrency)} {unit}"
        for name, key, unit in (
            ("median TTFT", "median_ttft_ms", "ms"),
            ("p99 TTFT", "p99_ttft_ms", "ms"),
            ("median TPOT", "median_tpot_ms", "ms"),
            ("the speed of one user", USER_SPEED, "tok/s"),
            ("mean E2EL", _E2EL, "ms"),
        )
        if concurrency in line.points(key)
    ]
    return f"There, {_and(said)}." if said else ""


def throughput_reading(run: Run) -> list[str]:
    """Return one sentence a line: from where to where output throughput goes, and where it stops rising."""
    sentences = []
    for line in run.lines:
        means = line.means(OUTPUT_THROUGHPUT)
        if len(means) < 2:
            sentences.append(peak_sentence(line))
            continue
        stop = stops_scaling_at(means)
        end = _last_step(means) if stop is None else f"It stops scaling at {stop}"
        sentences.append(f"{line.label}: {_span(means)}, output throughput goes {_from_to(means, 'tok/s')}. {end}.")
    return sentences


def latency_reading(run: Run) -> list[str]:
    """Return one sentence a line: how TTFT and TPOT move from the lowest to the highest concurrency."""
    sentences = []
    for line in run.lines:
        named = (("median TTFT", "median_ttft_ms"), ("median TPOT", "median_tpot_ms"), ("p99 TTFT", "p99_ttft_ms"))
        means = {name: line.means(key) for name, key in named}
        moves = [
            f"{name} goes {_from_to(values, 'ms')}"
            if len(values) > 1
            else f"{name} is {number_text(*values.values())} ms"
            for name, values in means.items()
            if values
        ]
        if moves:
            span = _span(next(filter(None, means.values())))
            sentences.append(f"{line.label}: {span}, {_and(moves)}.")
    return sentences


def tradeoff_reading(run: Run) -> list[str]:
    """Return one sentence a line: what one user loses and all users gain from the first to the last concurrency."""
    sentences = []
    for line in run.lines:
        speeds, totals = line.means(USER_SPEED), line.means(OUTPUT_THROUGHPUT)
        if len(speeds) < 2:
            continue
        low, high = min(speeds), max(speeds)
        sentences.append(
            f"{line.label}: with {in_flight(low)} a user sees {number_text(speeds[low])} tok/s; with {high}, "
            f"{number_text(speeds[high])} tok/s, {speeds[high] / speeds[low]:.0%} of that, while all users get "
            f"{_times(totals[high], totals[low])} as much together."
        )
    return sentences


def in_flight(concurrency: int) -> str:
    """Return '8 requests in flight'."""
    return f"{concurrency} request{'' if concurrency == 1 else 's'} in flight"


def _where(line: Line) -> str:
    return line.label if line.label.startswith(f"{line.launch},") else f"{line.launch}, {line.label}"


def _gain_per_doubling(means: Mapping[int, float], low: int, high: int) -> float:
    if means[low] <= 0:
        return math.inf
    return (means[high] / means[low]) ** (1 / math.log2(high / low)) - 1


def _mean_at(line: Line, key: str, concurrency: int) -> str:
    spread = line.points(key)[concurrency]
    return plus_minus_text(spread.mean, spread.stdev)


def _span(means: Mapping[int, float]) -> str:
    """Return 'between 1 and 8 requests in flight', or 'with 8 requests in flight' for a single point."""
    low, high = min(means), max(means)
    return f"with {in_flight(low)}" if low == high else f"between {low} and {in_flight(high)}"


def _from_to(means: Mapping[int, float], unit: str) -> str:
    """Return 'from 12.3 to 31.2 ms (2.5 times)'."""
    first, last = means[min(means)], means[max(means)]
    return f"from {number_text(first)} to {number_text(last)} {unit} ({_times(last, first)})"


def _last_step(means: Mapping[int, float]) -> str:
    """Return how much the last step of a line that still scales added."""
    before, last = sorted(means)[-2:]
    added = f"{means[last] / means[before] - 1:.0%}" if means[before] > 0 else "everything"
    return f"It still scales at {last}, the most tried: the step from {before} added {added}"


def _times(value: float, base: float) -> str:
    """Return '4.4 times' or '12 times'."""
    ratio = value / base if base else math.inf
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
