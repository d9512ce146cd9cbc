"""The captions of the figures: axes with units, which direction is better, repeats a point, what was fixed, doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from benchbook.records.record import Verdict
from benchbook.report.curves import Curves, Line
from benchbook.report.run import Run
from benchbook.report.settings import fixed_text
from benchbook.terms.benchmarks import Role
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.percentiles import is_earned, percentile_of, samples_needed
from benchbook.terms.wording import counted


def caption_of(
    run: Run,
    curves: Curves,
    keys: Sequence[str],
    by: str,
    note: str,
    *,
    bars: str = "bars one standard deviation",
    lines: str = "Lines",
) -> str:
    """Return the caption: axes with units, which direction is better, repeats a point, what was fixed."""
    metrics = [BY_KEY[key] for key in keys]
    what = ", ".join(metric.label for metric in metrics)
    counts = sorted({spread.count for line in curves.lines for spread in line.points(keys[0]).values()})
    repeats = "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"
    most = counts[-1] if counts else 0
    spread = bars if most > 1 else "spread unknown"
    starts = {spread.num_starts for line in curves.lines for spread in line.points(keys[0]).values()}
    where = " of one start" if starts == {1} and repeats != "1" else ""
    sentences = [
        f"{what[0].upper()}{what[1:]} ({metrics[0].unit}, {metrics[0].direction}) by {by}.",
        f"{lines}: means; marks: every repeat; {counted(counts[-1] if counts else 0, 'repeat', repeats)}{where} a point, {spread}.",
        note,
        f"Fixed: {fixed_text(run.measured_table)}.",
        "Random weights." if run.has_random_weights else "",
    ]
    if curves.num_lines > len(curves.lines):
        sentences.append(
            f"Drawn are the {len(curves.lines)} of {curves.num_lines} lines that reach most output tokens per second."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def latency_note(limits: Mapping[str, float], unearned: Set[str]) -> str:
    """Return what the dotted level and the grey panels of a figure of latencies are."""
    notes = ["Dotted level: the SLO's limit."] if limits else []
    if unearned:
        needed = samples_needed(99)
        notes.append(
            f"Grey panels: a p99 of fewer than {needed} requests, little but the slowest of them: only from {needed} on does "
            "the second slowest lie above the true p99 in 99 of 100 such measurements."
        )
    return " ".join(notes)


def doubt_text(run: Run, role: Role) -> str:
    """Return ' 2 of 2 repeats of throughput mode are SUSPECT (…).' where a level rests on such, and has no marks."""
    measured = [record for record in run.records if record.row.role == role and record.is_measured]
    doubted = [record for record in measured if record.verdict is Verdict.SUSPECT]
    codes = dict.fromkeys(why.code for record in doubted for why in record.reasons if why.severity == "suspect")
    if not doubted:
        return ""
    names = " and ".join(dict.fromkeys(record.benchmark for record in doubted))
    return f" {len(doubted)} of {len(measured)} repeats of {names} mode are SUSPECT ({', '.join(codes)})."


def is_earned_by(lines: Sequence[Line], key: str) -> bool:
    """Return whether every repeat of `lines` has the samples that the percentile of `key` needs."""
    percentile = percentile_of(key)
    counts = [int(count) for line in lines for count in line.repeats["completed"].dropna()]
    return percentile is None or all(is_earned(count, percentile) for count in counts)
