"""The course of a window: was decoding as fast at its end as at its beginning?

Looked at is the time in which the load was full: from the last first token of the first wave to the last send. Before
it the server fills, after it it runs empty, and both change the pace for a reason that is no fault.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.judge.stats import robust_stdev
from benchbook.judge.streams import BUNCHED_GAP_S
from benchbook.records.record import Reason
from benchbook.terms.wording import number_text

SIXTHS, PARTS_OF_SIXTH = 6, 4
LEAST_GAPS, LEAST_PARTS = 5, 3  # the median of fewer is no pace
MIN_SHIFT = 0.03
DEVIATIONS = 4.0  # of the parts around their medians

Parts = Sequence[float | None]


def itl_by_sixths_ms(measured: Measured) -> tuple[float | None, ...] | None:
    """Return the median ITL (ms) in each sixth of the time with the load full, by when the chunks came.

    None for a sixth in which hardly anything came, or most of it in heaps; None as a whole without a raw file of single
    requests, or where the load was never full.
    """
    return _medians_ms(measured, SIXTHS)


def pace_shifted(measured: Measured) -> Reason | None:
    """Note that the pace of tokens changed within the window and stayed so: by more than 3 %, and beyond its noise.

    Of a closed loop only: in an open one the load comes and goes, and makes the pace.
    """
    if not measured.is_closed_loop:
        return None
    shifts = [_shift(before, after) for before, after in _splits(_medians_ms(measured, SIXTHS * PARTS_OF_SIXTH) or ())]
    clearest, share = max((shift for shift in shifts if abs(shift[1]) > MIN_SHIFT), default=(0.0, 0.0))
    if clearest <= DEVIATIONS:
        return None
    told = ", ".join(map(number_text, itl_by_sixths_ms(measured) or ()))
    return reason(
        "pace_shifted", f"median ITL by sixths of the time with the load full: {told} ms; a step of {share:+.1%}"
    )


def _medians_ms(measured: Measured, number: int) -> tuple[float | None, ...] | None:
    """Return the median gap between chunks (ms) in each of `number` equal parts of the time with the load full."""
    import numpy  # late: the command line starts without it

    answers = [answer for answer in measured.answers if answer.gaps_s]
    if not answers:
        return None
    wave = answers[: measured.cap or 1]
    begin_s, end_s = max(answer.start_s + answer.ttft_s for answer in wave), answers[-1].start_s
    if end_s <= begin_s:
        return None
    gaps_s, came_s = measured.chunks
    parts = numpy.floor((came_s - begin_s) / (end_s - begin_s) * number)
    inside = (gaps_s[parts == part] for part in range(number))
    return tuple(_median_ms(gaps) for gaps in inside)


def _median_ms(gaps_s: Sequence[float]) -> float | None:
    import numpy

    middle_s = float(numpy.median(gaps_s)) if len(gaps_s) >= LEAST_GAPS else 0.0
    return round(middle_s * 1000, 4) if middle_s >= BUNCHED_GAP_S else None


def _splits(parts: Parts) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the parts before and after each end of a sixth, where enough of both are known."""
    for end in range(PARTS_OF_SIXTH, len(parts), PARTS_OF_SIXTH):
        before, after = ([value for value in side if value is not None] for side in (parts[:end], parts[end:]))
        if min(len(before), len(after)) >= LEAST_PARTS:
            yield before, after


def _shift(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return how many standard deviations of single parts lie between two medians, and the change as a share."""
    old, new = statistics.median(before), statistics.median(after)
    # The noisier side counts: a pace that comes back is no step.
    noise = max(robust_stdev(before, old), robust_stdev(after, new))
    return abs(new - old) / max(noise, 1e-9), new / old - 1


CHECKS: tuple[Check, ...] = (pace_shifted,)
