"""What a reader of a comparison must know before believing any of it: unequal hardware, drifts, too few repeats, what was left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from benchbook.judge.attached import cost_said
from benchbook.judge.caches import caches_said
from benchbook.judge.claims import headline_rows, label_of, unit_of
from benchbook.judge.compare import Comparison
from benchbook.judge.outside import again_sentence
from benchbook.judge.pairs import rotated
from benchbook.judge.rounds import rounds_said
from benchbook.judge.stats import MOST_REPEATS
from benchbook.records.record import Verdict
from benchbook.terms.wording import counted, number_text

# With fewer pairs Student's t is above 3: the interval says more about the number of repeats than about the launches.
FEW_REPEATS = 4
SOUGHT_SHARE = 0.05  # the difference that advice on the number of repeats is for
_MORE = "Three of each are the least that tell anything, five are better."
STARTS_WANTED = 5  # advised for each of two runs
_SHOWN = 3


def caveats(comparison: Comparison) -> list[str]:
    """Return what a reader must know before believing any of it."""
    base, other, cases = comparison.base, comparison.other, comparison.cases
    sentences = [*comparison.remarks, *(comparison.accuracy.sentences if comparison.accuracy else ())]
    if gpus := comparison.unequal_gpus:
        sentences.append(
            f"{base} ran on {gpus[0]} of the GPUs and {other} on {gpus[1]}: rates and joules are those of all of them, so "
            f"a difference is one at {number_text(gpus[1] / gpus[0])} times the hardware."
        )
    if not comparison.is_paired and any(case.is_of_one_start_each for case in cases):
        sentences.append(
            f"{base} and {other} were measured on one start each, one after the other: what starts differ by, and what "
            "the machine did meanwhile, looks the same as a difference of the launches. Without turns: false they take "
            "turns, and a difference can be claimed."
        )
    elif not comparison.is_paired and any(case.is_attached_out_of_turn for case in cases):
        sentences.append(
            f"{base} and {other} were not measured in turn, and one of them is a server that nobody started here: their "
            "rounds are no pairs, and of one start nothing can be claimed."
        )
    elif not comparison.is_paired:
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
    sentences += _uneven(comparison)
    sentences += cost_said(base, other, cases)
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


def _uneven(comparison: Comparison) -> list[str]:
    """Return that the launches were not at each place equally often, and what that costs."""
    base, other, cases = comparison.base, comparison.other, comparison.cases
    uneven = [case for case in cases if case.places[0] != case.places[1]]
    if not uneven:
        return []
    first, second = uneven[0].places
    said = (
        f"In {len(uneven)} of {len(cases)} cases {base} and {other} were not at each place equally often "
        f"({base} at {_places(first)}, {other} at {_places(second)}): what places differ by is a part of the difference"
    )
    if not comparison.is_paired:
        return [f"{said}."]
    held, kept = len(uneven[0].shared_rounds), len(rotated([uneven[0]], uneven[0].shared_rounds))
    cost = (
        f"only the {kept} of {held} rounds over which they were are compared"
        if kept
        else f"none of the {counted(held, 'round')} is a pair, and nothing is claimed"
    )
    return [f"{said}, and {cost}. {_even(first + second)}"]


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
    if fewest == 0:
        return []  # they were not rotated, which is said with what it costs
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


def _places(times: Counter[str]) -> str:
    return ", ".join(f"{place} {counted(times[place], 'time')}" for place in sorted(times))


def _even(times: Counter[str]) -> str:
    if any(place.startswith("node ") for place in times):
        return "With job: round in the cluster's file, all launches of a round run on one node."
    return "As many rounds as there are launches, or as places where those are fewer, or twice as many, make it even."
