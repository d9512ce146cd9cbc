"""A comparison of two launches as a table: for the command line, for files, and for the report of a run."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from benchbook.judge.accuracy import Accuracy, Kept, accuracy_of
from benchbook.judge.claims import change_text, detectable_text, least_share, median_text, sentence
from benchbook.judge.compare import Comparison, Finding, Row, compare
from benchbook.judge.rounds import median_pair
from benchbook.launch_differences import difference_text
from benchbook.report.run import Run
from benchbook.terms.wording import number_text, percent_number

MAX_OTHERS = 5  # launches set against the first one in a report
_SEES = (
    "'Sees' is the difference that would have been claimed four times in five; without it hardly any would have been."
)
MEDIAN_PAIR = (
    "The median pair is a second estimate, which a few slow repeats do not move; its interval is exact, and with fewer "
    "than six rounds there is none of 95 %."
)
_COLUMNS = (
    "case",
    "metric",
    "unit",
    "is_headline",
    "base",
    "other",
    "ratio",
    "ratio_low_95",
    "ratio_high_95",
    "bounds_confidence",
    "bounds_low",
    "bounds_high",
    "median_ratio",
    "median_low",
    "median_high",
    "median_confidence",
    "detectable_share",
    "finding",
    "num_base",
    "num_other",
    "num_suspect",
    "sentence",
)


def launches_of(run: Run) -> list[str]:
    """Return the run's launches, in the order of its plan."""
    return list(dict.fromkeys(case.launch for case in run.plan))


def compared_launches(run: Run) -> list[str]:
    """Return the launches that are compared with the first of them: of a search the finalists, else all."""
    return [run.searched.search.default, *run.searched.course.finalists] if run.searched else launches_of(run)


def answers_of(run: Run) -> dict[str, Accuracy]:
    """Return what became of the answers of each other launch beside the first; none of a run without a guard."""
    first, *others = compared_launches(run) or [""]
    found = {name: accuracy_of(run.by_launch[first], run.by_launch[name], (first, name)) for name in others}
    return {name: one for name, one in found.items() if one}


def answering_worse(run: Run) -> list[str]:
    """Return the launches that lose more answers than the guard allows: no load of theirs is named as the best."""
    return [name for name, one in answers_of(run).items() if one.kept is Kept.LOST]


@functools.lru_cache(maxsize=1)  # the answer and its chapter both ask
def comparisons_of(run: Run) -> list[Comparison]:
    """Return each launch against the first one; shown side by side, they share the 5 % of false claims."""
    if run.searched:
        found = [(run.searched.search.default, one.launch, one.comparison) for one in run.searched.confirmed]
    else:
        first, *others = launches = launches_of(run) or [""]
        found = [
            (
                first,
                other,
                compare(
                    run.by_launch[first],
                    run.by_launch[other],
                    labels((run, first), (run, other)),
                    num_comparisons=num_sharing(launches, (first, other)),
                ),
            )
            for other in others[:MAX_OTHERS]
        ]
    return [
        replace(one, difference=difference_text(run.settings(base), run.settings(other), (base, other)))
        for base, other, one in found
    ]


def labels(base: tuple[Run, str], other: tuple[Run, str]) -> tuple[str, str]:
    """Return the names of two runs' launches for sentences, each with its vLLM where those are of two versions."""
    (first, one), (second, two) = base, other
    return first.label(one, beside=second.packages(two)), second.label(two, beside=first.packages(one))


def num_sharing(launches: Sequence[str], pair: tuple[str, str]) -> int:
    """Return how many comparisons of a run's launches share the 5 % of false claims with that of `pair`.

    Whoever asks for one pair could have asked for each. Each of the others is set against the first launch, whether
    shown in a report or asked for alone, and both tell the same; a pair without it is any of all pairs.
    """
    others = len(launches) - 1
    return others if launches[0] in pair else others * (others + 1) // 2


def comparison_frame(comparison: Comparison) -> pd.DataFrame:
    """Return one row a case and metric, digits as computed: values, ratio, both intervals, what is claimed."""
    return pd.DataFrame([_frame_row(row, comparison) for row in comparison.rows], columns=list(_COLUMNS))


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the rows of a table for people: case (where it begins), metric, both values, change, what may be said."""
    cases = [row.name for row in comparison.rows]
    return [
        (
            row.name if before != row.name else "",
            row.metric.heading + (" *" if row.is_headline else ""),
            number_text(row.base),
            number_text(row.other),
            change_text(row),
            finding_text(row),
        )
        for before, row in zip(["", *cases], comparison.rows)
    ]


def table_headings(comparison: Comparison) -> tuple[str, ...]:
    """Return the headings of `table_rows`."""
    return "case", "metric", comparison.base, comparison.other, "change [95 %]", "finding"


def median_column(comparison: Comparison) -> tuple[str, list[str]]:
    """Return a heading and each row's change of the median pair with its exact interval; '' where none is told."""
    medians = [median_pair(row.pairs) for row in comparison.rows]
    return "median pair [95 %]", [median_text(median) if median else "" for median in medians]


def finding_text(row: Row) -> str:
    """Return 'better, at least 3.1 %', 'better', 'no claim; sees 4.0 %', 'no claim; it answers worse' or 'cannot be told'."""
    if row.is_vetoed:
        return f"{row.finding.value}; it answers worse"
    if _says_what_it_sees(row):
        return f"{row.finding.value}; sees {detectable_text(row.detectable)}"
    if row.finding in (Finding.OPEN, Finding.UNKNOWN) or (least := least_share(row)) is None:
        return row.finding.value
    return f"{row.finding.value}, at least {percent_number(least)} %"


def _says_what_it_sees(row: Row) -> bool:
    return row.finding is Finding.OPEN and row.detectable is not None


def how_to_read(comparison: Comparison) -> str:
    """Return what the columns and the words of a comparison mean."""
    unit = "pair of one round" if comparison.is_paired else "start, with all its repeats,"
    return " ".join(
        [
            f"A {unit} counts as one, however many requests it holds.",
            "Values are geometric means, as ratios want them; a table of results has plain ones.",
            *_how_to_read_claims(comparison),
            "* marks each benchmark's headline metric, chosen beforehand.",
        ]
    )


def _how_to_read_claims(comparison: Comparison) -> list[str]:
    """Return what intervals and claims mean where there are any."""
    num_judged, sharing = comparison.num_judged, comparison.num_comparisons
    if not num_judged:
        return ["A change is that of the metric; the repeats tell no interval, so nothing is claimed."]
    all_of_them = f"all {num_judged} comparisons" if num_judged > 1 else "the one comparison"
    whole = f"{sharing} such comparisons, which the launches of this run allow," if sharing > 1 else "a comparison"
    return [
        "A change is that of the metric, with its own 95 % interval.",
        f"What is claimed allows for {all_of_them} that can be told (Holm's steps; all cases of a benchmark together "
        f"come first): where launches are equal, anything in {whole} is called different in at most 5 of 100, and "
        "'at least' is what all claims together keep.",
        *([_SEES] if any(_says_what_it_sees(row) for row in comparison.rows) else []),
        "An interval that leaves out 0 claims nothing by itself: of twenty equal pairs one does so by chance.",
    ]


def _frame_row(row: Row, comparison: Comparison) -> dict[str, object]:
    low, high = row.interval or (None, None)
    bounds_low, bounds_high = row.bounds or (None, None)
    median = median_pair(row.pairs)
    return {
        "case": row.case,
        "metric": row.metric.key,
        "unit": row.metric.unit,
        "is_headline": row.is_headline,
        "base": row.base,
        "other": row.other,
        "ratio": row.ratio.ratio,
        "ratio_low_95": low,
        "ratio_high_95": high,
        "bounds_confidence": row.confidence,
        "bounds_low": bounds_low,
        "bounds_high": bounds_high,
        "median_ratio": median.ratio if median else None,
        "median_low": median.low if median else None,
        "median_high": median.high if median else None,
        "median_confidence": median.confidence if median else None,
        "detectable_share": row.detectable,
        "finding": row.finding.value,
        "num_base": row.num_base,
        "num_other": row.num_other,
        "num_suspect": row.num_suspect,
        "sentence": sentence(row, comparison),
    }
