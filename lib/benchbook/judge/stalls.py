"""Stalls: for how long did no request in flight get a token, beyond what a step and the prefills in it explain?

The server may have compiled a kernel, or the client may not have read: either way those seconds are in every number.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Answer, Check, Measured, answers_of, chunks_of
from benchbook.records.record import Reason

MIN_STALL_S, STEPS = 0.5, 20  # longer than both is no step that only decodes
PREFILL_FACTOR = 2.0  # over the fastest prefill of the run, for each that got its first token as the gap ended
MAX_STALLED_SHARE = 0.02  # of the window
TOGETHER_S, TOGETHER_STEPS = 0.05, 2  # what one step made has arrived by then
_ROUNDING_S = 1e-6


def stalls(answers: Sequence[Answer], is_closed_loop: bool = False) -> list[tuple[float, float]]:
    """Return the gaps (begin, end; seconds on the answers' clock) in which nobody in flight got a token for too long.

    As long as 0.5 s and 20 usual steps is no stall, nor is a step of twice the time that its prefills take. That nobody
    is in flight is a gap too in a closed loop only, which sends the next request at once.
    """
    import numpy  # late: the command line starts without it

    if not answers:
        return []
    gaps_s, came_s = chunks_of(answers)
    step_s = float(numpy.median(gaps_s)) if len(gaps_s) else 0.0
    least_s, together_s = max(MIN_STALL_S, STEPS * step_s), max(TOGETHER_S, TOGETHER_STEPS * step_s)
    starts_s, ends_s = (numpy.array([getattr(answer, name) for answer in answers]) for name in ("start_s", "end_s"))
    firsts_s = numpy.array([answer.start_s + answer.ttft_s for answer in answers])
    times_s = numpy.sort(numpy.concatenate([[answers[0].start_s], firsts_s, came_s]))
    prompts = numpy.array([max(1, answer.prompt_tokens) for answer in answers])
    a_token_s, found = _fastest_prefill_s(answers, together_s), []
    for index in numpy.flatnonzero(numpy.diff(times_s) > least_s):
        before_s, after_s = float(times_s[index]), float(times_s[index + 1])
        waiting = (starts_s < after_s) & (ends_s > (before_s + after_s) / 2)
        began_s = max(before_s, before_s if is_closed_loop else float(starts_s[waiting].min(initial=after_s)))
        # The step may have prefilled all whose first token came of it, or a part of the longest prompt without one.
        later = waiting & (firsts_s > after_s - _ROUNDING_S)
        made = int(prompts[later & (firsts_s <= after_s + together_s)].sum())
        prefilled = max(made, int(prompts[later].max(initial=0)))
        if after_s - began_s > least_s + PREFILL_FACTOR * a_token_s * prefilled:
            found.append((began_s, after_s))
    return found


def stalled_at_last(raw: Mapping[str, Any], wave: int) -> bool:
    """Return whether no token came for too long once the last `wave` requests of a `bench serve` file were sent."""
    answers = answers_of(raw)
    last_s = answers[-wave:][0].start_s if answers and wave else 0.0
    return any(end_s > last_s for _, end_s in stalls(answers))


def server_stalled(measured: Measured) -> Reason | None:
    """Suspect when for more than 2 % of the window nobody in flight got a token, or a closed loop had none in flight."""
    found, window_s = stalls(measured.answers, measured.is_closed_loop), measured.window_s
    stalled_s = sum(end_s - begin_s for begin_s, end_s in found)
    if not found or stalled_s <= MAX_STALLED_SHARE * window_s:
        return None
    zero_s = measured.answers[0].start_s
    share = stalled_s / window_s
    said = ", ".join(f"{end - begin:.2f} s at {begin - zero_s:.1f} s" for begin, end in found[:5])
    return reason(
        "server_stalled",
        f"no request in flight got a token for {stalled_s:.2f} of {window_s:.2f} s ({share:.0%}): {said}",
    )


def _fastest_prefill_s(answers: Sequence[Answer], together_s: float) -> float:
    """Return the least time for a token of a prompt (s): TTFTs over all prompts whose first tokens came together."""
    firsts = sorted((answer.start_s + answer.ttft_s, answer.ttft_s, max(1, answer.prompt_tokens)) for answer in answers)
    came_s = [came for came, _, _ in firsts]
    tokens = [0, *itertools.accumulate(tokens for _, _, tokens in firsts)]
    # Those of one step and not of the next one, which comes no sooner than the fastest prefill takes.
    ends = [bisect.bisect_right(came_s, came + min(together_s, ttft_s / 2)) for came, ttft_s, _ in firsts]
    return min(
        ttft_s / (tokens[end] - tokens[number]) for number, ((_, ttft_s, _), end) in enumerate(zip(firsts, ends))
    )


CHECKS: tuple[Check, ...] = (server_stalled,)
