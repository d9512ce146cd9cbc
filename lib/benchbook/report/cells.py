"""What the cells of 06_compare.ipynb call: each function displays one section of the report of a run.

A section that has nothing to show says so with `absent`; the report then leaves its chapter out.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.records.record import Verdict
from benchbook.report import figures, reading
from benchbook.report.answer import answer, caveats, threats, verdict_sentence
from benchbook.report.conditions import provenance_html, setup_html, subtitle
from benchbook.report.differences import comparisons_html, launches_of
from benchbook.report.failures import failures_html, reasons_html
from benchbook.report.limit_figures import limits_figure, timeline_of
from benchbook.report.limits import limited_cases, limits_html, limits_reading
from benchbook.report.markup import (
    Html,
    absent,
    bullets,
    captioned,
    element,
    figure_html,
    first_sentence,
    folded,
    join,
    paragraphs,
    show,
    text,
    verdict,
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
    """Display what somebody remarked on the run, how far it may be believed, the answer, its references and its limits."""
    headline, *rest = answer(run)
    remark = [element("strong", "Remark."), *run.remark.splitlines()]
    parts = [
        element("p", join(remark, " "), "remark") if run.remark else Html(""),
        element("p", verdict_sentence(run)),
        element("p", element("strong", headline)),
        paragraphs(rest) if rest else Html(""),
    ]
    show(element("div", join([*parts, bullets([*references(run)[:_MAX_REFERENCES], *caveats(run)])]), "answer"))


def show_counts(run: Run) -> None:
    """Display how many repeats were measured, failed and are missing, and the verdicts of the measured ones."""
    measured = sum(run.verdicts.values())
    counts = f"{measured:,} measured, {len(run.failures):,} failed, {sum(run.missing.values()):,} missing."
    verdicts = [
        verdict(name.value, f"{run.verdicts[name]:,} {name.value}") for name in Verdict if run.verdicts[name]
    ]
    rest = join([" Of the measured: ", join(verdicts, ", "), "."]) if verdicts else ""
    show(element("p", join([element("strong", counts), rest]), "counts"))


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
    """Display how each launch differs from the first and what may be claimed; of a single launch, nothing."""
    show(comparisons_html(run) if len(launches_of(run)) > 1 else absent("There is one launch, and nothing to compare."))


def show_throughput(run: Run) -> None:
    """Display output throughput against concurrency, and its reading."""
    _show_figure(figures.throughput_figure(run), reading.throughput_reading(run), _NO_SERVE)


def show_latency(run: Run) -> None:
    """Display TTFT and TPOT against concurrency, and their reading."""
    _show_figure(figures.latency_figure(run), reading.latency_reading(run), _NO_SERVE)


def show_tradeoff(run: Run) -> None:
    """Display all users' throughput against one user's speed, and its reading."""
    _show_figure(figures.tradeoff_figure(run), reading.tradeoff_reading(run), _NO_SERVE)


def show_floor(run: Run) -> None:
    """Display latency under load beside the offline floor, and the readings of floor and ceiling."""
    _show_figure(figures.floor_figure(run), references(run), _NO_FLOOR)


def show_published(run: Run) -> None:
    """Display published figures of the same workload beside the run's own, if there are any."""
    show(published_html(run) or absent("No published figures of this workload are known."))


def show_limits(run: Run) -> None:
    """Display how far each case is from what the hardware allows, what binds it, and one case over time, folded."""
    cases, reasons = limited_cases(run)
    _show_figure(limits_figure(run, cases), limits_reading(cases), "no limit is known for a serve case")
    show(join([limits_html(cases), bullets(reasons)]))
    drawn = timeline_of(run)
    if drawn is not None:
        figure, caption, title = drawn
        show(folded(title, figure_html(figure, caption, alt=f"{title}. {first_sentence(caption)}")))


def show_failures(run: Run) -> None:
    """Display what failed or is missing, each cause once, with the end of its log and where the log lies."""
    show(failures_html(run))


def show_reasons(run: Run) -> None:
    """Display every reason said against a measured repeat, what it means and what to do about it."""
    show(reasons_html(run))


def show_threats(run: Run) -> None:
    """Display what could make the conclusions of this very run wrong."""
    show(bullets(threats(run)))


def show_provenance(run: Run) -> None:
    """Display what is needed to repeat the run: the command, times, commit, and vLLM's own commands."""
    show(provenance_html(run))


def _show_figure(figured: figures.Figured | None, sentences: Sequence[str], why_not: str) -> None:
    if figured is not None:
        figure, caption = figured
        captioned(figure, caption, alt=" ".join([*sentences[:1], first_sentence(caption)]))
    elif not sentences:
        show(absent(f"No figure: {why_not}."))
    if sentences:
        show(bullets(sentences))
