"""Whether the sets of an experiment can be drawn, looked at before anything is started, and where they have too few requests."""

from __future__ import annotations

import os
from dataclasses import replace

from benchbook.hosts.engines import VLLM
from benchbook.hosts.model.inputs import adapter_names
from benchbook.measure.drawing.check import check_files
from benchbook.measure.names_of_sets import check_dataset
from benchbook.plan.experiment import Experiment
from benchbook.plan.requests import RequestSet
from benchbook.plan.strict import FieldError
from benchbook.records.frozen import read_header
from benchbook.sweep.request_sets import drawn_before
from benchbook.sweep.set_layout import Layout, layouts, set_in, set_of
from benchbook.terms.corpus import CORPUS
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.likeness import alike, did_you_mean
from benchbook.terms.wording import listed


def _damage(frozen: str) -> str:
    """Return what is wrong with the beginning of a frozen file, which tells where conversations end."""
    try:
        set_in(frozen)
    except StoreError as error:
        return str(error)
    return ""


def _check_frozen(path: str, layout: Layout) -> int:
    """Return how many different requests a frozen file has; ExperimentError where it cannot be sent from."""
    header = read_header(path)
    if header.requests < layout.requests:
        few = f"has {header.requests:,} requests, and {layout.requests:,} are needed for all rounds and warm-ups"
        raise ExperimentError(f"{path} {few}")
    if set_in(path).kind == "trace":
        raise ExperimentError(f"{path} is of a trace, whose times are replayed from its own file: name that as trace")
    return header.distinct


def _distinct(wanted: RequestSet, layout: Layout) -> int | None:
    """Return how many different requests a set's file has, None where nobody knows; ExperimentError where it is unfit."""
    if missing := [path for path in wanted.files.values() if path not in CORPUS and not os.path.isfile(path)]:
        raise ExperimentError(
            f"{missing[0]}: no such file, and what was drawn of it before is not this set, or too little"
        )
    return _check_frozen(wanted.frozen, layout) if wanted.frozen else check_files(wanted, layout.at_once)


def _check_offline(experiment: Experiment, name: str, frozen: str) -> None:
    """Raise ExperimentError where what a frozen file holds is more than an engine can be given at once."""
    facts = replace(set_in(frozen).facts, samples=False)  # how tokens are chosen is said by who sends it again
    for case in experiment.cases:
        if set_of(case.workload) == name and case.workload.host_kind == "engine":
            try:
                case.workload.of_set(facts)
            except FieldError as error:
                raise ExperimentError(error.problem) from None


def check_sets(experiment: Experiment) -> list[str]:
    """Return a line for each set that has too few requests for fresh ones in each round.

    Files that cannot be drawn from, or have too few for one load, are faults of the experiment's document.
    """
    doc, notes = experiment.document, []
    for name, wanted in experiment.requests.items():
        if wanted.frozen and (damage := _damage(wanted.frozen)):
            doc.faults.note(doc.error(("requests", name), damage))
    if doc.faults.has_within(("requests",)):
        return []
    for name, layout in layouts(experiment).items():
        _check_adapters(experiment, name)
        drawn = drawn_before(experiment, name, layout)
        if not drawn:
            check_dataset(doc, ("requests", name), experiment.requests[name])
        if doc.faults.has_within(("requests", name)):
            continue
        with doc.faults.noted():
            try:
                wanted = experiment.requests[name]
                if wanted.frozen:
                    _check_offline(experiment, name, wanted.frozen)
                number = drawn.header.distinct if drawn else _distinct(wanted, layout)
            except (ExperimentError, StoreError) as error:
                raise doc.error(("requests", name), str(error)) from None
            if layout.is_replayed and layout.rounds > 1:
                notes.append(f"requests {name!r}: {_REPLAYED}")
            elif number is not None and number < layout.requests:
                notes.append(_too_few(name, number, layout.requests))
    return notes


def _check_adapters(experiment: Experiment, name: str) -> None:
    """Note each adapter of a set that a launch, which is sent the set, does not serve."""
    launches = dict.fromkeys(case.launch for case in experiment.cases if set_of(case.workload) == name)
    for launch in map(experiment.launch, launches):
        if launch.engine != VLLM.name or launch.attached:
            continue  # what those serve, their args do not tell
        served = adapter_names(launch.args)
        for adapter in experiment.requests[name].adapters:
            if adapter not in served:
                hint = did_you_mean(alike(adapter, served)) or f"it serves {listed(served) if served else 'none'}"
                where = ("requests", name, "adapters", adapter)
                problem = f"no adapter of launch {launch.name!r}, whose lora_modules name them; {hint}"
                experiment.document.faults.note(experiment.document.error(where, problem))


_REPLAYED = (
    "each repeat replays the trace from its beginning, after a warm-up of the same requests: a prefix cache that is not "
    "emptied (VLLM_SERVER_DEV_MODE: 1 in the launch's env) knows them"
)


def _too_few(name: str, number: int, needed: int) -> str:
    return (
        f"requests {name!r}: {number:,} are there, and {needed:,} would be fresh in each round and warm-up: they come "
        "again, and a prefix cache that is not emptied knows them"
    )
