"""The figure of a run's sets of requests: how long what was sent and answered was, and what that did to the first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from benchbook.judge.evidence import Answer, answers_of
from benchbook.judge.loads import load_text
from benchbook.records.record import Record
from benchbook.report.drawing import canvas
from benchbook.report.repeat.length_figure import draw_lengths, draw_ttft_by_length, draw_ttft_by_turn
from benchbook.report.run import Run
from benchbook.terms.errors import StoreError

MOST_SETS = 6
_ROW_IN = 2.4


def sets_figure(run: Run) -> tuple[Figure, str] | None:
    """Draw a row for each set, from one repeat of it: that of the highest load of the first launch; None without sets."""
    found = list(_one_of_each(run))[:MOST_SETS]
    if not found:
        return None
    by_turn = [record.conditions.sent.median_ttft_by_turn_ms or () for record, _ in found]
    has_turns = any(len(turns) > 1 for turns in by_turn)
    columns = 3 if has_turns else 2
    figure, all_axes = canvas(len(found), columns, height_in=_ROW_IN * len(found))
    for place, (record, answers) in enumerate(found):
        first, second, *third = all_axes[place * columns : (place + 1) * columns]
        first.set_title(record.requests.name)
        draw_lengths(first, answers)
        draw_ttft_by_length(second, answers)
        for axes in third:
            if len(by_turn[place]) > 1:
                draw_ttft_by_turn(axes, by_turn[place])
            else:
                axes.set_axis_off()
    turns = "; median TTFT by turn of the conversation" if has_turns else ""
    shown = ", ".join(f"{record.requests.name} ({_of(record)})" for record, _ in found)
    return figure, (
        "How many requests of each set had how many tokens, sent and answered; TTFT (ms, lower is better) of each by the "
        f"tokens of its prompt{turns}. Of one repeat each: {shown}."
    )


def _of(record: Record) -> str:
    return f"{record.identity.launch}, {load_text(record)}"


def _one_of_each(run: Run) -> Iterator[tuple[Record, Sequence[Answer]]]:
    """Yield a believed repeat of each set with its answers, as far as its raw file can be read."""
    names = dict.fromkeys(record.requests.name for record in run.records if record.requests)
    launches = list(run.by_launch)
    for name in names:
        of_it = [one for one in run.records if one.requests and one.requests.name == name and one.is_believed]
        of_it.sort(key=lambda one: (launches.index(one.identity.launch), -(one.load.value if one.load else 0)))
        for record in of_it:
            if answers := _answers(run, record):
                yield record, answers
                break


def _answers(run: Run, record: Record) -> Sequence[Answer]:
    try:
        return answers_of(run.raw(record))
    except StoreError:  # told elsewhere
        return ()
