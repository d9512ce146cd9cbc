"""What a row of a case says, in a report's tables and in those of a terminal: what varies, and mean ± spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchbook.judge.columns import PER_GPU
from benchbook.judge.price import PRICED
from benchbook.judge.sample import sample_count
from benchbook.report.settings import LENGTHS, settings_of, value_text
from benchbook.report.table import plain_rows
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import BY_KEY, Metric
from benchbook.terms.percentiles import is_earned, percentile_of, samples_needed
from benchbook.terms.wording import number_text, plus_minus_text

LAUNCH, GPUS, LENGTHS_HEADING = "Launch", "GPUs", "Tokens in / out"
_AXIS_HEADINGS = {
    "max_concurrency": "In flight",
    "batch_size": "Batch size",
    "num_prompts": "Prompts",
    "request_rate_rps": "Rate (req/s)",
}


def axes_of(cases: pd.DataFrame, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return {heading: its columns} of what varies between `cases`; lengths and several GPUs even where they do not."""
    axes: dict[str, tuple[str, ...]] = {}
    if cases["launch"].nunique() > 1:
        axes[LAUNCH] = ("launch",)
    if _has_several_gpus(cases):
        axes[GPUS] = ("gpus",)
    if set(LENGTHS) <= set(columns) and cases[LENGTHS[0]].notna().any():
        axes[LENGTHS_HEADING] = LENGTHS
    varied, _ = settings_of(plain_rows(cases[list(columns)]))
    return axes | {_AXIS_HEADINGS.get(name, name): (name,) for name in varied if name in columns}


def metrics_of(cases: pd.DataFrame, benchmark: str) -> list[Metric]:
    """Return the metrics that the `cases` of a benchmark have; with several GPUs or a price, what follows from it."""
    measured = [BY_KEY[key] for key in BENCHMARKS[benchmark].columns if cases[f"{key}_mean"].notna().any()]
    per_gpu = [PER_GPU] if _has_several_gpus(cases) and cases[f"{PER_GPU.key}_mean"].notna().any() else []
    paid = [metric for key, metric in PRICED.items() if f"{key}_mean" in cases and cases[f"{key}_mean"].notna().any()]
    return [*measured[:1], *per_gpu, *measured[1:], *paid]


def axis_text(case: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """Return what a case has in the `columns` of one axis: '8', '128 / 64', '–' where it has none of several."""
    if len(columns) > 1 and all(pd.isna(case[column]) for column in columns):
        return "–"
    return " / ".join(value_text(None if pd.isna(case[column]) else case[column]) for column in columns)


def _has_several_gpus(cases: pd.DataFrame) -> bool:
    return bool((cases["gpus"].fillna(0) > 1).any())


def value_text_of(case: Mapping[str, Any], metric: Metric) -> str:
    """Return 'mean ± standard deviation'; a count that never differs as the whole number it is."""
    mean, stdev = case[f"{metric.key}_mean"], case[f"{metric.key}_stdev"]
    if not metric.unit and not stdev > 0:
        return number_text(mean, decimals=0)
    return plus_minus_text(mean, stdev)


def why_unearned(case: Mapping[str, Any], metric: Metric, benchmark: str) -> str:
    """Return why a percentile says little, 'not earned: 40 samples, p99 needs 662'; '' for all that may be believed."""
    percentile = percentile_of(metric.key)
    counts = {"completed": case.get("completed_mean"), "num_iters": case.get("num_iters")}
    known = {key: value for key, value in counts.items() if not pd.isna(value)}
    count = sample_count(benchmark, known, known)
    if percentile is None or not count or is_earned(count, percentile):
        return ""
    return f"not earned: {count} samples, p{percentile} needs {samples_needed(percentile)}"
