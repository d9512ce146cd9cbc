"""The events of a streamed completion, checked: what a stranger streams is an event, a pause, or an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchbook.hosts import http

_OTHER_FIELDS = (":", "event:", "id:", "retry:")  # of a stream of events; a colon begins a comment, such as a ping
DONE = "[DONE]"


@dataclass(frozen=True)
class Event:
    """What one event says: its text, why the answer ended, and the counts of tokens, as far as it says so."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, int | None] = field(default_factory=dict)


def events(lines: Iterator[str]) -> Iterator[Event | None]:
    """Yield the events in the lines of a stream until [DONE], None for a line that has none; raise ValueError.

    Its message is one line: what the server said of its failure, what is no event, or that the stream ended early.
    """
    for line in lines:
        if line.startswith("data:"):
            payload = line.removeprefix("data:").strip()
            if payload == DONE:
                return
            yield _event(payload)
        elif line and not line.startswith(_OTHER_FIELDS):
            raise ValueError(f"the answer is no stream of events: {line[:200]!r}")
        else:
            yield None
    raise ValueError("the stream ended without [DONE]")


def _event(payload: str) -> Event:
    try:
        told = http.json_of(payload)
    except ValueError as error:
        raise ValueError(f"an event is no JSON ({error}): {payload[:200]!r}") from error
    if isinstance(told, dict) and told.get("error"):  # what vLLM sends when its engine fails in mid-stream
        raise ValueError(f"the server broke off: {str(told['error'])[:300]!r}")
    try:
        choices = told.get("choices") or []
        texts = [choice.get("text") or "" for choice in choices]
        reasons = [choice.get("finish_reason") for choice in choices if choice.get("finish_reason") is not None]
        usage = {name: _count(value) for name, value in (told.get("usage") or {}).items() if name.endswith("_tokens")}
        if not isinstance(choices, list) or not all(isinstance(word, str) for word in [*texts, *reasons]):
            raise TypeError("a text or an end that is no text")
    except (AttributeError, TypeError) as error:
        raise ValueError(f"an event is no completion ({error}): {payload[:200]!r}") from error
    return Event("".join(texts), reasons[-1] if reasons else None, usage)


def _count(value: Any) -> int | None:
    if value is not None and (type(value) is not int or abs(value) > 2**53):
        raise TypeError("a count that is no whole number")
    return value
