"""The figures of a run's sets of requests: how long what was sent and answered was, and what that did to the first token.

Of a server's by vLLM's raw file, of those that an engine was given by what it noted of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from matplotlib.figure import Figure

from benchbook.judge.evidence import Answer, answers_of
from benchbook.judge.loads import load_text
from benchbook.reading import read_json
from benchbook.records.handover import SENT_FILE
from benchbook.records.record import Record
from benchbook.report.drawing import canvas
from benchbook.report.repeat.length_figure import draw_lengths, draw_ttft_by_length, draw_ttft_by_turn
from benchbook.report.run import Run
from benchbook.terms.errors import StoreError

MOST_SETS = 6
_ROW_IN = 2.4
_Read = TypeVar("_Read")


def sets_figure(run: Run, benchmark: str) -> tuple[Figure, str] | None:
    """Draw a row for each set that a server was sent by a benchmark, from one repeat of it; None without sets.

    It is the repeat of the highest load of the first launch.
    """
    found = list(_one_of_each(run, benchmark, _answers))[:MOST_SETS]
    if not found:
        return None
    by_turn = [record.conditions.sent.median_ttft_by_turn_ms or () for record, _ in found]
    has_turns = any(len(turns) > 1 for turns in by_turn)
    columns = 3 if has_turns else 2
    figure, all_axes = canvas(len(found), columns, height_in=_ROW_IN * len(found))
    for place, (record, answers) in enumerate(found):
        first, second, *third = all_axes[place * columns : (place + 1) * columns]
        first.set_title(record.requests.name)
        draw_lengths(first, [one.prompt_tokens for one in answers], [one.tokens for one in answers])
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


def given_figure(run: Run, benchmark: str) -> tuple[Figure, str] | None:
    """Draw the lengths of each set that an engine was given by a benchmark, from one repeat; None where nothing was noted."""
    found = list(_one_of_each(run, benchmark, _noted_lengths))[:MOST_SETS]
    if not found:
        return None
    figure, all_axes = canvas(len(found), 1, height_in=_ROW_IN * len(found))
    for axes, (record, (given, answered)) in zip(all_axes, found, strict=True):
        axes.set_title(record.requests.name)
        draw_lengths(axes, given, answered)
    shown = ", ".join(f"{record.requests.name} ({record.identity.launch})" for record, _ in found)
    return (
        figure,
        f"How many requests of each set had how many tokens, given and answered. Of one repeat each: {shown}.",
    )


def _of(record: Record) -> str:
    return f"{record.identity.launch}, {load_text(record)}"


def _one_of_each(run: Run, benchmark: str, read: Callable[[Run, Record], _Read]) -> Iterator[tuple[Record, _Read]]:
    """Yield a believed repeat of each set of a benchmark with what `read` finds in its files, where it finds anything."""
    of_sets = [one for one in run.records if one.requests and one.benchmark == benchmark]
    launches = list(run.by_launch)
    for name in dict.fromkeys(record.requests.name for record in of_sets):
        of_it = [one for one in of_sets if one.requests.name == name and one.is_believed]
        of_it.sort(key=lambda one: (launches.index(one.identity.launch), -(one.load.value if one.load else 0)))
        for record in of_it:
            if found := read(run, record):
                yield record, found
                break


def _answers(run: Run, record: Record) -> Sequence[Answer]:
    try:
        return answers_of(run.raw(record))
    except StoreError:  # told elsewhere
        return ()


def _noted_lengths(run: Run, record: Record) -> tuple[list[int], list[int]] | None:
    """Return the tokens of each prompt that an engine was given, and of its answer; None where it noted neither."""
    try:
        noted = read_json(run.run_dir / run.repeat_path(record, SENT_FILE))
    except StoreError:
        return None
    columns = [noted.get(key) for key in ("counted_tokens", "answered_tokens")]
    are_there = all(isinstance(column, list) and all(isinstance(one, int) for one in column) for column in columns)
    return (columns[0], columns[1]) if are_there and all(columns) else None
