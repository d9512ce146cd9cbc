"""Which serve cases belong together: a line is one launch with one pair of lengths, over rising concurrency.

Figures draw lines and readings speak of them, so both take them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from benchbook.judge.spread import Spread, spread_of
from benchbook.records.record import Outcome
from benchbook.report.table import believed, workload_columns

CONCURRENCY = "max_concurrency"
OUTPUT_THROUGHPUT = "output_throughput_tok_s"
USER_SPEED = "user_speed_tok_s"
LENGTHS = ("input_len_tokens", "output_len_tokens")
MAX_LINES = 8  # more cannot be told apart in one figure


@dataclass(frozen=True, eq=False)
class Line:
    """The measured repeats of one launch and one pair of lengths."""

    label: str  # "128 in / 64 out", with the launch in front when there are several
    launch: str
    lengths: tuple[int, int]  # input, output tokens
    repeats: pd.DataFrame  # rows of the tidy table, INVALID ones included
    _points: dict[str, Mapping[int, Spread]] = field(default_factory=dict, repr=False)  # figures and sentences share them

    @property
    def key(self) -> tuple[str, tuple[int, int]]:
        """Return (launch, lengths): what an offline case must share to be compared with this line."""
        return self.launch, self.lengths

    def points(self, key: str) -> Mapping[int, Spread]:
        """Return the spread of `key` over the believed repeats that have it, by rising concurrency."""
        if key not in self._points:
            # By hand: for these few values, grouping and aggregating in pandas takes four times as long.
            values: dict[int, list[float]] = {}
            for concurrency, value in zip(self._believed[CONCURRENCY], self._believed[key].astype("float64")):
                values.setdefault(int(concurrency), []).append(value)
            spreads = {concurrency: spread_of(values[concurrency]) for concurrency in sorted(values)}
            self._points[key] = {concurrency: spread for concurrency, spread in spreads.items() if spread}
        return self._points[key]

    def means(self, key: str) -> dict[int, float]:
        """Return the means of `points`, by rising concurrency."""
        return {concurrency: spread.mean for concurrency, spread in self.points(key).items()}

    @cached_property
    def _believed(self) -> pd.DataFrame:
        return believed(self.repeats)


def serve_lines(table: pd.DataFrame, limit: int = MAX_LINES) -> tuple[list[Line], int]:
    """Return the lines of the closed-loop serve cases, in the table's order, and how many there are in all.

    More than `limit` are cut to those that reach the highest output throughput.
    """
    rows = closed_loop(table)
    if rows.empty:
        return [], 0
    # The speed that one user sees while a text streams; vLLM reports its inverse, TPOT.
    rows = rows.assign(**{USER_SPEED: 1000.0 / rows["median_tpot_ms"]})
    keys = ["launch", *LENGTHS, *_other_axes(rows)]
    groups = rows.groupby(keys, sort=False, dropna=False)
    num_lines = groups.ngroups
    if num_lines > limit:
        kept = _highest(rows, keys, limit)
        chosen = [(values, groups.get_group(values)) for values in groups.groups if values in kept]
    else:
        chosen = list(groups)
    several_launches = len({values[0] for values, _ in chosen}) > 1
    return [_line(values, keys, group, several_launches) for values, group in chosen], num_lines


def closed_loop(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measured repeats of serve cases with a concurrency; a case without one has no place on the axis."""
    rows = table[(table["benchmark"] == "serve") & (table["outcome"] == Outcome.MEASURED.value)]
    return rows[rows[CONCURRENCY].notna()] if CONCURRENCY in rows else rows.iloc[:0]


def open_loop_cases(table: pd.DataFrame) -> int:
    """Return how many measured serve cases have no concurrency, and so no place on the figures' axis."""
    rows = table[(table["benchmark"] == "serve") & (table["outcome"] == Outcome.MEASURED.value)]
    return rows["case_id"].nunique() - closed_loop(table)["case_id"].nunique()


def lengths_text(lengths: tuple[int, int]) -> str:
    """Return '128 in / 64 out'."""
    return f"{lengths[0]} in / {lengths[1]} out"


def _line(values: tuple, keys: list[str], group: pd.DataFrame, several_launches: bool) -> Line:
    launch, lengths = str(values[0]), (int(values[1]), int(values[2]))
    others = [f"{key}={value}" for key, value in zip(keys[3:], values[3:], strict=True)]
    label = ", ".join([*([launch] if several_launches else []), lengths_text(lengths), *others])
    return Line(label, launch, lengths, group)


def _other_axes(rows: pd.DataFrame) -> list[str]:
    """Return what tells apart cases of the same launch, lengths and concurrency, such as a request rate."""
    candidates = [column for column in workload_columns(rows) if column not in (CONCURRENCY, USER_SPEED, *LENGTHS)]
    by_point = rows.groupby(["launch", *LENGTHS, CONCURRENCY], dropna=False)
    return [column for column in candidates if by_point[column].nunique(dropna=False).max() > 1]


def _highest(rows: pd.DataFrame, keys: list[str], limit: int) -> set[tuple]:
    """Return the keys of the `limit` lines with the highest mean output throughput at any concurrency."""
    means = believed(rows).groupby([*keys, CONCURRENCY], sort=False, dropna=False)[OUTPUT_THROUGHPUT].mean()
    peaks = means.groupby(level=list(range(len(keys))), sort=False, dropna=False).max()
    return set(peaks.nlargest(limit).index)
