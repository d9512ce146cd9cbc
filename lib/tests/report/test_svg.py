"""Figures as part of a page: the page's colours, what marks say, and nothing in them that is taken for markup."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from benchbook.report.differences import comparisons_of
from benchbook.report.drawing import canvas
from benchbook.report.figures import latency_figure, throughput_figure, tradeoff_figure
from benchbook.report.forest import forest_figure
from benchbook.report.run import load_run
from benchbook.report.svg import Mark, svg_text, tell
from report_runs import judged, make_run

HOSTILE = ("</title><script>alert(1)</script>", 'a" onload="alert(1)', "\x1b[31mred\u202e", "$x^2$ & <b>", "<![CDATA[")


def drawn(*, marks=(), label="launch"):
    figure, (axes,) = canvas(1, 1, 3.0)
    (line,) = axes.plot([1, 2], [3, 4], "o", color="#0173b2", markerfacecolor="white", label=label)
    tell(line, 0, marks)
    axes.axhline(3, color="0.35")
    figure.legend()
    return svg_text(figure, "what is seen")


@pytest.mark.filterwarnings("ignore:Glyph")  # the terminal codes are harmless in a page, too
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_in_a_figure_becomes_markup(text):
    svg = drawn(marks=[Mark(text, "case-1"), Mark("two")], label=text)
    assert "<script" not in svg and not set("\x1b\u202e") & set(svg)
    whole = ElementTree.fromstring(svg)  # as an image in a notebook has to be
    assert not any(name.startswith("on") for element in whole.iter() for name in element.attrib)


def test_marks_say_what_they_are_in_their_order_and_where_more_is():
    svg = drawn(marks=[Mark("one < two\nVALID", "case-1"), Mark("two")])
    assert re.findall(r"<title>(.*?)</title>", svg, re.DOTALL) == ["one &lt; two\nVALID", "two"]
    assert re.findall(r'data-more="([^"]*)"', svg) == ["case-1"]


def test_what_is_told_of_other_marks_than_are_drawn_is_left_out():
    assert "<title>" not in drawn(marks=[Mark("one"), Mark("two"), Mark("three")])


def test_greys_are_those_of_the_page_and_colours_stay():
    svg = drawn()
    assert "var(--ink,#595959)" in svg or "var(--soft,#595959)" in svg
    assert "var(--page,#ffffff)" in svg and "#0173b2" in svg
    assert not re.search(r"(fill|stroke): #(?:000000|ffffff)", svg)


def test_the_same_figure_gives_the_same_text_and_others_share_no_id():
    one, same, other = drawn(), drawn(), drawn(label="another")
    assert one == same
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in (one, other)]
    assert all(ids) and not ids[0] & ids[1]
    for svg in (one, other):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', svg)) <= set(re.findall(r' id="([^"]*)"', svg))


def test_a_figure_styles_nothing_of_its_page_and_brings_no_font():
    svg = drawn()
    assert "<style" not in svg and "font-family:" not in svg and "<metadata" not in svg


def of_a_run(tmp_path, draw, **options):
    run = load_run(make_run(tmp_path, launches=("eager", "compiled"), benchmarks=("serve",), **options))
    figure, _ = draw(run, run.curves[0])
    return svg_text(figure, "a run")


@pytest.mark.parametrize("draw", [throughput_figure, latency_figure, tradeoff_figure])
def test_every_repeat_says_its_case_its_value_and_its_verdict(tmp_path, draw):
    svg = of_a_run(tmp_path, draw, repeats=3, change=lambda one: judged(one, "suspect", "cold_start", "40%")
                   if one.identity.repeat == 1 else one)  # fmt: skip
    said = re.findall(r"<title>(.*?)</title>", svg, re.DOTALL)
    panels = 4 if draw is latency_figure else 1
    assert len(said) == panels * 2 * 2 * 4 * 3, "panels, launches, lengths, loads, repeats"
    assert all(re.search(r"(eager|compiled), \d+ in / 64 out, \d requests? in flight\n", text) for text in said)
    assert sum("SUSPECT (cold_start" in text for text in said) == len(said) / 3
    assert all("95 % interval" in text and "3 repeats" in text for text in said)
    assert svg.count('data-more="case-') == len(said)


def test_every_line_of_a_figure_has_a_key_that_hides_it(tmp_path):
    svg = of_a_run(tmp_path, throughput_figure, repeats=2)
    keys, lines = (set(re.findall(rf'data-{kind}="(\d+)"', svg)) for kind in ("key", "line"))
    assert keys == lines == {"0", "1", "2", "3"}


def test_what_a_comparison_rests_on_is_counted_in_words_that_fit(tmp_path):
    (comparison,) = comparisons_of(load_run(make_run(tmp_path, launches=("eager", "compiled"), benchmarks=("serve",))))
    few = replace(comparison, is_paired=False, rows=tuple(replace(row, num_base=1) for row in comparison.rows))
    captions = [forest_figure(one)[1] for one in (few, comparison)]
    assert " 1 start." in captions[0] and " 2 pairs of rounds." in captions[1]
    assert "<title>serve, " in svg_text(forest_figure(comparison)[0], "how they differ")
