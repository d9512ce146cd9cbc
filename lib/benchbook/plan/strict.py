"""Models that refuse what they do not know, and say so in one line: 'ServeWorkload: num_promts: 80: unknown key'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchbook.plan.hints import hint, meant
from benchbook.terms.errors import ExperimentError
from benchbook.terms.secret_names import sounds_secret

NO_TEXT = "must be text"  # as the refusal of what is none begins
SHOWN_CHARS = 60  # longer keys and values are cut in messages


class FieldError(ExperimentError):
    """A field of a model was refused; `where` and `problem` let a file's reader name the line instead of the class.

    `others` are the model's other refused fields.
    """

    def __init__(
        self,
        owner: str,
        where: tuple[str | int, ...],
        value_text: str,
        problem: str,
        is_unknown: bool = False,  # no field of the model
        others: tuple[FieldError, ...] = (),
    ) -> None:
        parts = [owner, cut(".".join(map(str, where))), value_text, problem]
        super().__init__(one_line(": ".join(part for part in parts if part)))
        self.where = where
        self.problem = problem
        self.others = others
        self.is_unknown = is_unknown


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
    """Return e.g. "unknown key; did you mean 'max_concurrency'?", or what is known where nobody can tell."""
    names = list(known)
    listed = f" (known: {', '.join(names[:25])}{', ...' if len(names) > 25 else ''})"
    return f"unknown {what}{hint(word, names) or listed}"


def key_text(where: tuple[str | int, ...]) -> str:
    """Return the way to a value as text: 'benchmarks[0].serve.lengths'."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{cut(step)}" for step in where).lstrip(".")


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
    """Return all that pydantic found, misspelt keys first: they explain the missing ones, which are left out."""
    entries = sorted(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden")
    misspelt = [str(entry["loc"][-1]) for entry in entries if entry["type"] == "extra_forbidden"][:SHOWN_CHARS]
    explained = {meant(word, model.model_fields) for word in misspelt}
    told = [entry for entry in entries if entry["type"] != "missing" or entry["loc"][-1] not in explained]
    first, *others = (_refused(entry, model) for entry in (told or entries)[:SHOWN_CHARS])
    return FieldError(*first, others=tuple(FieldError(*other) for other in others))


def _refused(entry: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, tuple[str | int, ...], str, str, bool]:
    """Return one of pydantic's errors as the arguments of a FieldError."""
    where = tuple(entry["loc"])
    if entry["type"] == "extra_forbidden":
        problem = unknown(str(where[-1]), model.model_fields)
    elif entry["type"] == "missing":
        problem = "is missing" + _example(where, model)
    else:
        # "Input should be a valid integer", "Value error, ..." become "must be a valid integer", "...".
        problem = re.sub(r"^\w+ should", "must", entry["msg"]).removeprefix("Value error, ")
        problem = problem.replace("valid dictionary", "mapping of keys to values").replace("valid list", "list")
        problem = problem.replace("a valid string", "text")
        problem += _example(where, model) if entry["type"].endswith("_type") else ""
    is_unknown = entry["type"] == "extra_forbidden"
    has_value = (
        where and entry["type"] != "missing" and not (is_unknown and sounds_secret(str(where[-1]), entry["input"]))
    )
    return model.__name__.lstrip("_"), where, shown(entry["input"]) if has_value else "", problem, is_unknown


def _example(where: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """Return ', such as …' where the field has an example of its right form."""
    field = model.model_fields.get(str(where[0])) if len(where) == 1 else None
    return f", such as {field.examples[0]}" if field is not None and field.examples else ""
