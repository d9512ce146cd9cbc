"""What a file of somebody else tells of one measurement, and how its keys are read: missing is None, never 0.

A reader of a format takes a `Told` apart into `Figures`. What a key holds and cannot be, such as a text in the place of a
number, refuses the file with that key: a figure that was cut or retyped is no figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isinf
from typing import Any

from benchbook.records.record import Record
from benchbook.terms.benchmarks import SERVE
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import is_number

MS_OF = {"ns": -6, "us": -3, "µs": -3, "ms": 0, "s": 3, "sec": 3, "seconds": 3}  # powers of ten
_SHOWN_CHARS = 60
_MOST_BYTES = 240  # of a case's name: its folder has some of the fingerprint besides
COUNTS = {"completed", "failed", "total_input_tokens", "total_output_tokens"}  # metrics that are whole numbers
Number = int | float


@dataclass(frozen=True)
class Told:
    """One object of a file, and where it stands: 'x.jsonl, line 3'."""

    content: Mapping[str, Any]
    where: str

    def value(self, path: str) -> Any:
        """Return what stands at the first of `a.b|c` that is there; None where none is, or it is null."""
        return self._found(path)[1]

    def number(self, path: str, power_of_ten: int = 0) -> Number | None:
        """Return the number at `path`, times a power of ten to the digit; StoreError for what is no finite number."""
        key, value = self._found(path)
        if value is None:
            return None
        if not is_number(value):
            raise self.refused(key, value, "is no number that could be")
        return shifted(value, power_of_ten)

    def count(self, path: str) -> int | None:
        """Return the whole number at `path`, 0 or more; StoreError for anything else."""
        key, value = self._found(path)
        if value is None:
            return None
        if not is_number(value) or value != int(value) or value < 0:
            raise self.refused(key, value, "is no count")
        return int(value)

    def positive(self, path: str) -> int | None:
        """Return the count at `path`, 1 or more; StoreError for anything else."""
        found = self.count(path)
        if found == 0:
            raise self.refused(*self._found(path), "must be 1 or more")
        return found

    def rate(self, path: str) -> tuple[float | None, bool]:
        """Return the rate (req/s) at `path`, None where there is none, and whether it is told to be unlimited."""
        key, value = self._found(path)
        if value in ("inf", "Infinity") or isinstance(value, float) and isinf(value) and value > 0:
            return None, True
        if value is not None and (not is_number(value) or value <= 0):
            raise self.refused(key, value, "is no rate")
        return value, False

    def text(self, path: str) -> str | None:
        """Return the text at `path`, None for an empty one; StoreError for anything else."""
        key, value = self._found(path)
        if value is not None and not isinstance(value, str):
            raise self.refused(key, value, "is no text")
        return value or None

    def at(self, path: str) -> Told:
        """Return the object at `path`, an empty one where there is none; StoreError for anything else."""
        key, value = self._found(path)
        if value is not None and not isinstance(value, Mapping):
            raise self.refused(key, value, "is no object")
        return Told(value or {}, f"{self.where}: {key}" if value else self.where)

    def refused(self, key: str, value: Any, problem: str) -> StoreError:
        """Return the error that refuses the file for what stands at `key`."""
        return StoreError(f"{self.where}: {key}: {str(value)[:_SHOWN_CHARS]!r} {problem}")

    def _found(self, path: str) -> tuple[str, Any]:
        ways = path.split("|")
        for way in ways:
            value: Any = self.content
            for part in way.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None:
                return way, value
        return ways[0], None


@dataclass(frozen=True)
class Figures:
    """One measurement as a file tells it: values by the keys of our metrics, what was asked, what of the server is known."""

    where: str
    tool: str  # whose file it is
    values: Mapping[str, Number | None]
    benchmark: str = SERVE.name
    workload: Mapping[str, Any] = field(default_factory=dict)
    sent: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the client noted of its sending, see records/conditions.py
    args: Mapping[str, Any] = field(default_factory=dict)  # of the server
    model: str | None = None
    engine: str | None = None
    client: str | None = None
    ended_utc: str | None = None
    notes: tuple[str, ...] = ()  # how it was read, where names or units differ from ours or something is missing
    raw: Mapping[str, Any] | None = None  # request by request, as vLLM's client writes it
    repeats_of: str = ""  # what is told to be measured again and again has this in common
    curve: str = ""  # what cases have in common that differ in their load; '' takes the mean lengths
    launch: str = ""  # a name for the server, where the file has one
    case: str = ""  # its case, where the file is ours
    repeat: int | None = None  # where the file says which
    record: Record | None = None  # of ours, which is kept as it is


def checked_place(name: str, where: str) -> str:
    """Return the name of a case as a file of ours tells it; StoreError for one that no folder in a run could have."""
    if not name or "/" in name or "\0" in name or len(name.encode()) > _MOST_BYTES:
        raise StoreError(f"{where}: case_id: {name[:_SHOWN_CHARS]!r} is the name of no case")
    return name


def shifted(value: Number, power_of_ten: int) -> Number:
    """Return `value` times a power of ten with the very digits that stand in the file."""
    return float(Decimal(repr(value)).scaleb(power_of_ten)) if power_of_ten else value


def means(values: Mapping[str, Number | None]) -> dict[str, Number]:
    """Return the mean lengths of requests, as settings of a workload, where totals and completed requests are told."""
    completed, found = values.get("completed"), {}
    for key, total in (("mean_input_tokens", "total_input_tokens"), ("mean_output_tokens", "total_output_tokens")):
        tokens = values.get(total)
        if completed and tokens:
            found[key] = length(tokens / completed)
    return found


def length(mean: Number | None) -> Number | None:
    """Return a mean length to a tenth of a token, whole where it is; None for none."""
    tenths = round(mean or 0, 1)
    return (int(tenths) if tenths == int(tenths) else tenths) or None
