"""Conversations: each turn waits for the answer before it, and is sent after all that was said until then.

vLLM's client has made a task of every turn, in the order of the file; the next turn of a conversation is the one that
has waited longest. How many conversations are held at once is a limit from a first turn to its last: nobody waits in a
place that another could use.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchbook.measure.client.shared import texts_of
from benchbook.records.frozen import FrozenRequest

Cached = tuple[int, int]  # tokens that are in the server's prefix cache by design, at least and at most
Send = Callable[[Any, int, Cached], Awaitable[Any]]  # vLLM's input, tokens sent


@dataclass(frozen=True)
class _Exchange:
    """What a user said and what was answered, as a chat and as a text has it."""

    messages: tuple[dict[str, Any], ...]
    text: str
    tokens: int  # by the client's tokenizer


class Conversations:
    """The conversations of a stretch, at most `at_once` of them under way; no turn takes more than `most_tokens`.

    `count` returns how many tokens a text has.
    """

    def __init__(
        self,
        requests: Sequence[FrozenRequest],
        at_once: int | None,
        most_tokens: int | None,
        count: Callable[[str], int],
    ) -> None:
        if any(isinstance(one.prompt, tuple) for one in requests):
            raise ValueError("a conversation goes on after an answer, which is text: its turns cannot be token ids")
        self._requests = requests
        seats = asyncio.Semaphore(at_once) if at_once else None
        turns = Counter(one.conversation for one in requests if one.conversation is not None)
        self._talks = {name: _Talk(number, seats, most_tokens, count) for name, number in turns.items()}

    @property
    def num_cut(self) -> int:
        """How many turns were sent without the beginning of their history, which no longer fitted."""
        return sum(talk.num_cut for talk in self._talks.values())

    async def turn(self, number: int, asked: Any, send: Send, cached: Cached) -> Any:
        """Return vLLM's output of request `number`, sent by `send` once what comes before it is answered.

        Where a turn before it failed, it is not sent, and fails as well. `cached` is of a first turn; later ones find
        what the turn before has left.
        """
        one = self._requests[number]
        return await self._talks[one.conversation].turn(one, asked, send, cached)


class _Talk:
    """One conversation: what has been said in it, and the turns that are left."""

    def __init__(
        self, num_turns: int, seats: asyncio.Semaphore | None, most_tokens: int | None, count: Callable[[str], int]
    ) -> None:
        self._turns_left, self._seats, self._most_tokens, self._count = num_turns, seats, most_tokens, count
        self._order = asyncio.Lock()  # first come, first served
        self._seat = contextlib.ExitStack()
        self._has_begun = False
        self._system: tuple[dict[str, Any], ...] = ()  # is never cut
        self._system_tokens = 0
        self._exchanges: list[_Exchange] = []
        self._overhead = 0  # tokens that the server's template adds to a message
        self._cached = (0, 0)
        self._failed: Any = None  # the output of the turn that did
        self.num_cut = 0

    async def turn(self, one: FrozenRequest, asked: Any, send: Send, cached: Cached) -> Any:
        """Return vLLM's output of the turn after those that were called before."""
        async with self._order:
            self._turns_left -= 1
            try:
                if self._failed is not None:
                    return _unsent(self._failed)
                await (self._pause(one) if self._has_begun else self._begin(one, cached))
                return await self._send(one, asked, send)
            finally:
                if self._failed is not None or not self._turns_left:
                    self._seat.close()

    async def _begin(self, one: FrozenRequest, cached: Cached) -> None:
        if self._seats:
            await self._seats.acquire()
            self._seat.callback(self._seats.release)
        self._has_begun = True
        self.num_cut += one.turn > 0  # a stretch that begins inside of it
        self._system = tuple(message for message in one.messages or () if message["role"] == "system")
        self._system_tokens = sum(map(self._count, texts_of(self._system)))
        self._cached = cached

    async def _pause(self, one: FrozenRequest) -> None:
        if one.think_s:
            await asyncio.sleep(one.think_s)

    async def _send(self, one: FrozenRequest, asked: Any, send: Send) -> Any:
        said = tuple(message for message in one.messages or () if message not in self._system)
        said_tokens = one.input_tokens - (self._system_tokens if len(said) < len(one.messages or ()) else 0)
        self._cut(len(said), said_tokens + one.output_tokens)
        messages = (*self._system, *(message for known in self._exchanges for message in known.messages), *said)
        sent_tokens = self._history_tokens + said_tokens
        if one.messages is None:
            asked = replace(asked, prompt="".join(known.text for known in self._exchanges) + one.prompt)
        else:
            asked = replace(asked, chat_messages=list(messages))
        output = await send(asked, sent_tokens, self._cached)
        if not output.success:
            self._failed = output
            return output
        answer, answer_tokens = output.generated_text, self._count(output.generated_text)
        self._overhead = math.ceil(max(0, output.prompt_len - sent_tokens) / max(1, len(messages)))
        # What the model said last it has not read itself, unless the next step had begun when that was seen to be the end.
        all_tokens = output.prompt_len + (output.output_tokens or answer_tokens)
        # An answer whose text is other tokens than those that were generated is not found again as it was.
        is_found = output.output_tokens in (None, 0, answer_tokens)
        self._cached = (all_tokens if is_found else output.prompt_len) - 1, all_tokens
        exchange = (*said, {"role": "assistant", "content": answer})
        self._exchanges.append(_Exchange(exchange, f"{one.prompt}{answer}", said_tokens + answer_tokens))
        return output

    @property
    def _history_tokens(self) -> int:
        return self._system_tokens + sum(known.tokens for known in self._exchanges)

    def _cut(self, num_said: int, more_tokens: int) -> None:
        """Forget what was said first, as long as the next turn and its answer would not fit."""
        before = len(self._exchanges)
        while self._most_tokens and self._exchanges:
            num_messages = len(self._system) + sum(len(known.messages) for known in self._exchanges) + num_said
            if self._history_tokens + more_tokens + self._overhead * max(1, num_messages) <= self._most_tokens:
                break
            del self._exchanges[0]
        if len(self._exchanges) < before:
            self.num_cut += 1
            self._cached = (0, self._cached[1])


def _unsent(failed: Any) -> Any:
    """Return the output of a turn that was not sent, since `failed` was."""
    return replace(
        failed,
        generated_text="",
        latency=0.0,
        ttft=0.0,
        itl=[],
        output_tokens=0,
        error="not sent: an earlier turn of its conversation failed",
        start_time=time.perf_counter(),
    )
