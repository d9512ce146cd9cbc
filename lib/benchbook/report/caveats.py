"""What keeps an answer from being the whole truth: in the box at the top, and at length near the end of a report."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from benchbook.judge.evidence import Measured
from benchbook.judge.loads import case_name
from benchbook.judge.outside import again_sentence
from benchbook.judge.unseen import by_reason, num_concerned
from benchbook.records.conditions import Precision
from benchbook.records.header import RunState
from benchbook.records.record import Record, Verdict
from benchbook.report.run import Run
from benchbook.report.starts import starts_sentence, until_scope
from benchbook.terms.benchmarks import with_role
from benchbook.terms.percentiles import is_earned, samples_needed
from benchbook.terms.wording import counted, listed

_UNFINISHED = {
    RunState.PARTIAL: "Only some of the planned cases were asked for (run --only), or some were skipped.",
    RunState.RUNNING: "The run is still going on.",
    RunState.INTERRUPTED: "The run was interrupted; the same command continues it.",
}
_MAX_UNSEEN = 3  # reasons
RANDOM_WEIGHTS = "The model has random weights: this is the speed of its shape, not that of a trained model."
SCREENED = (
    "Tables and figures hold the rounds of the screening too, in which the best of many looks better than it is; what is "
    "claimed rests on the confirmation alone."
)


@functools.lru_cache(maxsize=1)  # the answer and what could make it wrong both ask
def caveats(run: Run) -> list[str]:
    """Return what a reader must know before believing the answer: weights, repeats, verdicts, what is not there."""
    sentences = [RANDOM_WEIGHTS] if run.has_random_weights else []
    if run.searched:
        sentences += [SCREENED] if len(run.evidence) < len(run.records) else []
    elif run.header.until:
        sentences.append(_until_sentence(run))
    else:
        sentences += _planned_sentences(run)
    if said := starts_sentence(run):
        sentences.append(said)
    sentences += precision_sentences(run)
    if run.header.state in _UNFINISHED:
        sentences.append(_UNFINISHED[run.header.state])
    failed, missing = len(run.failures), sum(run.missing.values())
    if failed or missing:
        lacking = [f"{number} {what}" for number, what in ((failed, "failed"), (missing, "missing")) if number]
        sentences.append(f"{listed(lacking)} {'repeat is' if failed + missing == 1 else 'repeats are'} in no figure.")
    if run.verdicts[Verdict.INVALID]:
        number = run.verdicts[Verdict.INVALID]
        sentences.append(f"{_repeats(number)} INVALID and {'counts' if number == 1 else 'count'} in no mean.")
    if run.verdicts[Verdict.SUSPECT]:
        is_drawn = any((line.repeats["verdict"] == Verdict.SUSPECT.value).any() for line in run.lines)
        number = run.verdicts[Verdict.SUSPECT]
        they_count, them = ("it counts", "it") if number == 1 else ("they count", "them")
        seen = f", and figures show {them} hollow" if is_drawn else ""
        sentences.append(f"{_repeats(number)} SUSPECT; {they_count} in the means{seen}.")
    sentences += filter(None, [again_sentence(run.records), unseen_sentence(run)])
    if run.damage:
        sentences.append("Parts of this run's folder are damaged and were left out; they are listed below.")
    if run.num_stale:
        of_old = counted(run.num_stale, "record") + " of an older plan"
        sentences.append(f"Left out: {of_old} in this run's folder.")
    return sentences


def _planned_sentences(run: Run) -> list[str]:
    """Return how often the cases were to be measured: those of a search are as often as it needs."""
    searched = {case_id for find in run.header.finds for case_id in find.cases}
    sentences, which, repeats = [], "Every", run.header.repeats
    if searched:
        sentences.append(
            "A search measures a load as often as its decision needs; ± is one standard deviation of the sample."
        )
        which = "Every other"
    if searched and searched.issuperset(case.case_id for case in run.plan):
        return sentences
    if repeats == 1:
        sentences.append(
            f"{which} case was measured once, so the spread is unknown and small differences mean nothing."
        )
    elif repeats:
        sentences.append(f"{which} case was planned with {repeats} repeats; ± is one standard deviation of the sample.")
    return sentences


def precision_sentences(run: Run) -> list[str]:
    """Return how well each metric that `precision` planned the prompts for came to be known within one repeat."""
    records = [record for record in run.records if record.verdict is not Verdict.INVALID]
    told = [(record, record.conditions.precision) for record in records]
    keys = dict.fromkeys(key for _, precision in told for key in precision.asked)
    return [_precision_sentence(key, told) for key in keys]


def _precision_sentence(key: str, told: Sequence[tuple[Record, Precision]]) -> str:
    """Return what was asked of metric `key`, what was reached, and the case that knows it least."""
    asked = sorted({share for _, precision in told if (share := precision.asked.get(key))})
    wanted = " and ".join(f"±{100 * share:g} %" for share in asked)
    known = [(width, record) for record, precision in told if (width := precision.reached.get(key))]
    if not known:
        return f"Prompts were planned to know {key} to {wanted}; too few requests tell what was reached."
    (least, _), (most, worst) = (choose(known, key=lambda item: item[0]) for choose in (min, max))
    span = " to ".join(dict.fromkeys(f"±{100 * width:.2g} %" for width in (least, most)))
    return (
        f"Prompts were planned to know {key} to {wanted} within one repeat; {span} was reached, by what the repeats' own "
        f"latencies tell (95 %; least well: {case_name(worst)})."
    )


def unseen_sentence(run: Run) -> str:
    """Return how many verdicts are silent on what could not be looked at, and on what; '' where all could be."""
    attached = [launch for launch, records in run.by_launch.items() if any(record.host.attached for record in records)]
    by_text: dict[str, list[str]] = {}
    for launch in attached:
        by_text.setdefault(_blind_launch(run.by_launch[launch]), []).append(launch)
    said = [f"{listed(launches)}: {text}" for text, launches in by_text.items() if text]
    blind = [record for record in run.records if record.not_looked and record.identity.launch not in attached]
    return " ".join(filter(None, [*said, _blind(blind)]))


def _blind_launch(records: Sequence[Record]) -> str:
    """Return of an attached launch's records how many checks could not look at its server, of how many, and why; '' where all could."""
    worst = max(records, key=lambda record: len(record.not_looked or {}))
    if not worst.not_looked:
        return ""
    total = num_concerned(Measured.of(worst))
    reasons = (f"{why} ({', '.join(sorted(codes))})" for why, codes in by_reason(worst.not_looked).items())
    return f"{len(worst.not_looked)} of {total} checks could not look at this server: {'; '.join(reasons)}."


def _blind(blind: Sequence[Record]) -> str:
    """Return how many verdicts are silent on what could not be looked at, and on what; '' where all could be."""
    if not blind:
        return ""
    codes: dict[str, set[str]] = {}
    for record in blind:
        for why, checks in by_reason(record.not_looked or {}).items():
            codes.setdefault(why, set()).update(checks)
    said = "; ".join(f"{', '.join(sorted(checks))} ({why})" for why, checks in list(codes.items())[:_MAX_UNSEEN])
    more = f"; and {counted(len(codes) - _MAX_UNSEEN, 'reason')} more" if len(codes) > _MAX_UNSEEN else ""
    num_valid = sum(record.verdict is Verdict.VALID for record in blind)
    return (
        f"{_repeats(len(blind))} judged without all checks, {num_valid} of them VALID. Not looked at: {said}{more}. "
        "There silence is no satisfaction."
    )


def threats(run: Run) -> list[str]:
    """Return what could make the conclusions of this very run wrong."""
    sentences = list(caveats(run))
    completed = run.measured_table.loc[run.measured_table["benchmark"].isin(with_role("curve")), "completed"].dropna()
    if len(completed) and not is_earned(int(completed.min()), 99):
        sentences.append(
            f"A p99 here rests on as few as {int(completed.min())} requests a repeat. With under "
            f"{samples_needed(99):,} it is close to the slowest request and no tail; it is greyed."
        )
    if sets := list(dict.fromkeys(record.requests.name for record in run.records if record.requests)):
        sentences.append(
            f"What is said of random tokens does not hold for what was sent of {listed(sets)}: these were drawn as "
            "`requests:` of the experiment file says, and another load of their kind may behave otherwise."
        )
    if run.header.provenance.git.dirty:
        sentences.append("The repository had uncommitted changes, so the commit below does not fully tell what ran.")
    if any(not curves.load.is_open for curves in run.curves):
        sentences.append(
            "A closed loop never has more requests waiting than it is allowed to send. Real users do not wait for each "
            "other."
        )
    return sentences


def _until_sentence(run: Run) -> str:
    """Return how often cases were measured when rounds were added for a precision, and whether all got there."""
    header = run.header
    until, known, scope = header.until, header.reached, until_scope(run)
    where = f", for {scope}," if scope else ""
    targets = until.targets
    wanted = " and ".join(f"{key} to ±{100 * share:g} %" for key, share in targets.items())
    pairs = [(width, targets[key]) for widths in known.values() for key, width in widths.items() if key in targets]
    missed = [width for width, share in pairs if width is None or width > share]
    told = [width for width in missed if width is not None]
    widest = f", the widest to ±{max(told):.0%}" if told else ""
    return (
        f"Every case was measured at least {header.repeats} times, then on, until the 95 % interval of a mean was "
        f"as wanted{where} ({wanted}) or it had been {until.at_most} times; {len(missed)} of {len(pairs)} means are known "
        f"less well{widest}. ± is one standard deviation of the sample."
    )


def _repeats(number: int) -> str:
    return f"{measured_repeats(number)} {'is' if number == 1 else 'are'}"


def measured_repeats(number: int) -> str:
    """Return '1 measured repeat' or '24 measured repeats'."""
    return counted(number, "measured repeat")
