"""A board in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from benchbook.report.board.look import Board
from benchbook.report.board.rows import Row, after_text, case_rows, counts_text, hidden_text, now_text
from benchbook.report.board.sparks import Spark
from benchbook.terminal import BADGES, badge
from benchbook.terms.plain import plain

_FURTHER_LINES = 8  # around the cases
_GAP = "  "
_LEAST = 14  # cells of a name, and of a verdict


def board_text(board: Board, sparks: Sequence[Spark], width: int, height: int) -> Group:
    """Return the board for a terminal of this size: where not all cases fit, those that are looked for first."""
    most, header = max(1, height - _FURTHER_LINES - len(sparks)), board.header
    hidden = hidden_text(board, most)
    return Group(
        _line(f"{board.name} ({header.state}): {header.question}", "bold"),
        _line(("▶ " if board.is_running else "") + now_text(board)),
        _line(counts_text(board)),
        Text(" · ").join(badge(name, f"{number} {name}") for name, number in sorted(board.verdicts.items())),
        Text(""),
        *_case_lines(tuple(case_rows(board, most)), width),
        *([_line(hidden, "dim")] if hidden else []),
        *(_line(spark.text) for spark in sparks),
        _line(after_text(board), "dim"),
    )


@lru_cache(maxsize=1)  # while nothing happens, the same lines are drawn again and again
def _case_lines(rows: tuple[Row, ...], width: int) -> tuple[Text, ...]:
    """Return a line a case; where it is wider than the terminal, name and verdict are cut."""
    signs, names, figures = (
        max((cell_len(text) for text in column), default=0)
        for column in ([row.marks for row in rows], [row.name for row in rows], [row.figure for row in rows])
    )
    left = width - signs - figures - 3 * len(_GAP)
    name_width = min(names, max(_LEAST, left - _LEAST))
    return tuple(
        _line(
            _GAP.join((_fitted(row.marks, signs), _fitted(plain(row.name), name_width), f"{row.figure:>{figures}}", ""))
        ).append(
            _cut(plain(row.word), max(_LEAST, left - name_width)), BADGES[row.verdict][1] if row.verdict else "dim"
        )
        for row in rows
    )


def _line(text: str, style: str = "") -> Text:
    return Text(plain(text), style, no_wrap=True, overflow="ellipsis")


def _fitted(text: str, width: int) -> str:
    return set_cell_size(_cut(text, width), width)


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
