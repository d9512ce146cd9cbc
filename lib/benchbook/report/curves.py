"""Which serve cases belong together: a line is one launch on one curve, over rising load.

Figures draw lines and readings speak of them, so both take them from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from benchbook.judge.knee import first_unreached
from benchbook.judge.loads import IN_FLIGHT, LOADS, RATE, Load
from benchbook.judge.spread import Spread, spread_of
from benchbook.records.record import Outcome, Verdict
from benchbook.report.settings import value_text
from benchbook.report.table import START, believed, workload_columns
from benchbook.terms.benchmarks import with_role

OUTPUT_THROUGHPUT = "output_throughput_tok_s"
REQUEST_THROUGHPUT = "request_throughput_rps"
USER_SPEED = "user_speed_tok_s"
CURVE = "curve"
MAX_LINES = 8  # more cannot be told apart in one figure
_DISAGREE = "repeats_disagree"


@dataclass(frozen=True, eq=False)
class Line:
    """The measured repeats of one launch on one curve, such as one pair of lengths, under one kind of load."""

    label: str  # "128 in / 64 out", with the launch in front when there are several
    where: str  # the label with the launch in front: what a sentence puts in brackets
    launch: str
    curve: str  # as records hold it: '128 in / 64 out'
    load: Load
    repeats: pd.DataFrame  # rows of the tidy table, INVALID ones included
    _points: dict[str, Mapping[float, Spread]] = field(default_factory=dict, repr=False)  # figures and sentences share

    @property
    def key(self) -> tuple[str, str]:
        """Return (launch, curve): what an offline case must share to be compared with this line."""
        return self.launch, self.curve

    @property
    def loads(self) -> list[float]:
        """Return every load that was measured, rising."""
        return self._loads_of(self.repeats)

    @property
    def valid_loads(self) -> list[float]:
        """Return every load of which a repeat is VALID, rising."""
        return self._loads_of(self.repeats[self.repeats["verdict"] == Verdict.VALID.value])

    def points(self, key: str) -> Mapping[float, Spread]:
        """Return the spread of `key` over the believed repeats that have it, by rising load."""
        if key not in self._points:
            # By hand: for these few values, grouping and aggregating in pandas takes four times as long.
            pairs: dict[float, list[tuple[float, str]]] = {}
            columns = (self.believed[self.load.key], self.believed[key].astype("float64"), self.believed[START])
            for load, value, start in zip(*columns):
                pairs.setdefault(self.load.value(load), []).append((value, start))
            spreads = {load: spread_of(*zip(*pairs[load])) for load in sorted(pairs)}
            self._points[key] = {load: spread for load, spread in spreads.items() if spread}
        return self._points[key]

    def means(self, key: str) -> dict[float, float]:
        """Return the means of `points`, by rising load."""
        return {load: spread.mean for load, spread in self.points(key).items()}

    def disagrees_at(self, load: float) -> bool:
        """Return whether the repeats of this load contradict each other: their mean is then nobody's number."""
        said = self.believed["reasons"][self.believed[self.load.key] == load]
        return any(_DISAGREE in reasons.split() for reasons in said)

    @cached_property
    def believed(self) -> pd.DataFrame:
        """Return the repeats whose numbers may be believed."""
        return believed(self.repeats)

    @cached_property
    def unreached(self) -> float | None:
        """Return the least rate (req/s) of an open loop at which the server falls behind; None where it keeps up."""
        return first_unreached(*(self.means(key) for key in (REQUEST_THROUGHPUT, "completed", "mean_e2el_ms")))

    @property
    def held_to(self) -> float | None:
        """Return the highest rate (req/s) below the first that is not reached; None where even the least is not."""
        held = [rate for rate in self.means(REQUEST_THROUGHPUT) if self.unreached is None or rate < self.unreached]
        return max(held, default=None)

    def _loads_of(self, rows: pd.DataFrame) -> list[float]:
        return sorted(map(self.load.value, rows[self.load.key].unique()))


@dataclass(frozen=True, eq=False)
class Curves:
    """The lines over one kind of load: what one figure draws."""

    load: Load
    lines: list[Line]  # at most MAX_LINES
    num_lines: int  # that there are

    @property
    def loads(self) -> list[float]:
        """Return every load of any line, rising."""
        return sorted({load for line in self.lines for load in line.loads})

    @property
    def is_single(self) -> bool:
        """Return whether no line has a second load: there are launches or lengths to compare, and no curve."""
        return len(self.lines) > 1 and all(len(line.loads) == 1 for line in self.lines)


def serve_curves(table: pd.DataFrame, curve_of: Mapping[str, str], limit: int = MAX_LINES) -> list[Curves]:
    """Return the lines of the closed loops and those of the open ones, as far as there are any, in the table's order.

    `curve_of` tells by case id on which curve a case lies.
    More than `limit` of a kind are cut to those that reach the highest output throughput.
    """
    rows = table[table["benchmark"].isin(with_role("curve")) & (table["outcome"] == Outcome.MEASURED.value)]
    # The speed that one user sees while a text streams; vLLM reports its inverse, TPOT.
    rows = rows.assign(**{USER_SPEED: 1000.0 / rows["median_tpot_ms"], CURVE: rows["case_id"].map(curve_of)})
    asked = {load: rows[load.key].notna() if load.key in rows else pd.Series(False, index=rows.index) for load in LOADS}
    if asked[RATE].any():  # a ramp, and what comes all at once, is no point along a rate
        asked[RATE] = pd.to_numeric(rows[RATE.key], errors="coerce") < math.inf
    is_closed = asked[IN_FLIGHT] & rows[RATE.key].isna() if RATE.key in rows else asked[IN_FLIGHT]
    parts = {RATE: rows[asked[RATE]], IN_FLIGHT: rows[is_closed]}
    return [_curves(parts[load], load, limit) for load in LOADS if not parts[load].empty]


def _curves(rows: pd.DataFrame, load: Load, limit: int) -> Curves:
    keys = ["launch", CURVE, *_other_axes(rows, load)]
    groups = rows.groupby(keys, sort=False, dropna=False)
    if groups.ngroups > limit:
        kept = _highest(rows, keys, load, limit)
        chosen = [(values, groups.get_group(values)) for values in groups.groups if values in kept]
    else:
        chosen = list(groups)
    several_launches = len({values[0] for values, _ in chosen}) > 1
    lines = [_line(values, keys, group, load, several_launches) for values, group in chosen]
    return Curves(load, lines, groups.ngroups)


def _line(values: tuple, keys: list[str], group: pd.DataFrame, load: Load, several_launches: bool) -> Line:
    launch, curve = str(values[0]), str(values[1])
    axes = zip(keys[2:], values[2:], strict=True)
    others = [f"{key}={value_text(None if pd.isna(value) else value)}" for key, value in axes]
    of_launch = ", ".join(filter(None, [curve, *others]))
    where = ", ".join(filter(None, [launch, of_launch]))
    return Line(where if several_launches or not of_launch else of_launch, where, launch, curve, load, group)


def _other_axes(rows: pd.DataFrame, load: Load) -> list[str]:
    """Return what tells apart cases of the same launch, curve and load, such as a cap below a request rate."""
    candidates = [column for column in workload_columns(rows) if column not in (load.key, USER_SPEED, CURVE)]
    by_point = rows.groupby(["launch", CURVE, load.key], dropna=False)
    return [column for column in candidates if by_point[column].nunique(dropna=False).max() > 1]


def _highest(rows: pd.DataFrame, keys: list[str], load: Load, limit: int) -> set[tuple]:
    """Return the keys of the `limit` lines with the highest mean output throughput at any load."""
    means = believed(rows).groupby([*keys, load.key], sort=False, dropna=False)[OUTPUT_THROUGHPUT].mean()
    peaks = means.groupby(level=list(range(len(keys))), sort=False, dropna=False).max()
    return set(peaks.nlargest(limit).index)
