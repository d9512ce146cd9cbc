"""Which cases a table shows, and in which order: by what they are and by the means of what they measured.

Whole cases are chosen, never repeats: a mean over repeats that were chosen by their values would be no mean.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any

import pandas as pd

from benchbook.report.settings import value_text
from benchbook.report.table import CASE_KEYS, case_table, number_keys
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean

_CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|!=|==|=|<|>)\s*(.+?)\s*")
_ORDERS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_EQUALS = {"=": True, "==": True, "!=": False}


def where(table: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the cases that meet all conditions: 'max_concurrency>=8', 'median_ttft_ms<500', 'verdict=VALID'.

    A number is the mean of a case; of another column all repeats must meet it, a text with * and ? as in file names.
    Raises ExperimentError for a condition of another form, a column that there is none of, and when no case is left.
    """
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if not parts:
            raise ExperimentError(
                f"--where {condition!r}: write COLUMN=VALUE, or one of != < <= > >= in the place of ="
            )
        column, sign, value = parts.groups()
        check_column(column, table)
        met = _met(table, column, sign, value, condition)
        if len(table) and not met.any():
            raise ExperimentError(f"--where {condition!r}: no case meets it")
        table = table.loc[met]
    return table


def sorted_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows with their cases in the order of `column`, of a number its mean; '-column' begins with the largest.

    Cases without a value come last. Raises ExperimentError for a column that there is none of.
    """
    name = column.removeprefix("-")
    check_column(name, table)
    values = _of_cases(table, name)
    order = values.sort_values(ascending=column == name, kind="stable", na_position="last")
    places = pd.Series(range(len(order)), index=order.index)
    by_row = pd.MultiIndex.from_frame(table[CASE_KEYS])
    return table.iloc[places.reindex(by_row).argsort(kind="stable")]


def check_column(column: str, table: pd.DataFrame) -> None:
    """Raise ExperimentError, with the nearest names, unless the table has this column."""
    if column not in table.columns:
        hint = did_you_mean(alike(column, table.columns, most=3)) or "--format csv has them all"
        raise ExperimentError(f"no column {column!r}; {hint}")


def _of_cases(table: pd.DataFrame, column: str) -> pd.Series:
    """Return the value of each case, by its keys: a number's mean, else what its first repeat has."""
    if column in number_keys(table):
        return case_table(table).set_index(CASE_KEYS)[f"{column}_mean"]
    return table.groupby(CASE_KEYS, sort=False, dropna=False)[column].first()


def _met(table: pd.DataFrame, column: str, sign: str, value: str, condition: str) -> pd.Series:
    by_row = pd.MultiIndex.from_frame(table[CASE_KEYS])
    if column in number_keys(table):
        held = _of_cases(table, column).map(lambda mean: _holds(mean, sign, value, condition))
    else:
        rows = table[column].map(lambda one: _holds(one, sign, value, condition))
        held = rows.groupby([table[key] for key in CASE_KEYS], sort=False, dropna=False).all()
    return pd.Series(held.reindex(by_row).to_numpy(dtype=bool), index=table.index)


def _holds(seen: Any, sign: str, value: str, condition: str) -> bool:
    if sign in _EQUALS and not _is_number(seen):
        return fnmatchcase(value_text(seen) if not pd.isna(seen) else "", value) is _EQUALS[sign]
    try:
        wanted = float(value.replace(",", ""))
    except ValueError:
        raise ExperimentError(f"--where {condition!r}: {value!r} is not a number") from None
    if not _is_number(seen):
        if pd.isna(seen):
            return False
        raise ExperimentError(
            f"--where {condition!r}: {value_text(seen)!r} is not a number, so = or != can be asked for"
        )
    return (seen == wanted) is _EQUALS[sign] if sign in _EQUALS else bool(_ORDERS[sign](seen, wanted))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not pd.isna(value)
