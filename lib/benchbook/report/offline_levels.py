"""The offline references of the serving curve: the floor of latency mode and the ceiling of throughput mode.

Both are found by (launch, curve); a reference of other lengths is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from benchbook.judge.spread import Spread, spread_of
from benchbook.records.record import Verdict
from benchbook.report.curves import OUTPUT_THROUGHPUT
from benchbook.report.table import START, believed
from benchbook.terms.benchmarks import BENCHMARKS, Role, with_role

Key = tuple[str, str]  # launch, curve
_MS_PER_S = 1000.0


@dataclass(frozen=True)
class Ceiling:
    """Output throughput (tok/s) of throughput mode, at the number of prompts that reached most."""

    output_tok_s: Spread
    num_prompts: int


def ceilings(table: pd.DataFrame, curve_of: Mapping[str, str]) -> dict[Key, Ceiling]:
    """Return the highest mean output throughput of throughput mode, by launch and curve."""
    found: dict[Key, Ceiling] = {}
    for key, prompts, rows in _cases(table, curve_of, "ceiling"):
        spread = spread_of(rows[OUTPUT_THROUGHPUT], rows[START])
        if spread and (key not in found or spread.mean > found[key].output_tok_s.mean):
            found[key] = Ceiling(spread, prompts)
    return found


def batch_latencies(table: pd.DataFrame, curve_of: Mapping[str, str]) -> dict[Key, dict[int, Spread]]:
    """Return the average latency (ms) of one offline batch by its size, by launch and curve."""
    found: dict[Key, dict[int, Spread]] = {}
    for key, batch_size, rows in _cases(table, curve_of, "floor"):
        spread = spread_of(rows["avg_batch_latency_s"] * _MS_PER_S, rows[START])
        if spread:
            found.setdefault(key, {})[batch_size] = spread
    return found


def level_verdict(table: pd.DataFrame, curve_of: Mapping[str, str], role: Role, key: Key, size: int) -> Verdict:
    """Return whether a level of `ceilings` (size: prompts) or `batch_latencies` (size: batch) has a VALID repeat."""
    cases = _cases(table, curve_of, role)
    verdicts = {verdict for found, value, rows in cases if (found, value) == (key, size) for verdict in rows["verdict"]}
    return Verdict.VALID if Verdict.VALID.value in verdicts else Verdict.SUSPECT


def _cases(table: pd.DataFrame, curve_of: Mapping[str, str], role: Role) -> list[tuple[Key, int, pd.DataFrame]]:
    """Return (key, load, believed rows) of each case of the benchmarks of `role`, by rising load."""
    found = []
    for name in with_role(role):
        rows = believed(table[table["benchmark"] == name])
        if rows.empty:
            continue
        groups = rows.groupby(["launch", rows["case_id"].map(curve_of), BENCHMARKS[name].load], sort=False)
        found += [((str(launch), str(curve)), int(load), group) for (launch, curve, load), group in groups]
    return sorted(found, key=lambda case: case[1])
