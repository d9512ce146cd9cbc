"""The course of one repeat as a small drawing: its requests, and what server and GPU did meanwhile, over the same seconds.

Drawn by hand, since a report has one for each case, and matplotlib takes a hundred times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from benchbook.judge.evidence import Answer
from benchbook.judge.telemetry_summary import request_window
from benchbook.report.markup import Html
from benchbook.terms.wording import counted, number_text

_FIRST, _SECOND = "#0173b2", "#d55e00"  # colour-blind safe; the second is dashed, or hatched by being thinner, as well
_WIDTH, _LEFT, _RIGHT, _PANEL, _GAP, _AXIS = 700, 132, 14, 40, 12, 42
_REQUEST, _MOST_HIGH = 3.0, 130.0  # of the panel of requests, for each of them and at most
_ALMOST = 1 - 1e-9
_LONGEST_S = 1e9  # damaged files hold any number
_MAX_REQUESTS, _MAX_POINTS, _MAX_TICKS = 200, 160, 8


@dataclass(frozen=True)
class _Curve:
    """One quantity over time; (seconds since the first send, value), None where it was not sampled."""

    label: str
    points: Sequence[tuple[float, float | None]]

    @property
    def highest(self) -> float:
        return float(max((value for _, value in self.points if value is not None), default=0.0))


def course_html(answers: Sequence[Answer], telemetry: Mapping[str, Any] | None, raw: Mapping[str, Any]) -> Html:
    """Return the drawing, as wide as its place; nothing where neither requests nor samples are known."""
    start_s = min((answer.start_s for answer in answers), default=0.0)
    window = request_window(telemetry, raw) if telemetry else None
    panels = list(_panels(telemetry, window[0] if window else 0.0)) if telemetry else []
    sampled = (time_s for curves in panels for curve in curves for time_s, _ in curve.points)
    end_s = max((answer.end_s - start_s for answer in answers), default=None) or max(sampled, default=0.0)
    if not 0 < end_s < _LONGEST_S:
        return Html("")
    parts: list[str] = []
    top = 4.0
    if answers:
        high = min(_MOST_HIGH, max(_PANEL, _REQUEST * min(len(answers), _MAX_REQUESTS)))
        parts += _requests(answers, start_s, end_s, top, high)
        top += high + _GAP
    for curves in panels:
        parts += _curves(curves, end_s, top)
        top += _PANEL + _GAP
    parts += _time_axis(end_s, top - _GAP)
    alt = _alt(answers, panels, end_s)
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="course" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {_WIDTH} {top + _AXIS - _GAP:.0f}" style="fill:var(--ink,#000);font-size:11px">{"".join(parts)}</svg>'
    )


def _panels(telemetry: Mapping[str, Any], zero_s: float) -> Iterator[list[_Curve]]:
    """Yield what was sampled, the curves of a panel together."""
    server = telemetry.get("server") or {}
    times_s = [time_s - zero_s for time_s in server.get("t_s", ())]
    held = [_Curve(name, list(zip(times_s, server[name]))) for name in ("running", "waiting") if name in server]
    if held:
        yield held
    if "generation_tokens" in server and len(times_s) > 1:
        yield [_Curve("output tok/s", _rates(times_s, server["generation_tokens"]))]
    if "kv_use_ratio" in server:
        shares = [None if share is None else 100 * share for share in server["kv_use_ratio"]]
        yield [_Curve("KV cache (%)", list(zip(times_s, shares)))]
    for gpu in telemetry["gpus"][:1]:
        if gpu["power_w"]:
            yield [_Curve(f"GPU {gpu['index']} (W)", [(t - zero_s, v) for t, v in zip(gpu["t_s"], gpu["power_w"])])]


def _rates(times_s: Sequence[float], counts: Sequence[float | None]) -> list[tuple[float, float | None]]:
    """Return the growth a second of a counter, over strides that are long enough to be drawn."""
    known = [(time_s, count) for time_s, count in zip(times_s, counts) if count is not None]
    known = known[:: max(1, len(known) // _MAX_POINTS)]
    return [
        ((first[0] + second[0]) / 2, (second[1] - first[1]) / (second[0] - first[0]))
        for first, second in zip(known, known[1:])
        if second[0] > first[0]
    ]


def _x(time_s: float, end_s: float) -> str:
    return f"{_LEFT + (_WIDTH - _LEFT - _RIGHT) * time_s / end_s:.1f}"


def _requests(answers: Sequence[Answer], start_s: float, end_s: float, top: float, high: float) -> Iterator[str]:
    """Yield every request as a line from its send to its last token: the wait for the first token thick and orange."""
    shown = answers[:: -(-len(answers) // _MAX_REQUESTS)]
    step = high / len(shown)
    waits, streams = [], []
    for place, answer in enumerate(shown):
        y = f"{top + step * (place + 0.5):.1f}"
        sent, first, last = (
            _x(time_s - start_s, end_s) for time_s in (answer.start_s, answer.start_s + answer.ttft_s, answer.end_s)
        )
        waits.append(f"M{sent} {y}H{first}")
        streams.append(f"M{first} {y}H{last}")
    thick = min(6.0, step * 0.9)
    yield f'<path d="{"".join(streams)}" stroke="{_FIRST}" stroke-width="{thick * 0.6:.1f}"/>'
    yield f'<path d="{"".join(waits)}" stroke="{_SECOND}" stroke-width="{thick:.1f}"/>'
    label = counted(len(answers), "request")
    yield _label(label, top + 11)
    yield _label("waiting", top + 24, _SECOND)
    if high >= _PANEL:
        yield _label("streaming", top + 37, _FIRST)


def _curves(curves: Sequence[_Curve], end_s: float, top: float) -> Iterator[str]:
    highest = max(curve.highest for curve in curves) or 1.0
    bottom = top + _PANEL
    yield f'<path d="M{_LEFT} {bottom:.1f}H{_WIDTH - _RIGHT}" stroke="var(--line,#ccc)"/>'
    for place, curve in enumerate(curves):
        points = [(t, v) for t, v in curve.points if v is not None and 0 <= t <= end_s]
        points = points[:: -(-len(points) // _MAX_POINTS) or 1]
        line = " ".join(f"{_x(t, end_s)},{bottom - _PANEL * v / highest:.1f}" for t, v in points)
        colour, dash = ((_FIRST, ""), (_SECOND, ' stroke-dasharray="4 2"'))[place % 2]
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.3"{dash}/>'
        most = f"{curve.label}, ≤ {_most(curve)}"
        yield _label(most, top + 11 + 13 * place, colour if len(curves) > 1 else "")


def _most(curve: _Curve) -> str:
    """Return the highest value, a whole number as one."""
    return number_text(int(curve.highest) if curve.highest.is_integer() else curve.highest)


def _label(words: str, y: float, colour: str = "") -> str:
    mark = f'<path d="M2 {y - 4:.1f}h8" stroke="{colour}" stroke-width="3"/>' if colour else ""
    return f'{mark}<text x="{14 if colour else 2}" y="{y:.1f}">{escape(words)}</text>'


def _time_axis(end_s: float, bottom: float) -> Iterator[str]:
    power = 10.0 ** math.floor(math.log10(end_s / _MAX_TICKS))
    step = next(times * power for times in (1, 2, 5, 10) if times * power * _MAX_TICKS >= end_s * _ALMOST)
    for number in range(math.floor(end_s / step) + 1):
        x = _x(number * step, end_s)
        yield f'<path d="M{x} 4V{bottom:.1f}" stroke="var(--line,#ccc)" stroke-width=".5"/>'
        yield f'<text x="{x}" y="{bottom + 13:.1f}" text-anchor="middle">{number * step:g}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text x="{middle:g}" y="{bottom + 27:.1f}" text-anchor="middle">seconds since the first send</text>'


def _alt(answers: Sequence[Answer], panels: Sequence[Sequence[_Curve]], end_s: float) -> str:
    """Return what the drawing shows, for who cannot see it."""
    seen = [f"{curve.label} at most {_most(curve)}" for curves in panels for curve in curves]
    what = [counted(len(answers), "request")] if answers else []
    return f"{', '.join([*what, *seen])}, over {number_text(end_s)} s."
