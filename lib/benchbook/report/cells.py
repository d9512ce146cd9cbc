"""What the cells of 06_compare.ipynb call: each function displays one section of the report of a run.

A section that has nothing to show says so with `absent`; the report then leaves its chapter out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchbook.records.record import Verdict
from benchbook.report import figures, reading
from benchbook.report.answer import answer, verdict_sentence, why_not
from benchbook.report.beside import begin, made
from benchbook.report.case_by_case import cases_html
from benchbook.report.caveats import caveats, threats
from benchbook.report.comparisons import comparisons_html
from benchbook.report.curves import Curves
from benchbook.report.differences import launches_of
from benchbook.report.failures import failures_html, reasons_html, with_meanings
from benchbook.report.markup import (
    Html,
    absent,
    bullets,
    element,
    figure_html,
    first_sentence,
    folded,
    join,
    show,
    verdict,
)
from benchbook.report.published import published_html
from benchbook.report.references import floor_reading, references
from benchbook.report.results import definitions_html, results_html, save_table_html
from benchbook.report.roofline import bounded_cases, roofline_html, roofline_reading, steps_reading
from benchbook.report.roofline_figures import roofline_figure, timeline_of
from benchbook.report.run import Run
from benchbook.report.setup import provenance_html, setup_html, subtitle
from benchbook.report.shown import REPORT_FIGURES

_MAX_REFERENCES = 4  # in the answer; the section on floor and ceiling has them all
_NO_SERVE = "no serve case was measured"
_NO_LIMIT = "no limit is known for a serve case"
_NO_FLOOR = "no latency case was measured with the launch and the lengths of a serve case"


def show_question(run: Run) -> None:
    """Display the run's question as the title, with what was measured on what and when; begin the longest chapters."""
    show(join([element("h1", run.question), element("p", subtitle(run), "subtitle")]))
    begin(run, beside=(_comparison, _tradeoff, _roofline), meanwhile=(_throughput, _latency, _saved_table))


def show_answer(run: Run) -> None:
    """Display the remark on the run, the answer, how far it may be believed, its references and its limits."""
    headline, *rest = answer(run)
    parts = [
        element("p", join([element("strong", "Remark."), run.remark], " "), "remark") if run.remark else Html(""),
        element("p", element("strong", headline), "headline"),
        *(element("p", sentence) for sentence in with_meanings(run, [verdict_sentence(run), *rest])),
    ]
    is_doubted = run.no_answer is not None
    # Beside numbers that are not to be relied on, a share of a ceiling would be one more.
    bounds = [] if is_doubted else references(run)[:_MAX_REFERENCES]
    content = join([*parts, bullets(with_meanings(run, [*bounds, *caveats(run)]))])
    show(element("div", content, "answer doubted" if why_not(run) else "answer"))


def show_counts(run: Run) -> None:
    """Display how many repeats were measured, failed and are missing, and the verdicts of the measured ones."""
    measured = sum(run.verdicts.values())
    counts = f"{measured:,} measured, {len(run.failures):,} failed, {sum(run.missing.values()):,} missing."
    verdicts = [verdict(name.value, f"{run.verdicts[name]:,} {name.value}") for name in Verdict if run.verdicts[name]]
    rest = join([" Of the measured: ", join(verdicts, ", "), "."]) if verdicts else ""
    meanings = [f"{name.value}: {name.meaning}." for name in Verdict if run.verdicts[name]]
    show(element("p", join([element("strong", counts), rest]), "counts"))
    show(element("p", " ".join(meanings), "note"))


def show_setup(run: Run) -> None:
    """Display what varied, what was fixed, the launches, and the hardware and versions."""
    show(setup_html(run))


def show_definitions(run: Run) -> None:
    """Display what each metric in the tables and figures means, from METRICS."""
    show(definitions_html(run))


def show_results(run: Run) -> None:
    """Display one row a case, mean ± one standard deviation, a benchmark's own figure, and the table of every repeat."""
    measured = dict.fromkeys(record.benchmark for record in run.records if record.is_measured)
    drawn = [figured for name in measured if (draw := REPORT_FIGURES[name]) and (figured := draw(run))]
    figured = [figure_html(figure, caption, first_sentence(caption)) for figure, caption in drawn]
    show(join([results_html(run), *figured, *made(run, _saved_table)]))


def _saved_table(run: Run) -> list[Html]:
    return [save_table_html(run)]


def show_cases(run: Run) -> None:
    """Display each case by itself, folded: its repeats, what is said of them, and the course of one of them."""
    show(cases_html(run))


def show_comparison(run: Run) -> None:
    """Display how each launch differs from the first and what may be claimed; of a single launch, nothing."""
    _show_all(made(run, _comparison))


def _comparison(run: Run) -> list[Html]:
    is_alone = len(launches_of(run)) < 2
    return [absent("There is one launch, and nothing to compare.") if is_alone else comparisons_html(run)]


def show_throughput(run: Run) -> None:
    """Display throughput against the load, and its reading."""
    _show_all(made(run, _throughput))


def _throughput(run: Run) -> list[Html]:
    return _figures(run, figures.throughput_figure, reading.throughput_reading(run), _NO_SERVE)


def show_latency(run: Run) -> None:
    """Display TTFT and TPOT against the load, and their reading."""
    _show_all(made(run, _latency))


def _latency(run: Run) -> list[Html]:
    return _figures(run, figures.latency_figure, reading.latency_reading(run), _NO_SERVE)


def show_tradeoff(run: Run) -> None:
    """Display all users' throughput against one user's speed, and its reading."""
    _show_all(made(run, _tradeoff))


def _tradeoff(run: Run) -> list[Html]:
    return _figures(run, figures.tradeoff_figure, reading.tradeoff_reading(run), _NO_SERVE)


def show_floor(run: Run) -> None:
    """Display latency under load beside the offline floor, and the readings of floor and ceiling."""
    _show_all(_figures(run, figures.floor_figure, references(run), _NO_FLOOR, seen=floor_reading(run)))


def show_published(run: Run) -> None:
    """Display published figures of the same workload beside the run's own, if there are any."""
    show(published_html(run) or absent("No published figures of this workload are known."))


def show_roofline(run: Run) -> None:
    """Display how far each case is from what the hardware allows, what binds it, and one case over time, folded."""
    _show_all(made(run, _roofline))


def _roofline(run: Run) -> list[Html]:
    cases, reasons = bounded_cases(run)
    drawn = roofline_figure(run, cases)
    parts = _figured([drawn] if drawn else [], roofline_reading(cases), _NO_LIMIT, seen=steps_reading(cases))
    parts.append(join([roofline_html(cases), bullets(reasons)]))
    timeline, damage = timeline_of(run)
    parts.append(bullets(f"No timeline is drawn of a damaged file: {line}." for line in damage))
    if timeline is not None:
        figure, caption, title = timeline
        parts.append(folded(title, figure_html(figure, caption, alt=f"{title}. {first_sentence(caption)}")))
    return parts


def show_failures(run: Run) -> None:
    """Display what failed or is missing, each cause once, with the end of its log and where the log lies."""
    show(failures_html(run))


def show_reasons(run: Run) -> None:
    """Display every reason said against a measured repeat, what it means and what to do about it."""
    show(reasons_html(run))


def show_threats(run: Run) -> None:
    """Display what could make the conclusions of this very run wrong."""
    show(bullets(with_meanings(run, threats(run))))


def show_provenance(run: Run) -> None:
    """Display what is needed to repeat the run: the command, times, commit, and vLLM's own commands."""
    show(provenance_html(run))


def _show_all(parts: Sequence[Html]) -> None:
    for part in parts:
        show(part)


def _figures(
    run: Run,
    draw: Callable[[Run, Curves], figures.Figured | None],
    sentences: Sequence[str],
    why_not: str,
    seen: Sequence[str] = (),
) -> list[Html]:
    """Return what `draw` makes of each kind of load, requests in flight and rate, and the sentences."""
    return _figured([figured for curves in run.curves if (figured := draw(run, curves))], sentences, why_not, seen)


def _figured(
    figured: Sequence[figures.Figured], sentences: Sequence[str], why_not: str, seen: Sequence[str] = ()
) -> list[Html]:
    """Return figures and sentences; who cannot see them is told the first of what is `seen`, else of the sentences."""
    parts = [
        figure_html(figure, caption, alt=" ".join([*(seen or sentences)[:1], first_sentence(caption)]))
        for figure, caption in figured
    ]
    if not figured and not sentences:
        parts.append(absent(f"No figure: {why_not}."))
    if sentences:
        parts.append(bullets(sentences))
    return parts
