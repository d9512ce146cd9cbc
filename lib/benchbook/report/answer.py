"""The answer at the top of a report, and what keeps it from being the whole truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchbook.judge.sample import is_earned, samples_needed
from benchbook.judge.spread import number_text
from benchbook.records.metrics import BY_KEY
from benchbook.records.record import Verdict
from benchbook.report.lines import (
    CONCURRENCY,
    LENGTHS,
    MAX_LINES,
    OUTPUT_THROUGHPUT,
    closed_loop,
    lengths_text,
    open_loop_cases,
)
from benchbook.report.reading import (
    in_flight,
    latency_sentence,
    peak_of,
    peak_sentence,
    scaling_sentence,
)
from benchbook.report.run import Run
from benchbook.report.table import believed

_UNFINISHED = {
    "running": "The run is still going on.",
    "interrupted": "The run was interrupted; the same command continues it.",
}
RANDOM_WEIGHTS = "The model has random weights: this is the speed of its shape, not that of a trained model."


def answer(run: Run) -> list[str]:
    """Return the answer in sentences, the headline first: the peak, where scaling stops, the latency there, the SLO."""
    peaks = [(peak[1].mean, line) for line in run.lines if (peak := peak_of(line))]
    if not peaks:
        return [_without_serving(run)]
    best = max(peaks, key=lambda item: item[0])[1]
    concurrency = peak_of(best)[0]
    sentences = [peak_sentence(best), scaling_sentence(best), latency_sentence(best, concurrency), *slo_sentences(run)]
    return [sentence for sentence in sentences if sentence]


def verdict_sentence(run: Run) -> str:
    """Return how many measured repeats may be believed, and every reason that speaks against the others."""
    measured = sum(run.verdicts.values())
    if not measured:
        return "Nothing was measured."
    said = ", ".join(f"{run.verdicts[verdict]:,} {verdict.value}" for verdict in Verdict if run.verdicts[verdict])
    against = Counter(
        reason.code
        for record in run.records
        if record.is_measured
        for reason in record.reasons
        if reason.severity != "note"
    )
    codes = ", ".join(f"{code} {number}" for code, number in against.most_common())
    return f"Of {_number(measured)}: {said}" + (f" ({codes})." if codes else ".")


def slo_sentences(run: Run) -> list[str]:
    """Return what the SLO allows: the most output throughput whose every believed repeat stays within all limits."""
    limits = {key: limit for key, limit in run.slo.items() if key in BY_KEY}
    unknown = sorted(set(run.slo) - set(limits))
    sentences = [f"The SLO's {', '.join(unknown)} cannot be checked: no metric has that name."] if unknown else []
    if not limits:
        return sentences
    said = " and ".join(_limit_text(key, limit) for key, limit in limits.items())
    rows = believed(closed_loop(run.table))
    by_case = rows.assign(is_within=_is_within(rows, limits)).groupby("case_id", sort=False)
    throughputs = by_case[OUTPUT_THROUGHPUT].mean()[by_case["is_within"].all()]
    if throughputs.empty:
        return [*sentences, f"No case stays within the SLO ({said}) in every repeat."]
    best = rows[rows["case_id"] == throughputs.idxmax()].iloc[0]
    return [
        *sentences,
        f"Within the SLO ({said}, in every repeat) the most is {number_text(throughputs.max())} tok/s, with "
        f"{in_flight(best[CONCURRENCY])} ({best['launch']}, {lengths_text(tuple(best[list(LENGTHS)]))}).",
    ]


def caveats(run: Run) -> list[str]:
    """Return what a reader must know before believing the answer: weights, repeats, verdicts, what is not there."""
    sentences = [RANDOM_WEIGHTS] if run.has_random_weights else []
    repeats = run.header.get("repeats")
    if run.header.get("until"):
        sentences.append(_until_sentence(run.header))
    elif repeats == 1:
        sentences.append("Every case was measured once, so the spread is unknown and small differences mean nothing.")
    elif repeats:
        sentences.append(f"Every case was planned with {repeats} repeats; ± is one standard deviation of the sample.")
    if run.header.get("state") in _UNFINISHED:
        sentences.append(_UNFINISHED[run.header["state"]])
    if run.failures or run.missing:
        sentences.append(
            f"{len(run.failures)} failed and {sum(run.missing.values())} missing repeats are in no figure."
        )
    if run.verdicts[Verdict.INVALID]:
        sentences.append(f"{_repeats(run.verdicts[Verdict.INVALID])} INVALID and count in no mean.")
    if run.verdicts[Verdict.SUSPECT]:
        sentences.append(
            f"{_repeats(run.verdicts[Verdict.SUSPECT])} SUSPECT; the means hold them, the figures show them hollow."
        )
    if open_loop := open_loop_cases(run.table):
        sentences.append(f"{open_loop} serve cases without a concurrency are in the tables and in no figure.")
    if run.num_stale:
        sentences.append(f"{run.num_stale} records of an older plan lie in this run's folder and were left out.")
    return sentences


def threats(run: Run) -> list[str]:
    """Return what could make the conclusions of this very run wrong."""
    sentences = list(caveats(run))
    completed = run.table.loc[run.table["benchmark"] == "serve", "completed"].dropna()
    if len(completed) and not is_earned(int(completed.min()), 99):
        sentences.append(
            f"A p99 here rests on as few as {int(completed.min())} requests a repeat. With under "
            f"{samples_needed(99):,} it is close to the slowest request and no tail; it is greyed."
        )
    if (run.header.get("provenance") or {}).get("git", {}).get("dirty"):
        sentences.append("The repository had uncommitted changes, so the commit below does not fully tell what ran.")
    if not run.ceilings:
        sentences.append("No throughput case was measured, so there is no ceiling to compare with.")
    if not any(1 in sizes for sizes in run.batch_latencies.values()):
        sentences.append("No latency case of batch size 1 was measured, so there is no floor to compare with.")
    return sentences


def _without_serving(run: Run) -> str:
    """Return the headline of a run without a believable serve case."""
    if not any(record.is_measured for record in run.records):
        causes = Counter(record.failure.code for record in run.failures if record.failure)
        common = f" The most frequent cause is {causes.most_common(1)[0][0]}." if causes else ""
        failed, missing = len(run.failures), sum(run.missing.values())
        return f"Nothing was measured: {failed} repeats failed and {missing} are missing.{common}"
    found = [
        f"throughput mode reaches {number_text(ceiling.output_tok_s.mean)} output tok/s"
        for ceiling in run.ceilings.values()
    ]
    found += [
        f"a batch of {size} takes {number_text(spread.mean)} ms"
        for sizes in run.batch_latencies.values()
        for size, spread in sizes.items()
    ]
    rest = f" Offline, {'; '.join(found[:MAX_LINES])}." if found else ""
    return f"No serve case gave a number to believe, so there is no throughput curve.{rest}"


def _is_within(rows: pd.DataFrame, limits: Mapping[str, float]) -> pd.Series:
    """Return for each repeat whether it keeps every limit; a metric that was not measured keeps none."""
    within = pd.Series(True, index=rows.index)
    for key, limit in limits.items():
        values = rows[key].astype("float64")
        within &= values >= limit if BY_KEY[key].higher_is_better else values <= limit
    return within


def _limit_text(key: str, limit: float) -> str:
    metric = BY_KEY[key]
    return f"{metric.label} {'at least' if metric.higher_is_better else 'at most'} {limit:g} {metric.unit}"


def _until_sentence(header: Mapping[str, Any]) -> str:
    """Return how often cases were measured when rounds were added for a precision, and whether all got there."""
    until, known = header["until"], header.get("reached") or {}
    wanted = " and ".join(f"{key} to ±{100 * share:g} %" for key, share in until["targets"].items())
    pairs = [(width, until["targets"][key]) for widths in known.values() for key, width in widths.items()]
    missed = [width for width, share in pairs if width is None or width > share]
    told = [width for width in missed if width is not None]
    widest = f", the widest to ±{max(told):.0%}" if told else ""
    return (
        f"Every case was measured at least {header['repeats']} times, then on, until the 95 % interval of a mean was "
        f"as wanted ({wanted}) or it had been {until['at_most']} times; {len(missed)} of {len(pairs)} means are known "
        f"less well{widest}. ± is one standard deviation of the sample."
    )


def _repeats(number: int) -> str:
    return f"{_number(number)} {'is' if number == 1 else 'are'}"


def _number(number: int) -> str:
    return "1 measured repeat" if number == 1 else f"{number:,} measured repeats"
