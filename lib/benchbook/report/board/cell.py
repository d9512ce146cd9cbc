"""A board in a cell of a notebook: it goes on beside other cells, and the run goes on without it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from benchbook.records.runs import no_runs_text, results_nearby, run_files
from benchbook.report import markup
from benchbook.report.board.command import ask, watched_run
from benchbook.report.board.look import PERIOD_S, Board, Looker
from benchbook.report.board.rows import after_text, case_rows, counts_text, now_text
from benchbook.report.board.sparks import sparks_of
from benchbook.terms.errors import BenchbookError

_closed = threading.Event()  # of the board that this kernel shows


def watch(run: str = "") -> None:
    """Display the board of `run`, and while it is measured, keep it as it is then and offer to stop, skip and try again.

    '' is the run that is being measured, or the last. The cell ends at once. A kernel shows one board at a time: another
    call takes its place.
    """
    global _closed
    _closed.set()
    _closed = threading.Event()
    results = results_nearby()
    if not run and not run_files(results):
        markup.show(markup.element("p", no_runs_text(results)))
        return
    looker = Looker(run_dir := watched_run(run, results))
    board = looker.look()
    if not board.is_running:
        markup.show(board_html(board))
        return
    try:
        shown = _Widgets(run_dir, board)
    except ImportError:
        more = f"It is shown once: for a live board, pip install ipywidgets, or in a terminal: benchbook watch {board.name}"
        markup.show(markup.join([board_html(board), markup.element("p", more)]))
        return
    threading.Thread(target=_keep, args=(shown, looker, _closed), name="board", daemon=True).start()


def board_html(board: Board) -> markup.Html:
    """Return the board as HTML."""
    header, latest = board.header, board.latest
    title = markup.join([markup.element("strong", f"{board.name} ({header.state}): "), header.question])
    verdicts = (_badge(name, f"{number} {name}") for name, number in sorted(board.verdicts.items()))
    cases = (
        (markup.element("code", row.marks), row.name, row.figure, _badge(row.verdict, row.word))
        for row in case_rows(board)
    )
    sparks = sparks_of(latest.telemetry) if latest else ()
    courses = ((spark.label, markup.element("code", spark.line), spark.most) for spark in sparks)
    return markup.join(
        [
            markup.element("p", title),
            markup.element("p", now_text(board)),
            markup.element("p", markup.join([counts_text(board), *verdicts], " · ")),
            markup.table(["repeats", "case", "latest", "verdict"], cases, numeric=(2,)),
            markup.table(["in the repeat that ended last", "its course", ""], courses),
            markup.element("p", markup.element("code", after_text(board))),
        ]
    )


def _badge(verdict: str, label: str) -> markup.Html:
    if not verdict:
        return markup.text(label)
    return markup.verdict("INVALID" if verdict == "failed" else verdict, label)


class _Widgets:
    """The board and its buttons; ImportError where ipywidgets is not there."""

    def __init__(self, run_dir: Path, board: Board) -> None:
        import ipywidgets
        from IPython.display import display

        self._run_dir = run_dir
        self._board, self._said = ipywidgets.HTML(), ipywidgets.Label()
        self._case = ipywidgets.Dropdown(options=_case_ids(board), layout={"width": "30em"})
        stop, skip, again = (
            ipywidgets.Button(description=text, layout={"width": "auto"})
            for text in ("Stop after this repeat", "Skip the case", "Try it again")
        )
        stop.on_click(lambda _: self._ask(stop=True))
        skip.on_click(lambda _: self._ask(skip=[self._case.value]))
        again.on_click(lambda _: self._ask(again=[self._case.value]))
        self._controls = [stop, self._case, skip, again]
        controls = ipywidgets.Box(self._controls, layout={"flex_flow": "row wrap"})
        display(ipywidgets.VBox([self._board, controls, self._said]))
        self.update(board)

    def update(self, board: Board) -> None:
        """Show `board` in place of what was shown."""
        self._board.value = str(board_html(board))
        if self._case.options != (cases := _case_ids(board)):
            self._case.options = cases
        for control in self._controls:
            control.disabled = not board.is_running

    def _ask(self, **wanted: Any) -> None:
        try:
            self._said.value = "; ".join(ask(self._run_dir, **wanted))
        except BenchbookError as error:
            self._said.value = str(error)


def _case_ids(board: Board) -> tuple[str, ...]:
    return tuple(case.case_id for case in board.cases)


def _keep(shown: _Widgets, looker: Looker, closed: threading.Event) -> None:
    """Keep the board as the run is, until it has ended or another board takes the place of this one."""
    is_running = True
    while is_running and not closed.wait(PERIOD_S):
        board = looker.look()
        shown.update(board)
        is_running = board.is_running
