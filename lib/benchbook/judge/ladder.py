"""Which load is tried next, and what was found: the most load that holds, from few loads of a ladder.

The ladder has every load that an answer can name: each is so much above the one below, or one more request in flight.
From its lowest load on every doubling is tried once, for far below the limit one repeat shows the way as well as many,
until one looks to fail, of which repeats decide. Then the middle between the highest that holds, or looks to, and the
lowest that fails is decided, until they are neighbours. A load of which repeats do not decide is left open and counts as
the middle of what is not known: what lies between it and either end is tried in its place. Where the lower end was
tried only once by then, repeats decide it as well: an answer never rests on a look. Last comes the doubling of the lowest
load that fails: if it holds, loads do not fail for good.

What is tried follows from the samples alone: a search that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchbook.judge.capacity import Decision, Known, Question, Samples

LEAST_REPEATS = 2
WORTH = 4  # of what is not known, beside an open load: a smaller part is not looked into
FIRST_LOOK = 3  # repeats, from which on it is reckoned whether as many as there may be would decide


@dataclass(frozen=True)
class Search:
    """What is asked of a ladder, and what has been measured of it so far."""

    loads: tuple[float, ...]
    question: Question
    samples: Samples  # of the measured loads, by their places on the ladder
    at_most: int  # repeats of one load

    @cached_property
    def known(self) -> Mapping[int, Known]:
        """Return what is known of each load that has been tried, by its place, rising."""
        asked = (place for place in range(len(self.loads)) if self._repeats(place) >= 1)
        return {place: self.question.known(place, self.samples) for place in asked}

    @cached_property
    def fails(self) -> int | None:
        """Return the place of the lowest load that fails; None where none is known to."""
        return min(self._decided(Decision.FAILS), default=None)

    @cached_property
    def holds(self) -> int | None:
        """Return the place of the highest load that holds, below the first that fails; None where none is known to."""
        top = len(self.loads) if self.fails is None else self.fails
        return max((place for place in self._decided(Decision.HOLDS) if place < top), default=None)

    @property
    def holds_again(self) -> tuple[int, ...]:
        """Return the places of loads that hold above one that fails."""
        return tuple(place for place in self._decided(Decision.HOLDS) if self.fails is not None and place > self.fails)

    @property
    def open(self) -> tuple[int, ...]:
        """Return the places of loads that were tried between the ends of what is known, and not decided."""
        low = -1 if self.holds is None else self.holds
        top = len(self.loads) if self.fails is None else self.fails
        return tuple(place for place in self._decided(Decision.OPEN) if low < place < top)

    @property
    def looked_at(self) -> int | None:
        """Return the place of the lower end where that only looks to hold; None where repeats have decided it, or none looks so."""
        return self._low if self._low is not None and self._repeats(self._low) < LEAST_REPEATS else None

    def wanted(self) -> int | None:
        """Return the place of the load of which a repeat is wanted next; None where the search has ended."""
        for place in self.known:
            if self._goes_on(place):
                return self.least_measured(place)
        place = self._new_place()
        return None if place is None else self.least_measured(place)

    def _goes_on(self, place: int) -> bool:
        """Return whether more repeats of a load are wanted: it is open, and as many as there may be would decide."""
        known, repeats = self.known[place], self._repeats(place)
        if repeats < LEAST_REPEATS:
            return not self._is_passed(place)
        if known.decision is not Decision.OPEN or repeats >= self.at_most:
            return False
        return repeats < FIRST_LOOK or (known.needed is not None and known.needed <= self.at_most)

    def _is_passed(self, place: int) -> bool:
        """Return whether one repeat of a load is enough for now: a doubling on the way up that looks to hold."""
        is_below = self.fails is None or place < self.fails
        return is_below and place in self._doublings and self.known[place].margin < 0

    def _new_place(self) -> int | None:
        """Return the next load to try, or the lower end where it only looks to hold; None where all is known."""
        if self.fails is None and (place := self._climbed()) is not None:
            return place
        low = -1 if self._low is None else self._low
        if self.fails is not None and (place := self._middle(low, self.fails)) is not None:
            return place
        if self.looked_at is not None:
            return self.looked_at
        return None if self.fails is None else self._beyond(self.fails)

    @cached_property
    def _low(self) -> int | None:
        """Return the place of the highest load below the first that fails which holds, or was passed as it looks to."""
        passed = (place for place in self.known if self._repeats(place) < LEAST_REPEATS and self._is_passed(place))
        return max((place for place in (self.holds, *passed) if place is not None), default=None)

    def _middle(self, low: int, fails: int) -> int | None:
        """Return the middle of what is not known between the ends; None where that is too little to look into."""
        inner = [place for place in self.open if place > low]
        gaps = [(low, inner[0]), (inner[-1], fails)] if inner else [(low, fails)]
        least = max(1, (fails - low) // WORTH if inner else 1)
        wide = [(low, high) for low, high in gaps if high - low > least and self.question.can_ask(low + 1)]
        return sum(max(wide, key=lambda gap: gap[1] - gap[0])) // 2 if wide else None

    def _beyond(self, fails: int) -> int | None:
        """Return the doubling of the lowest load that fails, unless a load above has been tried."""
        place = self._first_from(2 * self.loads[fails])
        is_new = place is not None and place not in self.known and self.question.can_ask(place)
        return place if is_new and not any(place > fails for place in self.known) else None

    @cached_property
    def _doublings(self) -> frozenset[int]:
        """Return the places that the way up from the lowest load tries."""
        places = [0]
        while (place := self._doubled(places[-1])) is not None:
            places.append(place)
        return frozenset(places)

    def _climbed(self) -> int | None:
        """Return the next doubling while nothing fails; None when the top has been tried."""
        return self._doubled(max(self.known)) if self.known else 0

    def _doubled(self, place: int) -> int | None:
        """Return the place of twice the load, or of the last that can be asked; None for that one."""
        last = max(each for each in range(len(self.loads)) if self.question.can_ask(each))
        double = self._first_from(2 * self.loads[place])
        double = last if double is None or double > last else double
        return double if double > place else None

    def _first_from(self, load: float) -> int | None:
        return next((place for place, each in enumerate(self.loads) if each >= load), None)

    def _repeats(self, place: int) -> int:
        if not self.question.can_ask(place):
            return 0
        return min(len(self.samples.get(each, ())) for each in self.question.measured(place))

    def least_measured(self, place: int) -> int:
        """Return which of the loads that tell of the one at `place` has the fewest repeats: itself where no other does."""
        return min(self.question.measured(place), key=lambda each: len(self.samples.get(each, ())))

    def _decided(self, decision: Decision) -> list[int]:
        return [
            place
            for place, known in self.known.items()
            if known.decision is decision and self._repeats(place) >= LEAST_REPEATS
        ]


def more_repeats(search: Search, place: int) -> int | None:
    """Return how many more repeats of an open load would decide it, by the spread seen; None where that is not known."""
    needed = search.known[place].needed
    have: Sequence[object] = search.samples.get(place, ())
    return None if needed is None else max(1, needed - len(have))
