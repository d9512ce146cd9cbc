"""HTML for notebooks and reports, from text that is never trusted: everything is escaped unless it is an `Html`.

Model output, log lines and error messages reach a report only through `text`, so they can neither become markup nor
move a terminal's cursor.
"""

from __future__ import annotations

import base64
import html
import io
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from IPython.display import HTML, display

from benchbook.report.svg import svg_text
from benchbook.terms.plain import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 120
MAX_HIGH_ROWS = 40  # of a table that is shown in full height
MAX_SVG_BYTES = 600_000  # of a figure; what has more marks is a picture of them
_SVG, _PNG = "data:image/svg+xml;base64,", "data:image/png;base64,"
_DRAWING = re.compile(rf'<img alt="[^"]*" src="{re.escape(_SVG)}([^"]*)">')
_TAG = re.compile(r"<[^>]*>")
_SAFE = " !$()*+,-./:;=?@[]^_`{|}~"  # of a data: link, so that it stays short
_ABSENT = '<p class="note absent">'
_BADGES = {"VALID": ("✓", "#1a7f37"), "SUSPECT": ("!", "#8f5f00"), "INVALID": ("✕", "#b3261e")}


class Html(str):
    """Text that is markup already: made in this module from escaped parts."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Return `value` escaped, without what would harm its reader; an Html as it is, None as an en dash."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("–")
    return Html(html.escape(plain(str(value))))


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
    headings: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    numeric: Iterable[int] = (),
    css_class: str = "",
    label: str = "",
) -> Html:
    """Return a table in a box that scrolls, a long one down as well; `numeric` columns to the right; nothing without rows.

    `label` names the box for who cannot see it; without one, the headings do.
    """
    right = set(numeric)
    body = [element("tr", join(_td("td", value, index in right) for index, value in enumerate(row))) for row in rows]
    if not body:
        return Html("")
    head = join(_td("th", heading, index in right) for index, heading in enumerate(headings))
    parts = join([element("thead", element("tr", head)), element("tbody", join(body))])
    is_long = len(body) > MAX_HIGH_ROWS
    return _scrolling(element("table", parts, css_class), label or ", ".join(map(_plain, headings)), is_long=is_long)


def facts(rows: Iterable[tuple[Any, Any]]) -> Html:
    """Return a table of two columns without headings, a name and its value; unknown values are left out."""
    known = [(name, value) for name, value in rows if value not in (None, "")]
    body = (element("tr", join([element("th", name), element("td", value)])) for name, value in known)
    if not known:
        return Html("")
    label = ", ".join(_plain(name) for name, _ in known)
    return _scrolling(element("table", element("tbody", join(body)), "facts"), label)


def verdict(name: str, label: Any = None) -> Html:
    """Return a verdict's symbol on its colour, legible on light and dark pages, and `label` (its name) behind it."""
    symbol, colour = _BADGES[name]
    style = (
        f"background:{colour};color:#fff;border-radius:3px;padding:0 .35em;font-weight:bold;"
        "print-color-adjust:exact;-webkit-print-color-adjust:exact"
    )
    badge = f'<span aria-hidden="true" style="{style}">{symbol}</span>'
    return Html(f'<span style="white-space:nowrap">{badge}\u00a0{text(name if label is None else label)}</span>')


def absent(sentence: Any) -> Html:
    """Return a note that there is nothing to show, and why; a report leaves out a chapter that holds nothing else."""
    return Html(f"{_ABSENT}{text(sentence)}</p>")


def is_absent(markup: str) -> bool:
    """Return whether `markup` is nothing, or made by `absent`."""
    return not markup or markup.startswith(_ABSENT)


def download(name: str, content: str) -> Html:
    """Return a link that saves `content` as the file `name`: it lies in the page and needs no file beside it."""
    # Not base64: a secret would hide in it from the scan for secrets.
    source = html.escape(f"data:text/plain;charset=utf-8,{quote(content, safe=_SAFE)}")
    return Html(f'<a download="{text(name)}" href="{source}">{text(name)}</a>')


def folded(summary: Any, content: Any) -> Html:
    """Return `content` behind a line to click on."""
    return Html(f"<details>{element('summary', summary)}{text(content)}</details>")


def show(content: Html) -> None:
    """Display markup as the output of a notebook cell."""
    # Jupyter aligns all of a table to the right, text too, and heeds no rule but that of the cell itself.
    for tag in ("td", "th"):
        content = content.replace(f"<{tag}>", f'<{tag} style="text-align:left">')
    display(HTML(str(content)))


def captioned(figure: Figure, caption: str, alt: str = "") -> None:
    """Display `figure` with its caption, described by `alt` (else the caption)."""
    show(figure_html(figure, caption, alt))


def figure_html(figure: Figure, caption: str, alt: str = "") -> Html:
    """Return `figure` with its caption, described by `alt` (else the caption): as SVG, or, of very many marks, as a PNG.

    It is an image, since JupyterLab shows no other drawing in a notebook that somebody else ran; see `with_drawings`.
    """
    alt, drawing = alt or caption, svg_text(figure, alt or caption).encode()
    kind, content = (_SVG, drawing) if len(drawing) <= MAX_SVG_BYTES else (_PNG, png(figure))
    source = f'<img alt="{text(alt)}" src="{kind}{base64.b64encode(content).decode()}">'
    return element("figure", join([_scrolling(Html(source), first_sentence(caption)), element("figcaption", caption)]))


def with_drawings(page: str) -> str:
    """Return a page whose figures are part of it, where they were images: they take its colours, and can be pointed at."""
    return _DRAWING.sub(lambda found: base64.b64decode(found[1]).decode(), page)


def png(figure: Figure) -> bytes:
    """Return `figure` as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late: most of what is shown is text
    from PIL import Image

    figure.set_dpi(PNG_DPI)
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()  # `savefig` would do it twice, the first time only to lay the figure out
    # Nothing shines through a figure: without that channel the file is smaller, and made in two thirds of the time.
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    pixels.save(buffer, "png", compress_level=4, compress_type=zlib.Z_DEFAULT_STRATEGY, dpi=(PNG_DPI, PNG_DPI))
    return buffer.getvalue()


def first_sentence(caption: str) -> str:
    """Return the first sentence of a caption: what is drawn, by what."""
    return caption.split(". ")[0].removesuffix(".") + "."


def _scrolling(content: Html, label: str, *, is_long: bool = False) -> Html:
    """Return `content` in a box that scrolls sideways, and down where it is long, which the keyboard reaches as well."""
    return Html(
        f'<div class="scroll{" long" if is_long else ""}" role="region" tabindex="0" aria-label="{text(label)}">{content}</div>'
    )


def _plain(value: Any) -> str:
    """Return what a reader sees of `value`, without markup."""
    return html.unescape(_TAG.sub("", text(value)))


def _td(tag: str, value: Any, is_numeric: bool) -> Html:
    whole = Html(text(value).replace(" ± ", "\u00a0±\u00a0"))  # no line breaks between a mean and its spread
    return element(tag, whole, "number" if is_numeric else "")
