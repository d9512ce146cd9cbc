"""A figure as SVG within a page: sharp at any size, in the page's own colours, and each of its marks says what it is.

All is there without a script: greys follow the page from light to dark and to paper, and what a mark stands for is its
<title>. What needs a hand (tips, the arrow keys, a legend that hides lines) is added by report.js.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from benchbook.terms.plain import plain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

# What a grey of a figure is on a page, from the lightest: a page without these colours, as a notebook, shows the grey.
_ROLES = ((255, "page"), (235, "shade"), (190, "line"), (70, "soft"), (0, "ink"))
_GREY = re.compile(r"(?<=: )#([0-9a-f]{2})\1\1(?![0-9a-f])")
_DRAWN = re.compile(r'(?<= )(d|x|y|width|height|points)="([^"]*)"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_DROPPED = re.compile(
    r'<metadata>.*?</metadata>|<style type="text/css">.*?</style>'
    r'|font-family: [^;"]*; ?| transform="rotate\(-?0 [^"]*\)"|\s*\n\s*',
    re.DOTALL,
)
_FONT = "DejaVu Sans,Arial,sans-serif"  # where no page has one
_GROUP = re.compile(r'<g id="([^"]*)">')
_USE = re.compile(r'<use xlink:href="(#\w+)" x="([^"]*)" y="([^"]*)" style="([^"]*)"/>')
_STROKE = re.compile(r"; stroke: [^;]*$")  # the mark that is used has it


@dataclass(frozen=True)
class Mark:
    """What a mark of a figure says of itself, and the id of what on its page tells more; '' where nothing does."""

    text: str
    more: str = ""


@dataclass(frozen=True)
class _Told:
    line: str
    marks: Sequence[Mark]
    is_key: bool


_TOLD: WeakKeyDictionary[Artist, _Told] = WeakKeyDictionary()


def tell(artist: Artist, line: int | None, marks: Sequence[Mark] = (), *, is_key: bool = False) -> None:
    """Have `artist` be of a line of its figure, which may be hidden there, and each of its marks say what it is.

    `is_key` is what a legend has of the line: it stays, and hides the others.
    """
    _TOLD[artist] = _Told("" if line is None else str(line), marks, is_key)


def svg_text(figure: Figure, alt: str) -> str:
    """Return `figure` as an <svg> element that is described by `alt`; the same figure gives the same text."""
    told = {}
    for place, artist in enumerate(figure.findobj(lambda one: one in _TOLD)):
        artist.set_gid(f"told{place}")
        told[artist.get_gid()] = _TOLD[artist]
    drawn = _written(figure)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn).groups()
    body = _DROPPED.sub("", _DRAWN.sub(_shorter, drawn[drawn.index(">", drawn.index("<svg")) + 1 :]))
    body = _GREY.sub(_of_the_page, body)
    first, *groups = _GROUP.split(body)
    body = first + "".join(_group(told.get(name), content) for name, content in zip(groups[::2], groups[1::2]))
    body = _own_ids(plain(body))
    head = f'role="img" aria-label="{escape(plain(alt))}" viewBox="0 0 {width} {height}" stroke-linejoin="round"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {head} font-family="{_FONT}" style="fill:var(--ink,#000)">{body}'


def _written(figure: Figure) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # late: most of what is shown is text

    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "benchbook"}):
        FigureCanvasSVG(figure).print_svg(stream, metadata=nothing)
    return stream.getvalue()


def _shorter(found: re.Match[str]) -> str:
    """Return a drawn attribute on one line, to a tenth of a point."""
    numbers = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), found[2])
    return f'{found[1]}="{" ".join(numbers.split())}"'


def _of_the_page(found: re.Match[str]) -> str:
    grey = int(found[1], 16)
    role = next(role for least, role in _ROLES if grey >= least)
    return f"var(--{role},{found[0]})"


def _group(told: _Told | None, content: str) -> str:
    """Return one group of the drawing with its line and its marks; one of which nothing is told without its name."""
    if told is None:
        return f"<g>{content}"
    num_marks = len(_USE.findall(content))
    marks = iter(told.marks if len(told.marks) == num_marks else [None] * num_marks)  # what lies outside is not drawn
    content = _USE.sub(lambda use: _mark(use, next(marks)), content)
    of_line = f' data-{"key" if told.is_key else "line"}="{told.line}"' if told.line else ""
    return f"<g{of_line}>{content}"


def _mark(use: re.Match[str], mark: Mark | None) -> str:
    place = f'<use href="{use[1]}" x="{use[2]}" y="{use[3]}" style="{_STROKE.sub("", use[4])}"'
    if mark is None:
        return f"{place}/>"
    more = f' data-more="{escape(mark.more)}"' if mark.more else ""
    return f"{place}{more}><title>{escape(mark.text)}</title></use>"


def _own_ids(body: str) -> str:
    """Return the drawing with ids that no other figure of the page has, unless it is the same."""
    own = f"f{zlib.crc32(body.encode()):08x}"
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{own}", body).replace("xlink:href", "href")
