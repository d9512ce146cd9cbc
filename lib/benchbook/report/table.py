"""The tidy table: one row a repeat, one column a fact, and from it one row a case with mean and spread.

Absent stays absent: a metric that was not measured is NaN, an empty field in CSV, null in JSON; never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal

import pandas as pd
from pydantic_core import to_json

from benchbook.judge.binding import roofline_values, values_without_roofline
from benchbook.judge.columns import COLUMNS, NUMBERS
from benchbook.judge.gpus import num_gpus
from benchbook.judge.price import PRICED, priced_values
from benchbook.judge.starts import start_of
from benchbook.listing import markdown
from benchbook.records.header import Price
from benchbook.records.record import Outcome, Record, Verdict
from benchbook.terms.asked import RATE
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.redaction import known_secrets, redacted

CASE_KEYS = ["experiment", "run_id", "launch", "case_id", "benchmark"]
START = "host_ready_utc"  # which start of its host a repeat was measured on; '' where nobody noted it
_FACTS: Mapping[str, Callable[[Record], Any]] = {
    "verdict": attrgetter("verdict.value"),
    "reasons": lambda record: " ".join(reason.code for reason in record.reasons),
    "experiment": attrgetter("identity.experiment"),
    "run_id": attrgetter("identity.run_id"),
    "launch": attrgetter("identity.launch"),
    "case_id": attrgetter("identity.case_id"),
    "benchmark": attrgetter("benchmark"),
    "gpus": num_gpus,
    "repeat": attrgetter("identity.repeat"),
    "attempt": attrgetter("identity.attempt"),
    "disturbed": lambda record: "; ".join(record.identity.disturbed),  # the tries that this one takes the place of
    "outcome": attrgetter("outcome.value"),
    "cause": lambda record: record.failure.code if record.failure else "",
    START: lambda record: start_of(record) or "",
    "started_utc": attrgetter("started_utc"),
    "ended_utc": attrgetter("ended_utc"),
}
# Half-widths as shares, by metric, as JSON; a column only where `precision` asked for any.
REACHED = "precision_reached"

TableFormat = Literal["csv", "json", "md"]


def number_keys(table: Collection[str] = ()) -> list[str]:
    """Return the columns that are numbers: metrics, limits, and those of a price that `table` has."""
    return [*BY_KEY, *NUMBERS, *(key for key in PRICED if key in table)]


def _is_ours(column: str) -> bool:
    return column in _FACTS or column == REACHED or column in BY_KEY or column in COLUMNS or column in PRICED


def tidy_table(records: Sequence[Record], price: Price | None = None) -> pd.DataFrame:
    """Return one row a repeat: verdict, reasons, identity, outcome, workload, every metric by its key, and the limits.

    With a price, what the tokens of each cost as well.
    """
    return with_rooflines(measured_table(records, price), records)


def with_rooflines(table: pd.DataFrame, records: Sequence[Record]) -> pd.DataFrame:
    """Return the `measured_table` of `records` with the columns that take a roofline, which are half of making it."""
    limits = pd.DataFrame([tuple(roofline_values(record).values()) for record in records], columns=list(COLUMNS))
    limits[list(NUMBERS)] = limits[list(NUMBERS)].astype("float64")
    return table.assign(**dict(limits.items()))


def measured_table(records: Sequence[Record], price: Price | None = None) -> pd.DataFrame:
    """Return the same, but empty in the columns that take a roofline."""
    asked = dict.fromkeys(key for record in records for key in record.workload)
    settings = [key for key in asked if not _is_ours(key)]  # none stands in for a column of ours
    columns = [*_FACTS, *settings, *BY_KEY, *COLUMNS]
    frame = pd.DataFrame([_row(record, settings) for record in records], columns=columns)
    reached = [record.conditions.precision.reached for record in records]
    if any(reached):
        frame[REACHED] = [_scalar(known) if known else None for known in reached]
    if price:
        paid = [priced_values(record, price) for record in records]
        frame = frame.assign(**{key: [values[key] for values in paid] for key in PRICED})
    frame[number_keys(frame)] = frame[number_keys(frame)].astype("float64")
    # Whole numbers stay whole where some rows have none: 128, not 128.0.
    whole = [*settings, *(metric.key for metric in BY_KEY.values() if not metric.unit), "gpus", "repeat", "attempt"]
    frame[whole] = frame[whole].convert_dtypes()
    return frame


def case_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a case of a tidy table, in the order of its rows.

    Counts: `repeats`, `valid`, `suspect`, `invalid`, `not_measured`, and of the measured `measured_again`. Each metric
    and limit becomes `<key>_mean` and `<key>_stdev` (NaN for one repeat) over the VALID and SUSPECT repeats, or over the
    means of their starts where a case has several; a number that may not be believed is in no mean.
    """
    groups = table.groupby(CASE_KEYS, sort=False, dropna=False)
    measured = table["outcome"] == Outcome.MEASURED.value
    flags = pd.DataFrame(
        {
            "valid": measured & (table["verdict"] == Verdict.VALID.value),
            "suspect": measured & (table["verdict"] == Verdict.SUSPECT.value),
            "invalid": measured & (table["verdict"] == Verdict.INVALID.value),
            "not_measured": ~measured,
            "measured_again": measured & (table["disturbed"] != ""),
        }
    )
    by_case = [table[key] for key in CASE_KEYS]
    counts = flags.groupby(by_case, sort=False, dropna=False).sum()
    values = table[number_keys(table)].astype("float64").where(_is_believed(table))
    if (units := _units(table, by_case)) is not None:
        values = values.groupby([*by_case, units], sort=False, dropna=False).mean()
        by_case = [values.index.get_level_values(key) for key in CASE_KEYS]
    grouped_values = values.groupby(by_case, sort=False, dropna=False)
    means, stdevs = grouped_values.mean().add_suffix("_mean"), grouped_values.std(ddof=1).add_suffix("_stdev")
    workload = groups[[*workload_columns(table), "gpus"]].first()
    parts = [workload, groups.size().rename("repeats"), counts, means, stdevs]
    return pd.concat(parts, axis="columns").copy().reset_index()  # copied into few blocks, which pandas asks for


def _units(table: pd.DataFrame, by_case: Sequence[pd.Series]) -> pd.Series | None:
    """Return what each row is one value of: its start where its case has several, else itself; None where all are rows."""
    starts = table[START].where(_is_believed(table) & (table[START] != ""))
    is_repeated = starts.groupby([*by_case, starts], dropna=True).transform("size") > 1
    if not is_repeated.any():
        return None
    several = starts.groupby(by_case, sort=False, dropna=False).transform("nunique") > 1
    return starts.where(several & starts.notna(), table.index.astype(str)) if several.any() else None


def believed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose numbers may be believed: measured and not INVALID."""
    return table[_is_believed(table)]


def workload_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of `table` that describe the workload, in the table's order."""
    return [column for column in table.columns if not _is_ours(column)]


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
    """Return what `table.to_csv(index=False)` does, in a quarter of its time: large runs are mostly this file.

    Its texts are without secrets.
    """
    columns = [_csv_floats(column) if column.dtype == "float64" else _csv_texts(column) for _, column in table.items()]
    return "".join(f"{','.join(row)}\n" for row in (_csv_fields(table.columns), *zip(*columns)))


def _csv_floats(column: pd.Series) -> list[str]:
    """Return each number as Python writes it, the shortest text that gives it back, and '' for NaN."""
    sizes = column.abs()
    if ((sizes > 0) & (sizes < 1e-4) | (sizes >= 1e16)).any():  # here Python has exponents, of its own form
        return ["" if math.isnan(value) else repr(value) for value in column.tolist()]
    # pydantic's JSON has the same digits, in a third of the time.
    return to_json(column.tolist()).decode()[1:-1].replace("NaN", "").split(",") if len(column) else []


def _csv_texts(column: pd.Series) -> list[str]:
    """Return each value as text, quoted where it must be, and '' where there is none."""
    return _csv_fields(list(map(str, column.astype(object).where(column.notna(), ""))))


def _csv_fields(texts: Sequence[str]) -> list[str]:
    secrets = known_secrets()
    fields = {text: _csv_field(redacted(text, secrets)) for text in set(texts)}
    return [fields[text] for text in texts]


def _csv_field(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"\r\n') else value


def _row(record: Record, settings: Sequence[str]) -> tuple[Any, ...]:
    """Return one row of the tidy table; a mapping would take half as long again."""
    return (
        *[read(record) for read in _FACTS.values()],
        *(_scalar(_setting(record, key)) for key in settings),
        *map(record.values.get, BY_KEY),
        *values_without_roofline(record).values(),
    )


def _setting(record: Record, key: str) -> Any:
    """Return a field of the workload; of a rate that is a share of a maximum the number that it was."""
    was_measured = key == RATE and record.load is not None and record.load.of
    return record.load.value if was_measured else record.workload.get(key)


def _scalar(value: Any) -> Any:
    """Return a list or a mapping as JSON text, anything else unchanged: a field holds one value."""
    return json.dumps(value, sort_keys=True) if isinstance(value, (list, dict, tuple)) else value


def _is_believed(table: pd.DataFrame) -> pd.Series:
    return (table["outcome"] == Outcome.MEASURED.value) & (table["verdict"] != Verdict.INVALID.value)


def _markdown(table: pd.DataFrame) -> str:
    """Return `table` as GitHub's Markdown, without the columns that are empty in every row."""
    shown = table.dropna(axis="columns", how="all")
    shown = shown.loc[:, [not (shown[column].astype(str) == "").all() for column in shown]]
    rows = [["" if pd.isna(value) else str(value) for value in row] for row in shown.itertuples(index=False)]
    return markdown(list(map(str, shown.columns)), rows)
