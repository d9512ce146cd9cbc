"""Recorded conversations: what a user said, turn by turn, and how long the answers were.

Two forms, told by their first character:
    [{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}, ...]     as ShareGPT has them
    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}        one a line, as OpenAI's

Of recorded answers their lengths are used, and not their words: what is sent with a later turn is what was answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.measure.drawing.json_array import json_items
from benchbook.measure.drawing.rows import Row, json_lines, lines, some

SYSTEM, USER, ANSWER = "system", "user", "assistant"
_SHAREGPT = {"system": SYSTEM, "human": USER, "user": USER, "gpt": ANSWER, "chatgpt": ANSWER, "assistant": ANSWER}
_OPENAI = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "tool": USER, "assistant": ANSWER}


@dataclass(frozen=True)
class Turn:
    """What is said before the next answer, and that answer as it was recorded."""

    messages: tuple[Mapping[str, str], ...]  # {"role": ..., "content": ...}
    answer: str


def talks(path: Path | str) -> Iterator[tuple[Turn, ...]]:
    """Yield the turns of each conversation, those that were answered; ExperimentError with the line of what is wrong.

    Without any of them a conversation is left out. What a tool returned is what a user says.
    """
    _, begin = next(lines(path), (1, ""))
    is_array = begin.lstrip().startswith("[")
    for row in some((json_items if is_array else json_lines)(path), path, "conversations"):
        if turns := _turns(row, _spoken(row, is_array)):
            yield turns


def _spoken(row: Row, is_sharegpt: bool) -> Iterator[tuple[str, str]]:
    """Yield who said what."""
    key, who, what, roles = (
        ("conversations", "from", "value", _SHAREGPT) if is_sharegpt else ("messages", "role", "content", _OPENAI)
    )
    for number, said in enumerate(row.get(key, list, "a list of messages")):
        name = f"{key}[{number}]"
        if not isinstance(said, dict):
            row.refuse(f"{name} must be a message with {who} and {what}")
        role = roles.get(said.get(who)) if isinstance(said.get(who), str) else None
        if role is None:
            row.refuse(f"{name}: {who} must be one of {', '.join(roles)}, not {said.get(who)!r:.60}")
        yield role, _text(row, f"{name}: {what}", said.get(what))


def _text(row: Row, name: str, content: Any) -> str:
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if content is None:
        return ""  # of an answer that only calls a tool
    return content if isinstance(content, str) else row.refuse(f"{name} must be text, not {type(content).__name__}")


def _turns(row: Row, spoken: Iterator[tuple[str, str]]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    before: list[Mapping[str, str]] = []
    for role, content in spoken:
        if role != ANSWER:
            before.append({"role": role, "content": content})
        elif any(message["role"] == USER and message["content"].strip() for message in before):
            turns.append(Turn(tuple(before), content))
            before = []
        else:
            before = [message for message in before if message["role"] == SYSTEM]  # a greeting, which answers nothing
    return tuple(turns)
