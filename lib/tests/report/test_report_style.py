"""The colours of a report, read from its style sheet: legible in the light and in the dark."""

import re
from pathlib import Path

import pytest
from benchbook.report import html, markup

STYLE = Path(html.__file__).with_name("report.css").read_text()
TEXTS, GROUNDS = ("ink", "soft", "accent"), ("page", "shade")
LEAST = 4.5  # WCAG 2.2, level AA, of text as small as ours


def luminance(colour):
    """Return the relative luminance of '#rgb' or '#rrggbb'."""
    digits = colour.removeprefix("#")
    pairs = [digits[place : place + 2] for place in (0, 2, 4)] if len(digits) == 6 else [2 * digit for digit in digits]
    parts = [int(pair, 16) / 255 for pair in pairs]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def palettes():
    """Return the colours by name, of light pages and of dark ones."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    light, dark = [dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in blocks]
    assert set(dark) == set(light)
    return {"light": light, "dark": dark}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_text_stands_out_from_every_ground(name):
    colours = palettes()[name]
    pairs = [(text, ground) for text in TEXTS for ground in GROUNDS]
    pairs += [("ink", "bad-shade"), ("ink", "doubt-shade"), ("accent", "bad-shade")]
    for text, ground in pairs:
        assert contrast(colours[text], colours[ground]) >= LEAST, (text, ground)


@pytest.mark.parametrize("verdict", ["VALID", "SUSPECT", "INVALID"])
def test_the_symbol_of_a_verdict_stands_out_from_its_colour(verdict):
    ground = re.search(r"background:(#\w+);color:#fff", markup.verdict(verdict))[1]
    assert contrast("#fff", ground) >= LEAST


def test_no_text_is_made_pale_by_opacity():
    assert "opacity" not in STYLE
