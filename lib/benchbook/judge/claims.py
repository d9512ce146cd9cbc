"""What a comparison says in words: a claim with its interval, or how large a difference could have hidden.

A percentage is always the change of the metric itself: a TPOT 5 % faster is 5 % shorter, a throughput 5 % higher.
"""

from __future__ import annotations

from benchbook.judge.accuracy import margin_text
from benchbook.judge.attached import short_cost
from benchbook.judge.compare import Comparison, Finding, Row
from benchbook.judge.rounds import MedianPair, contradiction
from benchbook.judge.stats import CONFIDENCE
from benchbook.terms.metrics import Metric
from benchbook.terms.wording import counted, number_text, percent_number

# Two builds of one program, or one program on two mornings, differ by as much; a claim below it is said to be small.
PRACTICAL_SHARE = 0.01
NEARLY_ALIKE = 0.2  # a ratio of 1.2 is +20 and, turned round, -17 %


def sentence(row: Row, comparison: Comparison) -> str:
    """Return one sentence: 'B is 6.1 % [4.2, 8.0] faster than A in output throughput (1,356 → 1,439 tok/s).'."""
    said = {
        Finding.BETTER: _claim,
        Finding.WORSE: _claim,
        Finding.OPEN: _vetoed if row.is_vetoed else _nothing_seen,
        Finding.UNKNOWN: _unknown,
    }[row.finding](row, comparison)
    if median := contradiction(row):
        said += f"; the median pair says otherwise: {median_text(median)}"
    said += _hardware(row, comparison)
    if row.finding is Finding.BETTER and comparison.accuracy:
        said += f", {comparison.accuracy.short}"
    if row.finding in (Finding.BETTER, Finding.WORSE):
        said += short_cost(comparison.base, comparison.other, comparison.cases)
    if row.num_suspect:
        said += f"; {row.num_suspect} of the repeats behind it {'is' if row.num_suspect == 1 else 'are'} SUSPECT"
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


def _vetoed(row: Row, comparison: Comparison) -> str:
    told, margin = comparison.accuracy, margin_text(comparison.accuracy.margin)
    return (
        f"no claim that {comparison.other} is faster in {label_of(row.metric)} ({values_text(row)}, {change_text(row)}): it "
        f"answers worse, {told.numbers}, where {margin} may be lost"
    )


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
        why = {
            0: f"no {unit}s are pairs",
            1: f"one {unit} shows no spread",
            2: f"two {unit}s are too few",
        }[fewest]
    else:
        why = f"the {unit}s do not vary at all, which is rounding"
    return f"{label_of(row.metric)} {values_text(row)}, {change_text(row)}; no interval and no claim, since {why}"


def _signed(ratio: float) -> str:
    text = percent_number(ratio - 1)
    return text if text.startswith("-") else f"+{text}"
