"""Rows for people and for programs: columns that are aligned and never broken, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

from rich.cells import cell_len, set_cell_size

from benchbook.terms.plain import plain

ListFormat = Literal["text", "csv", "json", "md"]
_GAP = "  "
_LEAST_CUT = 12  # cells that are left of a column that may be cut, at least


def aligned(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    right: Sequence[int] = (),
    may_cut: int | None = None,
    may_wrap: int | None = None,
) -> str:
    """Return the headings, which may have several lines, and a line a row, the columns of `right` to the right.

    Where a line would be wider than `width` cells, column `may_cut` ends in '…', or column `may_wrap` goes on below; the
    others stay whole in any case.
    """
    heads = zip_longest(*(heading.split("\n") for heading in headings), fillvalue="")
    lines = [*map(list, heads), *([plain(text) for text in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    narrow = may_cut if may_wrap is None else may_wrap
    if width is not None and narrow is not None:
        spare = width - sum(widths) - len(_GAP) * (len(widths) - 1)
        widths[narrow] = max(min(widths[narrow], _LEAST_CUT), widths[narrow] + min(spare, 0))
    if may_wrap is not None:
        lines = [below for line in lines for below in _wrapped(line, may_wrap, widths[may_wrap])]
    return "".join(
        _GAP.join(_field(text, cells, place in right) for place, (text, cells) in enumerate(zip(line, widths))).rstrip()
        + "\n"
        for line in lines
    )


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return the rows as a table of GitHub's Markdown."""
    ruler = ["---:" if place in right else "---" for place in range(len(headings))]
    lines = [list(headings), ruler, *([_escaped(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def for_programs(rows: Sequence[Mapping[str, Any]], list_format: Literal["csv", "json"]) -> str:
    """Return the rows, which share their keys, as CSV, nothing where a value is None, or as JSON: a list of objects."""
    if list_format == "json":
        return json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n"
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def _wrapped(line: Sequence[str], place: int, cells: int) -> Iterator[list[str]]:
    """Yield `line` and, below it, what of its column at `place` is wider than `cells`."""
    first, *more = textwrap.wrap(line[place], cells, break_long_words=False, break_on_hyphens=False) or [""]
    yield [*line[:place], first, *line[place + 1 :]]
    for text in more:
        yield [text if column == place else "" for column in range(len(line))]


def _field(text: str, cells: int, is_right: bool) -> str:
    text = text if cell_len(text) <= cells else set_cell_size(text, cells - 1).rstrip() + "…"
    blanks = " " * (cells - cell_len(text))
    return blanks + text if is_right else text + blanks


def _escaped(text: str) -> str:
    return plain(text).replace("|", "\\|").replace("\n", " ")
