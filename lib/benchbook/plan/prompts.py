"""How many prompts a case has, where the file says it in words: '10 per concurrency', '5 per rps', '60 s', a precision.

A time is one of load. At a rate it is the rate times the time: the load ends when all that is due has been sent. Where
each answer lets the next request go, nobody knows beforehand how many that will be: it is as many as the pace that is
planned for the first launch of the file, before anything was measured, would answer. So every launch gets the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from benchbook.plan.launches import Launch
from benchbook.plan.pace import Pace
from benchbook.plan.precision import Precision
from benchbook.plan.workload import MAX_COUNT
from benchbook.terms.asked import USUAL_SEATS, Offered
from benchbook.terms.wording import number_text

FORMS = "a whole number, 'N per concurrency', 'N per rps' or a time of load such as '60 s'"
_PER = re.compile(r"([0-9]{1,9}) per (concurrency|rps)")
_TIME = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?) ?(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}

PaceOf = Callable[[Launch], Pace]


@dataclass(frozen=True)
class Planned:
    """A number of prompts, and why it is that."""

    number: int
    why: str
    said: str = ""  # in the file, where that was no number
    targets: tuple[tuple[str, float], ...] = ()  # of a precision


class Drafted(Protocol):
    """A workload as far as it is known before its number of prompts."""

    max_concurrency: int | None

    @property
    def load(self) -> Offered:
        """How hard it presses."""

    @property
    def share(self) -> object | None:
        """Which share of a maximum its rate is, None where it is none."""

    @property
    def are_lengths_known(self) -> bool:
        """Whether `mean_lengths` are no guess."""

    @property
    def mean_lengths(self) -> tuple[int, int]:
        """Input and output (tokens) of a request."""


@dataclass(frozen=True)
class Planner:
    """Tells how many prompts a workload has; raises ValueError, in words, where that cannot be told."""

    launch: Launch | None = None  # the first of the file
    pace_of: PaceOf = lambda launch: Pace()

    def planned(self, said: Any, work: Drafted) -> Planned:
        """Return the number of prompts that `said` means for this workload."""
        if isinstance(said, Precision):
            return Planned(*said.prompts(work.max_concurrency), targets=said.targets)
        if not isinstance(said, str):
            return Planned(said, "as the file says")
        if found := _PER.fullmatch(said):
            return self._per(int(found[1]), found[2], said, work)
        return self._in(seconds_of(said), said, work)

    def _per(self, number: int, what: str, said: str, work: Drafted) -> Planned:
        if what == "concurrency":
            if work.max_concurrency is None:
                raise ValueError("needs max_concurrency")
            return Planned(number * work.max_concurrency, f"{number} for each in flight", said)
        if work.share or work.load.rate_rps is None:
            raise ValueError("needs a request_rate_rps that is a number or a ramp")
        return Planned(_whole(number * work.load.rate_rps), f"{number} for each request a second", said)

    def _in(self, time_s: float, said: str, work: Drafted) -> Planned:
        if rate_rps := work.load.rate_rps:
            on_average = " on average" if work.load.ramp else ""
            by_pace = f" by the pace planned for launch {self._name}" if work.share else ""
            return Planned(
                _whole(time_s * rate_rps),
                f"{said} at {rate_rps:.4g} req/s{on_average}{by_pace}{self._guess(work)}",
                said,
            )
        together, batch_s = self._batch(work)
        number = max(work.max_concurrency or 1, _whole(time_s / batch_s * together))
        at_once = f"{together} at once in {number_text(batch_s)} s"
        return Planned(
            number, f"{said} by the pace planned for launch {self._name}: {at_once}{self._guess(work)}", said
        )

    def maximum_rps(self, work: Drafted) -> float:
        """Return how many requests a second a server may answer at most, by the pace planned for the first launch."""
        together, batch_s = self._batch(work)
        return together / batch_s

    def _batch(self, work: Drafted) -> tuple[int, float]:
        """Return how many requests are together in a step, and how long (s) they take."""
        together = work.max_concurrency or USUAL_SEATS
        return together, self._pace.batch_s(together, *work.mean_lengths)

    @property
    def _name(self) -> str:
        return repr(self.launch.name) if self.launch else "none"

    def _guess(self, work: Drafted) -> str:
        """Return what is said of lengths that nobody knows before they are drawn, where the number rests on them."""
        if work.are_lengths_known:
            return ""
        return ", each guessed to have {} tokens in and {} out, which only drawing tells".format(*work.mean_lengths)

    @cached_property
    def _pace(self) -> Pace:
        return self.pace_of(self.launch) if self.launch and self.launch.model else Pace()  # else it was refused


def is_worded(said: str) -> bool:
    """Return whether a text says how many prompts there are."""
    return bool(_PER.fullmatch(said)) or seconds_of(said) > 0


def seconds_of(said: str) -> float:
    """Return how many seconds '60 s', '2 min' or '1 h' are; 0 where it is no time."""
    found = _TIME.fullmatch(said)
    return float(found[1]) * _SECONDS[found[2]] if found else 0.0


def _whole(number: float) -> int:
    """Return a number of prompts: one at least, and not one more for what lies behind the decimals of a float."""
    return min(max(1, math.ceil(round(number, 6))), MAX_COUNT)
