"""What a comparison says in words: a claim with its interval, or how large a difference could have hidden.

A percentage is always the change of the metric itself: a TPOT 5 % faster is 5 % shorter, a throughput 5 % higher.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from benchbook.judge.caches import caches_said
from benchbook.judge.compare import Comparison, Finding, Row
from benchbook.judge.outside import again_sentence
from benchbook.judge.rounds import MedianPair, contradiction, rounds_said
from benchbook.judge.stats import CONFIDENCE, MOST_REPEATS
from benchbook.records.record import Verdict
from benchbook.terms.metrics import Metric
from benchbook.terms.wording import counted, number_text, percent_number

# Two builds of one program, or one program on two mornings, differ by as much; a claim below it is said to be small.
PRACTICAL_SHARE = 0.01
# With fewer pairs Student's t is above 3: the interval says more about the number of repeats than about the launches.
FEW_REPEATS = 4
NEARLY_ALIKE = 0.2  # a ratio of 1.2 is +20 and, turned round, -17 %
SOUGHT_SHARE = 0.05  # the difference that advice on the number of repeats is for
_MORE = "Three of each are the least that tell anything, five are better."
STARTS_WANTED = 5  # advised for each of two runs
_SHOWN = 3


def sentence(row: Row, comparison: Comparison) -> str:
    """Return one sentence: 'B is 6.1 % [4.2, 8.0] faster than A in output throughput (1,356 → 1,439 tok/s).'."""
    said = {
        Finding.BETTER: _claim,
        Finding.WORSE: _claim,
        Finding.OPEN: _nothing_seen,
        Finding.UNKNOWN: _unknown,
    }[row.finding](row, comparison)
    if median := contradiction(row):
        said += f"; the median pair says otherwise: {median_text(median)}"
    said += _hardware(row, comparison)
    if row.num_suspect:
        said += f"; {row.num_suspect} of the repeats behind it are SUSPECT"
    return f"{said}."


def headline_rows(comparison: Comparison) -> list[Row]:
    """Return the rows to read first: each benchmark's headline over all its cases, or of its only case."""
    rows = [row for row in comparison.rows if row.is_headline]
    together = [row for row in rows if row.num_cases > 1]
    covered = {(row.benchmark, row.metric.key) for row in together}
    return [*together, *(row for row in rows if (row.benchmark, row.metric.key) not in covered)]


def headlines(comparison: Comparison) -> list[str]:
    """Return the sentences to read first, one for each of the `headline_rows`."""
    return [f"{row.name}: {sentence(row, comparison)}" for row in headline_rows(comparison)]


def tally(comparison: Comparison) -> str:
    """Return how many rows claim what: '40 comparisons of B with A: 6 better, 1 worse, 33 without a claim.'."""
    counts = {finding: sum(row.finding is finding for row in comparison.rows) for finding in Finding}
    whole = f"{counted(len(comparison.rows), 'comparison')} of {comparison.other} with {comparison.base}"
    if counts[Finding.UNKNOWN] == len(comparison.rows):
        return f"{whole}, of which none can be told."
    parts = [f"{counts[Finding.BETTER]} better", f"{counts[Finding.WORSE]} worse"]
    parts += [f"{counts[Finding.OPEN]} without a claim"]
    parts += [f"{counts[Finding.UNKNOWN]} that cannot be told"] if counts[Finding.UNKNOWN] else []
    return f"{whole}: {', '.join(parts)}."


def caveats(comparison: Comparison) -> list[str]:
    """Return what a reader must know before believing any of it."""
    base, other, cases = comparison.base, comparison.other, comparison.cases
    sentences = list(comparison.remarks)
    if gpus := comparison.unequal_gpus:
        sentences.append(
            f"{base} ran on {gpus[0]} of the GPUs and {other} on {gpus[1]}: rates and joules are those of all of them, so "
            f"a difference is one at {number_text(gpus[1] / gpus[0])} times the hardware."
        )
    if not comparison.is_paired:
        sentences.append(
            f"{base} and {other} were measured in two runs and not in turn: the intervals hold what starts vary by "
            "inside each run, not what changed between them. A drift of the machine, its heat or its neighbours looks "
            "the same as a difference of the launches; only one run of both can tell them apart."
        )
    elif apart := [case for case in cases if not case.is_interleaved]:
        sentences.append(
            f"In {len(apart)} of {len(cases)} cases the rounds were not held in turn "
            f"({_some(case.name for case in apart)}): what the machine did meanwhile can pass for a difference there."
        )
    if comparison.is_paired and (others := [case for case in cases if not case.has_same_prompts]):
        sentences.append(
            f"{base} and {other} were sent different prompts in {len(others)} of {len(cases)} cases; part of a "
            "difference may be theirs."
        )
    if conditions := sorted({part for case in cases for part in case.other_conditions}):
        sentences.append(f"Besides the launches, this differs: {', '.join(conditions)}.")
    sentences += rounds_said(comparison, headline_rows(comparison))
    if caches := caches_said([(base, [case.base for case in cases]), (other, [case.other for case in cases])]):
        sentences.append(caches)
    return [*sentences, *_few(comparison), *_lost(comparison), *_suspects(comparison)]


def detectable_text(share: float) -> str:
    """Return '4.0 %'; '+296 or -75 %' where a difference upwards and its like downwards are no longer about the same."""
    if share < NEARLY_ALIKE:
        return f"{percent_number(share)} %"
    return f"{_signed(1 + share)} or {_signed(1 / (1 + share))} %"


def unit_of(comparison: Comparison) -> str:
    """Return what counts as one piece of evidence: a repeat, whose pair is of the same round, or a start of a run."""
    return "repeat" if comparison.is_paired else "start"


def label_of(metric: Metric) -> str:
    """Return the metric's label inside a sentence: 'output throughput', but 'TTFT'."""
    label = metric.label
    return label[0].lower() + label[1:] if label[1].islower() else label


def change_text(row: Row) -> str:
    """Return '+0.4 % [-1.5, +2.3]', the change of the metric with its 95 % interval."""
    text = signed_text(row)
    return f"{text} [{_signed(row.interval[0])}, {_signed(row.interval[1])}]" if row.interval else text


def median_text(median: MedianPair) -> str:
    """Return '+0.4 % [-1.5, +2.3]', the change of the median pair; '[88 %: -1.5, +2.3]' where that is all it has."""
    sure = "" if median.confidence >= CONFIDENCE else f"{100 * median.confidence:.0f} %: "
    return f"{_signed(median.ratio)} % [{sure}{_signed(median.low)}, {_signed(median.high)}]"


def signed_text(row: Row) -> str:
    """Return '+0.4 %', the change of the metric by itself."""
    return f"{_signed(row.ratio.ratio)} %"


def values_text(row: Row) -> str:
    """Return '1,356 → 1,439 tok/s'."""
    return f"{number_text(row.base)} → {number_text(row.other)} {row.metric.unit}".rstrip()


def least_share(row: Row) -> float | None:
    """Return the least change, as a share, that a claim leaves open with all other rows allowed for; None: any."""
    if row.bounds is None or row.bounds[0] <= 1 <= row.bounds[1]:
        return None
    return min(abs(bound - 1) for bound in row.bounds)


def _hardware(row: Row, comparison: Comparison) -> str:
    """Return on how many GPUs each launch ran, where that differs, and what it is for each GPU; else ''."""
    gpus = comparison.unequal_gpus
    if gpus is None:
        return ""
    base, other = gpus
    said = f", on {counted(other, 'GPU')} in place of {base}"
    if not row.metric.unit.endswith("/s"):
        return said
    for_each = row.ratio.ratio * base / other
    return f"{said}: {percent_number(abs(for_each - 1))} % {'more' if for_each > 1 else 'less'} for each GPU"


def _claim(row: Row, comparison: Comparison) -> str:
    nearer, farther = sorted(row.interval, key=lambda bound: abs(bound - 1))
    size, low, high = (percent_number(abs(ratio - 1)) for ratio in (row.ratio.ratio, nearer, farther))
    word = "faster" if row.finding is Finding.BETTER else "slower"
    told = f"in {label_of(row.metric)} ({values_text(row)})"
    said = f"{comparison.other} is {size} % [{low}, {high}] {word} than {comparison.base} {told}"
    least = least_share(row)
    if least is None:
        return f"{said}, by how much at least is open with all {comparison.num_judged} comparisons allowed for"
    if comparison.num_judged > 1:
        said += f", at least {percent_number(least)} % with all {comparison.num_judged} comparisons allowed for"
    return said + ("; it may be too little to matter" if least < PRACTICAL_SHARE else "")


def _nothing_seen(row: Row, comparison: Comparison) -> str:
    label, numbers = label_of(row.metric), f"({values_text(row)}, {change_text(row)})"
    if row.detectable is None:
        seen = f"with {min(row.num_base, row.num_other)} {unit_of(comparison)}s hardly any would have been seen"
    else:
        seen = f"only one over {detectable_text(row.detectable)} would likely have been seen"
    if row.interval[0] <= 1 <= row.interval[1]:
        return f"no difference seen in {label} {numbers}; {seen}"
    chance = f"its own interval leaves out 0, which chance does once in twenty, and there are {comparison.num_judged}"
    return f"no claim of a difference in {label} {numbers}: {chance}; {seen}"


def _unknown(row: Row, comparison: Comparison) -> str:
    unit = unit_of(comparison)
    if row.ratio.log_error is not None:
        why = f"the {unit}s vary too much"
    elif (fewest := min(row.num_base, row.num_other)) <= 2:
        why = {1: f"one {unit} shows no spread", 2: f"two {unit}s are too few"}[fewest]
    else:
        why = f"the {unit}s do not vary at all, which is rounding"
    return f"{label_of(row.metric)} {values_text(row)}, {change_text(row)}; no interval and no claim, since {why}"


def _few(comparison: Comparison) -> list[str]:
    fewest = min((min(row.num_base, row.num_other) for row in comparison.rows), default=FEW_REPEATS)
    if fewest >= FEW_REPEATS:
        return []
    if not comparison.is_paired and fewest <= 2:
        counts = {(row.num_base, row.num_other) for row in comparison.rows}
        num_base, num_other = min(counts, key=min)
        return [
            f"Starts of one launch differ, and here are {num_base} of {comparison.base} and {num_other} of "
            f"{comparison.other}: no interval is given and nothing is claimed. Three of each are the least that tell "
            f"anything: measure both with repeats: {{starts: {STARTS_WANTED}}}, or both in one experiment, in turn."
        ]
    if fewest == 1:
        return [f"With one repeat of each nothing can be told from chance: no interval is given. {_MORE}"]
    if fewest == 2:
        return [f"Where there are but two pairs there is no interval to speak of, and nothing is claimed. {_MORE}"]
    few = f"With {fewest} {unit_of(comparison)}s of each"
    wide = f"{few} the intervals are very wide; only large differences can be seen."
    return [f"{wide} {_repeats_wanted(comparison)}".rstrip()]


def _repeats_wanted(comparison: Comparison) -> str:
    """Return how many repeats would show a difference worth having in the headlines; '' where the spread is unknown."""
    wanted = {
        row: row.ratio.repeats_for(SOUGHT_SHARE, min(row.num_base, row.num_other), 1 - row.level)
        for row in headline_rows(comparison)
        if row.ratio.log_error is not None
    }
    if not wanted:
        return ""
    row = max(wanted, key=lambda row: wanted[row] or math.inf)
    number = f"about {wanted[row]}" if wanted[row] else f"more than {MOST_REPEATS}"
    return f"By the spread seen, {number} would show one of {100 * SOUGHT_SHARE:g} % in {label_of(row.metric)}."


def _lost(comparison: Comparison) -> list[str]:
    """Return what did not enter: repeats that failed or are INVALID, cases of one launch alone."""
    sentences = []
    for name, arms in (
        (comparison.base, [(case, case.base) for case in comparison.cases]),
        (comparison.other, [(case, case.other) for case in comparison.cases]),
    ):
        lost = sum(case.planned - len(arm.believed) for case, arm in arms)
        if lost:
            planned = sum(case.planned for case, _ in arms)
            sentences.append(
                f"{lost} of {planned} repeats of {name} failed, are missing or INVALID and were left out; if it failed "
                "where it was slow, it looks better than it is."
            )
    if empty := [case.name for case in comparison.cases if not case.shared_rounds and comparison.is_paired]:
        sentences.append(f"No round has both launches for {_some(empty)}.")
    if comparison.lone_cases:
        sentences.append(f"Measured on one of the launches only, and not compared: {_some(comparison.lone_cases)}.")
    return sentences


def _suspects(comparison: Comparison) -> list[str]:
    sentences = []
    for name, arms in (
        (comparison.base, [case.base for case in comparison.cases]),
        (comparison.other, [case.other for case in comparison.cases]),
    ):
        records = [record for arm in arms for record in arm.believed.values()]
        suspects = [record for record in records if record.verdict is Verdict.SUSPECT]
        reasons = [reason for record in suspects for reason in record.reasons if reason.severity == "suspect"]
        codes = ", ".join(sorted({reason.code for reason in reasons}))
        if again := again_sentence(records):
            sentences.append(f"{name}: {again}")
        if suspects:
            number = f"{len(suspects)} of {len(records)} repeats of {name}"
            sentences.append(f"{number} are SUSPECT ({codes}) and count here.")
    return sentences


def _some(texts: Iterable[str]) -> str:
    found = list(texts)
    return "; ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _signed(ratio: float) -> str:
    text = percent_number(ratio - 1)
    return text if text.startswith("-") else f"+{text}"
