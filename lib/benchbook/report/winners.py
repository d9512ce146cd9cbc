"""What a run with several launches says first: how much each differs from the first one; claims first, by size."""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.judge.claims import headline_rows, label_of, sentence, signed_text, values_text
from benchbook.judge.compare import Comparison, Finding, Row
from benchbook.report.differences import MAX_OTHERS, comparisons_of, launches_of
from benchbook.report.run import Run
from benchbook.terms.benchmarks import BENCHMARKS, leading
from benchbook.terms.wording import counted, listed, percent_number

Compared = tuple[Row, Comparison]
MOST_SINGLES = 6  # cases that are told one by one


def winner_sentences(run: Run) -> list[str]:
    """Return one sentence a launch and headline metric, the claim and its interval; [] for a single launch.

    Only the leading benchmark is told where there are several other launches: the chapter on differences has the rest.
    """
    launches = launches_of(run)
    if len(launches) < 2:
        return []
    comparisons = comparisons_of(run)
    found = [(row, comparison) for comparison in comparisons for row in headline_rows(comparison)]
    first = next((name for name in leading() if any(row.benchmark == name for row, _ in found)), None)
    if len(comparisons) > 1:
        found = [(row, comparison) for row, comparison in found if row.benchmark == first]
    found.sort(key=lambda item: (BENCHMARKS[item[0].benchmark].rank, not item[0].is_claimed, -_gain(item[0])))
    told = [item for item in found if _tells(item[0])]
    sentences = [_sentence(row, comparison) for row, comparison in told]
    if len(comparisons) == 1 and told and told[0][0].num_cases > 1:
        sentences.insert(1, _range_sentence(*told[0]))
    sentences += _untold([item for item in found if not _tells(item[0])])
    if lost := [one.other for one in comparisons if not one.rows]:
        sentences.append(f"No case has a number on both {launches[0]} and {listed(lost, 'or')}.")
    if left := launches[1 + MAX_OTHERS :]:
        sentences.append(f"Not compared here: {', '.join(left)}; `benchbook compare` compares any two.")
    return sentences


def _gain(row: Row) -> float:
    """Return by how many times `other` is better, whichever way the metric's better lies."""
    return row.ratio.ratio if row.metric.higher_is_better else 1 / row.ratio.ratio


def _tells(row: Row) -> bool:
    """Return whether the row claims, or could have: with one or two repeats it neither does nor could."""
    return row.finding in (Finding.BETTER, Finding.WORSE) or (
        row.finding is Finding.OPEN and row.detectable is not None
    )


def _sentence(row: Row, comparison: Comparison) -> str:
    said = sentence(row, comparison).removesuffix(".")
    names = f"{comparison.other} against {comparison.base}: " if row.finding is Finding.OPEN else ""
    return f"{names}{said} ({row.name})."


def _range_sentence(row: Row, comparison: Comparison) -> str:
    """Return the changes of the single cases that `row` holds together, or between which they lie where they are many."""
    singles = [
        one
        for one in comparison.rows
        if one.num_cases == 1 and (one.benchmark, one.metric.key) == (row.benchmark, row.metric.key) and one.is_headline
    ]
    if len(singles) <= MOST_SINGLES:
        return _singles_sentence(sorted(singles, key=_gain, reverse=True))
    least, most = min(singles, key=_gain), max(singles, key=_gain)
    return (
        f"Case by case it goes from {signed_text(least)} ({_short(least)}) to {signed_text(most)} ({_short(most)}); "
        "which of these are claims is said where the launches are compared."
    )


def _singles_sentence(singles: Sequence[Row]) -> str:
    """Return 'Case by case: +45.2 % (chat, 8 requests in flight); without a claim +0.3 % (random, 8 requests in flight).'"""
    claimed, others = ([row for row in singles if row.is_claimed is kind] for kind in (True, False))
    texts = [listed([f"{signed_text(row)} ({_short(row)})" for row in rows]) for rows in (claimed, others) if rows]
    said = "; without a claim ".join(texts) if claimed else f"no claim for any, {texts[0]}"
    return f"Case by case: {said}."


def _short(row: Row) -> str:
    return row.name.removeprefix(f"{row.benchmark}, ")


def _untold(compared: Sequence[Compared]) -> list[str]:
    """Return one sentence a metric and number of repeats for the launches of which nothing is claimed: what was seen of them."""
    groups: dict[tuple[str, str, int], list[Compared]] = {}
    for row, comparison in compared:
        key = (row.benchmark, label_of(row.metric), min(row.num_base, row.num_other))
        groups.setdefault(key, []).append((row, comparison))
    return [
        f"{_looks_text(group, label)}; with {_held_text(number)} it cannot be said whether that is more than "
        f"chance ({benchmark})."
        for (benchmark, label, number), group in groups.items()
    ]


def _held_text(number: int) -> str:
    return f"{counted(number, 'repeat')} of each" if number else "no rounds that are pairs"


def _looks_text(group: Sequence[Compared], label: str) -> str:
    """Return 'b looks 29.7 % faster than a in output throughput (791 → 1,026 tok/s), and c 0.6 % slower (791 → 786 tok/s)'."""
    (first, comparison), *others = group
    said = f"{comparison.other} looks {_speed_text(first)} than {comparison.base} in {label} ({values_text(first)})"
    more = [f"{other.other} {_speed_text(row)} ({values_text(row)})" for row, other in others]
    return f"{said}, and {listed(more)}" if more else said


def _speed_text(row: Row) -> str:
    """Return '29.7 % faster', by the change of the metric itself."""
    return f"{percent_number(abs(row.ratio.ratio - 1))} % {'slower' if _gain(row) < 1 else 'faster'}"
