"""The chapter of a report that compares launches: sentences, a forest plot and a table for each against the first."""

from __future__ import annotations

from benchbook.judge.claims import headlines, tally
from benchbook.judge.compare import Comparison
from benchbook.judge.comparison_caveats import caveats
from benchbook.report.differences import (
    MAX_OTHERS,
    MEDIAN_PAIR,
    comparisons_of,
    how_to_read,
    launches_of,
    median_column,
    table_headings,
    table_rows,
)
from benchbook.report.forest import forest_figure
from benchbook.report.markup import Html, bullets, element, figure_html, folded, join, table
from benchbook.report.run import Run

MAX_ROWS = 60
NONE_CONFIRMED = (
    "No candidate was confirmed: what a screening saw is no comparison, since the best of many looks better than it is."
)


def comparisons_html(run: Run) -> Html:
    """Return each launch against the first in sentences and tables, or why there is nothing to compare."""
    launches = launches_of(run)
    if len(launches) < 2:
        return element(
            "p",
            "There is nothing to compare: this run has a single launch. A second one in the experiment file, different "
            "in one flag, makes it a comparison.",
            "note",
        )
    parts = [comparison_html(comparison) for comparison in comparisons_of(run)]
    if run.searched:
        note = (
            "Compared are the rounds of the confirmation alone, in the metric that was searched for."
            if parts
            else NONE_CONFIRMED
        )
        return join([element("p", note, "note"), *parts])
    if left := launches[1 + MAX_OTHERS :]:
        parts.append(element("p", f"Not shown: {', '.join(left)}; `benchbook compare` compares any two.", "note"))
    return join(parts)


def comparison_html(comparison: Comparison) -> Html:
    """Return one comparison: sentences, the forest, what to know before believing it, and each row behind a line."""
    title = element("h3", f"{comparison.other} against {comparison.base}")
    if not comparison.rows:
        return join([title, element("p", "No case has a number on both.", "note"), bullets(caveats(comparison))])
    shown, shows_medians = _table_html(comparison), any(median_column(comparison)[1])
    words = how_to_read(comparison) + (f" {MEDIAN_PAIR}" if shows_medians else "")
    cut = f"The first {MAX_ROWS} of {len(comparison.rows)} rows." if len(comparison.rows) > MAX_ROWS else ""
    return join(
        [
            title,
            bullets(filter(None, [*headlines(comparison), comparison.difference])),
            _forest_html(comparison),
            element("p", tally(comparison)),
            bullets(caveats(comparison)),
            folded("Every case and metric", join([element("p", words), shown, element("p", cut)])),
        ]
    )


def _table_html(comparison: Comparison) -> Html:
    """Return every case and metric, with the median pair before the finding where any row has one."""
    headings, rows, right = table_headings(comparison), table_rows(comparison)[:MAX_ROWS], (2, 3, 4)
    heading, medians = median_column(comparison)
    if any(medians):
        headings, right = (*headings[:-1], heading, headings[-1]), (*right, 5)
        rows = [(*row[:-1], median, row[-1]) for row, median in zip(rows, medians)]
    return table(headings, rows, right, "results")


def _forest_html(comparison: Comparison) -> Html:
    figured = forest_figure(comparison)
    return figure_html(*figured, alt=" ".join(headlines(comparison))) if figured else Html("")
