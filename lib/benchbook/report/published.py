"""Published figures beside a run's own, where the workload is the same: each with its source and its own verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchbook.judge.group import judged_alone_and_together
from benchbook.records.published import Published, all_published
from benchbook.records.record import Record
from benchbook.report.markup import Html, bullets, element, join, table, verdict
from benchbook.report.run import Run
from benchbook.report.table import plain_rows
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import number_text, plus_minus_text


def published_html(run: Run, folder: Path | None = None) -> Html:
    """Return a table a publication whose workload the run shares, with what the checks say of it; else nothing."""
    found, damage = all_published(folder)
    parts = [part for published in found if (part := _publication_html(published, run))]
    return join([*parts, bullets(f"Left out: {line}" for line in damage)])


def _publication_html(published: Published, run: Run) -> Html:
    judged = judged_alone_and_together(published.records)
    rows, said = [], []
    for record, assumed in zip(judged, published.assumed, strict=True):
        matching = plain_rows(run.cases[_is_same(record, run)])
        if not matching:
            continue
        rows += [row for case in matching for row in _rows(record, case)]
        said += [f"{record.benchmark}: {why.severity}, {why.code}: {why.evidence}." for why in record.reasons]
        said += [
            f"{record.benchmark}: not looked for {code}: {why}." for code, why in (record.not_looked or {}).items()
        ]
        said += [f"{record.benchmark}: {assumed}."] if assumed else []
    if not rows:
        return Html("")
    source = published.source
    headings = ("Verdict", "Benchmark", "Metric", "Published", "This run", "Its case")
    parts = [
        element("h3", source["title"]),
        element("p", f"Published {source['published']}: {source['model']} on {source['hardware']}, {source['engine']}. "
                     "Not measured here, in no mean and in no figure."),
        table(headings, rows, numeric=[3, 4], css_class="wordy"),
        bullets(said),
    ]  # fmt: skip
    return join(parts)


def _rows(record: Record, case: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return one row a metric that both have."""
    keys = [key for key in BENCHMARKS[record.benchmark].columns if record.values.get(key) is not None]
    return [
        (
            verdict(record.verdict.value),
            record.benchmark,
            BY_KEY[key].heading,
            number_text(float(record.values[key])),
            plus_minus_text(case[f"{key}_mean"], case[f"{key}_stdev"]),
            element("code", case["case_id"]),
        )
        for key in keys
        if case.get(f"{key}_mean") is not None
    ]


def _is_same(record: Record, run: Run) -> pd.Series:
    """Return for each case whether it measures the workload of `record`."""
    cases = run.cases
    same = (cases["benchmark"] == record.benchmark) & (cases["case_id"].map(run.curve_of) == record.curve)
    for key in BENCHMARKS[record.benchmark].same_if:
        column, value = cases.get(key, pd.Series(None, index=cases.index)), record.workload.get(key)
        same &= column.isna() if value is None else (column == value).fillna(False)
    return same
