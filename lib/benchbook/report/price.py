"""What output tokens cost, said: the cheapest load within the SLO, and whether one launch is cheaper than another."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchbook.judge.claims import headline_rows, label_of, least_share
from benchbook.judge.compare import Comparison, Finding, Row, compare
from benchbook.judge.price import COST, ENERGY, IDLE, with_price
from benchbook.judge.slo import keeping, limits_by_metric
from benchbook.judge.spread import mean_interval
from benchbook.records.header import Price
from benchbook.report.curves import OUTPUT_THROUGHPUT, Line
from benchbook.report.differences import MAX_OTHERS, answering_worse, answers_of, compared_launches
from benchbook.report.run import Run
from benchbook.report.table import START
from benchbook.terms.wording import listed, number_text, percent_number


def price_sentences(run: Run) -> list[str]:
    """Return the cheapest load within the SLO, then each launch against the first; [] where no price is set.

    A launch that loses answers, by its guard, is left out of the first: what is cheap of it is bought with them.
    Of a search over launches no load is called the cheapest: of many that were started once, one always looks so.
    """
    price = run.header.price
    if price is None:
        return []
    if run.searched:
        return _comparisons(run, price)
    worse = answering_worse(run)
    lines = [line for line in run.lines if line.launch not in worse]
    found = [one for line in lines if (one := _cheapest(run, line))]
    cheapest = min(found, key=lambda one: one[0], default=None)
    left = [f"Left out of it: {listed(worse)}, whose answers are worse than the guard allows."] if worse else []
    if cheapest is None:
        return [_why_none(lines, price), *left]
    _, load, line = cheapest
    return [_cheapest_sentence(run, price, line, load), *left, *_comparisons(run, price)]


def price_note(price: Price) -> str:
    """Return 'Costs are in USD: 2.5 for an hour of a GPU, 0.15 for a kWh, of which 1.2 are drawn for each of the GPUs.'."""
    parts = [f"{price.gpu_hour:g} for an hour of a GPU"] if price.gpu_hour is not None else []
    parts += [f"{price.kwh:g} for a kWh, {price.pue:g} for each of the GPUs"] if price.kwh is not None else []
    return f"Costs are in {price.currency}: {', '.join(parts)}."


def _cheapest(run: Run, line: Line) -> tuple[float, float, Line] | None:
    """Return (cost, load, line) of the cheapest load of `line` that keeps the SLO; None where none does, or has a cost."""
    kept = {load: cost for load, cost in line.means(COST.key).items() if load in _kept_loads(run, line)}
    load = min(kept, key=kept.__getitem__, default=None)
    return None if load is None else (kept[load], load, line)


def _kept_loads(run: Run, line: Line) -> list[float]:
    """Return the loads of `line` below the first that breaks the SLO, or falls behind its rate."""
    limits, rows = limits_by_metric(run.slo), line.believed
    values = {
        load: {key: rows[rows[line.load.key] == load][key].astype("float64").tolist() for key in limits}
        for load in line.points(OUTPUT_THROUGHPUT)
    }
    unreached = line.unreached if line.load.is_open else None
    broken = keeping(values, limits, line.means(OUTPUT_THROUGHPUT), unreached).broken
    return [load for load in values if broken is None or load < broken]


def _cheapest_sentence(run: Run, price: Price, line: Line, load: float) -> str:
    rows = line.believed[line.believed[line.load.key].map(line.load.value) == load]
    cost = _told(line, load, rows, COST.key)
    within = "Within the SLO the" if run.slo else "The"
    said = (
        f"{within} cheapest load is {line.load.text(load)} ({line.where}): {cost} {price.currency} per 1M output tokens"
    )
    if load in line.points(ENERGY.key):
        said += f" and {_told(line, load, rows, ENERGY.key)} J per output token"
    idle = line.means(IDLE.key).get(load)
    said += (
        f"; {percent_number(idle)} % of what the GPUs cost is for time in which they stood idle"
        if idle is not None
        else ""
    )
    loads = line.means(COST.key)
    return f"{said}{', the least load tried' if len(loads) > 1 and load == min(loads) else ''}."


def _told(line: Line, load: float, rows: pd.DataFrame, key: str) -> str:
    """Return '0.42 [0.41, 0.44]', or the mean alone where the repeats tell no interval."""
    known = rows[rows[key] > 0]
    interval = mean_interval(known[key].tolist(), known[START].tolist())
    mean = number_text(line.means(key)[load])
    return f"{mean} [{number_text(interval[0])}, {number_text(interval[1])}]" if interval else f"{mean} (no interval)"


def _why_none(lines: Sequence[Line], price: Price) -> str:
    costs = [line.means(COST.key) for line in lines]
    if any(costs):
        return "No load tried keeps the SLO, so none is the cheapest within it."
    lacking = "no power was read" if price.kwh is not None else "nothing tells on how many GPUs it ran"
    return f"What an output token costs cannot be told: {lacking}, or no serve case gave a number."


def _comparisons(run: Run, price: Price) -> list[str]:
    """Return each launch against the first in cost, by the rules of speed: pairs, intervals, one error for all claims."""
    first, *others = compared_launches(run)
    paid = {
        name: [with_price(record, price) for record in run.comparable(name)] for name in (first, *others[:MAX_OTHERS])
    }
    told, answers = [], answers_of(run)
    for other in others[:MAX_OTHERS]:
        comparison = compare(
            paid[first],
            paid[other],
            (first, other),
            num_comparisons=len(others),
            metrics=[COST],
            accuracy=answers.get(other),  # of a search asked in its screening
        )
        told += [_sentence(row, comparison, price) for row in headline_rows(comparison)[:1]]
    return told


def _sentence(row: Row, comparison: Comparison, price: Price) -> str:
    values = f"({number_text(row.base)} → {number_text(row.other)} {price.currency} per 1M output tokens, {row.name})"
    if row.interval is None:
        return f"{comparison.other} against {comparison.base} in {label_of(COST)} {values}: too few rounds for an interval."
    size, low, high = (percent_number(abs(bound - 1)) for bound in (row.ratio.ratio, *_nearer_first(row)))
    if row.finding not in (Finding.BETTER, Finding.WORSE):
        return f"No difference in cost is claimed between {comparison.other} and {comparison.base} {values}."
    word = "cheaper" if row.finding is Finding.BETTER else "dearer"
    least = least_share(row)
    sure = f", at least {percent_number(least)} %" if least is not None and comparison.num_judged > 1 else ""
    if comparison.accuracy and row.finding is Finding.BETTER:
        sure += f", {comparison.accuracy.short}"
    return f"{comparison.other} is {size} % [{low}, {high}] {word} than {comparison.base} {values}{sure}."


def _nearer_first(row: Row) -> Sequence[float]:
    return sorted(row.interval, key=lambda bound: abs(bound - 1))
