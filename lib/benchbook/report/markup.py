"""HTML for notebooks and reports, from text that is never trusted: everything is escaped unless it is an `Html`.

Model output, log lines and error messages reach a report only through `text`, so they can neither become markup nor
move a terminal's cursor.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from IPython.display import HTML, display

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 120
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Html(str):
    """Text that is markup already: made in this module from escaped parts."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Return `value` escaped, without terminal codes; an Html as it is, None as an en dash."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("–")
    return Html(html.escape(_CONTROL.sub("", _ANSI.sub("", str(value)))))


def element(tag: str, content: Any, css_class: str = "") -> Html:
    """Return <tag class=...>content</tag>."""
    attribute = f' class="{html.escape(css_class)}"' if css_class else ""
    return Html(f"<{tag}{attribute}>{text(content)}</{tag}>")


def join(parts: Iterable[Any], separator: str = "") -> Html:
    """Return the escaped parts with `separator` (escaped too) between them."""
    return Html(text(separator).join(text(part) for part in parts))


def paragraphs(sentences: Iterable[Any]) -> Html:
    """Return one <p> with all sentences."""
    return element("p", join(sentences, " "))


def bullets(items: Iterable[Any]) -> Html:
    """Return a list of `items`; nothing at all when there are none."""
    found = [element("li", item) for item in items]
    return element("ul", join(found)) if found else Html("")


def table(
    headings: Sequence[Any], rows: Iterable[Sequence[Any]], numeric: Iterable[int] = (), css_class: str = ""
) -> Html:
    """Return a table in a box that scrolls sideways, `numeric` columns aligned to the right; nothing without rows."""
    right = set(numeric)
    body = [
        element("tr", join(_table_cell("td", value, index in right) for index, value in enumerate(row))) for row in rows
    ]
    if not body:
        return Html("")
    head = join(_table_cell("th", heading, index in right) for index, heading in enumerate(headings))
    parts = join([element("thead", element("tr", head)), element("tbody", join(body))])
    return element("div", element("table", parts, css_class), "scroll")


def facts(rows: Iterable[tuple[Any, Any]]) -> Html:
    """Return a table of two columns without headings, a name and its value; unknown values are left out."""
    known = [(name, value) for name, value in rows if value not in (None, "")]
    body = (element("tr", join([element("th", name), element("td", value)])) for name, value in known)
    return element("div", element("table", element("tbody", join(body)), "facts"), "scroll") if known else Html("")


def link(path: str | PurePosixPath, label: Any) -> Html:
    """Return a link to a file beside the report."""
    return Html(f'<a href="{html.escape(quote(str(path)))}">{text(label)}</a>')


def folded(summary: Any, content: Any) -> Html:
    """Return `content` behind a line to click on."""
    return Html(f"<details>{element('summary', summary)}{text(content)}</details>")


def show(content: Html) -> None:
    """Display markup as the output of a notebook cell."""
    display(HTML(str(content)))


def captioned(figure: Figure, caption: str, alt: str = "") -> None:
    """Display `figure` as an embedded PNG with its caption, described by `alt` (else the caption)."""
    show(figure_html(figure, caption, alt))


def figure_html(figure: Figure, caption: str, alt: str = "") -> Html:
    """Return `figure` as an embedded PNG with its caption, described by `alt` (else the caption)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late: most of what is shown is text

    buffer = io.BytesIO()
    figure.set_dpi(PNG_DPI)
    FigureCanvasAgg(figure).print_png(buffer)  # `savefig` would draw it twice, the first time only to lay it out
    image = base64.b64encode(buffer.getvalue()).decode()
    source = f'<img alt="{html.escape(alt or caption)}" src="data:image/png;base64,{image}">'
    return element("figure", Html(f'<div class="scroll">{source}</div>{element("figcaption", caption)}'))


def _table_cell(tag: str, value: Any, is_numeric: bool) -> Html:
    return element(tag, value, "number" if is_numeric else "")
