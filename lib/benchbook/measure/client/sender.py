"""Frozen requests as vLLM's own client sends them, and what was noted of each of them.

vLLM sends, times and counts. What is added stands before its request function, whose clock starts with the request: a
turn of a conversation waits there for the answer before it (conversations.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchbook.measure.client.conversations import Cached, Conversations
from benchbook.measure.client.shared import shared_tokens
from benchbook.measure.client.stretch import Stretch
from benchbook.records.frozen import FrozenRequest, sha256_of

CHAT_BACKENDS = ("openai-chat",)


class Sender:
    """The requests of one stretch on their way; `notes` has, request by request in the raw file's order, what was sent."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._requests: Sequence[FrozenRequest] = ()
        self._places: dict[str, int] = {}
        self._talks: Conversations | None = None
        self.notes: dict[str, Any] = {}

    def samples(self, args: argparse.Namespace, tokenizer: Any) -> list[dict[str, Any]]:
        """Return the fields of vLLM's SampleRequests; StoreError or ValueError where they cannot be sent."""
        self._requests = self._stretch.requests()
        if any(one.messages is not None for one in self._requests) and args.backend not in CHAT_BACKENDS:
            raise ValueError(f"messages of a chat cannot be sent by the backend {args.backend}")
        if any(one.conversation is not None for one in self._requests):
            self._talks = Conversations(
                self._requests, args.max_concurrency, self._stretch.max_model_len, _counting(tokenizer)
            )
        ids = [f"{args.request_id_prefix}{number}" for number in range(len(self._requests))]
        self._places = {request_id: number for number, request_id in enumerate(ids)}
        self.notes |= {
            "sha256": sha256_of(self._requests),
            "due_s": [one.due_s for one in self._requests] if self._stretch.is_timed else None,
            "turns": [one.turn for one in self._requests] if self._talks else None,
            "conversations": [one.conversation for one in self._requests] if self._talks else None,
            "sent_tokens": [one.input_tokens for one in self._requests],
            "cached_tokens": shared_tokens(self._requests, tokenizer),
            "counted_tokens": [None] * len(ids),
            "histories_cut": 0,
        }
        return [self._fields(one, request_id) for one, request_id in zip(self._requests, ids)]

    def _fields(self, one: FrozenRequest, request_id: str) -> dict[str, Any]:
        overrides = {**(one.body or {}), **({"model": one.adapter} if one.adapter else {})}
        return {
            "prompt": list(one.prompt) if isinstance(one.prompt, tuple) else one.prompt or "",
            "prompt_len": one.input_tokens,
            "expected_output_len": one.output_tokens,
            "request_id": request_id,
            "timestamp": one.due_s if self._stretch.is_timed else None,
            "chat_messages": None if one.messages is None else list(one.messages),
            "request_overrides": overrides or None,
        }

    @property
    def options(self) -> Mapping[str, Any]:
        """Arrivals by the file's times; and no limit of vLLM's own where a limit is on conversations, not on requests."""
        timed = {"self_timed": True} if self._stretch.is_timed else {}
        return {**timed, "max_concurrency": None} if self._talks else timed

    def around(self, request_func: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a request function that notes what `request_func` sent, a turn of a conversation in its turn."""

        async def send(request_func_input: Any, session: Any, pbar: Any = None) -> Any:
            number = self._places.get(request_func_input.request_id)

            async def noted(asked: Any, sent_tokens: int, cached: Cached) -> Any:
                output = await request_func(
                    request_func_input=replace(asked, prompt_len=_Uncounted(sent_tokens)), session=session, pbar=pbar
                )
                self._note(number, output, sent_tokens, cached)
                return output

            if number is None:  # of vLLM's own, to see whether the server answers
                return await request_func(request_func_input=request_func_input, session=session, pbar=pbar)
            one, cached = self._requests[number], self.notes["cached_tokens"][number]
            if one.conversation is None:
                return await noted(request_func_input, one.input_tokens, cached)
            output = await self._talks.turn(number, request_func_input, noted, cached)
            self.notes["histories_cut"] = self._talks.num_cut
            if pbar and not output.success and not output.latency:
                pbar.update(1)
            return output

        return send

    def _note(self, number: int, output: Any, sent_tokens: int, cached: Cached) -> None:
        self.notes["sent_tokens"][number] = sent_tokens
        self.notes["cached_tokens"][number] = cached
        if not isinstance(output.prompt_len, _Uncounted):
            self.notes["counted_tokens"][number] = output.prompt_len


class _Uncounted(int):
    """A prompt's length as the client knows it: vLLM's client puts the server's count in its place where there is one."""


def _counting(tokenizer: Any) -> Callable[[str], int]:
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids) if tokenizer and text else 0
