"""The results tables of a report, and what their columns mean. Long tables are cut; the CSV file has every repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchbook.errors import StoreError
from benchbook.judge.loads import LENGTHS
from benchbook.judge.sample import is_earned, percentile_of, sample_count, samples_needed
from benchbook.judge.spread import number_text, plus_minus_text
from benchbook.records.files import write_text
from benchbook.records.metrics import BY_KEY, Metric
from benchbook.report.markup import Html, absent, download, element, join, table, text, verdict
from benchbook.report.run import Run
from benchbook.report.settings import settings_of, value_text
from benchbook.report.table import plain_rows, render_table, workload_columns

MAX_ROWS = 40  # cases a table; the rest is in the CSV file
TABLE_FILE = "table.csv"
MAX_EMBEDDED_BYTES = 250_000  # a longer CSV file lies beside the report only

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "serve": (
        "output_throughput_tok_s",
        "total_throughput_tok_s",
        "request_goodput_rps",
        "median_ttft_ms",
        "p99_ttft_ms",
        "median_tpot_ms",
        "p99_tpot_ms",
        "mean_e2el_ms",
    ),
    "latency": ("avg_batch_latency_s", "p50_batch_latency_s", "p90_batch_latency_s"),
    "throughput": ("output_throughput_tok_s", "total_throughput_tok_s", "request_throughput_rps"),
    "first_request": ("ttft_ms", "e2el_ms", "total_input_tokens", "total_output_tokens"),
}
_LAUNCH, _LENGTHS_HEADING = "Launch", "Tokens in / out"
_AXIS_HEADINGS = {
    "max_concurrency": "In flight",
    "batch_size": "Batch size",
    "num_prompts": "Prompts",
    "request_rate_rps": "Rate (req/s)",
}
_UNEARNED = "In italics: a percentile of so few samples that it says little; pointed at, it says how many it needs."
_IS_UNEARNED = 'class="unearned"'
_TITLES = {
    "serve": "Serving (vllm bench serve)",
    "latency": "Latency of one batch (vllm bench latency)",
    "throughput": "Throughput mode (vllm bench throughput)",
    "first_request": "First request",
}


def results_html(run: Run) -> Html:
    """Return one table a benchmark: a row a case with its verdicts, and mean ± one standard deviation."""
    if not any(run.verdicts.values()):
        return absent("Nothing was measured.")
    cases = run.cases
    parts = [
        _benchmark_html(run, cases[cases["benchmark"] == benchmark], benchmark)
        for benchmark in COLUMNS
        if (cases["benchmark"] == benchmark).any()
    ]
    shown = join(parts)
    note = element("p", _UNEARNED, "note") if _IS_UNEARNED in shown else ""
    return join([shown, note])


def definitions_html(run: Run) -> Html:
    """Return what each metric of this run's tables means: name, unit, better direction, formula."""
    present = set(run.table["benchmark"].unique())
    keys = dict.fromkeys(key for benchmark, keys in COLUMNS.items() if benchmark in present for key in keys)
    rows = [
        (metric.label, metric.unit or "count", metric.direction.removesuffix(" is better") or "–", metric.formula)
        for metric in (BY_KEY[key] for key in keys)
        if run.table[metric.key].notna().any()
    ]
    return table(("Metric", "Unit", "Better", "Formula"), rows) if rows else absent("No metric was measured.")


def save_table_html(run: Run) -> Html:
    """Write the tidy table beside the report and return a sentence with it inside, or one that says why it is not there."""
    content = render_table(run.table, "csv")
    try:
        write_text(run.run_dir / TABLE_FILE, content)
    except StoreError as error:
        return element("p", f"The full table was not written: {error}")
    is_short = len(content.encode()) <= MAX_EMBEDDED_BYTES
    file = download(TABLE_FILE, content) if is_short else element("code", TABLE_FILE)
    return element("p", join(["Every repeat, one row each, all columns: ", file, f" ({len(run.table):,} rows)."]))


def cut_note(total: int, what: str, where: str = TABLE_FILE) -> Html:
    """Return a note where a table was cut after MAX_ROWS rows, else nothing."""
    if total <= MAX_ROWS:
        return Html("")
    return element("p", f"The first {MAX_ROWS} of {total:,} {what} are shown; all are in {where}.", "note")


def _benchmark_html(run: Run, cases: pd.DataFrame, benchmark: str) -> Html:
    metrics = [BY_KEY[key] for key in COLUMNS[benchmark] if cases[f"{key}_mean"].notna().any()]
    axes = _axes(cases, workload_columns(run.table))
    headings: list[str] = ["Verdict", *axes, *map(_heading, metrics)]
    rows = []
    for case in cases.head(MAX_ROWS).to_dict("records"):
        settings = [_axis_text(case, axis) for axis in axes.values()]
        values = [_value_html(case, metric, benchmark) for metric in metrics]
        rows.append([_counts_html(run, case), *settings, *values])
    texts = ("Verdict", _LAUNCH, _LENGTHS_HEADING)
    numeric = [index for index, heading in enumerate(headings) if heading not in texts]
    title = _TITLES[benchmark]
    return join(
        [
            element("h3", title),
            table(headings, rows, numeric, "results", label=title),
            cut_note(len(cases), "cases"),
        ]
    )


def _axes(cases: pd.DataFrame, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return {heading: its columns} of what varies between `cases`; the lengths are shown even where they do not."""
    axes: dict[str, tuple[str, ...]] = {}
    if cases["launch"].nunique() > 1:
        axes[_LAUNCH] = ("launch",)
    if set(LENGTHS) <= set(columns) and cases[LENGTHS[0]].notna().any():
        axes[_LENGTHS_HEADING] = LENGTHS
    varied, _ = settings_of(plain_rows(cases[list(columns)]))
    return axes | {_AXIS_HEADINGS.get(name, name): (name,) for name in varied if name in columns}


def _axis_text(case: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    return " / ".join(value_text(None if pd.isna(case[column]) else case[column]) for column in columns)


def _value_html(case: Mapping[str, Any], metric: Metric, benchmark: str) -> Html:
    """Return the value; a percentile that its samples have not earned looks so, and says why when pointed at."""
    shown, percentile = text(_value_text(case, metric)), percentile_of(metric.key)
    counts = {"completed": case.get("completed_mean"), "num_iters": case.get("num_iters")}
    known = {key: value for key, value in counts.items() if not pd.isna(value)}
    count = sample_count(benchmark, known, known)
    if percentile is None or not count or is_earned(count, percentile):
        return shown
    why = f"not earned: {count} samples, p{percentile} needs {samples_needed(percentile)}"
    return Html(f'<span {_IS_UNEARNED} title="{text(why)}">{shown}</span>')


def _value_text(case: Mapping[str, Any], metric: Metric) -> str:
    """Return 'mean ± standard deviation'; a count that never differs as the whole number it is."""
    mean, stdev = case[f"{metric.key}_mean"], case[f"{metric.key}_stdev"]
    if not metric.unit and not stdev > 0:
        return number_text(mean, decimals=0)
    return plus_minus_text(mean, stdev)


def _heading(metric: Metric) -> Html:
    """Return the metric's heading with an arrow to where better lies, explained when pointed at."""
    arrow = {True: "\u00a0↑", False: "\u00a0↓", None: ""}[metric.higher_is_better]
    return Html(f'<span title="{text(metric.direction)}: {text(metric.formula)}">{text(metric.heading)}{arrow}</span>')


def _counts_html(run: Run, case: Mapping[str, Any]) -> Html:
    """Return '✓ 2 VALID', or '✓ 1 VALID, ! 1 SUSPECT, 1 failed, 1 missing', the symbols on their colours."""
    verdicts = [
        verdict(name, f"{case[column]} {name}")
        for column, name in (("valid", "VALID"), ("suspect", "SUSPECT"), ("invalid", "INVALID"))
        if case[column]
    ]
    others = ((case["not_measured"], "failed"), (run.missing.get(case["case_id"], 0), "missing"))
    return join([*verdicts, *(f"{number} {name}" for number, name in others if number)], ", ")
