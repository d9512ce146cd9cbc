"""The cases of a plan as a table: what is sent, how often it is measured, how many prompts, and why so many."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console

from benchbook.listing import aligned
from benchbook.plan.case import Case
from benchbook.plan.experiment import Experiment
from benchbook.terms.asked import RATE

_HEADINGS = ("launch", "benchmark", "tokens", "load", "repeats", "prompts", "why")
_SIZES = ("input_len_tokens", "output_len_tokens", "max_concurrency", "request_rate_rps", "batch_size", "num_prompts")
_SAID = (*_SIZES, "requests")
_REQUESTS = "tokens or set"
_IN_WHY = ("num_iters", "num_iters_warmup", "num_warmup_prompts")


def print_cases(console: Console, experiment: Experiment) -> None:
    """Print a row a case, by launch, benchmark, lengths and rising load; on a terminal the reasons may take several lines."""
    varied = _varied(experiment.fixed)
    places = {launch.name: place for place, launch in enumerate(experiment.launches)}
    sets = ["", *experiment.requests]
    benchmarks = list(dict.fromkeys(case.workload.benchmark for case in experiment.fixed))
    ordered = sorted(
        experiment.fixed,
        key=lambda case: (places[case.launch], benchmarks.index(case.workload.benchmark), *_size(case, sets)),
    )
    rows = [_row(case, experiment, varied[case.workload.benchmark]) for case in ordered]
    first = 0 if len(experiment.launches) > 1 else 1  # a single launch needs no column
    width = console.width if console.is_terminal else None
    headings = [_REQUESTS if experiment.requests and name == "tokens" else name for name in _HEADINGS[first:]]
    right, last = [place - first for place in (2, 4, 5)], len(_HEADINGS) - 1 - first
    text = aligned(headings, [row[first:] for row in rows], width, right, may_wrap=last)
    console.print(text, markup=False, highlight=False, soft_wrap=True, end="")


def _row(case: Case, experiment: Experiment, varied: Sequence[str]) -> tuple[str, ...]:
    fields = case.workload.model_dump()
    sent = [str(fields[name]) for name in (*_SIZES[:2], "requests") if name in fields]
    defaults = {name: field.default for name, field in type(case.workload).model_fields.items()}
    others = [f"{name} {fields[name]}" for name in varied if fields.get(name, defaults[name]) != defaults[name]]
    return (
        case.launch,
        case.workload.benchmark,
        "/".join(sent),
        ", ".join([case.workload.load_text, *others]),
        _repeats_text(case, experiment),
        str(fields.get("num_prompts", "")),
        case.workload.why(case.why_num_prompts),
    )


def _repeats_text(case: Case, experiment: Experiment) -> str:
    until = experiment.until
    may_grow = until is not None and until.targets_of(case) and until.at_most > experiment.repeats
    return f"{experiment.repeats} to {until.at_most}" if may_grow else str(experiment.repeats)


def _varied(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return, by benchmark, the settings that differ between its cases and that no column has."""
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for case in cases:
        for name, value in case.workload.model_dump().items():
            values[case.workload.benchmark][name].add(repr(value))
    return {
        benchmark: [name for name, found in by_name.items() if len(found) > 1 and name not in (*_SAID, *_IN_WHY)]
        for benchmark, by_name in values.items()
    }


def _size(case: Case, sets: Sequence[str]) -> tuple[float, ...]:
    """Return what cases of a benchmark are sorted by: their set as the file has them, lengths, then the load, all at once last."""
    fields, load = case.workload.model_dump(), case.workload.load
    if load and RATE in fields:
        fields[RATE] = math.inf if load.is_at_once else load.rate_rps
    return sets.index(fields.get("requests") or ""), *(float(fields.get(name) or 0) for name in _SIZES)
