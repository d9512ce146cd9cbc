"""The tidy table: one row a repeat, one column a fact, and from it one row a case with mean and spread.

Absent stays absent: a metric that was not measured is NaN, an empty field in CSV, null in JSON; never 0.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from benchbook.judge.binding import COLUMNS, NUMBERS, limit_values
from benchbook.records.metrics import BY_KEY, METRICS
from benchbook.records.record import Outcome, Record, Verdict

JUDGEMENT = ("verdict", "reasons")
IDENTITY = ("experiment", "run_id", "launch", "case_id", "benchmark", "repeat", "attempt")
STATE = ("outcome", "cause", "started_utc", "ended_utc")
CASE_KEYS = ["experiment", "run_id", "launch", "case_id", "benchmark"]
METRIC_KEYS = tuple(metric.key for metric in METRICS)
NUMBER_KEYS = (*METRIC_KEYS, *NUMBERS)
_COUNT_KEYS = tuple(metric.key for metric in METRICS if not metric.unit)

TableFormat = Literal["csv", "json", "md"]


def tidy_table(records: Sequence[Record]) -> pd.DataFrame:
    """Return one row a repeat: verdict, reasons, identity, outcome, workload, every metric by its key, and the limits."""
    workload_keys = dict.fromkeys(key for record in records for key in record.workload)
    columns = list(dict.fromkeys((*JUDGEMENT, *IDENTITY, *STATE, *workload_keys, *METRIC_KEYS, *COLUMNS)))
    frame = pd.DataFrame([_row(record) for record in records], columns=columns)
    frame[list(NUMBER_KEYS)] = frame[list(NUMBER_KEYS)].astype("float64")
    # Whole numbers stay whole where some rows have none: 128, not 128.0.
    whole = [*workload_keys, *_COUNT_KEYS, "repeat", "attempt"]
    frame[whole] = frame[whole].convert_dtypes()
    return frame


def case_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a case of a tidy table, in the order of its rows.

    Counts: `repeats`, `valid`, `suspect`, `invalid`, `not_measured`. Each metric and limit becomes `<key>_mean` and
    `<key>_stdev` (NaN for one repeat) over the VALID and SUSPECT repeats; a number that may not be believed is in no mean.
    """
    groups = table.groupby(CASE_KEYS, sort=False, dropna=False)
    measured = table["outcome"] == Outcome.MEASURED.value
    flags = pd.DataFrame(
        {
            "valid": measured & (table["verdict"] == Verdict.VALID.value),
            "suspect": measured & (table["verdict"] == Verdict.SUSPECT.value),
            "invalid": measured & (table["verdict"] == Verdict.INVALID.value),
            "not_measured": ~measured,
        }
    )
    by_case = [table[key] for key in CASE_KEYS]
    counts = flags.groupby(by_case, sort=False, dropna=False).sum()
    values = table[list(NUMBER_KEYS)].astype("float64").where(_is_believed(table))
    grouped_values = values.groupby(by_case, sort=False, dropna=False)
    means, stdevs = grouped_values.mean().add_suffix("_mean"), grouped_values.std(ddof=1).add_suffix("_stdev")
    workload = groups[workload_columns(table)].first()
    parts = [workload, groups.size().rename("repeats"), counts, means, stdevs]
    return pd.concat(parts, axis="columns").copy().reset_index()  # copied into few blocks, which pandas asks for


def believed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose numbers may be believed: measured and not INVALID."""
    return table[_is_believed(table)]


def workload_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of `table` that describe the workload, in the table's order."""
    known = {*JUDGEMENT, *IDENTITY, *STATE, *METRIC_KEYS, *COLUMNS}
    return [column for column in table.columns if column not in known]


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain mappings, None where nothing is known."""
    return [{key: None if pd.isna(value) else value for key, value in row.items()} for row in table.to_dict("records")]


def render_table(table: pd.DataFrame, table_format: TableFormat) -> str:
    """Return `table` as CSV, as JSON (a list of rows) or as a Markdown table; digits as measured, nothing rounded."""
    if table_format == "csv":
        return _csv(table)
    if table_format == "json":
        return json.dumps(plain_rows(table), indent=2, allow_nan=False) + "\n"
    return _markdown(table)


def _csv(table: pd.DataFrame) -> str:
    """Return what `table.to_csv(index=False)` does, in half its time: large runs are mostly this file."""
    columns = []
    for _, column in table.items():
        unknown = column.isna()
        columns.append((column.astype(object).where(~unknown, "") if unknown.any() else column).tolist())
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*columns))
    return stream.getvalue()


def _row(record: Record) -> dict[str, Any]:
    """Return one row of the tidy table; the workload first, so that it can never overwrite an identity."""
    identity = record.identity
    return {
        **{key: _scalar(value) for key, value in record.workload.items()},
        **{key: value for key, value in record.values.items() if key in BY_KEY},
        **limit_values(record),
        "experiment": identity.experiment,
        "run_id": identity.run_id,
        "launch": identity.launch,
        "case_id": identity.case_id,
        "benchmark": record.benchmark,
        "repeat": identity.repeat,
        "attempt": identity.attempt,
        "outcome": record.outcome.value,
        "verdict": record.verdict.value,
        "reasons": " ".join(reason.code for reason in record.reasons),
        "cause": record.failure.code if record.failure else "",
        "started_utc": record.started_utc,
        "ended_utc": record.ended_utc,
    }


def _scalar(value: Any) -> Any:
    """Return a list or a mapping as JSON text, anything else unchanged: a field holds one value."""
    return json.dumps(value, sort_keys=True) if isinstance(value, (list, dict, tuple)) else value


def _is_believed(table: pd.DataFrame) -> pd.Series:
    return (table["outcome"] == Outcome.MEASURED.value) & (table["verdict"] != Verdict.INVALID.value)


def _markdown(table: pd.DataFrame) -> str:
    """Return `table` as GitHub's Markdown, without the columns that are empty in every row."""
    shown = table.dropna(axis="columns", how="all")
    shown = shown.loc[:, [not (shown[column].astype(str) == "").all() for column in shown]]
    rows = [list(map(str, shown.columns)), ["---"] * len(shown.columns)]
    rows += [
        ["" if pd.isna(value) else _markdown_cell(value) for value in row] for row in shown.itertuples(index=False)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _markdown_cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
