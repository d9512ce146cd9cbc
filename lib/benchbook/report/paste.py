"""A run summed up to be pasted: Markdown for a pull request or a chat, or one picture."""

from __future__ import annotations

import io
import re
import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from benchbook.records.files import write_bytes
from benchbook.report.answer import answer, verdict_sentence, why_not
from benchbook.report.caveats import caveats
from benchbook.report.curves import OUTPUT_THROUGHPUT
from benchbook.report.differences import comparisons_of, launches_of
from benchbook.report.drawing import WIDTH_IN
from benchbook.report.figures import throughput_figure
from benchbook.report.forest import forest_figure
from benchbook.report.markup import png
from benchbook.report.run import Run
from benchbook.report.setup import subtitle
from benchbook.report.table_command import markdown_tables
from benchbook.terms.plain import plain

_MARKUP = re.compile(r"[*`\\|\[\]]|(?<!\w)_|_(?!\w)")
SUMMARY_FILE = "summary.png"
_MAX_OPEN_CASES = 12  # more are folded
_MAX_SENTENCES, _MAX_CHARACTERS = 6, 300  # of a picture, and of each of them
_LINE_IN, _MARGIN_IN, _COLUMNS = 0.22, 0.25, 104


def as_markdown(run: Run) -> str:
    """Return question, answer and how far it may be believed, and a row a case, folded where there are many."""
    headline, *rest = answer(run)
    remark = [f"⚠️ Remark: {_said(run.remark)}", ""] if run.remark else []
    doubt = "⚠️ " if why_not(run) else ""
    lines = [f"### {_said(run.question)}", "", _said(subtitle(run)), "", *remark, f"{doubt}**{_said(headline)}**", ""]
    lines += [*(f"- {_said(point)}" for point in (*rest, verdict_sentence(run), *caveats(run))), ""]
    tables = markdown_tables(run)
    if len(run.cases) > _MAX_OPEN_CASES:
        tables = f"<details><summary>{len(run.cases)} cases</summary>\n\n{tables}\n</details>\n"
    return "\n".join(lines) + "\n" + tables


def _said(words: str) -> str:
    """Return `words` on one line, nothing in them taken for markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(plain(words).split())).replace("<", "&lt;")


def as_png(run: Run) -> bytes:
    """Return a picture of the question, the answer, how far it may be believed, and the figure that shows it."""
    from PIL import Image

    parts = [png(_words(run)), *(png(figure) for figure in [_figure(run)] if figure)]
    images = [Image.open(io.BytesIO(part)) for part in parts]
    whole = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    buffer = io.BytesIO()
    whole.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def write_png(run: Run) -> Path:
    """Write the picture beside the report; return its path."""
    path = run.run_dir / SUMMARY_FILE
    write_bytes(path, as_png(run))
    return path


def _words(run: Run) -> Figure:
    """Return the words of the picture as a figure that is as high as they need."""
    headline, *rest = answer(run)
    remark = [(f"Remark. {run.remark}", 11, "normal", "#8f5f00")] if run.remark else []
    said = [*rest[: _MAX_SENTENCES - 2], verdict_sentence(run), *caveats(run)[:1]]
    blocks = [
        (run.question, 15, "bold", "black"),
        (subtitle(run), 10, "normal", "0.35"),
        *remark,
        (headline, 12, "bold", "#8f5f00" if why_not(run) else "black"),
        *((textwrap.shorten(sentence, _MAX_CHARACTERS, placeholder=" …"), 11, "normal", "black") for sentence in said),
    ]
    lines = [
        (line, size, weight, colour)
        for words, size, weight, colour in blocks
        for line in [*textwrap.wrap(words, int((_COLUMNS - 10 * (weight == "bold")) * 10 / size)), ""]
    ]
    heights = [_LINE_IN * (size / 11 if line else 0.4) for line, size, *_ in lines]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 2 * _MARGIN_IN))
    top = figure.get_figheight() - _MARGIN_IN
    for (line, size, weight, colour), height in zip(lines, heights, strict=True):
        place = (_MARGIN_IN / WIDTH_IN, top / figure.get_figheight())
        figure.text(*place, line, size=size, weight=weight, color=colour, va="top", parse_math=False)
        top -= height
    return figure


def _figure(run: Run) -> Figure | None:
    """Return what shows the answer: how the launches differ, or the first curve; None where there is neither."""
    if len(launches_of(run)) > 1:
        drawn = next(filter(None, map(forest_figure, comparisons_of(run))), None)
    else:
        curves = next((one for one in run.curves if any(line.points(OUTPUT_THROUGHPUT) for line in one.lines)), None)
        drawn = throughput_figure(run, curves) if curves else None
    return drawn[0] if drawn else None
