"""Rows for people and for programs: columns that are aligned and never broken, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

from rich.cells import cell_len, set_cell_size

ListFormat = Literal["text", "csv", "json", "md"]
_GAP = "  "
_LEAST_CUT = 12  # cells that are left of a column that may be cut, at least


def aligned(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    right: Sequence[int] = (),
    may_cut: int | None = None,
) -> str:
    """Return the headings, which may have several lines, and a line a row, the columns of `right` to the right.

    Column `may_cut` ends in '…' where a line would be wider than `width` cells; the others stay whole in any case.
    """
    heads = zip_longest(*(heading.split("\n") for heading in headings), fillvalue="")
    lines = [*map(list, heads), *map(list, rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if width is not None and may_cut is not None:
        spare = width - sum(widths) - len(_GAP) * (len(widths) - 1)
        widths[may_cut] = max(min(widths[may_cut], _LEAST_CUT), widths[may_cut] + min(spare, 0))
    return "".join(
        _GAP.join(_cell(text, cells, place in right) for place, (text, cells) in enumerate(zip(line, widths))).rstrip()
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


def _cell(text: str, cells: int, is_right: bool) -> str:
    text = text if cell_len(text) <= cells else set_cell_size(text, cells - 1).rstrip() + "…"
    blanks = " " * (cells - cell_len(text))
    return blanks + text if is_right else text + blanks


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
