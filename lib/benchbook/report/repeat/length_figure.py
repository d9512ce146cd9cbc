"""The figure of loads whose requests differ: how long they were, and what that, or the turn, did to the first token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchbook.judge.evidence import Answer, answers_of
from benchbook.judge.loads import load_text
from benchbook.records.record import Record
from benchbook.report.drawing import canvas, from_zero
from benchbook.terms.wording import counted

_SENT, _ANSWERED = "#D55E00", "#56B4E9"  # colour-blind safe (Okabe and Ito)
_MOST_BINS = 30


def length_figure(record: Record, raw: Mapping[str, Any]) -> tuple[Figure, str] | None:
    """Draw how long prompts and answers were, and TTFT by the prompt's length and by turn; None where all were alike."""
    answers = answers_of(raw)
    lengths = {(answer.prompt_tokens, answer.tokens) for answer in answers}
    by_turn = record.conditions.sent.median_ttft_by_turn_ms or ()
    if not answers or len(lengths) < 2 and len(by_turn) < 2:
        return None
    panels: list[tuple[Callable[[Axes], None], str]] = [
        (
            lambda axes: draw_lengths(axes, [one.prompt_tokens for one in answers], [one.tokens for one in answers]),
            "how many requests had how many tokens, sent and answered",
        ),
        (
            lambda axes: draw_ttft_by_length(axes, answers),
            "TTFT (ms, lower is better) of each by the tokens of its prompt",
        ),
    ]
    if len(by_turn) > 1:
        panels.append((lambda axes: draw_ttft_by_turn(axes, by_turn), "median TTFT (ms) by turn of the conversation"))
    figure, all_axes = canvas(1, len(panels), height_in=3.0)
    for axes, (draw, _) in zip(all_axes, panels, strict=True):
        draw(axes)
    said = "; ".join(what for _, what in panels)
    return figure, f"{said[0].upper()}{said[1:]}. {counted(len(answers), 'answered request')}, {load_text(record)}."


def draw_lengths(axes: Axes, sent: Sequence[int], answered: Sequence[int]) -> None:
    """Draw how many requests had how many tokens, sent and answered."""
    most = max(1, *sent, *answered)
    edges = [most * number / min(_MOST_BINS, most) for number in range(min(_MOST_BINS, most) + 1)]
    kinds = (
        ("sent", sent, {"color": _SENT}),
        ("answered", answered, {"color": _ANSWERED, "hatch": "////", "fill": False}),
    )
    for label, tokens, look in kinds:
        axes.hist(tokens, bins=edges, histtype="stepfilled", alpha=0.7, label=label, **look)
    axes.set_xlabel("Tokens")
    axes.set_ylabel("Requests")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def draw_ttft_by_length(axes: Axes, answers: Sequence[Answer]) -> None:
    """Draw the TTFT (ms) of each request by the tokens of its prompt."""
    tokens, ttfts_ms = [answer.prompt_tokens for answer in answers], [1000 * answer.ttft_s for answer in answers]
    axes.plot(tokens, ttfts_ms, marker="o", markersize=3, linestyle="none", color=_SENT, alpha=0.6)
    axes.set_xlim(left=0)
    from_zero(axes)
    axes.set_xlabel("Tokens of the prompt")
    axes.set_ylabel("TTFT (ms)")


def draw_ttft_by_turn(axes: Axes, by_turn: Sequence[float | None]) -> None:
    """Draw the median TTFT (ms) of each turn."""
    turns = [(number, ms) for number, ms in enumerate(by_turn, start=1) if ms is not None]
    axes.plot([number for number, _ in turns], [ms for _, ms in turns], marker="o", color=_ANSWERED)
    from_zero(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Turn")
    axes.set_ylabel("Median TTFT (ms)")
