"""Sentences about one line, with numbers produced from the data: its peak, its waits, the rate it holds, its goodput."""

from __future__ import annotations

from collections.abc import Mapping

from benchbook.judge.knee import MIN_GAIN, stops_scaling_at
from benchbook.judge.spread import Spread, spread_text
from benchbook.report.curves import OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT, USER_SPEED, Line
from benchbook.terms.wording import listed, number_text, plus_minus_text

GOODPUT = "request_goodput_rps"
_E2EL = "mean_e2el_ms"
_MEDIAN_TTFT, _MEDIAN_TPOT = ("median TTFT", "median_ttft_ms"), ("median TPOT", "median_tpot_ms")
_WAITS = (("p99 TTFT", "p99_ttft_ms"), _MEDIAN_TTFT, _MEDIAN_TPOT)
GOODPUT_LIMITS = {"slo_ttft_ms": "TTFT", "slo_tpot_ms": "TPOT", "slo_e2el_ms": "E2EL"}


def peak_of(line: Line) -> tuple[float, Spread] | None:
    """Return (load, output tok/s) where `line` is highest; None without a believed repeat."""
    return max(line.points(OUTPUT_THROUGHPUT).items(), key=lambda point: point[1].mean, default=None)


def peak_sentence(line: Line) -> str:
    """Return where output throughput is highest, with its spread."""
    peak = peak_of(line)
    if peak is None:
        return f"No repeat of {line.where} can be believed, so it has no curve."
    load, spread = peak
    at = line.load.at(load)
    if line.disagrees_at(load):
        return (
            f"Output throughput is anything from {number_text(spread.minimum)} to {number_text(spread.maximum)} tok/s "
            f"{at} ({line.where}): its {spread.count} repeats disagree, and their mean says little."
        )
    value = spread_text(spread, "tok/s")
    if len(line.points(OUTPUT_THROUGHPUT)) == 1:
        return f"Output throughput is {value} {at}, the only {line.load.noun} tried ({line.where})."
    if load == max(line.loads):
        peaks = f"is highest with the most that was tried, {value} {at}"
    else:
        peaks = f"peaks at {value} {at}"
    return f"Output throughput {peaks} ({line.where}).{_doubted_peak_text(line, load)}"


def trade_off_sentence(line: Line) -> str:
    """Return what throughput gains from the least load to the peak, and what users wait for it; the peak alone where that is all."""
    least = _rises_from(line)
    if least is None:
        return peak_sentence(line)
    load, spread = peak_of(line)
    waits = [
        f"{name} {verb}from {number_text(line.means(key)[least])} to {value_text(line, key, load)} ms"
        for (name, key), verb in zip(_paid(line, least, load), ("goes ", ""))
    ]
    told = f", while {listed(waits)}" if waits else ""
    peak = " with the most that was tried" if load == max(line.loads) else ", its peak"
    return (
        f"From {line.load.short(least)} to {line.load.text(load)}, output throughput rises from "
        f"{number_text(line.means(OUTPUT_THROUGHPUT)[least])} to {spread_text(spread, 'tok/s')}{peak}{told} "
        f"({line.where}).{_doubted_peak_text(line, load)}"
    )


def _rises_from(line: Line) -> float | None:
    """Return the least load of a line that peaks above it, if both means may be told; None for others."""
    peak, least = peak_of(line), min(line.points(OUTPUT_THROUGHPUT), default=None)
    if peak is None or peak[0] == least or line.disagrees_at(least) or line.disagrees_at(peak[0]):
        return None
    return least


def _paid(line: Line, *loads: float) -> list[tuple[str, str]]:
    """Return which medians of what users wait are there at all of `loads`: name and key."""
    return [
        (name, key) for name, key in (_MEDIAN_TTFT, _MEDIAN_TPOT) if all(load in line.points(key) for load in loads)
    ]


def _doubted_peak_text(line: Line, load: float) -> str:
    """Return ' No repeat there is VALID; …' with the highest point that has one; '' where the peak has one."""
    valid, points = line.valid_loads, line.points(OUTPUT_THROUGHPUT)
    if load in valid:
        return ""
    best = max((each for each in valid if each in points), key=lambda each: points[each].mean, default=None)
    if best is None:
        return " No repeat of this curve is VALID."
    return f" No repeat there is VALID; the highest that has one is {number_text(points[best].mean)} tok/s {line.load.at(best)}."


def scaling_sentence(line: Line) -> str:
    """Return where the line stops scaling, by the rule, or how much its last step still added; '' for one point."""
    means = line.means(OUTPUT_THROUGHPUT)
    if len(means) < 2:
        return ""
    if doubt := doubt_text(line):
        return f"Where it stops scaling cannot be told.{doubt}"
    stop = stops_scaling_at(means)
    if stop is not None:
        return f"It stops scaling at {stop}: every further doubling of the concurrency adds less than {MIN_GAIN:.0%}."
    return f"{last_step(means)} (the rule: scaling stops where every further doubling adds less than {MIN_GAIN:.0%})."


def latency_sentence(line: Line, load: float) -> str:
    """Return what one user waits at `load`: TTFT, TPOT, speed and E2EL, as far as they were measured and are not told yet."""
    least = _rises_from(line)
    told = [] if least is None else [key for _, key in _paid(line, least, load)]
    said = [
        f"{name} is {value_text(line, key, load)} {unit}"
        for name, key, unit in (
            ("median TTFT", "median_ttft_ms", "ms"),
            ("p99 TTFT", "p99_ttft_ms", "ms"),
            ("median TPOT", "median_tpot_ms", "ms"),
            ("the speed of one user", USER_SPEED, "tok/s"),
            ("mean E2EL", _E2EL, "ms"),
        )
        if load in line.points(key) and key not in told
    ]
    at = line.load.at(load)
    return f"{at[:1].upper()}{at[1:]}, {listed(said)}." if said else ""


def rate_sentence(line: Line) -> str:
    """Return which rate the server holds, how long users wait there, and from which rate on it falls behind."""
    lost, held = line.unreached, line.held_to
    if not line.points(REQUEST_THROUGHPUT) and len(line.believed):
        return f"Which rate the server holds is not known: none tells how many requests a second were answered ({line.where})."
    if not line.points(REQUEST_THROUGHPUT):
        return f"No repeat of {line.where} can be believed, so it has no curve."
    if held is None:
        return f"The server holds no rate that was tried ({line.where}): {_answered(line, lost)}."
    waits = [f"{name} {value_text(line, key, held)} ms" for name, key in _WAITS if held in line.points(key)]
    said = f" with {listed(waits)}" if waits else ""
    if lost is None:
        return f"The server holds {line.load.text(held)}, the most tried,{said} ({line.where})."
    return (
        f"The server holds {line.load.text(held)}{said} ({line.where}); from {line.load.text(lost)} on it falls "
        f"behind: {_answered(line, lost)}."
    )


def goodput_sentence(line: Line) -> str:
    """Return at which load most requests a second met every limit set for one request; '' where none was set."""
    good, answered = line.means(GOODPUT), line.means(REQUEST_THROUGHPUT)
    asked = [(name, line.repeats[key].iloc[0]) for key, name in GOODPUT_LIMITS.items() if key in line.repeats]
    limits = [f"{name} at most {limit:g} ms" for name, limit in asked if limit == limit and limit is not None]
    if not good or not limits:
        return ""
    best, last = max(good, key=good.__getitem__), max(good)
    shares = {load: good[load] / answered[load] for load in good if answered.get(load) and not line.disagrees_at(load)}
    most = f"{value_text(line, GOODPUT, best)} req/s"
    said = f"Goodput, what meets {listed(limits)}, is highest {line.load.at(best)}: {most}"
    said += f", {shares[best]:.0%} of what is answered" if best in shares else ""
    said += f"; {line.load.at(last)} it is {shares[last]:.0%}" if last != best and last in shares else ""
    return f"{said} ({line.where})."


def value_text(line: Line, key: str, load: float) -> str:
    """Return '12.3 ± 0.4', or '12.3 to 31.0' where the repeats contradict each other."""
    spread = line.points(key)[load]
    ends = [number_text(end) for end in (spread.minimum, spread.maximum)]
    if line.disagrees_at(load) and ends[0] != ends[1]:
        return " to ".join(ends)
    return plus_minus_text(spread.mean, spread.stdev)


def last_step(means: Mapping[float, float]) -> str:
    """Return how much the last step of a line that still scales added."""
    before, last = sorted(means)[-2:]
    added = f"{means[last] / means[before] - 1:.0%}" if means[before] > 0 else "everything"
    return f"It still scales at {last}, the most tried: the step from {before} added {added}"


def doubt_text(line: Line) -> str:
    """Return ' The repeats disagree at 8, …', the loads whose mean is nobody's number; '' for none."""
    loads = [line.load.short(load) for load in line.loads if line.disagrees_at(load)]
    return f" The repeats disagree at {listed(loads)}, and their mean says little." if loads else ""


def _answered(line: Line, rate: float) -> str:
    return f"of {line.load.short(rate)} offered it answers {value_text(line, REQUEST_THROUGHPUT, rate)} a second"
