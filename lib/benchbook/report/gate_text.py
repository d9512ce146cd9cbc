"""What a gate says in words: the answer in a line, a sentence for each metric, a table of all that was judged."""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.judge.claims import change_text, label_of, unit_of, values_text
from benchbook.judge.gate import Answer, Gate, Judged
from benchbook.judge.kept import KeptRow
from benchbook.judge.stats import MOST_REPEATS
from benchbook.terms.exit_codes import FAILED, NO_ANSWER, OK
from benchbook.terms.wording import listed, number_text, percent_number

HEADINGS = ("case", "metric", "baseline", "new", "change [95 %]", "worse by at most", "allowed", "answer")
RIGHT = (2, 3, 5, 6)
MAX_SENTENCES = 8
HOW = (
    "'Worse' is a loss that is more than chance and by the estimate beyond what is allowed (of one case beside others: beyond "
    "it by more than chance); of equal launches at most 5 of 100 gates say so. 'Not worse' is said where the loss is at most what is allowed (95 %, one-sided)."
)


def exit_code(gate: Gate) -> int:
    """Return 0 for not worse, 1 for worse or where something failed or is INVALID, 3 where it cannot be told."""
    if gate.answer is Answer.WORSE or gate.is_broken:
        return FAILED
    return OK if gate.answer is Answer.NOT_WORSE else NO_ANSWER


def title(gate: Gate) -> str:
    """Return the answer in a line: 'not worse: next is not worse than now by more than 3 % in output throughput'."""
    base, new = gate.comparison.base, gate.comparison.other
    if gate.refusals:
        return f"refused: {new} is not judged against {base}"
    found = [one for one in gate.judged if one.answer is gate.answer]
    metrics = listed(list(dict.fromkeys(label_of(one.row.metric) for one in found)) or ["any metric"])
    if gate.answer is Answer.WORSE:
        return f"worse: {new} is worse than {base} in {metrics}"
    if gate.answer is Answer.NOT_WORSE:
        return f"not worse: {new} is not worse than {base} by more than {_allowed_text(found)} in {metrics}"
    if not gate.judged:
        return f"cannot tell: {new} and {base} have no number to compare"
    return f"cannot tell whether {new} is worse than {base} by more than {_allowed_text(found)} in {metrics}{_advice(gate)}"


def sentences(gate: Gate) -> list[str]:
    """Return why nothing may be said; else a sentence for each metric that the answer rests on, worst first."""
    if gate.refusals:
        return list(gate.refusals)
    order = {Answer.WORSE: 0, Answer.OPEN: 1, Answer.NOT_WORSE: 2}
    found = sorted((one for one in gate.judged if one.answer), key=lambda one: order[one.answer])
    said = [f"{one.row.name}: {sentence(one, unit_of(gate.comparison))}." for one in found[:MAX_SENTENCES]]
    return [*said, *([f"{len(found) - MAX_SENTENCES} more are in the table."] if found[MAX_SENTENCES:] else [])]


def sentence(one: Judged, unit: str) -> str:
    """Return 'output throughput (1,356 → 1,349 tok/s, -0.5 %): at most 1.7 % worse, 3 % are allowed'."""
    row = one.row
    told = f"{label_of(row.metric)} ({values_text(row)}, {change_text(row)})"
    if one.limits is None:
        return f"{told}: {_why_no_limits(one, unit)}"
    least, most = one.limits
    if one.answer is Answer.WORSE:
        sure = f", at least {percent_number(least)} %" if least > 0 else ""
        return f"{told}: {percent_number(one.loss)} % worse{sure}; {_percent(one.allowed)} are allowed"
    if one.answer is Answer.NOT_WORSE:
        seen = f"at least {percent_number(-most)} % better" if most < 0 else f"at most {percent_number(most)} % worse"
        though = f", though worse by {percent_number(one.loss)} % for sure" if least > 0 else ""
        return f"{told}: {seen}{though}; {_percent(one.allowed)} are allowed"
    span = f"{_signed(least)} and {_signed(most)}"
    return f"{told}: the loss lies between {span} %, and {_percent(one.allowed)} are allowed{_more(one, unit)}"


def table_rows(gate: Gate) -> list[tuple[str, ...]]:
    """Return a row of texts for each that was judged, under HEADINGS."""
    return [
        (
            one.row.name,
            one.row.metric.heading,
            number_text(one.row.base),
            number_text(one.row.other),
            change_text(one.row),
            f"{_signed(one.limits[1])} %" if one.limits else "–",
            _percent(one.allowed),
            one.answer.value if one.answer else "(part of the whole)",
        )
        for one in gate.judged
    ]


def spread_sentence(rows: Sequence[KeptRow]) -> str:
    """Return by how much the starts and the days of kept runs vary, in the first row; '' without any."""
    if not rows:
        return ""
    row, spread = rows[0].row, rows[0].spread
    whole = (
        f"The {row.num_base} kept runs vary by {percent_number(spread.runs)} % in {label_of(row.metric)} ({row.name})"
    )
    if spread.starts is None:
        return f"{whole}: one start each, so nothing tells days from starts."
    return (
        f"{whole}: their starts by {percent_number(spread.starts)} %, and beside that {percent_number(spread.days)} % from "
        "run to run. In turns, in one experiment, the latter cancels."
    )


def power_sentence(gate: Gate) -> str:
    """Return from which loss on such gates say 'worse', of each metric that answers; '' where the spread is not known."""
    told = [one for one in gate.judged if one.found_from is not None]
    if gate.refusals or not told:
        return ""
    losses = [f"{percent_number(one.found_from)} % in {label_of(one.row.metric)} ({one.row.name})" for one in told]
    return f"Where it varies as here, nine of ten gates find a loss from so much on: {listed(losses[:MAX_SENTENCES])}."


def _allowed_text(found: Sequence[Judged]) -> str:
    shares = {one.allowed for one in found}
    return _percent(shares.pop()) if len(shares) == 1 else "is allowed"


def _advice(gate: Gate) -> str:
    if gate.rounds is None or not gate.comparison.is_paired:
        return ""
    held = min(min(one.row.num_base, one.row.num_other) for one in gate.judged)
    return f"; {gate.rounds - held} more rounds, {gate.rounds} in all, would likely tell"


def _more(one: Judged, unit: str) -> str:
    if one.rounds is not None:
        return f"; {one.rounds} {unit}s would likely tell"
    if unit == "repeat":
        return f"; it lies so near what is allowed that {MOST_REPEATS} rounds would likely not tell"
    return ""


def _why_no_limits(one: Judged, unit: str) -> str:
    number = min(one.row.num_base, one.row.num_other)
    if one.row.ratio.log_error is not None:
        return f"the {unit}s vary too much for any limit"
    few = {1: f"one {unit} shows no spread", 2: f"two {unit}s are too few"}.get(number)
    return (
        f"{few}; three are the least that tell anything"
        if few
        else f"the {unit}s do not vary at all, which is rounding"
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _signed(share: float) -> str:
    text = percent_number(share)
    return text if text.startswith("-") else f"+{text}"
