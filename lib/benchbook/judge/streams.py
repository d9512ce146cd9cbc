"""Streams: did the client see the tokens as they were made, or in heaps? And do its own times add up?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Answer, Check, Measured
from benchbook.records.record import Reason
from benchbook.records.settings import settings_of

# No engine makes a step in a tenth of a millisecond: chunks that close together waited somewhere, and came at once.
BUNCHED_GAP_S = 1e-4
BUNCHED_SHARE = 0.5  # of the gaps of one answer
TOLERATED_SHARE = 0.05  # of the answers
MAX_TTFT_RAISED = 0.05  # of the mean, by heaps
MOST_CLOSING = 2  # chunks without text: why an answer ended, and its counts of tokens
OPENING_GAP = 0.5  # of the usual one: a wait for a token takes a step at least
OPENING_WAIT = (
    3.0  # times the usual gap: as long waits a chunk without a token for the first one, and no token for the next
)
TOKENS_PER_CHUNK = 1.05
FIGURES_PER_CHUNK = 1.5  # ITL over TPOT: their means weigh answers of several lengths differently
SUM_SLACK_S, SUM_SLACK = 1e-3, 0.01  # of one request
MEANS_SLACK = 0.10  # of the mean latency: where lengths differ, the product of two means is not the mean of products


def stream_bunched(measured: Measured) -> Reason | None:
    """Suspect when more than 5 % of the answers came in one heap, or so many that their TTFTs raise the mean by 5 %.

    Their TTFT holds the whole answer and their TPOT is close to 0: the server or the client had no processor to spare.
    """
    gaps_s = measured.raw.get("itls") or []
    answers = list(zip(gaps_s, measured.raw.get("output_lens") or [0] * len(gaps_s)))
    one_by_one = not _speculates(measured)
    found = [_is_heap(*answer, one_by_one) for answer in answers if _after_opening(*answer) or answer[1] > 1]
    heaps, raised = sum(found), _ttft_raised(measured)
    if heaps <= TOLERATED_SHARE * len(found) and raised <= MAX_TTFT_RAISED:
        return None
    by = f", which makes the mean TTFT {raised:.0%} longer" if raised > MAX_TTFT_RAISED else ""
    return reason(
        "stream_bunched",
        f"{heaps} of {len(found)} answers arrived in one heap: in a single chunk, or most gaps between chunks are below "
        f"{BUNCHED_GAP_S * 1000:g} ms{by}",
    )


def _after_opening(gaps_s: Sequence[float], tokens: int) -> Sequence[float]:
    """Return the gaps between tokens: where there is a chunk more, the one before the first token is none."""
    return gaps_s[1:] if tokens and len(gaps_s) == tokens else gaps_s


def _speculates(measured: Measured) -> bool:
    """Return whether a step may make several tokens, which then come in one chunk."""
    is_told = measured.raw.get("spec_decode_acceptance_rate") is not None
    return is_told or bool(settings_of(measured.host).speculation)


def _is_heap(gaps_s: Sequence[float], tokens: int, one_by_one: bool) -> bool:
    """Return whether an answer came at once; one whose tokens are made one by one has a gap before each but the first."""
    if not gaps_s:
        return tokens > 1 and one_by_one
    between_s = _after_opening(gaps_s, tokens)
    return sum(gap_s < BUNCHED_GAP_S for gap_s in between_s) > BUNCHED_SHARE * len(between_s)


def _ttft_raised(measured: Measured) -> float:
    """Return by what share the mean TTFT of all answers lies above that of those that came in no heap."""
    one_by_one = not _speculates(measured)
    ttfts_s = [(answer.ttft_s, _is_heap(answer.gaps_s, answer.tokens, one_by_one)) for answer in measured.answers]
    others_s = [ttft_s for ttft_s, is_heap in ttfts_s if not is_heap]
    return statistics.fmean(ttft_s for ttft_s, _ in ttfts_s) / statistics.fmean(others_s) - 1 if any(others_s) else 0.0


def itl_per_chunk(measured: Measured) -> Reason | None:
    """Note that chunks hold more than one token: speculative decoding, a stream interval, or a client that lags."""
    if not measured.raw:
        return _chunked_by_figures(measured)
    answers = [answer for answer in measured.answers if answer.tokens and "itls" in measured.raw]
    tokens, chunks = sum(answer.tokens for answer in answers), sum(len(answer.gaps_s) + 1 for answer in answers)
    if not chunks or tokens <= TOKENS_PER_CHUNK * chunks:
        return None
    return reason(
        "itl_per_chunk", f"{tokens} tokens came in {chunks} chunks, {tokens / chunks:.2f} to a chunk; ITL is per chunk"
    )


def _chunked_by_figures(measured: Measured) -> Reason | None:
    """Note, of figures alone, that gaps between chunks are far longer than the time of a token, on average and as a rule."""
    pairs = [[measured.value(f"{how}_{what}_ms") for what in ("itl", "tpot")] for how in ("mean", "median")]
    if not all(itl_ms and tpot_ms and itl_ms >= FIGURES_PER_CHUNK * tpot_ms for itl_ms, tpot_ms in pairs):
        return None
    itl_ms, tpot_ms = pairs[1]
    return reason(
        "itl_per_chunk", f"median ITL is {itl_ms:.4g} ms and median TPOT {tpot_ms:.4g} ms: a chunk has several tokens"
    )


def empty_first_chunk(measured: Measured) -> Reason | None:
    """Suspect when more than 5 % of the answers have more chunks than tokens, and the first came before its token."""
    answers = [answer for answer in measured.answers if answer.tokens > 0 and "itls" in measured.raw]
    more = _with_more_chunks(answers)
    if not more or _opens_with_a_token(more) or _closes_behind_a_token(measured, more):
        return None
    worst = max(more, key=lambda answer: answer.gaps_s[0] if answer.gaps_s else 0.0)
    first_s, rest_s = worst.gaps_s[0] if worst.gaps_s else 0.0, worst.gaps_s[1:]
    usual = f", the median of the later ones {statistics.median(rest_s) * 1000:.1f} ms" if rest_s else ""
    return reason(
        "empty_first_chunk",
        f"{len(more)} of {len(answers)} answers came in more chunks than tokens, one in {len(worst.gaps_s) + 1} for "
        f"{worst.tokens}; its TTFT is {worst.ttft_s * 1000:.1f} ms, its first gap {first_s * 1000:.1f} ms{usual}",
    )


def opening_chunk(measured: Measured) -> Reason | None:
    """Note that answers open with a chunk without text that comes together with the first token, as a chat's do."""
    answers = [answer for answer in measured.answers if answer.tokens > 0 and "itls" in measured.raw]
    more = _with_more_chunks(answers)
    if not more or not _opens_with_a_token(more):
        return None
    first_ms = statistics.median(answer.gaps_s[0] for answer in more) * 1000
    return reason(
        "opening_chunk",
        f"{len(more)} of {len(answers)} answers open with a chunk of their own, {first_ms:.2f} ms before the first token "
        "(median): ITL has one gap more than there are between tokens",
    )


def closing_chunk(measured: Measured) -> Reason | None:
    """Note that answers close with a chunk without text behind the last token, as those of several engines do."""
    answers = [answer for answer in measured.answers if answer.tokens > 0 and "itls" in measured.raw]
    more = _with_more_chunks(answers)
    if not more or _opens_with_a_token(more) or not _closes_behind_a_token(measured, more):
        return None
    last_ms = statistics.median(sum(answer.gaps_s[-_chunks_more(answer) :]) for answer in more) * 1000
    chunks, gaps = ("a chunk", "one gap") if max(map(_chunks_more, more)) == 1 else ("two chunks", "two gaps")
    return reason(
        "closing_chunk",
        f"{len(more)} of {len(answers)} answers close with {chunks} of their own, {last_ms:.2f} ms behind the last token "
        f"(median): ITL has {gaps} more than there are between tokens",
    )


def _with_more_chunks(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers that came in more chunks than tokens; none where these are 5 % at most."""
    more = [answer for answer in answers if _chunks_more(answer) > 0]
    return more if len(more) > TOLERATED_SHARE * len(answers) else []


def _chunks_more(answer: Answer) -> int:
    return len(answer.gaps_s) + 1 - answer.tokens


def _opens_with_a_token(answers: Sequence[Answer]) -> bool:
    """Return whether each has one chunk more, and the gap after it is short beside those between tokens, or beside TTFT."""
    if any(len(answer.gaps_s) != answer.tokens for answer in answers):
        return False
    later_s = [gap_s for answer in answers for gap_s in answer.gaps_s[1:]]
    usual_s = statistics.median(later_s or [answer.ttft_s for answer in answers])
    return statistics.median(answer.gaps_s[0] for answer in answers) <= OPENING_GAP * usual_s


def _closes_behind_a_token(measured: Measured, answers: Sequence[Answer]) -> bool:
    """Return whether each has a chunk more, or two, that came behind its last token: so the client heard, or the gaps tell.

    Two are a reason and the counts, each by itself. A gap before them tells it that is short beside those between tokens,
    of which the first is none: where it is the long one, a chunk opened the answer long before its token.
    """
    more = [_chunks_more(answer) for answer in answers]
    if max(more) > MOST_CLOSING:
        return False
    is_heard = (measured.conditions.client.textless_ends or 0) >= sum(more)
    if any(answer.tokens < 3 for answer in answers):
        return is_heard
    if is_heard and not _opens_with_a_wait(answers):
        return True
    usual_s = statistics.median(gap_s for answer in answers for gap_s in answer.gaps_s[1 : -_chunks_more(answer)])
    return statistics.median(max(answer.gaps_s[-_chunks_more(answer) :]) for answer in answers) <= OPENING_GAP * usual_s


def _opens_with_a_wait(answers: Sequence[Answer]) -> bool:
    """Return whether the gap behind the first chunk is by far the longest: that chunk had no token, whatever the last had."""
    later_s = statistics.median(gap_s for answer in answers for gap_s in answer.gaps_s[1:])
    return statistics.median(answer.gaps_s[0] for answer in answers) > OPENING_WAIT * later_s


def latency_sum_broken(measured: Measured) -> Reason | None:
    """Invalid when TTFT plus all gaps is not the latency of a request; of figures alone, when means do not add up."""
    if not measured.raw:
        return _means_broken(measured)
    if "itls" not in measured.raw:
        return None
    for number, answer in enumerate(measured.answers):
        total_s = answer.ttft_s + sum(answer.gaps_s)
        if abs(total_s - answer.latency_s) > SUM_SLACK_S + SUM_SLACK * answer.latency_s:
            return reason(
                "latency_sum_broken",
                f"request {number}: TTFT {answer.ttft_s * 1000:.2f} ms and its gaps make {total_s * 1000:.2f} ms, "
                f"its latency is {answer.latency_s * 1000:.2f} ms",
            )
    return None


def _means_broken(measured: Measured) -> Reason | None:
    """Invalid when mean TTFT, and mean TPOT times the tokens after the first, are not mean E2EL; medians do not add.

    Short answers with a slow pace raise the mean TPOT and hardly the mean E2EL: by the median TPOT it must be so as well.
    """
    means_ms = [measured.value(f"mean_{name}_ms") for name in ("ttft", "tpot", "e2el")]
    each = measured.output_tokens_each
    if not measured.is_of_requests or not all(means_ms) or not each:
        return None
    ttft_ms, tpot_ms, e2el_ms = means_ms
    total_ms = ttft_ms + tpot_ms * (each - 1)
    usual_ms = ttft_ms + (measured.value("median_tpot_ms") or tpot_ms) * (each - 1)
    slack_ms = SUM_SLACK_S * 1000 + MEANS_SLACK * e2el_ms
    if min(total_ms, usual_ms) <= e2el_ms + slack_ms and max(total_ms, usual_ms) >= e2el_ms - slack_ms:
        return None
    return reason(
        "latency_sum_broken",
        f"mean TTFT {ttft_ms:g} ms and {each - 1:g} times mean TPOT {tpot_ms:g} ms make {total_ms:.1f} ms, "
        f"mean E2EL is {e2el_ms:g} ms",
    )


CHECKS: tuple[Check, ...] = (
    stream_bunched,
    itl_per_chunk,
    empty_first_chunk,
    opening_chunk,
    closing_chunk,
    latency_sum_broken,
)
