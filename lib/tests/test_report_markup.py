"""Markup from text that is never trusted."""

import re

import pytest
from benchbook.report import markup
from matplotlib.figure import Figure

HOSTILE = "\x1b[31m<script>alert('x')</script>\x1b[0m & \x1b]0;title\x07done\r\x08"


@pytest.mark.parametrize(
    "make",
    [
        lambda value: markup.text(value),
        lambda value: markup.element("p", value),
        lambda value: markup.table([value], [[value]], numeric=[0]),
        lambda value: markup.facts([(value, value)]),
        lambda value: markup.folded(value, value),
        lambda value: markup.link(value, value),
        lambda value: markup.bullets([value]),
        lambda value: markup.paragraphs([value]),
    ],
)
def test_hostile_text_becomes_neither_markup_nor_terminal_codes(make):
    html = make(HOSTILE)
    assert "<script" not in html
    assert not set("\x1b\r\x08") & set(html)


def test_markup_is_not_escaped_twice():
    assert markup.element("p", markup.element("b", "a < b")) == "<p><b>a &lt; b</b></p>"


def test_a_link_quotes_what_a_url_may_not_hold():
    assert 'href="cases/a%2Cb%3D1%20%22/executed.ipynb"' in markup.link('cases/a,b=1 "/executed.ipynb', "repeat 0")


def test_a_table_without_rows_and_a_list_without_items_are_nothing():
    assert markup.table(["a"], []) == markup.bullets([]) == markup.facts([("Seed", None)]) == ""


def test_a_captioned_figure_is_embedded_and_described(monkeypatch):
    displayed = []
    monkeypatch.setattr(markup, "display", displayed.append)
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    markup.captioned(figure, "A <line> (ms)")
    html = displayed[0].data
    assert re.search(r'<img alt="A &lt;line&gt; \(ms\)" src="data:image/png;base64,[A-Za-z0-9+/=]+">', html)
    assert "<figcaption>A &lt;line&gt; (ms)</figcaption>" in html
