"""The tidy table as a file, and read back: a row a repeat, its settings and metrics under our names.

A table holds figures and settings, and no evidence: what is read back is judged by its figures.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchbook.numbers.figures import COUNTS, Figures, Number, checked_place
from benchbook.reading import read_bytes
from benchbook.records.record import Outcome, Record
from benchbook.report.table import render_table, tidy_table, workload_columns
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.metrics import is_number, metrics_for

PARQUET = ".parquet"
_NEEDED = ("experiment", "run_id", "launch", "case_id", "benchmark", "repeat", "outcome", "ended_utc")


def csv_text(records: list[Record]) -> str:
    """Return the table of `records` as CSV, digits as measured."""
    return render_table(tidy_table(records), "csv")


def write_parquet(records: list[Record], target: Path) -> None:
    """Write the table of `records` to `target`; ExperimentError where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ExperimentError(
            "--to parquet needs pyarrow, which is not installed here (pip install pyarrow); --to csv needs nothing"
        )
    tidy_table(records).to_parquet(target, index=False)


def is_table(path: Path) -> bool:
    """Return whether a file is such a table, by its name and its first line."""
    if path.suffix.lower() == PARQUET:
        return True
    return path.suffix.lower() == ".csv" and set(_NEEDED) <= set(_head(path))


def read_table(path: Path) -> Iterator[Figures]:
    """Yield what each measured row tells; StoreError for a row that is cut or holds what cannot be."""
    rows = list(_parquet_rows(path) if path.suffix.lower() == PARQUET else _csv_rows(path))
    settings = _settings(list(rows[0][1])) if rows else []
    for where, row in rows:
        if None in row or None in row.values() and path.suffix.lower() == ".csv":
            raise StoreError(f"{where} has another number of fields than the first line")
        if row["outcome"] == Outcome.MEASURED.value:
            yield _figures(where, row, settings)


def _figures(where: str, row: Mapping[str, Any], settings: list[str]) -> Figures:
    if row["benchmark"] not in BENCHMARKS:
        raise StoreError(f"{where}: benchmark: {row['benchmark']!r} must be one of {', '.join(BENCHMARKS)}")
    values = {metric.key: _number(where, metric.key, row.get(metric.key)) for metric in metrics_for(row["benchmark"])}
    for key in COUNTS & values.keys():
        if isinstance(values[key], float) and values[key].is_integer():
            values[key] = int(values[key])
    return Figures(
        where,
        "a table of benchbook",
        values,
        row["benchmark"],
        {key: found for key in settings if (found := _setting(row[key])) is not None},
        ended_utc=_time(where, row["ended_utc"]),
        launch=row["launch"],
        repeat=_repeat(where, row["repeat"]),
        repeats_of=f"{where.partition(',')[0]}: {row['case_id']}",
        case=checked_place(row["case_id"], where),
    )


def _repeat(where: str, value: Any) -> int:
    number = _number(where, "repeat", value)
    if number is None or number < 0 or number != int(number) or number > 10**6:
        raise StoreError(f"{where}: repeat: {str(value)[:60]!r} is no number of a repeat")
    return int(number)


def _time(where: str, value: Any) -> str:
    try:
        if datetime.fromisoformat(value).tzinfo is None:
            raise ValueError
    except (TypeError, ValueError):
        raise StoreError(f"{where}: ended_utc: {str(value)[:60]!r} is no time with a zone") from None
    return value


def _number(where: str, key: str, value: Any) -> Number | None:
    if value in ("", None):
        return None
    try:
        number = int(value) if isinstance(value, str) and value.lstrip("-").isdecimal() else float(value)
    except (TypeError, ValueError):
        number = None
    if number is None or not is_number(number):
        raise StoreError(f"{where}: {key}: {str(value)[:60]!r} is no number that could be")
    return number


def _setting(value: Any) -> Any:
    """Return a setting as its record has it: numbers and truth values are told by their text."""
    if not isinstance(value, str):
        return value
    if value in ("True", "False"):
        return value == "True"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value or None


def _settings(columns: list[str]) -> list[str]:
    import pandas as pd

    return workload_columns(pd.DataFrame(columns=columns))


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(csv.DictReader(io.StringIO(_text(path))), start=2):
        yield f"{path}, line {number}", row


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if importlib.util.find_spec("pyarrow") is None:
        raise StoreError(f"{path} is read with pyarrow, which is not installed here (pip install pyarrow)")
    import pandas as pd

    from benchbook.report.table import plain_rows

    for number, row in enumerate(plain_rows(pd.read_parquet(path)), start=1):
        yield f"{path}, row {number}", row


def _head(path: Path) -> list[str]:
    return next(csv.reader(io.StringIO(_text(path).partition("\n")[0])), [])


def _text(path: Path) -> str:
    return read_bytes(path).decode("utf-8-sig", "replace")
