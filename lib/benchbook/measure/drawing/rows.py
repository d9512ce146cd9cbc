"""Rows of data files of any size, one at a time: objects a line, rows of a table; items of one JSON array, json_array.py.

Whatever is wrong with a file is an ExperimentError of one line that names file and line. No more of a file is held than
one row, which is bounded: a file of some GB without a line's end is refused, not read.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from benchbook.reading import open_regular
from benchbook.terms.errors import ExperimentError, StoreError

MOST_ROW_BYTES = 16 * 1024**2
PIECE_BYTES = 1024**2
_SHOWN_CHARS = 60
DECODER = json.JSONDecoder(parse_constant=lambda constant: _not_a_number(constant))


@dataclass(frozen=True)
class Row:
    """One row of a file, and where it stands; what it must have is asked of it, by key."""

    path: Path | str
    line: int
    fields: Mapping[str, Any]

    def refuse(self, problem: str) -> NoReturn:
        """Raise ExperimentError that names the file and the line."""
        raise ExperimentError(f"{self.path}, line {self.line}: {problem}")

    def get(self, key: str, what: type | tuple[type, ...], name: str) -> Any:
        """Return the value of `key`, which must be of the type(s) `what`: `name` in words; refuse what is not."""
        if key not in self.fields:
            near = next((known for known in self.fields if known.lower().strip() == key.lower()), None)
            self.refuse(f"no {key!r}" + (f"; there is {near!r}" if near is not None else _listed(self.fields)))
        value = self.fields[key]
        if not isinstance(value, what) or (isinstance(value, bool) and bool not in _types(what)):
            self.refuse(f"{key} must be {name}, not {_shown(value)}")
        return value

    def text(self, key: str) -> str:
        """Return the value of `key`, which must be text that is not blank."""
        value = self.get(key, str, "text")
        return value if value.strip() else self.refuse(f"{key} is blank")

    def number(self, key: str) -> float:
        """Return the value of `key`, which must be a finite number, from 0 on; a table's text is read as one."""
        value = self.get(key, (int, float, str), "a number")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            self.refuse(f"{key} must be a number from 0 on, not {_shown(value)}")
        return number

    def count(self, key: str) -> int:
        """Return the value of `key`, which must be a whole number, from 0 on."""
        number = self.number(key)
        return int(number) if number == int(number) else self.refuse(f"{key} must be whole, not {number:g}")


def lines(path: Path | str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, with its number."""
    with opened(path) as stream:
        number = 0
        while line := stream.readline(MOST_ROW_BYTES + 1):
            number += 1
            if len(line) > MOST_ROW_BYTES:
                raise ExperimentError(f"{path}, line {number}: has more than {MOST_ROW_BYTES:,} bytes")
            text = decoded(line, path, number)
            if text.strip():
                yield number, text


def json_lines(path: Path | str) -> Iterator[Row]:
    """Yield the JSON object of each line."""
    for number, text in lines(path):
        try:
            fields = DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise ExperimentError(f"{path}, line {number}: {said_of(error, text)}") from error
        yield row_of(path, number, fields, text)


def table(path: Path | str) -> Iterator[Row]:
    """Yield the rows of a table of comma-separated values, by the names in its first line."""
    end = 0

    def texts() -> Iterator[str]:
        nonlocal end
        for number, text in lines(path):
            end = number
            yield text

    reader = csv.reader(texts(), strict=True)
    try:
        names = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
        for values in reader:
            if len(values) != len(names):
                raise ExperimentError(f"{path}, line {end}: {len(values)} values where {len(names)} are named")
            yield Row(path, end, dict(zip(names, values)))
    except csv.Error as error:
        raise ExperimentError(f"{path}, line {end}: {error}") from error


def some(rows: Iterable[Row], path: Path | str, what: str) -> Iterator[Row]:
    """Yield `rows`; raise ExperimentError where there are none: no `what` in the file."""
    rows = iter(rows)
    if (first := next(rows, None)) is None:
        raise ExperimentError(f"{path}, line 1: no {what} in this file")
    yield first
    yield from rows


def last_line(path: Path | str) -> int:
    """Return the number of the file's last line, for what is said of its end."""
    number, last = 0, b"\n"
    with opened(path) as stream:
        while piece := stream.read(PIECE_BYTES):
            number, last = number + piece.count(b"\n"), piece[-1:]
    return max(1, number + (last != b"\n"))


def opened(path: Path | str) -> BinaryIO:
    """Return the file at `path`, open for reading; ExperimentError where it is no regular file that can be read."""
    try:
        return open_regular(path)
    except StoreError as error:
        raise ExperimentError(str(error)) from error


def decoded(content: bytes, path: Path | str, line: int) -> str:
    """Return bytes of a file, from `line` on, as text; ExperimentError where they are no UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        raise ExperimentError(f"{path}, line {line}: not UTF-8: byte 0x{content[error.start]:02x}") from error


def row_of(path: Path | str, line: int, fields: Any, text: str) -> Row:
    """Return the JSON value `fields`, which `text` said, as a row; ExperimentError where it is no object, or not of text."""
    if not isinstance(fields, dict):
        raise ExperimentError(f"{path}, line {line}: must be a JSON object, not {_shown(fields)}")
    if "\\u" in text:
        try:
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ExperimentError(f"{path}, line {line}: half of a surrogate pair, which no text has") from None
    return Row(path, line, fields)


def said_of(error: Exception, text: str) -> str:
    """Return in words why `text` is no JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"no whole JSON: {error.msg} at {_shown(text[error.pos : error.pos + 20]) if text[error.pos :] else 'its end'}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _types(what: type | tuple[type, ...]) -> tuple[type, ...]:
    return what if isinstance(what, tuple) else (what,)


def _shown(value: Any) -> str:
    text = type(value).__name__ if isinstance(value, dict | list) else "null" if value is None else ascii(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def _listed(fields: Mapping[str, Any]) -> str:
    return f"; it has {', '.join(map(_shown, list(fields)[:8]))}" if fields else "; it is empty"
