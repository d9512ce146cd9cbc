"""What the records of a search over launches tell: trials for its next step, and what the confirmation may claim.

The screening picks; the confirmation alone claims: each finalist against the default, by the pairs of its rounds, all
finalists together being wrong in at most 5 % of searches (compare.py). A finalist is recommended where it is better than
the default, keeps every limit, and gives the same answers where nothing but settings of speed differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from benchbook.judge.accuracy import Accuracy, accuracy_of
from benchbook.judge.accuracy import Kept as Answers
from benchbook.judge.capacity import Decision, Kept, Known, Sample
from benchbook.judge.coherence import outputs_differ
from benchbook.judge.compare import Comparison, Finding, Row, compare
from benchbook.judge.halving import Course, Halving, Trial
from benchbook.judge.starts import start_of
from benchbook.records.header import Search
from benchbook.records.record import Record
from benchbook.terms.metrics import BY_KEY

OTHER_ANSWERS = "other answers"  # begins why a launch is lost by them
_LOST = math.log(10)  # beyond a limit, where nothing was answered: as ten times the limit


@dataclass(frozen=True)
class Confirmed:
    """A finalist after its turns with the default."""

    launch: str
    comparison: Comparison  # of the metric that was asked for alone
    limits: Known | None  # by the limit that is nearest to being broken; None where none was asked for

    @property
    def row(self) -> Row | None:
        """Return what it gains; None where no round has a number of both."""
        return self.comparison.rows[0] if self.comparison.rows else None

    @property
    def is_better(self) -> bool:
        """Return whether it may be claimed to be better than the default."""
        return self.row is not None and self.row.finding is Finding.BETTER

    @property
    def keeps_answers(self) -> bool:
        """Return whether no guard says that it loses answers."""
        accuracy = self.comparison.accuracy
        return accuracy is None or accuracy.kept is not Answers.LOST

    @property
    def keeps_limits(self) -> bool:
        """Return whether it keeps all limits for sure."""
        return self.limits is None or self.limits.decision is Decision.HOLDS


@dataclass(frozen=True)
class Searched:
    """A search with its records, by launch and round; the same records give the same next step."""

    search: Search
    records: dict[tuple[str, int], Record]

    @classmethod
    def of(cls, search: Search, records: Iterable[Record]) -> Searched:
        """Return what `records`, of which others are left out, tell of a search."""
        mine = set(search.cases.values())
        found = {(one.identity.launch, one.identity.repeat): one for one in records if one.identity.case_id in mine}
        return cls(search, found)

    @cached_property
    def halving(self) -> Halving:
        """Return the search as its next step follows from it."""
        search = self.search
        return Halving(
            search.default,
            tuple(name for name in search.cases if name != search.default),
            search.confirmations,
            {key: self._trial(record) for key, record in self.records.items()},
            search.budget_s,
            search.seed,
        )

    @property
    def course(self) -> Course:
        """Return how it has gone, and what is next."""
        return self.halving.course

    def confirming(self, launch: str) -> list[Record]:
        """Return the records of a launch that the screening has not seen."""
        first = self.course.first_confirming if self.course.finalists else math.inf
        return [
            record
            for (name, number), record in sorted(self.records.items(), key=_place)
            if name == launch and number >= first
        ]

    @cached_property
    def confirmed(self) -> tuple[Confirmed, ...]:
        """Return the finalists, those that are claimed to be better first, by what they gain."""
        search, finalists = self.search, self.course.finalists
        metric, base = BY_KEY[search.metric], self.confirming(search.default)
        found = [
            Confirmed(
                name,
                compare(
                    base,
                    self.confirming(name),
                    (search.default, name),
                    num_comparisons=len(finalists),
                    metrics=[metric],
                    accuracy=self._accuracy(name),
                ),
                self._limits(name),
            )
            for name in finalists
        ]
        sign = 1 if metric.higher_is_better else -1
        return tuple(
            sorted(found, key=lambda one: (not one.is_better, -sign * one.row.ratio.ratio if one.row else 0.0))
        )

    def _accuracy(self, launch: str) -> Accuracy | None:
        """Return the answers of a launch to a guard's items beside the default's: each is asked in its first round."""
        names = (self.search.default, launch)
        ours, theirs = ([one for (name, _), one in self.records.items() if name == mine] for mine in names)
        return accuracy_of(ours, theirs, names)

    @property
    def best(self) -> Confirmed | None:
        """Return the finalist that is recommended; None while the search goes on, and where none is.

        One that keeps the limits is recommended whatever it gains where the default breaks one.
        """
        if self.course.next:
            return None
        limits = self.default_limits()
        is_bad = limits is not None and limits.decision is Decision.FAILS
        fit = (one for one in self.confirmed if one.row and one.keeps_limits and one.keeps_answers)
        good = (one for one in fit if one.is_better or is_bad)
        return next((one for one in good if not self.halving.why_lost(one.launch)), None)

    def default_limits(self) -> Known | None:
        """Return what the confirmation tells of the default's limits; None without any."""
        return self._limits(self.search.default)

    def other_answers(self, launch: str) -> str:
        """Return how many of a launch's greedy answers are the default's, where they differ; '' where they do not."""
        mine = (record for (name, _), record in self.records.items() if name == launch)
        return next(filter(None, map(self._other_answers, mine)), "")

    def spent_s(self, rounds: Iterable[int]) -> float:
        """Return how long (s) starts and measurements of these rounds took."""
        wanted = set(rounds)
        return sum(took_s(record) for (_, number), record in self.records.items() if number in wanted)

    def _trial(self, record: Record) -> Trial:
        metric, value = BY_KEY[self.search.metric], record.values.get(self.search.metric)
        sign = 1 if metric.higher_is_better else -1
        gain = sign * math.log(value) if record.is_believed and value and value > 0 else None
        beyond = max(self._beyond(record).values(), default=None) if record.is_believed else None
        return Trial(gain, beyond, self._why_lost(record, gain), took_s(record))

    def _why_lost(self, record: Record, gain: float | None) -> str:
        if not record.is_measured:
            return record.failure.code if record.failure else record.outcome.value
        if gain is None:
            return (
                ", ".join(dict.fromkeys(why.code for why in record.reasons if why.severity == "invalid")) or "no value"
            )
        other = "" if self.search.allow_other_outputs else self._other_answers(record)
        return f"{OTHER_ANSWERS}: {other}" if other else ""

    def _other_answers(self, record: Record) -> str:
        """Return which share of the greedy answers is the default's, where they differ though only settings of speed do."""
        name, number = record.identity.launch, record.identity.repeat
        ours = self.records.get((self.search.default, number)) or self.records.get((self.search.default, 0))
        found = next(outputs_differ([ours, record]), None) if ours and name != self.search.default else None
        return f"{found[1].evidence.partition(' of launch')[0]} are the default's" if found else ""

    def _beyond(self, record: Record) -> dict[str, float]:
        """Return how far a record is beyond each limit, as a logarithm."""
        values = {key: record.values.get(key) for key in self.search.limits}
        return {
            key: math.log(values[key] / limit) if values[key] else _LOST for key, limit in self.search.limits.items()
        }

    def _limits(self, launch: str) -> Known | None:
        """Return what the rounds of the confirmation decide of the limits, each round being one of evidence."""
        if not self.search.limits:
            return None
        believed = [record for record in self.confirming(launch) if record.is_believed]
        samples = [Sample(self._beyond(record), start_of(record)) for record in believed]
        return Kept(tuple(self.search.limits)).known(0, {0: samples})


def took_s(record: Record) -> float:
    """Return how long a trial took (s): its measurement and, as far as it is known, the start before it.

    Of a host that was never ready it is what its start took.
    """
    measuring_s = max(0.0, record.ended_monotonic_s - record.started_monotonic_s)
    return measuring_s + (record.host.ready_s or 0.0) + (record.host.counting_s or 0.0)


def _place(item: tuple[tuple[str, int], Record]) -> tuple[int, str]:
    (name, number), _ = item
    return number, name
