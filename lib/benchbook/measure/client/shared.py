"""What a prefix cache is to find of the requests of a stretch: the least, and the most, by their own tokens.

The least is there because requests of the stretch came before; the most, where all that was ever sent is there as well.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from operator import ne
from typing import Any

from benchbook.records.frozen import FrozenRequest

Tokens = list[int]


def shared_tokens(requests: Sequence[FrozenRequest], tokenizer: Any) -> list[tuple[int, int]]:
    """Return of each request (least, most) tokens that it begins with as others do; of later turns (0, 0)."""
    if not tokenizer or not any(one.shared_tokens for one in requests):
        return [(one.shared_tokens, one.shared_tokens) for one in requests]
    return shared_in(requests, [[] if one.turn else _tokens(one, tokenizer) for one in requests])


def shared_in(requests: Sequence[FrozenRequest], prompts: Sequence[Tokens]) -> list[tuple[int, int]]:
    """Return the same by the tokens of each prompt."""
    before: list[Tokens] = []
    found, everything = [], sorted(prompts)
    for one, tokens in zip(requests, prompts):
        least = max((_alike(tokens, other) for other in _neighbours(before, tokens)), default=0)
        others = (other for other in _neighbours(everything, tokens) if other is not tokens)
        most = max((_alike(tokens, other) for other in others), default=0)
        insort(before, tokens)
        found.append((0, 0) if one.turn else (least, max(least, most, one.shared_tokens)))
    return found


def _neighbours(ordered: list[Tokens], tokens: Tokens) -> list[Tokens]:
    """Return those among which `tokens` stands: what has most in common with it is one of them."""
    place = bisect_left(ordered, tokens)
    return ordered[max(0, place - 1) : place + 2]


def _alike(tokens: Tokens, others: Tokens) -> int:
    """Return how many tokens both begin with."""
    return next(
        (place for place, differ in enumerate(map(ne, tokens, others)) if differ), min(len(tokens), len(others))
    )


def texts_of(messages: Iterable[dict[str, Any]]) -> list[str]:
    """Return the texts of messages, whose contents may have parts of other kinds."""
    contents = (message.get("content") for message in messages)
    parts = (part for content in contents for part in (content if isinstance(content, list) else [{"text": content}]))
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _tokens(one: FrozenRequest, tokenizer: Any) -> Tokens:
    if isinstance(one.prompt, tuple):
        return list(one.prompt)
    if one.prompt is not None:
        return list(tokenizer(one.prompt).input_ids)
    return [token for text in texts_of(one.messages) for token in tokenizer(text, add_special_tokens=False).input_ids]
