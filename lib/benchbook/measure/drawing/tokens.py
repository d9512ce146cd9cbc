"""Prompts of an exact number of tokens, of random tokens or of a text's words, counted as a server counts them.

Decoded and encoded again a text may have other tokens than it was made of. vLLM's own repair of that is used, and what
a text has in the end is what counts: `Prompt.tokens` are those of the text that is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

MOST_TRIES = 20
LEAD = "\n"  # before what goes on after an answer


@dataclass(frozen=True)
class Prompt:
    """A text, and its tokens with those that a tokenizer puts around it."""

    text: str
    tokens: tuple[int, ...]


class Source(Protocol):
    """Where tokens of prompts come from."""

    def ids(self, number: int, key: Sequence[int]) -> list[int]:
        """Return so many tokens, the same ones for the same `key`."""


class RandomTokens:
    """Tokens that are not special, each as likely as any other that is the same again when its text is encoded."""

    def __init__(self, tokenizer: Any) -> None:
        import numpy

        self._tokenizer = tokenizer
        self._allowed = numpy.setdiff1d(numpy.arange(tokenizer.vocab_size), list(tokenizer.all_special_ids))
        self._whole: dict[int, bool] = {}

    def ids(self, number: int, key: Sequence[int]) -> list[int]:
        """Return random tokens; of a tokenizer that hardly has any by themselves, others too."""
        import numpy

        rng, found, drawn = numpy.random.default_rng(list(key)), [], []
        for _ in range(MOST_TRIES):
            if len(found) >= number:
                break
            drawn = self._allowed[rng.integers(len(self._allowed), size=number)].tolist()
            found += [token for token in drawn if self._is_whole(token)]
        return [*found, *drawn][:number]

    def _is_whole(self, token: int) -> bool:
        if token not in self._whole:
            text = self._tokenizer.decode([token])
            self._whole[token] = list(self._tokenizer.encode(text, add_special_tokens=False)) == [token]
        return self._whole[token]


class Place(Enum):
    """Where a text is sent, which decides what its tokens are counted with."""

    ALONE = "alone"  # by itself: with the tokens that a tokenizer puts around a prompt
    LATER = "later"  # after an answer, whose last word must not run into its first
    MESSAGE = "message"  # in a chat, whose template says what is put around


class Writer:
    """Writes prompts of `source`'s tokens for one tokenizer."""

    def __init__(self, tokenizer: Any, source: Source) -> None:
        self._tokenizer, self._source = tokenizer, source
        self._around = {
            Place.ALONE: int(tokenizer.num_special_tokens_to_add()),
            Place.LATER: len(encoded(tokenizer, LEAD, Place.LATER)),
            Place.MESSAGE: 0,
        }

    def begin(self, number: int, key: Sequence[int]) -> list[int]:
        """Return tokens for prompts to begin with that are still so many when their text is encoded."""
        return list(encoded(self._tokenizer, self._text(self._source.ids(number, key), number, key), Place.LATER))

    def prompt(self, number: int, key: Sequence[int], place: Place, begins: Sequence[int] = ()) -> Prompt:
        """Return a prompt of `number` tokens, which begins with those of `begins`.

        Where a tokenizer gives no text of that number in MOST_TRIES, it is the nearest one found.
        """
        bare = max(1, number - self._around[place])
        lead = LEAD if place is Place.LATER else ""
        found: Prompt | None = None
        for number_of_try in range(MOST_TRIES):
            tried_key = (*key, number_of_try)
            ids = [*begins, *self._source.ids(max(0, bare - len(begins)), tried_key)][:bare]
            text = lead + self._text(ids, bare, tried_key)
            tried = Prompt(text, encoded(self._tokenizer, text, place))
            if found is None or abs(len(tried.tokens) - number) < abs(len(found.tokens) - number):
                found = tried
            if len(found.tokens) == number:
                break
        return found

    def _text(self, ids: list[int], number: int, key: Sequence[int]) -> str:
        import numpy
        from vllm.benchmarks.datasets import gen_prompt_decode_to_target_len

        rng = numpy.random.default_rng([*key, 1])
        return gen_prompt_decode_to_target_len(self._tokenizer, ids, number, rng=rng)[0] if number else ""


def encoded(tokenizer: Any, text: str, place: Place) -> tuple[int, ...]:
    """Return the tokens of a text that is sent at this place."""
    return tuple(tokenizer.encode(text, add_special_tokens=place is Place.ALONE))
