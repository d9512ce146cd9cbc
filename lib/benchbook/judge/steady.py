"""Steadiness: was it one state that was measured, from the first request to the last, or several, or none?

The mean over a window in which speed or load changes depends on how long one has measured. lib/proofs/steady.py tells
how often these checks are wrong.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Iterator, Sequence

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Answer, Check, Measured
from benchbook.judge.stats import robust_stdev
from benchbook.records.record import Reason
from benchbook.terms.wording import number_text

BLOCKS, MIN_A_BLOCK, LEAST = 6, 3, 6
MAX_SHIFT, MAX_OPEN_SHIFT = 1.4, 1.8  # of the pace; in an open loop the load varies by itself, and the pace with it
MAX_ITERATION_SHIFT = 1.2  # each iteration does the same work
# Of two groups: the share of the smaller one, their ratio, and their distance, half of which is empty.
MIN_MODE, MODES_APART, DEVIATIONS = 0.2, 1.15, 6.0
_LEAST_PACE_S = 1e-9
MIN_RISES = 13  # of 15 pairs of blocks, rises less falls: 1 in 120 by chance
SERVED, SERVED_SLACK = 0.97, 6.0  # of the rate sent; slack in requests
HELD = 0.90  # of the rate asked for, where there are figures alone
MIN_LATENCIES, SERVED_EARLY = (
    12,
    0.7,
)  # of the fastest request, in the time of sending: before, any load still builds up


def overloaded(measured: Measured) -> Reason | None:
    """Suspect when in an open loop more and more were in flight, and fewer were answered than came meanwhile.

    A server that keeps up answers, while more than usual are in flight, more than come on average; one that does not
    keep up answers fewer. Of figures alone, suspect when less than 90 % of the rate was answered.
    """
    answers = measured.answers
    if not measured.rate_rps:
        return None
    if not measured.raw:
        return _rate_not_held(measured)
    if len(answers) < BLOCKS * MIN_A_BLOCK:
        return None
    sending_s = answers[-1].start_s - answers[0].start_s
    is_early = sending_s <= MIN_LATENCIES * min(answer.latency_s for answer in answers)
    least = SERVED_EARLY if is_early else SERVED - SERVED_SLACK / len(answers)
    ends_s = sorted(answer.end_s for answer in answers)
    found = [number - bisect.bisect_right(ends_s, answer.start_s) for number, answer in enumerate(answers)]
    in_flight = [statistics.fmean(block) for block in _blocks(found)]
    sent_rps, served_rps = (len(answers) - 1) / sending_s, _served_rps(answers, ends_s)
    if _rises(in_flight) < MIN_RISES or served_rps >= least * sent_rps:
        return None
    ttfts_s = [statistics.median(block) for block in _blocks([answer.ttft_s for answer in answers])]
    return reason(
        "overloaded",
        f"{sent_rps:.2f} requests a second came and {served_rps:.2f} were answered while more than usual were in "
        f"flight; from the first sixth to the last, {in_flight[0]:.1f} to {in_flight[-1]:.1f} were in flight and TTFT "
        f"went from {ttfts_s[0] * 1000:.0f} to {ttfts_s[-1] * 1000:.0f} ms",
    )


def _rate_not_held(measured: Measured) -> Reason | None:
    """Suspect when fewer requests a second were answered, over the whole time, than 90 % of the rate asked for."""
    asked_rps, answered_rps = measured.conditions.sent.rate_rps or measured.rate_rps, measured.answered_rps
    if not answered_rps or answered_rps >= HELD * asked_rps:
        return None
    return reason("overloaded", f"{answered_rps:.3g} requests a second were answered, {asked_rps:.4g} asked for")


def speed_shifted(measured: Measured) -> Reason | None:
    """Suspect when requests of one part of the window took far longer a token than those of the rest.

    In a closed loop the first wave is left out, which arrives at once. In an open loop the wait for the first token is
    left out, a queue that comes and goes, and those are compared that ran beside no more others than usual. So is the
    wait where lengths are drawn: a short answer has more of it for each token. A ramp, and what is sent all at once, is
    meant to change.
    """
    answers, is_closed = measured.answers, measured.is_closed_loop
    if measured.load is not None and not measured.load.is_level:
        return None
    if is_closed:
        answers = answers[measured.cap :]
    if is_closed and measured.asked.varies_by == 0:
        paces_s = [answer.latency_s / max(1, answer.tokens) for answer in answers]
    else:
        answers = [answer for answer in answers if answer.tokens > 1]
        paces_s = [(answer.latency_s - answer.ttft_s) / (answer.tokens - 1) for answer in answers]
    if len(answers) < LEAST:
        return None
    beside = [0.0] * len(answers) if is_closed else _beside(answers)
    usual = statistics.median(beside)
    parts_s = [_like_pace(block, usual) for block in _blocks(list(zip(paces_s, beside)))]
    levels = list(_levels(parts_s, len(answers)))
    before_s, after_s = max(levels, key=lambda pair: max(pair) / max(min(pair), _LEAST_PACE_S), default=(1.0, 1.0))
    if max(before_s, after_s) < (MAX_SHIFT if is_closed else MAX_OPEN_SHIFT) * min(before_s, after_s):
        return None
    return reason(
        "speed_shifted",
        f"a request took {before_s * 1000:.2f} ms for each of its tokens in the first part of the window and "
        f"{after_s * 1000:.2f} ms in the rest; by parts: {', '.join(f'{pace * 1000:.2f}' for pace in parts_s)}",
    )


def iterations_unsteady(measured: Measured) -> Reason | None:
    """Suspect when the iterations of latency mode drift, or fall into two groups: their mean describes no iteration."""
    times_s = list(measured.raw.get("latencies", [])) if measured.is_of_iterations else []
    if len(times_s) < LEAST:
        return None
    parts_s = [statistics.median(block) for block in _blocks(times_s)]
    drifts = [pair for pair in _levels(parts_s, len(times_s)) if max(pair) >= MAX_ITERATION_SHIFT * min(pair)]
    if drifts:
        return reason(
            "iterations_unsteady", f"medians of the iterations in their order: {', '.join(map(number_text, parts_s))} s"
        )
    if modes := _modes(sorted(times_s)):
        said = " and ".join(f"{len(mode)} iterations of {number_text(statistics.median(mode))} s" for mode in modes)
        return reason("iterations_unsteady", f"two groups: {said} (medians)")
    return None


def _modes(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return the two groups into which sorted `values` fall, None where they do not."""
    least = max(MIN_A_BLOCK, math.ceil(MIN_MODE * len(values)))
    places = range(least, len(values) - least + 1)
    if not places:
        return None
    place = max(places, key=lambda place: values[place] - values[place - 1])
    modes = values[:place], values[place:]
    lower, upper = map(statistics.median, modes)
    noise = max(map(robust_stdev, modes, (lower, upper)))
    is_apart = upper - lower > DEVIATIONS * noise and 2 * (values[place] - values[place - 1]) > upper - lower
    return modes if is_apart and upper >= MODES_APART * lower else None


def _blocks(values: Sequence) -> Iterator[Sequence]:
    """Yield `values` in six parts of their order, or each alone where parts would hold fewer than three."""
    count = len(values)
    parts = BLOCKS if count >= BLOCKS * MIN_A_BLOCK else count
    return (values[part * count // parts : (part + 1) * count // parts] for part in range(parts))


def _rises(values: Sequence[float]) -> int:
    """Return how many pairs of `values` rise, less those that fall."""
    return sum(
        (later > earlier) - (later < earlier) for number, later in enumerate(values) for earlier in values[:number]
    )


def _levels(values: Sequence[float], count: int) -> Iterator[tuple[float, float]]:
    """Yield the medians before and after each place that parts `values` into two levels of a third or more.

    They are the parts of `count` values: of single ones, three make a level.
    """
    least = max(-(-len(values) // 3), 1 if count > len(values) else MIN_A_BLOCK)
    for place in range(least, len(values) - least + 1):
        before, after = values[:place], values[place:]
        if max(before) < min(after) or max(after) < min(before):
            yield statistics.median(before), statistics.median(after)


def _like_pace(block: Sequence[tuple[float, float]], usual: float) -> float:
    """Return the median pace of those that ran beside no more than `usual` others, the fastest where there is none."""
    alike = [pace for pace, beside in block if beside <= usual]
    return statistics.median(alike) if alike else min(pace for pace, _ in block)


def _beside(answers: Sequence[Answer]) -> list[float]:
    """Return how many were in flight on average while each of `answers` was."""
    times_s, areas, counts = _in_flight(answers)

    def area(time_s: float) -> float:
        index = bisect.bisect_right(times_s, time_s) - 1
        return areas[index] + counts[index] * (time_s - times_s[index])

    return [(area(answer.end_s) - area(answer.start_s)) / answer.latency_s for answer in answers]


def _in_flight(answers: Sequence[Answer]) -> tuple[list[float], list[float], list[int]]:
    """Return times (s) at which the number in flight changes, the request seconds until each, and the number after it."""
    events = sorted([(answer.start_s, 1) for answer in answers] + [(answer.end_s, -1) for answer in answers])
    times_s, areas, counts = [events[0][0]], [0.0], [0]
    for time_s, change in events:
        areas.append(areas[-1] + counts[-1] * (time_s - times_s[-1]))
        times_s.append(time_s)
        counts.append(counts[-1] + change)
    return times_s, areas, counts


def _served_rps(answers: Sequence[Answer], ends_s: Sequence[float]) -> float:
    """Return how many a second were answered while requests were sent and more than the mean were in flight."""
    times_s, areas, counts = _in_flight(answers)
    last_s = answers[-1].start_s
    count = bisect.bisect_left(times_s, last_s)
    usual = areas[count] / (last_s - times_s[0])
    busy = [(times_s[i], times_s[i + 1]) for i in range(count) if counts[i] > usual]
    answered = sum(bisect.bisect_right(ends_s, end) - bisect.bisect_right(ends_s, begin) for begin, end in busy)
    return answered / sum(end - begin for begin, end in busy)


CHECKS: tuple[Check, ...] = (overloaded, speed_shifted, iterations_unsteady)
