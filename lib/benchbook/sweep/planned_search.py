"""`benchbook plan` of a search, over loads or over launches: how it goes, what it costs, and which candidates cannot run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbook.judge.halving import MOST_FINALISTS, widths
from benchbook.plan.eta import Estimator
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block
from benchbook.sweep.finding import planned_search
from benchbook.sweep.searching import planned_trials
from benchbook.terms.wording import counted, duration_text, listed


def search_lines(experiment: Experiment, estimator: Estimator) -> Iterator[str]:
    """Yield what each search asks, and what it takes at least, by where its answer will lie."""
    for sought in experiment.searches:
        find, number = sought.find, len(sought.cases)
        blocks = [
            planned_search(sought, experiment.seed, holding) for holding in (number // 4, number // 2, number - 1)
        ]
        counts = sorted(len(block.repeats) for block in blocks)
        took = [estimator.estimate([block]) for block in blocks]
        until = f"; ends after {duration_text(find.budget_s)} of measuring" if find.budget_s else ""
        yield (
            f"Search {sought.name}: {find.text()}, {number} loads, each {100 * find.within:g} % above the one below or "
            f"1; 2 to {find.at_most} repeats of a load, {counts[0]} to {counts[-1]} where none varies, up to twice as many "
            f"where they do, {took[0]} to {duration_text(max(each.seconds for each in took))} ({took[-1].why}){until}"
        )


def trial_lines(experiment: Experiment, estimator: Estimator) -> Iterator[str]:
    """Yield how the search of an experiment goes and what it takes; nothing without one."""
    search = experiment.search
    if not search:
        return
    number, default = len(experiment.launches) - 1, experiment.launches[0].name
    rounds, finalists = widths(number), min(number, MOST_FINALISTS)
    starts = "starts" if len(rounds) == 1 else "start"
    screening = (
        f"screening in {counted(len(rounds), 'round')}, which {starts} {listed(list(map(str, rounds)))} of them once beside it"
        if rounds
        else "no screening, since so few are confirmed at once"
    )
    kept = f" within {listed([f'{key} {limit:g}' for key, limit in experiment.slo.items()])}" if experiment.slo else ""
    yield (
        f"Search for {search.text()}{kept}: {counted(number, 'candidate')} against {default!r}; {screening}; then "
        f"confirmation: {'up to ' if rounds else ''}{counted(finalists, 'finalist')} and {default!r} in turns, "
        f"{experiment.repeats} rounds on fresh starts and fresh requests, on which alone a gain is claimed"
    )
    yield f"  {_price_text(experiment, estimator)}"
    for why in dict.fromkeys(search.left_out.values()):
        names = [name for name, reason in search.left_out.items() if reason == why]
        yield f"  left out, since {'it' if len(names) == 1 else 'they'} cannot run: {listed(names)}: {why}"


def _price_text(experiment: Experiment, estimator: Estimator) -> str:
    """Return 'at most 77 starts with a measurement each, about 1 h 12 min (…)', and what a budget does to it."""
    blocks, budget_s = planned_trials(experiment), experiment.search.budget_s
    whole = estimator.estimate(blocks)
    text = f"at most {counted(len(blocks), 'start')} with a measurement each, {whole} ({whole.why})"
    if budget_s is None:
        return text
    least = estimator.estimate(_least(experiment, blocks))
    text += f"; a budget of {duration_text(budget_s)}"
    is_screened = bool(widths(len(experiment.launches) - 1))
    if least.seconds > budget_s:
        what = (
            "start each candidate and confirm one"
            if is_screened
            else "confirm one candidate, which is done all the same"
        )
        return f"{text} has no room to {what}, {least}: {'some' if is_screened else 'others'} would not be explored"
    if whole.seconds > budget_s:
        left = "later rounds of screening and further finalists" if is_screened else "the last candidates"
        return f"{text} has no room for all of it: {left} are left out"
    return f"{text} has room for it"


def _least(experiment: Experiment, blocks: Sequence[Block]) -> list[Block]:
    """Return of a search's `blocks` the first round and the confirmation of one finalist."""
    first, default = blocks[: len(experiment.launches)], experiment.launches[0].name
    confirming = [block for block in blocks if block.launch == default][-experiment.repeats :]
    return [*(first if widths(len(experiment.launches) - 1) else ()), *confirming, *confirming]
