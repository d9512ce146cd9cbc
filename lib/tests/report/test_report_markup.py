"""Markup from text that is never trusted."""

import html
import io
import re
import urllib.parse

import pytest
from benchbook.records.record import Verdict
from benchbook.report import markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

HOSTILE = "\x1b[31m<script>alert('x')</script>\x1b[0m & \x1b]0;title\x07done\r\x08"


@pytest.mark.parametrize(
    "make",
    [
        lambda value: markup.text(value),
        lambda value: markup.element("p", value),
        lambda value: markup.table([value], [[value]], numeric=[0]),
        lambda value: markup.facts([(value, value)]),
        lambda value: markup.folded(value, value),
        lambda value: markup.table(["a"], [[1]], label=value),
        lambda value: markup.verdict("VALID", value),
        lambda value: markup.absent(value),
        lambda value: markup.download(value, value),
        lambda value: markup.bullets([value]),
        lambda value: markup.paragraphs([value]),
    ],
)
def test_hostile_text_becomes_neither_markup_nor_terminal_codes(make):
    made = make(HOSTILE)
    assert "<script" not in made
    assert not set("\x1b\r\x08") & set(made)


def test_markup_is_not_escaped_twice():
    assert markup.element("p", markup.element("b", "a < b")) == "<p><b>a &lt; b</b></p>"


def test_a_file_in_a_link_is_saved_as_it_is():
    content = 'a,b\n1,"2 # % & é"\n'
    source = re.search(r'href="data:[^,]*,([^"]*)"', markup.download("t.csv", content))[1]
    assert urllib.parse.unquote(html.unescape(source)) == content


def test_every_verdict_has_a_symbol_of_its_own_and_is_named_in_words():
    badges = [markup.verdict(name) for name in Verdict]
    assert len({re.search(r">(.)</span>", badge)[1] for badge in badges}) == len(badges)
    assert all(name.value in badge for name, badge in zip(Verdict, badges, strict=True))


def test_only_what_says_that_there_is_nothing_counts_as_absent():
    assert markup.is_absent("") and markup.is_absent(markup.absent("no figure"))
    assert not markup.is_absent(markup.element("p", "a figure"))


def test_a_table_without_rows_and_a_list_without_items_are_nothing():
    assert markup.table(["a"], []) == markup.bullets([]) == markup.facts([("Seed", None)]) == ""


def test_a_captioned_figure_is_embedded_and_described(monkeypatch):
    displayed = []
    monkeypatch.setattr(markup, "display", displayed.append)
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    markup.captioned(figure, "A <line> (ms)")
    shown = displayed[0].data
    assert re.search(r'<img alt="A &lt;line&gt; \(ms\)" src="data:image/svg\+xml;base64,[A-Za-z0-9+/=]+">', shown)
    assert "<figcaption>A &lt;line&gt; (ms)</figcaption>" in shown


def test_a_page_has_the_drawing_that_a_notebook_has_as_an_image():
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    page = markup.with_drawings(f"<main>{markup.figure_html(figure, 'A <line> & more.')}</main>")
    assert "<img" not in page and 'role="img" aria-label="A &lt;line&gt; &amp; more."' in page


def test_a_figure_of_very_many_marks_is_a_picture_of_them(monkeypatch):
    monkeypatch.setattr(markup, "MAX_SVG_BYTES", 1_000)
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    page = markup.with_drawings(markup.figure_html(figure, "Many."))
    assert 'src="data:image/png;base64,' in page and "<svg" not in page


def test_a_figures_picture_has_the_pixels_that_matplotlib_draws_and_is_smaller_than_its_own():
    figure = Figure()
    axes = figure.subplots(2, 1)
    axes[0].plot([1, 2, 4], [3, 1, 2], alpha=0.4)
    axes[1].bar([1, 2], [3, 4], hatch="//", facecolor="#D55E00")
    axes[1].set_title("12 tok/s")
    file, its = markup.png(figure), io.BytesIO()
    FigureCanvasAgg(figure).print_png(its)
    with Image.open(io.BytesIO(file)) as image, Image.open(its) as drawn:
        assert image.convert("RGBA").tobytes() == drawn.tobytes()
        assert image.info["dpi"] == pytest.approx((markup.PNG_DPI, markup.PNG_DPI), abs=0.1)
    assert len(file) < len(its.getvalue())


def test_a_mean_and_its_spread_are_never_on_two_lines_of_a_table():
    assert "12.3\u00a0±\u00a00.4" in markup.table(("a",), [("12.3 ± 0.4",)])
    assert "1\u00a0±\u00a02" in markup.table(("a",), [(markup.Html("<em>1 ± 2</em>"),)])
