"""What an option inside a config takes, and why a value will not do: read as vLLM's own configs read it, which are pydantic's.

Imported beside vLLM by `parser_dump`, which finds what each option takes, and by `forms`, which checks values by it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchbook.terms.likeness import nearest
from benchbook.terms.sizes import number_of

CHOICE = "choice"  # of an option's members
MEMBER = "member"  # of an Enum: one of an option's members, or of the numbers that stand for them
_KINDS: Mapping[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (bool, "true or false"),
    "text": (str, "text"),
    "list of int": (list[int], "a list of whole numbers"),
    "list of float": (list[float], "a list of numbers"),
    "list of bool": (list[bool], "a list of true and false"),
    "list of text": (list[str], "a list of texts"),
    "list": (list, "a list"),
    "mapping": (dict, "a mapping"),
}
_LISTED = {CHOICE, MEMBER}
_BOUNDS = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "more than"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "less than"),
}
Bounds = Sequence[tuple[str, float]]  # ("ge", 1): at least 1
AS_WRITTEN, ANY_CASE, ANY_DASH = "as written", "any case", "any case or dash"  # how texts are compared with members
_HABITS = {"bf16": "bfloat16", "fp16": "float16", "f16": "float16", "fp32": "float32", "f32": "float32"}


@dataclass(frozen=True)
class Option:
    """What one option takes: anything where neither kinds nor members are known."""

    kinds: Sequence[str] = ()  # of CHOICE, MEMBER and _KINDS
    members: Sequence[str] = ()  # texts that it lists
    numbers: Sequence[int] = ()  # that stand for members
    compared: str = ANY_DASH  # with its members
    bounds: Bounds = ()
    options: Mapping[str, Option] | None = None  # those of the config that it holds
    may_be_null: bool = True


def option_problem(value: Any, option: Option) -> str:
    """Return why `value` will not do for `option`, with what to write; '' when it will, or nobody can tell."""
    if value is None:
        return "" if option.may_be_null else "has no value: leave the key out"
    if not option.kinds:
        return none_of(value, option.members, option.compared) if option.members else ""
    if any(_is_of(value, kind) for kind in option.kinds if kind in _KINDS):
        return out_of_bounds(value, option.bounds)
    if MEMBER in option.kinds and value in option.numbers:
        return ""
    is_listed = CHOICE in option.kinds and value in option.members and all(map(str.isdecimal, option.members))
    if is_listed or value in map(str, option.numbers):
        return f"must be a number: write {value} without quotes"
    if _LISTED & set(option.kinds) and isinstance(value, str | int | float):
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return none_of(text, option.members, option.compared)
    return f"must be {_wanted(option)}"


def out_of_bounds(value: Any, bounds: Bounds) -> str:
    """Return which bounds a number, or a text that is read as one, does not keep; '' where it keeps all, or is none."""
    number = _number(value) if bounds else None
    wrong = [
        f"{words} {limit:g}"
        for name, limit in bounds
        for holds, words in [_BOUNDS[name]]
        if number is not None and not holds(number, limit)
    ]
    return f"must be {' and '.join(wrong)}" if wrong else ""


def none_of(value: Any, members: Sequence[str], compared: str = ANY_DASH) -> str:
    """Return why a value is none of those that a config lists, `compared` as it does; '' when it is one, or no text."""
    alike = _COMPARED[compared]
    if not isinstance(value, str) or alike(value) in map(alike, members):
        return ""
    return not_among(value, [member for member in members if member.isupper()] or members)


def not_among(text: str, choices: Sequence[str]) -> str:
    """Return that a text is none of `choices`, with the nearest, or all."""
    habit = _HABITS.get(text.lower())
    near = habit if habit in choices else nearest(text, choices)
    return "is none of the values that it takes; " + (
        f"did you mean {near}?" if near else f"one of {', '.join(choices)}"
    )


def folded(text: str) -> str:
    """Return a text as names of backends are compared: in small letters, with underscores."""
    return text.lower().replace("-", "_")


_COMPARED: Mapping[str, Callable[[str], str]] = {AS_WRITTEN: str, ANY_CASE: str.lower, ANY_DASH: folded}


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return number_of(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


@functools.cache
def _adapter(kind: str) -> TypeAdapter:
    return TypeAdapter(_KINDS[kind][0])


def _is_of(value: Any, kind: str) -> bool:
    try:
        _adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _wanted(option: Option) -> str:
    words = [_KINDS[kind][1] for kind in option.kinds if kind in _KINDS]
    return " or ".join(words + [f"one of {', '.join(option.members)}"] * bool(_LISTED & set(option.kinds)))
