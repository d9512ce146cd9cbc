"""Recorded traces: when requests came, how long they and their answers were, and which of them began alike.

Three published forms, told by their first line:
    Mooncake   {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, ...]}   (ms; blocks of 512)
    Azure      TIMESTAMP,ContextTokens,GeneratedTokens                   2023-11-16 18:15:46.6805900,374,44
    BurstGPT   Timestamp,Model,Request tokens,Response tokens,...        5,ChatGPT,472,18,490,Conversation log   (s)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchbook.measure.drawing.rows import Row, json_lines, lines, some, table
from benchbook.terms.errors import ExperimentError

HASH_BLOCK_TOKENS = 512  # that one of Mooncake's hash ids stands for
_MS = 1e-3


@dataclass(frozen=True)
class Arrival:
    """One recorded request."""

    due_s: float  # after the first one of the file; of a window, after the first one in it
    input_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] = ()


def arrivals(path: Path | str, *, window_s: tuple[float, float] | None = None, speed: float = 1.0) -> Iterator[Arrival]:
    """Yield the requests of the trace at `path`, of those seconds of it, `speed` times as fast as they were recorded.

    Requests without tokens, in or out, failed when they were recorded: they are left out. Raises ExperimentError with the
    line of what is wrong, also of a time that runs backwards.
    """
    read = _form(path)
    first_s = before_s = begin_s = None
    for row in some(read.rows(path), path, "requests"):
        time_s, arrival = read.arrival(row)
        first_s = time_s if first_s is None else first_s
        if before_s is not None and time_s < before_s:
            row.refuse(f"its time is {before_s - time_s:g} s before that of the request above it")
        before_s = time_s
        since_s = time_s - first_s
        if window_s and since_s >= window_s[1]:
            return
        if (window_s and since_s < window_s[0]) or not arrival.input_tokens or not arrival.output_tokens:
            continue
        begin_s = since_s if begin_s is None else begin_s
        yield Arrival((since_s - begin_s) / speed, arrival.input_tokens, arrival.output_tokens, arrival.hash_ids)


@dataclass(frozen=True)
class _Form:
    rows: Callable[[Path | str], Iterator[Row]]
    arrival: Callable[[Row], tuple[float, Arrival]]  # with its time (s), from wherever it is counted


def _mooncake(row: Row) -> tuple[float, Arrival]:
    tokens = row.count("input_length")
    hash_ids = row.get("hash_ids", list, "a list of whole numbers") if "hash_ids" in row.fields else []
    if any(type(one) is not int or one < 0 for one in hash_ids):
        row.refuse("hash_ids must be whole numbers from 0 on")
    needed = math.ceil(tokens / HASH_BLOCK_TOKENS)
    if hash_ids and len(hash_ids) != needed:
        row.refuse(
            f"{len(hash_ids)} hash_ids for {tokens:,} tokens, where blocks of {HASH_BLOCK_TOKENS} tokens are {needed}"
        )
    return row.number("timestamp") * _MS, Arrival(0.0, tokens, row.count("output_length"), tuple(hash_ids))


def _azure(row: Row) -> tuple[float, Arrival]:
    text = row.text("TIMESTAMP")
    try:
        whole, _, rest = text.strip().removesuffix("Z").partition(".")
        digits, plus, zone = rest.partition("+")
        moment = datetime.fromisoformat(whole + plus + zone)
        fraction = float(f"0.{digits or 0}")  # seven digits, of which Python reads six
    except ValueError:
        row.refuse(f"TIMESTAMP must be a time such as 2023-11-16 18:15:46.6805900, not {text!r}")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return moment.timestamp() + fraction, Arrival(0.0, row.count("ContextTokens"), row.count("GeneratedTokens"))


def _burstgpt(row: Row) -> tuple[float, Arrival]:
    return row.number("Timestamp"), Arrival(0.0, row.count("Request tokens"), row.count("Response tokens"))


def _form(path: Path | str) -> _Form:
    line, text = next(lines(path), (1, ""))
    if text.lstrip().startswith("{"):
        return _Form(json_lines, _mooncake)
    names = {name.strip().strip('"').removeprefix("\ufeff") for name in text.split(",")}
    if {"TIMESTAMP", "ContextTokens", "GeneratedTokens"} <= names:
        return _Form(table, _azure)
    if {"Timestamp", "Request tokens", "Response tokens"} <= names:
        return _Form(table, _burstgpt)
    raise ExperimentError(
        f"{path}, line {line}: no trace that is known: Mooncake's objects with timestamp, input_length and output_length, "
        "Azure's columns TIMESTAMP, ContextTokens and GeneratedTokens, or BurstGPT's Timestamp, Request tokens and Response tokens"
    )
