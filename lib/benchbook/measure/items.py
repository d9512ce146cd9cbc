"""The items of a guard: questions with choices, of which one is right, or with the very answer that is to come.

    {"question": "Which is the largest: 34, 91 or 57?\nAnswer:", "choices": ["34", "91", "57"], "answer": 1}
    {"question": "17 + 25 =", "answer": "42", "max_tokens": 8}

A file has one a line. Those that are made here follow from a seed: sums, words to copy, numbers to compare; those of a
task of lm-eval are read by it (task_items.py), and say what stands between question and answer and what is an exact match.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.process.caches import built
from benchbook.measure.drawing.rows import Row, json_lines, some
from benchbook.measure.exact_match import ExactMatch
from benchbook.measure.task_items import task_items
from benchbook.plan.guard import Guard, is_task
from benchbook.plan.strict import FieldError
from benchbook.terms.corpus import ITEMS

DEFAULT_MAX_TOKENS = 16
MOST_MAX_TOKENS, MOST_CHOICES = 4096, 26
_KEYS = ("question", "choices", "answer", "max_tokens", "delimiter", "match")
_FOLDER, _FILE = "items-1", "items.jsonl"  # of the cache; another number where what is written changes
SEED, NUM_OF_A_KIND = 0, 200
_SYLLABLES = "ba ke li mo nu ra se ti vo zu".split()


@dataclass(frozen=True)
class Item:
    """One question, and what is right."""

    question: str
    choices: tuple[str, ...]  # of one that is to be answered exactly, that answer alone
    right: int  # of the choices
    max_tokens: int  # of an exact answer
    delimiter: str  # between the question and each of the choices
    match: ExactMatch | None = None  # what makes an exact answer right; None where it is enough to begin with it

    @property
    def is_exact(self) -> bool:
        """Return whether the answer itself is to come, and not the likeliest of several to be found."""
        return len(self.choices) == 1

    @property
    def answer(self) -> str:
        """Return what is right."""
        return self.choices[self.right]

    @property
    def guess(self) -> float:
        """Return how often a guess is right."""
        return 0.0 if self.is_exact else 1 / len(self.choices)


def path_of(guard: Guard) -> str:
    """Return the file behind what an experiment says: itself, or one made now if need be, here or by lm-eval."""
    if is_task(guard.items):
        return str(task_items(guard.items, guard.at_most).path)
    return str(built(_FOLDER, write_items) / _FILE) if guard.items == ITEMS else guard.items


def read_items(path: str | Path) -> list[Item]:
    """Return the items of a file; ExperimentError of one line, with file and line, where one is not as it must be."""
    return [_item(row) for row in some(json_lines(path), path, "item")]


def _item(row: Row) -> Item:
    for key in row.fields:
        if key not in _KEYS:
            row.refuse(f"{key!r} is no key of an item, which has {', '.join(_KEYS)}")
    question = row.text("question")
    delimiter = "" if question[-1].isspace() else " "
    if "delimiter" in row.fields:
        delimiter = row.get("delimiter", str, "text")
    if "choices" not in row.fields:
        max_tokens = row.count("max_tokens") if "max_tokens" in row.fields else DEFAULT_MAX_TOKENS
        if not 1 <= max_tokens <= MOST_MAX_TOKENS:
            row.refuse(f"max_tokens must be 1 to {MOST_MAX_TOKENS:,}, not {max_tokens:,}")
        answer, match = row.text("answer"), _match(row) if "match" in row.fields else None
        return Item(question, (answer if match else answer.strip(),), 0, max_tokens, delimiter, match)
    for key in ("max_tokens", "match"):
        if key in row.fields:
            row.refuse(f"{key} is of an answer that is written, and here one of choices is the likeliest")
    choices = row.get("choices", list, "a list of texts")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        row.refuse("choices must be a list of texts that are not blank")
    if not 2 <= len(set(choices)) == len(choices) <= MOST_CHOICES:
        row.refuse(f"choices must be 2 to {MOST_CHOICES}, all different")
    return Item(question, tuple(choices), _place(row, choices), 1, delimiter)


def _match(row: Row) -> ExactMatch:
    try:
        return ExactMatch(**row.get("match", dict, 'a mapping, such as {"until": ["\\n"]}'))
    except FieldError as error:
        row.refuse(f"match: {error}")


def _place(row: Row, choices: list[str]) -> int:
    """Return which of the choices is right: by its text, or by its place from 0 on."""
    answer = row.get("answer", (str, int), "the right choice, or its place from 0 on")
    if isinstance(answer, str):
        return (
            choices.index(answer) if answer in choices else row.refuse(f"answer {answer[:60]!r} is none of the choices")
        )
    if not 0 <= answer < len(choices):
        row.refuse(f"answer must be the place of a choice, 0 to {len(choices) - 1}, not {answer}")
    return answer


def write_items(folder: Path, seed: int = SEED) -> None:
    """Write the items of `seed` into `folder`, the same ones for ever."""
    rows = (row for kind in (_sums, _copies, _largest) for row in kind(random.Random(f"{kind.__name__} {seed}").random))
    Path(folder, _FILE).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _sums(draw: Any) -> Iterator[dict[str, Any]]:
    for _ in range(NUM_OF_A_KIND):
        first, second = 10 + int(90 * draw()), 10 + int(90 * draw())
        question = f"3 + 4 = 7\n21 + 38 = 59\n{first} + {second} ="
        yield {"question": question, "answer": str(first + second), "max_tokens": 6}


def _copies(draw: Any) -> Iterator[dict[str, Any]]:
    for _ in range(NUM_OF_A_KIND):
        words = ["".join(_SYLLABLES[int(len(_SYLLABLES) * draw())] for _ in range(3)) for _ in range(3)]
        shown = " ".join(words)
        question = f"Read: kenuti balimo\nAgain: kenuti balimo\nRead: {shown}\nAgain:"
        yield {"question": question, "answer": shown, "max_tokens": 24}


def _largest(draw: Any) -> Iterator[dict[str, Any]]:
    for _ in range(NUM_OF_A_KIND):
        numbers = [10 + int(990 * draw())]
        while len(numbers) < 4:
            numbers += {10 + int(990 * draw())} - set(numbers)
        shown = [str(number) for number in numbers]
        question = f"The largest of 12, 80 and 45 is 80.\nThe largest of {', '.join(shown[:-1])} and {shown[-1]} is"
        yield {"question": question, "choices": shown, "answer": numbers.index(max(numbers))}
