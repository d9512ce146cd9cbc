"""The results tables of a report, and what their columns mean. Long tables are cut; the CSV file has every repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchbook.records.files import write_bytes
from benchbook.report.case_by_case import anchors
from benchbook.report.case_rows import (
    LAUNCH,
    LENGTHS_HEADING,
    axes_of,
    axis_text,
    metrics_of,
    value_text_of,
    why_unearned,
)
from benchbook.report.markup import Html, absent, download, element, join, table, text, verdict
from benchbook.report.price import price_note
from benchbook.report.run import Run
from benchbook.report.table import render_table, workload_columns
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import Metric

MAX_ROWS = 40  # of other tables
MAX_CASES = 1_000  # cases a table; the rest is in the CSV file
TABLE_FILE = "table.csv"
MAX_EMBEDDED_BYTES = 250_000  # a longer CSV file lies beside the report only

_UNEARNED = "In italics: a percentile of so few samples that it says little; pointed at, it says how many it needs."
_IS_UNEARNED = 'class="unearned"'


def results_html(run: Run) -> Html:
    """Return one table a benchmark: a row a case with its verdicts, and mean ± one standard deviation."""
    if not any(run.verdicts.values()):
        return absent("Nothing was measured.")
    cases = run.cases
    parts = [
        _benchmark_html(run, cases[cases["benchmark"] == benchmark], benchmark)
        for benchmark in BENCHMARKS
        if (cases["benchmark"] == benchmark).any()
    ]
    shown = join(parts)
    note = element("p", _UNEARNED, "note") if _IS_UNEARNED in shown else ""
    paid = element("p", price_note(run.header.price), "note") if run.header.price else ""
    return join([shown, note, paid])


def definitions_html(run: Run) -> Html:
    """Return what each metric of this run's tables means: name, unit, better direction, formula."""
    by_benchmark = {benchmark: run.cases[run.cases["benchmark"] == benchmark] for benchmark in BENCHMARKS}
    metrics = dict.fromkeys(
        metric for benchmark, cases in by_benchmark.items() if len(cases) for metric in metrics_of(cases, benchmark)
    )
    rows = [
        (metric.label, metric.unit or "count", metric.direction.removesuffix(" is better") or "–", metric.formula)
        for metric in metrics
    ]
    return table(("Metric", "Unit", "Better", "Formula"), rows) if rows else absent("No metric was measured.")


def save_table_html(run: Run) -> Html:
    """Write the tidy table beside the report; return a sentence with it inside, or why it is not there."""
    content = render_table(run.table, "csv")
    written = content.encode(errors="replace")
    try:
        # Not `write_text`: its texts are without secrets, and to look through its numbers takes twice as long as making it.
        write_bytes(run.run_dir / TABLE_FILE, written)
    except StoreError as error:
        return element("p", f"The full table was not written: {error}")
    is_short = len(written) <= MAX_EMBEDDED_BYTES
    file = download(TABLE_FILE, content) if is_short else element("code", TABLE_FILE)
    return element("p", join(["Every repeat, one row each, all columns: ", file, f" ({len(run.table):,} rows)."]))


def cut_note(total: int, what: str, where: str = TABLE_FILE, *, most: int = MAX_ROWS) -> Html:
    """Return a note where a table was cut after `most` rows, else nothing."""
    if total <= most:
        return Html("")
    return element("p", f"The first {most:,} of {total:,} {what} are shown; all are in {where}.", "note")


def _benchmark_html(run: Run, cases: pd.DataFrame, benchmark: str) -> Html:
    metrics = metrics_of(cases, benchmark)
    axes = axes_of(cases, workload_columns(run.measured_table))
    headings: list[str] = ["Verdict", *axes, *map(_heading, metrics)]
    rows, shown = [], anchors(run)
    for case in cases.head(MAX_CASES).to_dict("records"):
        settings = [axis_text(case, axis) for axis in axes.values()]
        values = [_value_html(case, metric, benchmark) for metric in metrics]
        rows.append([_counts_html(run, case, shown.get(case["case_id"])), *settings, *values])
    texts = ("Verdict", LAUNCH, LENGTHS_HEADING)
    numeric = [index for index, heading in enumerate(headings) if heading not in texts]
    title = BENCHMARKS[benchmark].title
    return join(
        [
            element("h3", title),
            table(headings, rows, numeric, "results", label=title),
            cut_note(len(cases), "cases", most=MAX_CASES),
        ]
    )


def _value_html(case: Mapping[str, Any], metric: Metric, benchmark: str) -> Html:
    """Return the value; a percentile that its samples have not earned looks so, and says why when pointed at."""
    shown, why = text(value_text_of(case, metric)), why_unearned(case, metric, benchmark)
    if not why:
        return shown
    return Html(f'<em {_IS_UNEARNED} title="{text(why)}">{shown}</em>')


def _heading(metric: Metric) -> Html:
    """Return the metric's heading with an arrow to where better lies, explained when pointed at."""
    arrow = {True: "\u00a0↑", False: "\u00a0↓", None: ""}[metric.higher_is_better]
    return Html(f'<span title="{text(metric.direction)}: {text(metric.formula)}">{text(metric.heading)}{arrow}</span>')


def _counts_html(run: Run, case: Mapping[str, Any], anchor: str | None) -> Html:
    """Return '✓ 2 VALID', or '✓ 1 VALID, ! 1 SUSPECT, 1 failed, 1 missing (1 measured again)', the symbols on their colours.

    It leads to where all of the case is shown.
    """
    verdicts = [
        verdict(name, f"{case[column]} {name}")
        for column, name in (("valid", "VALID"), ("suspect", "SUSPECT"), ("invalid", "INVALID"))
        if case[column]
    ]
    others = ((case["not_measured"], "failed"), (run.missing.get(case["case_id"], 0), "missing"))
    counts = join([*verdicts, *(f"{number} {name}" for number, name in others if number)], ", ")
    said = join([counts, f" ({case['measured_again']} measured again)"]) if case["measured_again"] else counts
    return Html(f'<a href="#{anchor}">{said}</a>') if anchor else said
