"""What the figures show, said once more in sentences: one a line, with its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchbook.judge.knee import stops_scaling_at
from benchbook.judge.loads import Load
from benchbook.report.curves import OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT, USER_SPEED
from benchbook.report.run import Run
from benchbook.report.sentences import (
    doubt_text,
    goodput_sentence,
    last_step,
    peak_sentence,
    rate_sentence,
)
from benchbook.terms.wording import listed, number_text


def throughput_reading(run: Run) -> list[str]:
    """Return one sentence a line: from where to where throughput goes, and where it stops rising or falls behind."""
    sentences = []
    for line in run.lines:
        means = line.means(REQUEST_THROUGHPUT if line.load.is_open else OUTPUT_THROUGHPUT)
        if len(means) < 2:
            sentences.append(rate_sentence(line) if line.load.is_open else peak_sentence(line))
            continue
        if line.load.is_open:
            what, unit, lost = "what is answered", "req/s", line.unreached
            end = "Every rate is reached" if lost is None else f"From {line.load.text(lost)} on it falls behind"
        else:
            what, unit, stop = "output throughput", "tok/s", stops_scaling_at(means)
            end = last_step(means) if stop is None else f"It stops scaling at {stop}"
        moved = f"{line.label}: {_span(line.load, means)}, {what} goes {_from_to(means, unit)}"
        sentences.append(f"{moved}. {end}.{doubt_text(line)}")
    return [*sentences, *filter(None, map(goodput_sentence, run.lines))]


def latency_reading(run: Run) -> list[str]:
    """Return one sentence a line: how TTFT and TPOT move from the lowest to the highest load."""
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
            span = _span(line.load, next(filter(None, means.values())))
            sentences.append(f"{line.label}: {span}, {listed(moves)}.")
    return sentences


def tradeoff_reading(run: Run) -> list[str]:
    """Return one sentence a line: what one user loses and all users gain from the first to the last load."""
    sentences = []
    for line in run.lines:
        speeds, totals = line.means(USER_SPEED), line.means(OUTPUT_THROUGHPUT)
        if len(speeds) < 2:
            continue
        low, high = min(speeds), max(speeds)
        sentences.append(
            f"{line.label}: {line.load.at(low)} a user sees {number_text(speeds[low])} tok/s; "
            f"{line.load.at(high)}, {number_text(speeds[high])} tok/s, {speeds[high] / speeds[low]:.0%} of that, while "
            f"all users get {_times(totals[high], totals[low])} as much together."
        )
    return sentences


def _span(load: Load, means: Mapping[float, float]) -> str:
    """Return 'between 1 and 8 requests in flight', or 'with 8 requests in flight' for a single point."""
    low, high = min(means), max(means)
    return load.at(low) if low == high else f"between {load.short(low)} and {load.text(high)}"


def _from_to(means: Mapping[float, float], unit: str) -> str:
    """Return 'from 12.3 to 31.2 ms (2.5 times)'."""
    first, last = means[min(means)], means[max(means)]
    return f"from {number_text(first)} to {number_text(last)} {unit} ({_times(last, first)})"


def _times(value: float, base: float) -> str:
    """Return '4.4 times' or '12 times'."""
    ratio = value / base if base else math.inf
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"
