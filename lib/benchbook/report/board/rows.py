"""What a board shows of a run, as plain text: for a terminal, for a notebook's cell, and as lines where nobody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchbook.report.board.look import Board, CaseNow, Seen, State
from benchbook.terminal import BADGES
from benchbook.terms.wording import duration_text

_MOST_MARKS = 12
# What is looked for first where there is no room for all.
_FIRST = (State.UNDER_WAY, State.AGAIN, State.FAILED, State.MISSING, State.MEASURED, State.WAITING, State.SKIPPED)


@dataclass(frozen=True)
class Row:
    """One case."""

    marks: str  # a sign a repeat: '✓!▶·'
    name: str
    figure: str  # of the repeat that ended last
    word: str  # its verdict with its codes, or how far the case is
    verdict: str  # VALID, SUSPECT, INVALID, failed; '' where `word` is none


def case_rows(board: Board, most: int | None = None) -> list[Row]:
    """Return a row a case in the plan's order: all, or the `most` that are looked for first."""
    names = short_names([case.case_id for case in board.cases])
    shown = board.cases if most is None else _first(board.cases, most)
    return [_row(case, names[case.case_id]) for case in shown]


def hidden_text(board: Board, most: int) -> str:
    """Return what `case_rows` leaves out: '12 more: 10 waiting, 2 measured'; '' where that is nothing."""
    shown = {case.key for case in _first(board.cases, most)}
    hidden = Counter(case.state for case in board.cases if case.key not in shown)
    return (
        f"{hidden.total()} more: {', '.join(f'{number} {state}' for state, number in hidden.items())}" if hidden else ""
    )


def now_text(board: Board) -> str:
    """Return what is worked on and since when: '12 s: eager,serve,max_concurrency=8 repeat 1'; else how the run ended."""
    now, header = board.now, board.header
    if not board.is_running or now is None:
        return f"{header.state}" if not board.is_running else "taking the run up"
    spent_s = max(0.0, board.at_s - now.since_s)
    time_text = duration_text(spent_s)
    if now.at_most_s is not None:
        time_text = f"{duration_text(max(0.0, now.at_most_s - spent_s))} at most"
    return f"{time_text}: {now.what}{'; then it stops, as asked' if board.is_stopping else ''}"


def counts_text(board: Board) -> str:
    """Return '5 of 24 repeats · about 3 min 20 s to go'."""
    text = f"{board.verdicts.total()} of {board.num_planned} repeats"
    left = board.now.estimate(board.at_s) if board.now else None
    return f"{text} · {left} to go" if left and board.is_running else text


def after_text(board: Board) -> str:
    """Return what to do next with the run."""
    if board.is_running:
        return f"benchbook watch {board.name} --stop | --skip CASE | --again CASE"
    lacking = any(case.state in (State.MISSING, State.SKIPPED, State.FAILED) for case in board.cases)
    return f"to go on: {board.header.command}" if lacking else f"benchbook show {board.name}"


def _first(cases: Sequence[CaseNow], most: int) -> Sequence[CaseNow]:
    def ended_utc(case: CaseNow) -> str:
        return case.latest.ended_utc if case.latest and case.state is State.MEASURED else ""

    newest_first = sorted(cases, key=ended_utc, reverse=True)
    chosen = sorted(newest_first, key=lambda case: _FIRST.index(case.state))[:most]
    keys = {case.key for case in chosen}
    return [case for case in cases if case.key in keys]


def _row(case: CaseNow, name: str) -> Row:
    latest = case.latest
    if case.state in (State.MEASURED, State.FAILED, State.UNDER_WAY, State.MISSING, State.WAITING) and latest:
        word, verdict = seen_text(latest), latest.verdict
        if case.state is State.MISSING:
            word += f", {case.planned - len(case.seen)} missing"
    else:
        word, verdict = case.state.value, ""
    return Row(_marks(case), name, latest.figure if latest else "", word, verdict)


def seen_text(seen: Seen) -> str:
    """Return 'SUSPECT (machine_busy)'."""
    return seen.verdict + (f" ({', '.join(seen.codes)})" if seen.codes else "")


def _marks(case: CaseNow) -> str:
    signs = [
        "▶" if number in case.under_way else BADGES[case.seen[number].verdict][0] if number in case.seen else "·"
        for number in range(case.planned)
    ]
    if len(signs) <= _MOST_MARKS:
        return "".join(signs)
    return f"{len(case.seen)}/{case.planned}{'▶' if case.under_way else ''}"


def first_lines(board: Board) -> Iterator[str]:
    """Yield how all cases stand, and what is worked on, a line each."""
    yield f"{board.name} ({board.header.state}): {board.header.question}"
    yield counts_text(board)
    for case, row in zip(board.cases, case_rows(board), strict=True):
        yield "  ".join(filter(None, (row.marks, case.case_id, row.figure, row.word)))
    if board.now:
        yield f"… {board.now.what}"


def new_lines(before: Board, board: Board) -> Iterator[str]:
    """Yield a line for each thing that has happened between two looks."""
    old = {case.key: case for case in before.cases}
    width, done = len(str(board.num_planned)), before.verdicts.total()
    for case in board.cases:
        known = old.get(case.key)
        for number, seen in sorted(case.seen.items()):
            earlier = known.seen.get(number) if known else None
            if seen != earlier:
                done += earlier is None
                told = " ".join(filter(None, (seen_text(seen), seen.figure, case.case_id)))
                yield f"[{done:>{width}}/{board.num_planned}] {told} repeat {number}"
        if case.state in (State.SKIPPED, State.AGAIN) and (known is None or known.state is not case.state):
            yield f"{case.state}: {case.case_id}"
    if board.is_stopping and not before.is_stopping:
        yield "asked to stop after the repeat under way"
    if board.now and (before.now is None or before.now.what != board.now.what):
        yield f"… {board.now.what}"


def short_names(case_ids: Sequence[str]) -> dict[str, str]:
    """Return a shorter name for each case: without the settings that all of them can do without and still differ."""
    parts = {case_id: case_id.split(",") for case_id in case_ids}
    keys = {part.partition("=")[0]: None for words in parts.values() for part in words if "=" in part}
    if len({words[0] for words in parts.values()}) == 1:  # the one launch
        parts = {case_id: words[1:] or words for case_id, words in parts.items()}
    for key in reversed(keys):
        fewer = {case_id: [word for word in words if word.partition("=")[0] != key] for case_id, words in parts.items()}
        if len({tuple(words) for words in fewer.values()}) == len(fewer):
            parts = fewer
    return {case_id: ",".join(words) for case_id, words in parts.items()}
