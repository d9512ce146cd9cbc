"""The places that an experiment asks for, on this machine: found, or refused with what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchbook.hosts.machine.devices import CPU, Device, cpu, devices
from benchbook.hosts.machine.places import Place, places_here
from benchbook.plan.eta import Estimator
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block, Repeat
from benchbook.plan.place import WHERE, Placing
from benchbook.plan.trial import LEAST_PAIRS, MOST_PAIRS, tried_case
from benchbook.ranks import num_devices
from benchbook.terms.errors import ExperimentError
from benchbook.terms.wording import counted, listed
from benchbook.visible import CUDA, HIP

_NAMING = (CUDA, HIP)


def places_of(experiment: Experiment) -> list[Place]:
    """Return the places of an experiment, [] for one that has the whole machine; raises ExperimentError.

    A launch that names cards by itself, or takes more than a place has, is refused.
    """
    placing = experiment.place
    if placing is None:
        return []
    document, faults = experiment.document, experiment.document.faults
    for launch in experiment.launches if placing.gpus else ():
        if wrong := _unplaceable(launch, placing.gpus):
            faults.note(document.error(("launches", launch.name), wrong))
    faults.raise_any()
    try:
        return places_here(placing.gpus, placing.cores, placing.at_once)
    except ValueError as missing:
        raise document.error(WHERE, str(missing)) from None


def at_once_of(experiment: Experiment) -> int:
    """Return how many blocks run at once, as far as this machine tells."""
    try:
        return max(1, len(places_of(experiment)))
    except ExperimentError:
        return experiment.place.at_once or 1


def part_of_machine(experiment: Experiment) -> list[Device] | None:
    """Return the CPU as large as a place may take it, None where an experiment has all of it, or places on GPUs."""
    number = len(places_of(experiment))
    if number < 2 or any(device.kind != CPU for device in devices()):
        return None
    whole = cpu()
    remark = f"{whole.remark}, shared by {number} places"
    return [replace(whole, free_gib=whole.free_gib / number, total_gib=whole.total_gib, remark=remark)]


def place_in_round(launch: int, turn: int, launches: int, number_of: int) -> int:
    """Return where the launch of this number is in round `turn`, of so many launches, among `number_of` places: a square of rounds after
    the other, each on the next places."""
    side = min(launches, number_of)
    square, turn = divmod(turn, side)
    return (square * side + (launch + turn) % side) % number_of


def place_notes(experiment: Experiment, estimator: Estimator) -> Iterator[str]:
    """Yield for `benchbook plan` the places, how launches go round over them, what neighbours are tried with, how long."""
    placing = experiment.place
    if placing is None:
        return
    try:
        places = places_of(experiment)
    except ExperimentError as refusal:
        yield f"Places: {refusal}"
        return
    yield f"Blocks run at {counted(len(places), 'place')}, {'all at once' if len(places) > 1 else 'one at a time'}:"
    yield from (f"  {place}" for place in places)
    if len(places) > 1:
        yield _rotation(experiment, len(places))
        yield _trial_text(experiment, placing, estimator)


def _rotation(experiment: Experiment, number: int) -> str:
    names = [launch.name for launch in experiment.launches]
    if not experiment.starts_anew("server") and not experiment.starts_anew("engine"):
        return "  each launch has one start and so one place: what places differ by looks like a difference of launches"
    rounds = [
        [f"{name} at {place_in_round(launch, turn, len(names), number)}" for launch, name in enumerate(names)]
        for turn in range(2)
    ]
    first = "; ".join(f"round {turn}: {', '.join(row)}" for turn, row in enumerate(rounds))
    side = min(len(names), number)
    squares, left = divmod(experiment.repeats, side)
    even = (
        f"over {counted(side, 'round')} each launch is at the same places, at each once"
        if not left
        else f"{counted(experiment.repeats, 'round')} are no multiple of {side}, and only rounds that take two launches to the "
        f"same places equally often are compared: {counted(side * (squares + 1), 'round')} would all be"
    )
    return f"  they go round ({first} …): {even}"


def _trial_text(experiment: Experiment, placing: Placing, estimator: Estimator) -> str:
    case = tried_case(experiment)
    if case is None:
        return "  what neighbours cost cannot be tried: no case is a load that is measured in any case"
    over = "one block runs at a time" if placing.runs_alone else "each record says so (neighbours_slow)"
    repeats = [Repeat(case, number, case.workload.host_kind, 0) for number in range(2 * LEAST_PAIRS + 1)]
    took = estimator.estimate([Block(case.launch, case.workload.host_kind, tuple(repeats))])
    return (
        f"  first, what neighbours cost: {case.case_id}, {LEAST_PAIRS} to {MOST_PAIRS} pairs alone and with neighbours, "
        f"{took} at four; above {100 * placing.limit:g} %, {over}"
    )


def _unplaceable(launch: Launch, gpus: int) -> str:
    """Return why a launch cannot run at a place of so many GPUs; '' where it can."""
    named = [name for name in _NAMING if name in launch.env] + ["device_ids"] * ("device_ids" in launch.args)
    if named:
        return f"names its GPUs ({listed(named)}), and place: {{gpus: {gpus}}} chooses them: leave one of both out"
    taken = num_devices(launch.args) or 1
    return f"takes {taken} GPUs, and a place has {gpus}: place: {{gpus: {taken}}}" if taken > gpus else ""


def cards_in(places: Sequence[Place]) -> list[Device]:
    """Return the cards of all places."""
    return [card for place in places for card in place.cards]
