"""The answer at the top of a report: what was asked, answered first, or why this run cannot answer it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Sequence
from statistics import fmean

from benchbook.judge.accuracy import right_sentence
from benchbook.judge.answerable import reasons_text
from benchbook.judge.loads import load_text, tokens_text
from benchbook.records.record import Record, Verdict
from benchbook.report.caveats import measured_repeats
from benchbook.report.curves import OUTPUT_THROUGHPUT, Curves
from benchbook.report.differences import answering_worse, launches_of
from benchbook.report.found import found_sentences, is_searched
from benchbook.report.price import price_sentences
from benchbook.report.run import Run
from benchbook.report.searched import searched_sentences
from benchbook.report.sentences import (
    goodput_sentence,
    latency_sentence,
    peak_of,
    peak_sentence,
    rate_sentence,
    scaling_sentence,
    trade_off_sentence,
)
from benchbook.report.slo import slo_sentences
from benchbook.report.winners import winner_sentences
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.wording import number_text

_MAX_OFFLINE = 8  # offline numbers in one sentence
_MAX_RATES = 3  # lines over rates that are told in the box
_MAX_BESIDE = 3  # lines beside the highest that are told in the box
_MAX_LAUNCHES = 3  # without a number that are told in the box
_CAUSE_CHARACTERS = 160  # of a cause in the box; what failed is told in full once, further down


def answer(run: Run) -> list[str]:
    """Return the answer in sentences, the headline first.

    What was searched for is said in units of load; several launches are compared; an SLO is kept up to a load; a curve has
    a peak, or a rate that is held. A run in which a launch has no number, or too much is in doubt, has no answer: its
    headline says so, and what was seen comes after it.
    """
    first, *rest = _seen(run)
    if run.no_answer:
        first = f"Seen all the same, and not to be relied on: {first}"
    return [*why_not(run), first, *rest]


def why_not(run: Run) -> list[str]:
    """Return why the run cannot answer: first the launches without a number, then the doubt; [] where it can."""
    doubt, silent = run.no_answer, _silent_launches(run)
    if not silent:
        return [str(doubt)] if doubt else []
    told = "; ".join(f"launch {name!r} gave no number: {_cause(run, name)}" for name in silent[:_MAX_LAUNCHES])
    more = f"; nor did {len(silent) - _MAX_LAUNCHES} further launches" if len(silent) > _MAX_LAUNCHES else ""
    about_the_rest = [f"Of what was measured, {doubt.evidence}. {doubt.remedy}."] if doubt else []
    return [f"This run cannot answer: {told}{more}.", *about_the_rest]


def verdict_sentence(run: Run) -> str:
    """Return how many measured repeats may be believed, and every reason that speaks against the others."""
    measured = [record for record in run.records if record.is_measured]
    if not measured:
        return "Nothing was measured."
    said = ", ".join(f"{run.verdicts[verdict]:,} {verdict.value}" for verdict in Verdict if run.verdicts[verdict])
    codes = reasons_text([record for record in measured if record.verdict is not Verdict.VALID])
    return f"Of {measured_repeats(len(measured))}: {said}" + (f" ({codes})." if codes else ".")


def _silent_launches(run: Run) -> list[str]:
    """Return the launches of which all that was tried failed, in a run in which another one gave a number."""
    gave = {record.identity.launch for record in run.records if record.is_measured}
    failed = {record.identity.launch for record in run.failures}
    return [name for name in launches_of(run) if gave and name in failed - gave and run.header.is_needed(name)]


def _cause(run: Run, launch: str) -> str:
    """Return in short what most of a launch's failures say."""
    failures = [record for record in run.failures if record.identity.launch == launch]
    said = Counter(record.failure.evidence if record.failure else record.outcome.value for record in failures)
    return textwrap.shorten(said.most_common(1)[0][0], _CAUSE_CHARACTERS, placeholder=" …").removesuffix(".")


def _seen(run: Run) -> list[str]:
    """Return what the records say, whatever the verdict on the run as a whole."""
    if run.searched:
        return [*searched_sentences(run), *price_sentences(run)]
    found, sentences = found_sentences(run), winner_sentences(run)
    curves = [curves for curves in run.curves if any(line.points(OUTPUT_THROUGHPUT) for line in curves.lines)]
    # Of launches that are compared at one load each all is said; there is no curve that had a peak.
    drawn = [one for one in curves if not (sentences and one.is_single)]
    lines = [line for line in run.lines if not is_searched(run, line.launch, line.loads)]
    slo = [*(slo_sentences(run, lines) if lines or not found else []), *price_sentences(run)]
    worse = answering_worse(run)
    told = [sentence for one in drawn for sentence in _curve_sentences(one, worse)]
    told += _beside_curves(run)
    told += _guarded(run)
    if not curves and not sentences:
        return [*found, *(told or [_without_serving(run)]), *slo]
    return [*found, *sentences, *slo, *told]


def _guarded(run: Run) -> list[str]:
    """Return how many of a guard's items the only launch has right; of several the comparison tells."""
    said = right_sentence(run.records) if len(run.by_launch) == 1 else ""
    return [said] if said else []


def _beside_curves(run: Run) -> list[str]:
    """Return what loads gave that are no point of a curve: rates that rise, and what was sent all at once."""
    cases: dict[str, list[Record]] = {}
    for record in run.records:
        if record.row.role == "curve" and record.is_believed and record.load and not record.load.is_level:
            cases.setdefault(record.identity.case_id, []).append(record)
    return [_beside_text(records) for records in cases.values()]


def _beside_text(records: Sequence[Record]) -> str:
    """Return 'With 80 requests at once (eager, 128 tokens in, 64 out): 244 output tok/s, median TTFT 40 ms.'"""
    first = records[0]
    numbers = []
    for key, text in ((OUTPUT_THROUGHPUT, "{} output tok/s"), ("median_ttft_ms", "median TTFT {} ms")):
        if values := [value for record in records if (value := record.values.get(key)) is not None]:
            numbers.append(text.format(number_text(fmean(values))))
    where = f"{'At' if first.load.is_open else 'With'} {load_text(first)}"
    return f"{where} ({first.identity.launch}, {tokens_text(first)}): {', '.join(numbers)}."


def _curve_sentences(curves: Curves, worse: Collection[str]) -> list[str]:
    """Return where the highest line peaks, what it costs users, and where others of its launch peak; or which rate each line holds.

    The lines of launches that answer `worse` are the highest only where there are no others.
    """
    if curves.load.is_open:
        lines = sorted(curves.lines, key=lambda line: line.held_to or 0.0, reverse=True)
        said = [sentence for line in lines[:_MAX_RATES] for sentence in (rate_sentence(line), goodput_sentence(line))]
        return [sentence for sentence in said if sentence]
    wanted = [line for line in curves.lines if line.launch not in worse and peak_of(line)] or curves.lines
    best = max(wanted, key=lambda line: peak_of(line)[1].mean if peak_of(line) else 0.0)
    peak = peak_of(best)[0]
    # Of a peak whose repeats contradict each other there is no more to tell.
    more = [] if best.disagrees_at(peak) else [latency_sentence(best, peak), scaling_sentence(best)]
    rest = " ".join(filter(None, [*more, goodput_sentence(best)]))
    others = [line for line in curves.lines if line is not best and line.launch == best.launch and peak_of(line)]
    beside = " ".join(peak_sentence(line) for line in others[:_MAX_BESIDE])
    if curves.is_single and beside:  # lengths at one load each were asked about alike
        return [f"{trade_off_sentence(best)} {beside}", *filter(None, [rest])]
    return [trade_off_sentence(best), *filter(None, (rest, beside))]


def _without_serving(run: Run) -> str:
    """Return the headline of a run without a believable serve case."""
    if not any(record.is_measured for record in run.records):
        causes = Counter(record.failure.code for record in run.failures if record.failure)
        common = f" The most frequent cause is {causes.most_common(1)[0][0]}." if causes else ""
        failed, missing = len(run.failures), sum(run.missing.values())
        return f"Nothing was measured: {failed} repeats failed and {missing} are missing.{common}"
    found = [
        f"throughput mode reaches {number_text(ceiling.output_tok_s.mean)} output tok/s"
        + (f" ({', '.join(key)})" if len(run.ceilings) > 1 else "")
        for key, ceiling in run.ceilings.items()
    ]
    found += [
        f"a batch of {size} takes {number_text(spread.mean)} ms"
        for sizes in run.batch_latencies.values()
        for size, spread in sizes.items()
    ]
    offline = f"Offline, {'; '.join(found[:_MAX_OFFLINE])}." if found else ""
    if not any(BENCHMARKS[case.benchmark].role == "curve" for case in run.plan):
        return offline or "No benchmark of speed was part of this run."
    return f"No serve case gave a number to believe, so there is no throughput curve. {offline}".rstrip()
