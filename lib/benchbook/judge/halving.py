"""Which launch of a search is started next, and which are confirmed: halves of the candidates, then turns with the default.

A round of screening starts each candidate that is left once, and the default beside them, in an order of its own. Of those
candidates the better half goes on, ranked by the mean of all their rounds, until as few are left as are confirmed. Those
that looked better than the default are then measured anew, in turns with it: what is claimed rests on these rounds alone,
since the best of many looks better than it is (lib/proofs/searches.py).

A budget is kept in two ways: what it has no room for in the first round is not explored, and later rounds of screening
and further finalists are left out. As few candidates as are confirmed are confirmed at once: of these a budget leaves out
the last, as soon as the starts before it tell that there is no room. All follows from the trials alone: a search that was interrupted goes on as if it had
not been.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

MOST_FINALISTS = 3


@dataclass(frozen=True)
class Trial:
    """One start of a launch, and the repeat that was measured on it."""

    gain: float | None  # the logarithm of what is asked for, the larger the better; None: no number to believe
    beyond: float | None = (
        None  # how far the worst limit is exceeded, as a logarithm: below 0 all are kept; None: no limit
    )
    lost: str = ""  # why the launch is out of the search, whatever its number
    took_s: float = 0.0


Trials = Mapping[tuple[str, int], Trial]  # by launch and round


@dataclass(frozen=True)
class Next:
    """What is measured next."""

    launch: str
    round: int


@dataclass(frozen=True)
class Course:
    """How a search has gone so far."""

    screening: tuple[tuple[str, ...], ...]  # the candidates of each round of screening that has begun
    finalists: tuple[str, ...] = ()  # the best first; () while candidates are screened, or where none is worth it
    next: Next | None = None  # None: the search has ended
    is_cut: bool = False  # its budget left out candidates, rounds of screening, or finalists

    @property
    def first_confirming(self) -> int:
        """Return the first round of the confirmation, whose numbers come after those of the screening."""
        return len(self.screening)


@dataclass(frozen=True)
class Halving:
    """A search: what is asked, and the trials there are."""

    default: str
    candidates: tuple[str, ...]
    confirmations: int  # rounds of turns with the default
    trials: Trials
    budget_s: float | None = None
    seed: int = 0  # of the order in each round

    @cached_property
    def course(self) -> Course:
        """Return how the search has gone, and what is next."""
        if self.is_default_out:
            return Course(())  # there is nothing to set a candidate against
        rounds: list[tuple[str, ...]] = []
        alive, is_cut = self.candidates, False
        for width in (*widths(len(alive))[1:], MOST_FINALISTS) if len(alive) > MOST_FINALISTS else ():
            number = len(rounds)
            if number and not self._has_room(rounds, len(alive) + 1, MOST_FINALISTS):
                is_cut = True
                break
            seen: list[str] = []
            for name in self._order(alive, number):
                if not number and len(seen) > 1 and not self._has_room([tuple(seen)], 1, 1):
                    is_cut = True
                    break
                if (name, number) not in self.trials:
                    return Course((*rounds, tuple(alive)), next=Next(name, number))
                seen.append(name)
            rounds.append(tuple(name for name in alive if name in seen))
            alive = self._ranked(rounds[-1], number + 1)[:width]
            if len(alive) <= MOST_FINALISTS:
                break
        finalists = worthy = self._worthy(alive, len(rounds))[:MOST_FINALISTS]
        if not rounds:
            finalists = self._affordable(worthy)
        while rounds and len(finalists) > 1 and not self._has_room(rounds, 0, len(finalists)):
            finalists = finalists[:-1]
        course = Course(tuple(rounds), finalists, is_cut=is_cut or len(finalists) < len(worthy))
        return replace(course, next=self._confirming(course))

    @property
    def is_default_out(self) -> bool:
        """Return whether the default gave no number in its first round, which ends a search."""
        first = self.trials.get((self.default, 0))
        return first is not None and first.gain is None

    def gain(self, name: str, rounds: int) -> float | None:
        """Return by how much a candidate looked better than the default in the first `rounds`, as a logarithm."""
        pairs = [(self.trials.get((name, number)), self.trials.get((self.default, number))) for number in range(rounds)]
        gains = [one.gain - base.gain for one, base in pairs if one and base and None not in (one.gain, base.gain)]
        return fmean(gains) if gains else None

    def why_lost(self, name: str) -> str:
        """Return why a launch is out; '' where it is not."""
        return next(
            (trial.lost for (launch, _), trial in sorted(self.trials.items()) if launch == name and trial.lost), ""
        )

    def _order(self, alive: Sequence[str], number: int) -> list[str]:
        """Return in which order a round of screening starts launches, the default first in the first one."""
        order = sorted((self.default, *alive), key=lambda name: _hash(self.seed, number, name))
        return order if number else sorted(order, key=lambda name: name != self.default)

    def _ranked(self, names: Sequence[str], rounds: int) -> tuple[str, ...]:
        """Return those that are not out, the best first: such as keep the limits, by the mean of their rounds."""
        there = [name for name in names if not any(self.trials[name, number].lost for number in range(rounds))]
        means = {name: self._mean(name, rounds) for name in there}
        return tuple(sorted(there, key=lambda name: (self.breaks(name, rounds), -means[name])))

    def _mean(self, name: str, rounds: int) -> float:
        return fmean(self.trials[name, number].gain for number in range(rounds))

    def breaks(self, name: str, rounds: int) -> bool:
        """Return whether a launch breaks a limit by the mean of its rounds."""
        beyond = [self.trials[name, number].beyond for number in range(rounds) if (name, number) in self.trials]
        known = [each for each in beyond if each is not None]
        return bool(known) and fmean(known) > 0

    def _worthy(self, alive: Sequence[str], rounds: int) -> tuple[str, ...]:
        """Return those that keep the limits and looked better than the default, or all where nothing was screened.

        Where the default breaks a limit, one that keeps it is worth it whatever it gains.
        """
        if not rounds:
            return tuple(alive)
        is_bad, keeping = self.breaks(self.default, rounds), [name for name in alive if not self.breaks(name, rounds)]
        return tuple(name for name in keeping if is_bad or (self.gain(name, rounds) or 0.0) > 0)

    def _has_room(self, rounds: Sequence[Sequence[str]], starts: int, finalists: int) -> bool:
        """Return whether the budget has room for so many starts and the confirmation of so many, by what starts have taken."""
        took = [
            self.trials[name, number].took_s
            for number, names in enumerate(rounds)
            for name in {self.default, *names}
            if (name, number) in self.trials
        ]
        if self.budget_s is None or not took:
            return True
        return sum(took) + fmean(took) * (starts + (finalists + 1) * self.confirmations) <= self.budget_s

    def _affordable(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the candidates, which nothing has screened, that the budget has room to confirm; one at least.

        A candidate is decided on before it is first started, by what the first starts before it took, and for good.
        """
        for number in range(1, len(names)) if self.budget_s is not None else ():
            first = [self.trials.get((name, 0)) for name in (self.default, *names[:number])]
            if None in first:
                break  # whose turn comes before
            staying = [trial.took_s for trial in first if not trial.lost]
            starts = (len(staying) + 1) * self.confirmations - len(staying)
            if sum(trial.took_s for trial in first) + fmean(staying) * starts > self.budget_s:
                return tuple(names[:number])
        return tuple(names)

    def _confirming(self, course: Course) -> Next | None:
        """Return what is next of the confirmation: launches take turns, and one that is lost is started no more."""
        first = course.first_confirming
        for number in range(first, first + self.confirmations) if course.finalists else ():
            turn = (self.default, *course.finalists)
            for name in turn if (number - first) % 2 == 0 else turn[::-1]:
                earlier = (self.trials.get((name, each)) for each in range(first, number))
                is_out = name != self.default and any(trial and trial.lost for trial in earlier)
                if (name, number) not in self.trials and not is_out:
                    return Next(name, number)
        return None


def widths(number: int) -> list[int]:
    """Return how many of so many candidates each round of screening starts: [24, 12, 6] of 24; [] of as few as are confirmed."""
    found = []
    while number > MOST_FINALISTS:
        found.append(number)
        number = max(MOST_FINALISTS, math.ceil(number / 2))
    return found


def _hash(*parts: object) -> bytes:
    """Return what sorts into an order that no change of Python's random module can alter."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
