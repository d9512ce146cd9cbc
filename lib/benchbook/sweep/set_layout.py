"""Where in the file of a set the requests of each repeat lie.

A file holds round after round; in a round each load has a stretch of its own, and behind it one for its warm-up. So
launches are sent the same bytes in the same round, and no prompt twice on one start, as far as the set has fresh ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.requests import RequestSet
from benchbook.plan.workload import Workload
from benchbook.plan.workloads import ServeWorkload, ThroughputWorkload
from benchbook.terms.errors import ExperimentError, StoreError


@dataclass(frozen=True)
class Layout:
    """Where in a set's file the requests of each repeat lie."""

    places: Mapping[str, int]  # of each load, by its text, within a round
    in_round: int  # requests
    rounds: int  # those that may be held, and more for repeats that are measured again
    at_once: int  # the most that one load sends
    turns: int  # of a conversation; 1 where there are none, or nobody knows how many
    stretches: tuple[int, ...]  # how many requests each load and each warm-up of a round have, in their order
    is_replayed: bool  # each repeat sends a trace from its beginning on

    @property
    def requests(self) -> int:
        """Return how many the file must have."""
        return self.at_once if self.is_replayed else self.in_round * self.rounds

    def start(self, load: str, number: int) -> int:
        """Return where the requests of `load` in a round begin."""
        return 0 if self.is_replayed else self.places[load] + self.in_round * (number % self.rounds)


def layouts(experiment: Experiment) -> dict[str, Layout]:
    """Return where the requests of each set lie that a case sends."""
    rounds = (experiment.until.at_most if experiment.until else experiment.repeats) + 2 * bool(experiment.again)
    loads: dict[str, dict[str, ServeWorkload | ThroughputWorkload]] = {}
    for case in experiment.cases:
        if (name := set_of(case.workload)) in experiment.requests:
            loads.setdefault(name, {})[case.axes_text] = case.workload
    return {name: _layout(sending, experiment.requests[name], rounds) for name, sending in loads.items()}


def _layout(loads: Mapping[str, ServeWorkload | ThroughputWorkload], wanted: RequestSet, rounds: int) -> Layout:
    places, stretches, turns = {}, [], _turns(wanted)
    for text, load in loads.items():
        places[text] = sum(stretches)
        stretches += [whole_talks(number, turns) for number in (load.num_prompts, load.warmup_prompts)]
    at_once = max(max(load.num_prompts, load.warmup_prompts) for load in loads.values())
    return Layout(places, sum(stretches), rounds, at_once, turns, tuple(stretches), wanted.kind == "trace")


def set_of(workload: Workload) -> str | None:
    """Return the name of the set that a workload sends, None for one without."""
    return getattr(workload, "requests", None)


def first_launch(experiment: Experiment, name: str) -> Launch:
    """Return the launch whose tokenizer counts for a set: the first that is sent it."""
    case = next(case for case in experiment.cases if set_of(case.workload) == name)
    return experiment.launch(case.launch)


def whole_talks(number: int, turns: int) -> int:
    """Return a number of requests that ends with a conversation."""
    return math.ceil(number / turns) * turns


def _turns(wanted: RequestSet) -> int:
    """Return the turns of a conversation, of a set that is frozen already as its file says; 1 without such a number."""
    drawn_as = set_in(wanted.frozen) if wanted.frozen else wanted
    return (drawn_as.conversations.turns if drawn_as.conversations else None) or 1


def set_in(frozen: str) -> RequestSet:
    """Return the set that a frozen file was drawn as; StoreError where its header says none."""
    # Late: few sets are frozen before their run, and most runs have none.
    from benchbook.records.frozen import read_header

    try:
        return RequestSet(**read_header(frozen).spec)
    except ExperimentError as error:
        why = str(error).removeprefix(f"{RequestSet.__name__}: ")
        raise StoreError(f"{frozen}, line 1, is damaged: spec: {why}") from error
