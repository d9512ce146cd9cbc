"""What the notes of a stretch tell once it is sent: how late, how many tokens, what was in the cache, turn by turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchbook.terms.metrics import request_latencies_s

LATE_PERCENTILE = 99


def sent_facts(
    notes: Mapping[str, Any], raw: Mapping[str, Any], block_tokens: int | None, *, was_emptied: bool = False
) -> dict[str, Any]:
    """Return the fields of a record's `sent`; those that this stretch, or this server, has nothing of are left out.

    In a prefix cache that `was_emptied` before, nothing is but what these very requests bring there.
    """
    counted = notes["counted_tokens"]
    known = [(sent, tokens) for sent, tokens in zip(notes["sent_tokens"], counted) if tokens is not None]
    errors = raw.get("errors") or [""] * len(counted)
    facts = {
        "sha256": notes["sha256"],
        "sent_tokens": sum(sent for sent, _ in known),
        "counted_tokens": sum(tokens for _, tokens in known),
        "uncounted": sum(tokens is None and not error for tokens, error in zip(counted, errors)),
        "histories_cut": notes["histories_cut"],
        "late_p99_ms": _late_ms(notes["due_s"], raw.get("start_times")) if notes["due_s"] else None,
    }
    if block_tokens:
        lengths = [tokens or sent for sent, tokens in zip(notes["sent_tokens"], counted)]
        designed = list(_designed(notes, lengths, was_emptied))
        for place, name in enumerate(("least_cached_tokens", "most_cached_tokens")):
            cached = (bounds[place] for bounds, error in zip(designed, errors) if not error)
            facts[name] = sum(_in_blocks(tokens, length, block_tokens) for tokens, length in zip(cached, lengths))
    if notes["turns"] and request_latencies_s(raw):
        facts |= _of_turns(notes, raw)
    return {name: fact for name, fact in facts.items() if fact is not None}


def of_those_sent(notes: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes without those of the last requests, where the clock had ended the load before they were sent."""
    number = len(raw.get("start_times") or notes["sent_tokens"])
    return {name: value[:number] if isinstance(value, list) else value for name, value in notes.items()}


def _late_ms(due_s: Sequence[float], starts_s: Sequence[float] | None) -> float | None:
    """Return the 99th percentile (ms) of how far requests lagged behind their times, the most punctual one being on time.

    A delay that all have in common changes nothing for the server, and no clock of vLLM's file tells it.
    """
    if not starts_s:
        return None
    behind_s = sorted(start - due for start, due in zip(starts_s, due_s))
    rank = math.ceil(len(behind_s) * LATE_PERCENTILE / 100)
    return round((behind_s[rank - 1] - behind_s[0]) * 1000, 3)


def _designed(notes: Mapping[str, Any], lengths: Sequence[int], was_emptied: bool) -> Iterator[tuple[int, int]]:
    """Yield of each prompt the least and the most of its tokens to be found: all that a template adds may stand before it."""
    turns = notes["turns"] or [0] * len(lengths)
    for (least, most), turn, sent, length in zip(notes["cached_tokens"], turns, notes["sent_tokens"], lengths):
        if turn:
            yield least, most  # by what the server counted of the turn before
        else:
            yield least, (least if was_emptied else most) + max(0, length - sent)


def _in_blocks(tokens: int, prompt_tokens: int, block_tokens: int) -> int:
    """Return what a cache of whole blocks finds of `tokens`; the prompt's last one is always computed."""
    return max(0, min(tokens, prompt_tokens - 1)) // block_tokens * block_tokens


def _of_turns(notes: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    answered = list(_answered(notes, raw))
    spans: dict[int, tuple[float, float]] = {}
    by_turn: dict[int, list[float]] = {}
    for talk, turn, start_s, end_s, ttft_s in answered:
        if talk is not None:
            first_s, last_s = spans.get(talk, (start_s, end_s))
            spans[talk] = min(first_s, start_s), max(last_s, end_s)
            by_turn.setdefault(turn, []).append(ttft_s)
    if not spans:
        return {}
    window_s = max(end for _, _, _, end, _ in answered) - min(start for _, _, start, _, _ in answered)
    medians = (by_turn.get(turn) for turn in range(max(by_turn) + 1))
    return {
        "conversations_at_once": round(sum(end - start for start, end in spans.values()) / window_s, 3),
        "median_ttft_by_turn_ms": [round(statistics.median(some) * 1000, 3) if some else None for some in medians],
    }


def _answered(
    notes: Mapping[str, Any], raw: Mapping[str, Any]
) -> Iterator[tuple[int | None, int, float, float, float]]:
    """Yield (conversation, turn, start, end, TTFT) of each request that was answered, in seconds."""
    columns = (notes["conversations"], notes["turns"], raw["start_times"], request_latencies_s(raw), raw["ttfts"])
    for talk, turn, start_s, latency_s, ttft_s, error in zip(*columns, raw["errors"]):
        if not error:
            yield talk, turn, start_s, start_s + latency_s, ttft_s
