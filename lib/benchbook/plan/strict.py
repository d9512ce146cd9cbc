"""Models that refuse what they do not know, and say so in one line: 'ServeWorkload: num_promts: 80: unknown key'."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchbook.errors import ExperimentError

SHOWN_CHARS = 60  # longer keys and values are cut in messages


class FieldError(ExperimentError):
    """A field of a model was refused; `where` and `problem` let a file's reader name the line instead of the class."""

    def __init__(self, owner: str, where: tuple[str | int, ...], value_text: str, problem: str) -> None:
        parts = [owner, cut(".".join(map(str, where))), value_text, problem]
        super().__init__(one_line(": ".join(part for part in parts if part)))
        self.where = where
        self.problem = problem


class StrictModel(BaseModel):
    """Frozen; unknown keys are errors; "8" is not 8 and true is not 1; NaN and infinity are refused.

    Raises FieldError, an ExperimentError of one line, where pydantic would print a paragraph.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise _field_error(error, type(self)) from None


def unknown(word: str, known: Iterable[str], what: str = "key") -> str:
    """Return e.g. "unknown key; did you mean 'max_concurrency'? (known: ...)"."""
    names = list(known)
    # The cut keeps difflib fast on absurdly long words.
    near = difflib.get_close_matches(word[:64], names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what}{hint} (known: {', '.join(names[:25])}{', ...' if len(names) > 25 else ''})"


def shown(value: Any) -> str:
    """Return `value` as a short text; a mapping shows its keys only, since its values may be private."""
    if isinstance(value, dict):
        text = "{" + ", ".join(value) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(shown(item) for item in value[:8]) + (", ...]" if len(value) > 8 else "]")
    else:
        # YAML's spelling, since that is what the reader wrote.
        text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    return cut(text)


def cut(text: str) -> str:
    """Return `text`, or its beginning if it is too long for a message."""
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."


def one_line(text: str) -> str:
    """Return `text` in one line that a terminal prints as it is: white space as one space, the unprintable escaped."""
    joined = " ".join(text.split())
    if joined.isprintable():
        return joined
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in joined)


def _field_error(error: ValidationError, model: type[BaseModel]) -> FieldError:
    """Return the most telling of pydantic's errors: a misspelt key explains the missing one, so it comes first."""
    errors = error.errors(include_url=False)
    first = next((entry for entry in errors if entry["type"] == "extra_forbidden"), errors[0])
    where = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        problem = unknown(str(where[-1]), model.model_fields)
    elif first["type"] == "missing":
        problem = "is missing"
    else:
        # "Input should be a valid integer", "Value error, ..." become "must be a valid integer", "...".
        problem = re.sub(r"^\w+ should", "must", first["msg"]).removeprefix("Value error, ")
    has_value = where and first["type"] != "missing"
    return FieldError(model.__name__.lstrip("_"), where, shown(first["input"]) if has_value else "", problem)
