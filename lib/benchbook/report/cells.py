"""What the cells of 06_compare.ipynb call: each function displays one section of the report of a run."""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.records.record import Verdict
from benchbook.report import figures, reading
from benchbook.report.answer import answer, caveats, threats, verdict_sentence
from benchbook.report.conditions import provenance_html, setup_html, subtitle
from benchbook.report.differences import comparisons_html
from benchbook.report.failures import failures_html, reasons_html
from benchbook.report.limit_figures import limits_figure, timeline_of
from benchbook.report.limits import limited_cases, limits_html, limits_reading
from benchbook.report.markup import (
    Html,
    bullets,
    captioned,
    element,
    figure_html,
    folded,
    join,
    paragraphs,
    show,
    text,
)
from benchbook.report.published import published_html
from benchbook.report.references import references
from benchbook.report.results import definitions_html, results_html, save_table_html
from benchbook.report.run import Run

_MAX_REFERENCES = 4  # in the answer; the section on floor and ceiling has them all
_NO_SERVE = "no serve case with a concurrency was measured"
_NO_FLOOR = "no latency case was measured with the launch and the lengths of a serve case"


def show_question(run: Run) -> None:
    """Display the run's question as the title, with what was measured on what and when."""
    show(join([element("h1", run.question), element("p", subtitle(run), "subtitle")]))


def show_answer(run: Run) -> None:
    """Display how far the run may be believed, the answer, how it compares with floor and ceiling, and its limits."""
    headline, *rest = answer(run)
    parts = [
        element("p", verdict_sentence(run)),
        element("p", element("strong", headline)),
        paragraphs(rest) if rest else Html(""),
    ]
    show(element("div", join([*parts, bullets([*references(run)[:_MAX_REFERENCES], *caveats(run)])]), "answer"))


def show_counts(run: Run) -> None:
    """Display how many repeats were measured, failed and are missing: '18 measured, 1 failed, 1 missing'."""
    measured = sum(run.verdicts.values())
    by_verdict = ", ".join(f"{run.verdicts[verdict]:,} {verdict.value}" for verdict in Verdict if run.verdicts[verdict])
    counts = f"{measured:,} measured, {len(run.failures):,} failed, {sum(run.missing.values()):,} missing"
    rest = f" Of the measured: {by_verdict}." if by_verdict else ""
    show(element("p", join([element("strong", f"{counts}."), text(rest)]), "counts"))


def show_setup(run: Run) -> None:
    """Display what varied, what was fixed, the launches, and the hardware and versions."""
    show(setup_html(run))


def show_definitions(run: Run) -> None:
    """Display what each metric in the tables and figures means, from METRICS."""
    show(definitions_html(run))


def show_results(run: Run) -> None:
    """Display one row a case, mean ± one standard deviation, and write and link the table of every repeat."""
    show(join([results_html(run), save_table_html(run)]))


def show_comparison(run: Run) -> None:
    """Display how each launch differs from the first and what may be claimed, or that there is nothing to compare."""
    show(comparisons_html(run))


def show_throughput(run: Run) -> None:
    """Display output throughput against concurrency, and its reading."""
    _show_figure(1, figures.throughput_figure(run), reading.throughput_reading(run), _NO_SERVE)


def show_latency(run: Run) -> None:
    """Display TTFT and TPOT against concurrency, and their reading."""
    _show_figure(2, figures.latency_figure(run), reading.latency_reading(run), _NO_SERVE)


def show_tradeoff(run: Run) -> None:
    """Display all users' throughput against one user's speed, and its reading."""
    _show_figure(3, figures.tradeoff_figure(run), reading.tradeoff_reading(run), _NO_SERVE)


def show_floor(run: Run) -> None:
    """Display latency under load beside the offline floor, and the readings of floor and ceiling."""
    _show_figure(4, figures.floor_figure(run), references(run), _NO_FLOOR)


def show_published(run: Run) -> None:
    """Display published figures of the same workload beside the run's own; nothing where there are none."""
    if content := published_html(run):
        show(content)


def show_limits(run: Run) -> None:
    """Display how far each case is from what the hardware allows, what binds it, and one case over time, folded."""
    cases, reasons = limited_cases(run)
    _show_figure(5, limits_figure(run, cases), limits_reading(cases), "no limit is known for a serve case")
    show(join([limits_html(cases), bullets(reasons)]))
    drawn = timeline_of(run)
    if drawn is not None:
        figure, caption, title = drawn
        show(folded(title, figure_html(figure, caption)))


def show_failures(run: Run) -> None:
    """Display what failed or is missing and why, and every reason said against a measured repeat."""
    show(join([failures_html(run), element("h3", "What is said about the measured repeats"), reasons_html(run)]))


def show_threats(run: Run) -> None:
    """Display what could make the conclusions of this very run wrong."""
    show(bullets(threats(run)))


def show_provenance(run: Run) -> None:
    """Display what is needed to repeat the run: the command, times, commit, and vLLM's own commands."""
    show(provenance_html(run))


def _show_figure(number: int, figured: figures.Figured | None, sentences: Sequence[str], why_not: str) -> None:
    if figured is None:
        show(element("p", f"No figure: {why_not}.", "note"))
    else:
        figure, caption = figured
        captioned(figure, f"Figure {number}. {caption}", alt=caption.split(". ")[0])
    show(bullets(sentences))
