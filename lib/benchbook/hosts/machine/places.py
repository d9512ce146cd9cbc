"""Places: parts of this machine that hosts can run on at once, each with cards or processors that no other has.

A place on GPUs has the processors of its cards' NUMA node, shared out evenly among the places there. A process that has
entered a place is confined to it, with all that it starts from then on: nothing else has to know of places.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchbook.hosts.machine.cpu_cores import listed_in, siblings
from benchbook.hosts.machine.devices import CPU, CUDA, Device, devices
from benchbook.hosts.machine.gpu import bus_ids
from benchbook.terms.wording import counted
from benchbook.visible import CUDA as CUDA_NAMES
from benchbook.visible import HIP

PCI = Path("/sys/bus/pci/devices")


@dataclass(frozen=True)
class Place:
    """One part of the machine."""

    number: int
    cores: tuple[int, ...] = ()  # logical processors; none: it shares all of them with the other places
    cards: tuple[Device, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)  # the variables by which a process sees its cards alone

    @property
    def cores_text(self) -> str:
        """Return '0-3,8'; '' where it shares all processors."""
        return spans_text(self.cores)

    def __str__(self) -> str:
        cards = " and ".join(card.title for card in self.cards)
        processors = f"processor{'s'[: len(self.cores) != 1]} {self.cores_text}" if self.cores else "all processors"
        return f"place {self.number}: {cards + ', ' if cards else ''}{processors}"

    def enter(self) -> None:
        """Confine this process to the place, with all that it starts from now on."""
        os.environ.update(self.env)
        if self.cores:
            os.sched_setaffinity(0, self.cores)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, what this thread starts is confined to the place."""
        cores, env = os.sched_getaffinity(0), {name: os.environ.get(name) for name in self.env}
        self.enter()
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)
            for name, value in env.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def places_here(gpus: int | None, cores: int | None, at_once: int | None) -> list[Place]:
    """Return `at_once` places, as many as there can be where it is None, of so many GPUs or processors each.

    Raises ValueError, which says what is missing, where the machine has not so many.
    """
    if gpus:
        return _on_cards(gpus, at_once)
    allowed = _in_order(os.sched_getaffinity(0))
    if cores is None:
        return [Place(number) for number in range(at_once or 1)]
    _check(at_once, cores, len(allowed), "processor")
    number_of = at_once or len(allowed) // cores
    parts = (allowed[number * cores : (number + 1) * cores] for number in range(number_of))
    return [Place(number, tuple(sorted(part))) for number, part in enumerate(parts)]


def spans_text(cores: Iterable[int]) -> str:
    """Return '0-3,8' for 0, 1, 2, 3 and 8."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _on_cards(gpus: int, at_once: int | None) -> list[Place]:
    cards = [device for device in devices() if device.kind != CPU]
    _check(at_once, gpus, len(cards), "GPU")
    groups = [tuple(cards[first : first + gpus]) for first in range(0, len(cards) - gpus + 1, gpus)][:at_once]
    cores = shared_out([_near(group) for group in groups])
    return [
        Place(number, part, group, _seen_by(group))
        for number, (group, part) in enumerate(zip(groups, cores, strict=True))
    ]


def shared_out(near: Sequence[Iterable[int]]) -> list[tuple[int, ...]]:
    """Return for each place its even part of the processors near it; () for all where they are too few to be shared."""
    at = [tuple(_in_order(cores)) for cores in near]
    parts = []
    for place, cores in enumerate(at):
        number, rank = at.count(cores), at[:place].count(cores)
        each = len(cores) // number
        parts.append(tuple(sorted(cores[rank * each : (rank + 1) * each])))
    return parts if all(parts) else [()] * len(at)


def _near(cards: Sequence[Device]) -> set[int]:
    """Return the processors near the cards, as far as the machine tells and this process may use them; else all of those."""
    allowed, slots = os.sched_getaffinity(0), bus_ids()
    slots_of = (card.place or slots.get(card.names[-1], "") for card in cards)
    near = set().union(*(listed_in(PCI / slot / "local_cpulist") for slot in slots_of if slot))
    return (near & allowed) or allowed


def _seen_by(cards: Sequence[Device]) -> dict[str, str]:
    return {CUDA_NAMES if cards[0].kind == CUDA else HIP: ",".join(card.names[0] for card in cards)}


def _in_order(cores: Iterable[int]) -> list[int]:
    """Return logical processors so that those of one core stand side by side."""
    return sorted(cores, key=lambda cpu: (min(siblings(cpu)), cpu))


def _check(at_once: int | None, each: int, there: int, what: str) -> None:
    if (at_once or 1) * each > there:
        wanted, asked = counted(at_once or 1, "place"), counted((at_once or 1) * each, what)
        raise ValueError(f"asks for {asked} ({wanted} of {each}), and this machine has {there}")
