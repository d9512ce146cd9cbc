"""Requests of drawn lengths, of a trace and of recorded conversations, one after the other, before they are numbered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from benchbook.measure.client.shared import texts_of
from benchbook.measure.drawing.corpus import path_of
from benchbook.measure.drawing.lengths import drawn_lengths
from benchbook.measure.drawing.talks import Turn, talks
from benchbook.measure.drawing.text import TextTokens
from benchbook.measure.drawing.tokens import LEAD, Place, RandomTokens, Writer, encoded
from benchbook.measure.drawing.traces import HASH_BLOCK_TOKENS, Arrival, arrivals
from benchbook.plan.requests import RequestSet
from benchbook.records.frozen import FrozenRequest

# What random numbers are for: each use has its own, so that none shifts another's.
_INPUT, _OUTPUT, _GROUP, _TOKENS, _BEGINNING, _HASH = range(6)


@dataclass(frozen=True)
class Draft:
    """A request as it is sent, and the tokens by which what it shares with others is seen; None: with answers, later."""

    request: FrozenRequest
    tokens: tuple[int, ...] | None


@dataclass(frozen=True)
class Design:
    """A set, the tokenizer that counts for it, and the seed of all that is random in it."""

    wanted: RequestSet
    tokenizer: Any
    seed: int

    @property
    def is_chat(self) -> bool:
        """Return whether it is sent as messages."""
        return self.wanted.endpoint == "chat"

    def of_lengths(self, number: int) -> Iterator[Draft]:
        """Yield requests of drawn lengths, of random tokens or of a text's words, some of which begin alike."""
        import numpy

        wanted = self.wanted
        source = TextTokens(path_of(wanted.text), self.tokenizer) if wanted.text else RandomTokens(self.tokenizer)
        writer = Writer(self.tokenizer, source)
        inputs, outputs = (
            drawn_lengths(length, number, (self.seed, use)) for length, use in zip(wanted.lengths, (_INPUT, _OUTPUT))
        )
        begins, groups = self._beginnings(writer), numpy.random.default_rng((self.seed, _GROUP))
        turns = wanted.conversations.turns if wanted.conversations else None
        for index, (input_tokens, output_tokens) in enumerate(zip(inputs, outputs)):
            talk, turn = divmod(index, turns) if turns else (None, 0)
            begin: list[int] = []
            if begins and not turn:
                begin = begins[int(groups.integers(len(begins)))][: round(wanted.prefix.share * input_tokens)]
            place = self._place(turn)
            prompt = writer.prompt(input_tokens, (self.seed, _TOKENS, index), place, begin)
            how = {"conversation": talk, "turn": turn, "think_s": wanted.conversations.think_s if turn else None}
            yield self.of_text(prompt.text, prompt.tokens, output_tokens, **(how if turns else {}))

    def _beginnings(self, writer: Writer) -> list[list[int]]:
        """Return what prompts of each group begin with, as much as the longest of them has of it."""
        if not (prefix := self.wanted.prefix):
            return []
        length = self.wanted.lengths[0]
        longest = round(prefix.share * (length if isinstance(length, int) else length.longest))
        return [writer.begin(longest, (self.seed, _BEGINNING, group)) for group in range(prefix.groups)]

    def of_trace(self, number: int) -> Iterator[Draft]:
        """Yield the requests of a trace; those with the same hash ids begin with the same tokens."""
        source = RandomTokens(self.tokenizer)
        writer = Writer(self.tokenizer, source)
        for index, one in enumerate(itertools.islice(self._recorded(), number)):
            blocks = (source.ids(HASH_BLOCK_TOKENS, (self.seed, _HASH, name)) for name in one.hash_ids)
            begin = list(itertools.chain.from_iterable(blocks))[: one.input_tokens]
            prompt = writer.prompt(one.input_tokens, (self.seed, _TOKENS, index), self._place(0), begin)
            yield self.of_text(prompt.text, prompt.tokens, one.output_tokens, due_s=one.due_s)

    def num_recorded(self, most: int) -> int:
        """Return how many requests the trace has, `most` at most."""
        return sum(1 for _ in itertools.islice(self._recorded(), most))

    def _recorded(self) -> Iterator[Arrival]:
        return arrivals(self.wanted.trace, window_s=self.wanted.window_s, speed=self.wanted.speed)

    def of_talks(self, number: int, stretches: Sequence[int] = ()) -> Iterator[Draft]:
        """Yield the turns of recorded conversations, from the file's beginning again where it has too few.

        Each stretch of them begins with a conversation; where one goes on behind its end, the rest of it is left out.
        """
        told = self.wanted.conversations
        for _, talk, turn, said in itertools.islice(self._told(stretches), number):
            output_tokens = max(1, len(encoded(self.tokenizer, said.answer, Place.MESSAGE)))
            how = {"conversation": talk, "turn": turn, "think_s": told.think_s if turn else None}
            if self.is_chat:
                yield self.of_messages(said.messages, output_tokens, **how)
            else:
                text = (LEAD if turn else "") + "\n".join(message["content"] for message in said.messages)
                yield self.of_text(text, encoded(self.tokenizer, text, self._place(turn)), output_tokens, **how)

    def num_told(self, most: int, stretches: Sequence[int] = ()) -> int:
        """Return how many turns of the file's conversations are sent before they come again, `most` at most."""
        first = itertools.takewhile(lambda told: not told[0], self._told(stretches))
        return sum(1 for _ in itertools.islice(first, most))

    def _told(self, stretches: Sequence[int]) -> Iterator[tuple[int, int, int, Turn]]:
        """Yield how often the file was read before, the conversation, the number of its turn and the turn."""
        path, rooms = path_of(self.wanted.conversations.path), itertools.cycle(filter(None, stretches))
        room, talk = next(rooms, math.inf), 0
        for again in itertools.count():
            for turns in talks(path):
                for turn, said in enumerate(turns[: min(room, len(turns))]):
                    yield again, talk, turn, said
                room, talk = room - min(room, len(turns)) or next(rooms), talk + 1

    def of_text(self, text: str, tokens: tuple[int, ...], output_tokens: int, **how: Any) -> Draft:
        """Return a request to send this text, as the one message of a chat where it goes to one."""
        if self.is_chat:
            return self.of_messages(({"role": "user", "content": text},), output_tokens, **how)
        request = FrozenRequest(prompt=text, input_tokens=len(tokens), output_tokens=output_tokens, **how)
        return Draft(request, None if request.turn else tokens)

    def of_messages(self, messages: Sequence[Mapping[str, Any]], output_tokens: int, **how: Any) -> Draft:
        """Return a request to send these messages; its tokens are those of their texts, without a template's."""
        counted = [encoded(self.tokenizer, text, Place.MESSAGE) for text in texts_of(messages)]
        request = FrozenRequest(
            messages=tuple(map(dict, messages)), input_tokens=sum(map(len, counted)), output_tokens=output_tokens, **how
        )
        return Draft(request, None if request.turn else self._templated(request, tuple(itertools.chain(*counted))))

    def _templated(self, request: FrozenRequest, bare: tuple[int, ...]) -> tuple[int, ...]:
        """Return the tokens that a server makes of messages; `bare`, those of their texts, where the client cannot tell."""
        tools = {"tools": request.body["tools"]} if request.body and "tools" in request.body else {}
        try:
            text = self.tokenizer.apply_chat_template(
                list(request.messages), add_generation_prompt=True, tokenize=False, **tools
            )
        except (ValueError, TypeError, TemplateError):  # it has none, or not for such messages
            return bare
        return encoded(self.tokenizer, text, Place.MESSAGE) if isinstance(text, str) else bare

    def _place(self, turn: int) -> Place:
        return Place.MESSAGE if self.is_chat else Place.LATER if turn else Place.ALONE
