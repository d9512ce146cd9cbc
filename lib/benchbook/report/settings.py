"""What a run varied and what it held fixed, per benchmark, from its workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchbook.judge.loads import IN_FLIGHT
from benchbook.report.table import plain_rows, workload_columns
from benchbook.terms.benchmarks import with_role
from benchbook.terms.wording import lengths_text

LENGTHS = ("input_len_tokens", "output_len_tokens")  # columns that are read together
_MAX_VALUES_SHOWN = 12


def settings_of(workloads: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return ({name: its values}, {name: its one value}): what varies between `workloads` and what does not.

    The two lengths count as one setting; prompts in proportion to the concurrency are fixed; unset ones are left out.
    """
    values: dict[str, list[Any]] = {}
    for workload in workloads:
        for name, value in _readable(workload).items():
            values.setdefault(name, []).append(value)
    distinct = {name: list(dict.fromkeys(found)) for name, found in values.items()}
    per_request = _prompts_per_concurrency(workloads)
    if per_request:
        distinct["num_prompts"] = [f"{per_request} for each request in flight"]
    varied = {name: _list_text(found) for name, found in distinct.items() if len(found) > 1}
    fixed = {name: str(found[0]) for name, found in distinct.items() if len(found) == 1 and found[0] is not None}
    return varied, fixed


def settings_text(settings: Mapping[str, str]) -> str:
    """Return 'max_concurrency: 1, 2, 4; temperature: 0', or 'nothing'."""
    return "; ".join(f"{name}: {value}" for name, value in settings.items()) or "nothing"


def fixed_text(table: pd.DataFrame) -> str:
    """Return the settings shared by all serve cases of a tidy table: 'temperature 0.0, burstiness 1.0'."""
    rows = table[table["benchmark"].isin(with_role("curve"))]
    _, fixed = settings_of(plain_rows(rows[workload_columns(table)].drop_duplicates()))
    return ", ".join(f"{name} {value}" for name, value in fixed.items()) or "nothing besides the launch"


def value_text(value: Any) -> str:
    """Return one setting's value for a reader: 'none' where nothing is set, whole numbers without '.0'."""
    if value is None:
        return "none"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)


def _readable(workload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the workload with its two lengths as one setting and every value as text or None."""
    settings = {}
    if all(workload.get(key) is not None for key in LENGTHS):
        settings["lengths"] = lengths_text((workload[LENGTHS[0]], workload[LENGTHS[1]]))
    others = {name: value for name, value in workload.items() if name not in LENGTHS}
    return settings | {name: None if value is None else value_text(value) for name, value in others.items()}


def _prompts_per_concurrency(workloads: Sequence[Mapping[str, Any]]) -> int | None:
    """Return how many prompts went to each request in flight, where that is one whole number for all cases."""
    pairs = [(workload.get("num_prompts"), workload.get(IN_FLIGHT.key)) for workload in workloads]
    if len({concurrency for _, concurrency in pairs}) < 2 or not all(prompts and cap for prompts, cap in pairs):
        return None
    ratios = {prompts / cap for prompts, cap in pairs}
    ratio = ratios.pop()
    return int(ratio) if not ratios and ratio.is_integer() else None


def _list_text(values: Sequence[Any]) -> str:
    shown = [value_text(value) for value in values[:_MAX_VALUES_SHOWN]]
    rest = len(values) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
