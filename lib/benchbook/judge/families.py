"""Which rows of a comparison are claimed, so that anything false is in at most 5 % of whole comparisons.

Half of the 5 % is for the headlines. Each benchmark has a part of it, by how many cases it has: all its cases together
are tested first, alone and at the whole part; only after that claim its cases, by Holm's steps. A benchmark that is
wholly claimed hands its part on. A start that varies moves all cases of a round at once and tells the more the more
cases say the same: over ten cases the gate finds half as many differences again as ten tests beside an eleventh.

The other half is for every number of a single case, headlines among them, by Holm's steps: a launch that is faster
under one load and slower under another differs nowhere on the whole, and a gate alone would hide it. Once all headlines
are claimed, the first half is free for these as well.

Why it holds. A true "equal" among the headlines is called false by the first half in at most 2.5 %; unless it is, the
second half stays one, and errs in at most 2.5 %. Without any there, the second errs in at most 5 %. Nothing is assumed
about how the rows depend on each other (throughput and latencies of one repeat do).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from benchbook.judge.stats import holm


@dataclass(frozen=True)
class Test:
    """The hypothesis "equal" of one row."""

    p_value: float
    group: Hashable | None  # of a headline: its benchmark and metric; None for another metric
    is_together: bool  # over all cases of the group


@dataclass(frozen=True)
class Decision:
    """Whether a row is claimed, and with which errors."""

    is_claimed: bool
    level: float  # of its first test: what it takes to be claimed where nothing else is
    error: float  # of its bounds; those of all rows add up to the whole


@dataclass
class _Group:
    """The headline rows of one benchmark, by place."""

    lead: int | None = None  # all cases together
    cases: list[int] = field(default_factory=list)

    @property
    def places(self) -> set[int]:
        return {*self.cases, *([] if self.lead is None else [self.lead])}

    @property
    def size(self) -> int:
        return max(1, len(self.cases))

    def claimed(self, tests: Sequence[Test], error: float) -> set[int]:
        """Return which of the group's rows are claimed at `error`: cases only where all of them together are."""
        if self.lead is not None and tests[self.lead].p_value > error:
            return set()
        return (self.places - {*self.cases}) | _holm(tests, self.cases, error)


def decide(tests: Sequence[Test], error: float) -> list[Decision]:
    """Return for each test whether it is claimed, where at most `error` of such comparisons may claim what is not."""
    groups = _groups(tests)
    alone = {group.cases[0] for group in groups if len(group.places) == 1 and group.cases}
    singles = [place for place, test in enumerate(tests) if not test.is_together and place not in alone]
    first = error if not singles else error / 2 if groups else 0.0
    claimed = _claimed_headlines(tests, groups, first)
    has_all = all(group.places <= claimed for group in groups)
    claimed |= _holm(tests, singles, error if has_all else error - first)
    each = {place: (error - first) / len(singles) for place in singles}
    of_headlines = _errors_of_headlines(groups, first, claimed)
    decisions = []
    for place in range(len(tests)):
        level, share = of_headlines.get(place, (0.0, 0.0))
        single = each.get(place, 0.0)
        decisions.append(Decision(place in claimed, max(level, single), share + single))
    return decisions


def _groups(tests: Sequence[Test]) -> list[_Group]:
    groups: dict[Hashable, _Group] = {}
    for place, test in enumerate(tests):
        if test.group is None:
            continue
        group = groups.setdefault(test.group, _Group())
        if test.is_together:
            group.lead = place
        else:
            group.cases.append(place)
    return list(groups.values())


def _claimed_headlines(tests: Sequence[Test], groups: Sequence[_Group], error: float) -> set[int]:
    """Return the headline rows that are claimed; a group that is wholly claimed hands its part on to the others."""
    claimed: set[int] = set()
    left = list(groups)
    while left:
        for group in left:
            claimed |= group.claimed(tests, _part(group, left, error))
        not_whole = [group for group in left if not group.places <= claimed]
        if len(not_whole) == len(left):
            break
        left = not_whole
    return claimed


def _errors_of_headlines(groups: Sequence[_Group], error: float, claimed: set[int]) -> dict[int, tuple[float, float]]:
    """Return (level, error of the bounds) by place.

    A case behind a gate that stayed shut was not tested: its level is 0. Of a gated group's part the
    bounds of all cases together get one half, and those of the cases the other.
    """
    found = {}
    for group in groups:
        part = _part(group, groups, error)
        of_lead, of_cases = (0.0, part) if group.lead is None else (part / 2, part / 2) if group.cases else (part, 0.0)
        is_open = group.lead is None or group.lead in claimed
        for place in group.cases:
            found[place] = part / len(group.cases) if is_open else 0.0, of_cases / len(group.cases)
        if group.lead is not None:
            found[group.lead] = part, of_lead
    return found


def _part(group: _Group, groups: Sequence[_Group], error: float) -> float:
    """Return what of `error` the group has among `groups`: by how many cases it has."""
    return error * group.size / sum(one.size for one in groups)


def _holm(tests: Sequence[Test], places: Sequence[int], error: float) -> set[int]:
    rejected = holm([tests[place].p_value for place in places], error)
    return {place for place, is_rejected in zip(places, rejected, strict=True) if is_rejected}
