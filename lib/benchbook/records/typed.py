"""The types of what files of ours hold, and what is said of a value that is of another."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypeAliasType  # that of typing is there from 3.12 on

from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import LARGEST, SMALLEST

OPEN = ConfigDict(extra="allow", strict=True)  # of a mapping in which more may stand than is read
_SHOWN_CHARS = 60
_Item = TypeVar("_Item")


def _benchmark(name: str) -> str:
    if name not in BENCHMARKS:
        raise ValueError(f"must be one of {', '.join(BENCHMARKS)}")
    return name


def _possible(number: float) -> float:
    if 0 < abs(number) < SMALLEST:
        raise ValueError(f"must be 0 or of {SMALLEST:g} at least")
    return number


BenchmarkName = Annotated[str, AfterValidator(_benchmark)]
# Most of what is real is above 0, or 0, which pydantic sees without calling us: half the time of a number, of a hundred a record.
_AboveZero = SkipJsonSchema[Annotated[float, Field(ge=SMALLEST, le=LARGEST)]]
_Zero = SkipJsonSchema[Annotated[float, Field(ge=0, le=0)]]
_Real = Annotated[float, Field(ge=-LARGEST, le=LARGEST), AfterValidator(_possible)]
# What is whole stays whole: 2 processors are not 2.0. It has a name of its own for pydantic, which else builds all of it anew
# for each of a hundred fields: a third of what importing records takes.
Number = TypeAliasType("Number", Annotated[int, Field(ge=-(10**15), le=10**15)] | _AboveZero | _Zero | _Real)
Numbers = list[Number | None]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Whole = Annotated[int, Field(ge=0, le=10**15)]
Positive = Annotated[int, Field(ge=1, le=10**9)]
Name = Annotated[str, Field(min_length=1)]
FolderName = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]
Items = Annotated[tuple[_Item, ...], Field(strict=False)]  # a JSON array
JsonObject = dict[str, JsonValue]
Args = JsonObject  # of an engine, as its launch has them
Setting = bool | int | float | str | None  # of a workload
TokensText = Annotated[str, Field(pattern=r"^[1-9]\d{0,8}$")]  # a number as the key of a JSON object


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no time zone")
    return text


Time = Annotated[str, AfterValidator(_moment)]  # '2026-11-23T20:15:00+00:00'


class Part(BaseModel):
    """A part of a record or of run.json: what of it is read has a type; more may stand in it, which is kept."""

    model_config = ConfigDict(
        frozen=True, extra="allow", strict=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    @classmethod
    def of(cls, **facts: Any) -> Self:
        """Return one with those of `facts` that are known: None is left out."""
        return cls(**{name: fact for name, fact in facts.items() if fact is not None})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return the part itself, which nobody changes: pydantic copies a default each time that it stands for what is absent."""
        return self


class Versioned(BaseModel):
    """The format of a file of ours, whatever else is in it."""

    model_config = ConfigDict(frozen=True, strict=True)

    schema_version: int


class Refused(NamedTuple):
    """One value that is not as it must be."""

    where: tuple[str | int, ...]  # the way to it
    text: str  # 'plan[0].repeats: "x": must be a valid integer'


def refused(error: ValidationError) -> list[Refused]:
    """Return all that pydantic found."""
    found = error.errors(include_url=False, include_context=False)
    return [Refused(tuple(one["loc"]), _text(one["loc"], one["type"], one["input"], one["msg"])) for one in found]


def _text(where: tuple[str | int, ...], kind: str, value: Any, message: str) -> str:
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")
    if kind == "missing":
        return f"{key} is missing"
    problem = re.sub(r"^\w+ should", "must", message.removeprefix("Value error, ")).replace(
        "valid dictionary", "mapping"
    )
    problem = re.sub(r"\b10{9,}\b", lambda found: f"1e{len(found[0]) - 1}", problem)
    shown = type(value).__name__ if isinstance(value, dict | list | bytes) else repr(value)[:_SHOWN_CHARS]
    return f"{key}: {shown}: {problem}" if key else problem
