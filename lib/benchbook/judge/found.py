"""What the records of a search tell: samples for its question, how long they took, and what it has found so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from benchbook.judge.capacity import Grows, Kept, Question, Sample
from benchbook.judge.knee import MIN_DRAIN, MIN_REACHED
from benchbook.judge.ladder import LEAST_REPEATS, Search
from benchbook.judge.starts import has_not_started, start_of
from benchbook.records.header import Find
from benchbook.records.record import Record

THROUGHPUT = "output_throughput_tok_s"
ATTAINMENT = "attainment"  # the share of requests within their limits
KEEPS_UP = "keeps up"  # an open loop's server answers as fast as it is asked
_LOST = math.log(10)  # the margin of what was not answered: as ten times the limit
_LOSING = frozenset(("requests_failed", "nothing_completed"))  # codes of a server that does not answer what it is sent
_MS_PER_S = 1000.0


@dataclass
class Found:
    """A search with its records; the same records give the same next load."""

    find: Find
    records: dict[int, list[Record]] = field(default_factory=dict)  # that tell something, by the place of their load
    spent_s: float = 0.0  # in all its measurements, those that tell nothing among them; starts are none

    @classmethod
    def of(cls, find: Find, records: Iterable[Record]) -> Found:
        """Return what `records`, of which others are left out, tell of a search."""
        places, found = {case_id: place for place, case_id in enumerate(find.cases)}, cls(find)
        for record in records:
            if (place := places.get(record.identity.case_id)) is not None:
                if not has_not_started(record):
                    found.spent_s += max(0.0, record.ended_monotonic_s - record.started_monotonic_s)
                if sample_of(record, find):
                    found.records.setdefault(place, []).append(record)
        return found

    @property
    def search(self) -> Search:
        """Return the search, whose samples are those of the records."""
        loads = tuple(self.find.loads)
        samples = {place: [sample_of(one, self.find) for one in some] for place, some in self.records.items()}
        return Search(loads, question_of(self.find), samples, self.find.at_most)

    def wanted(self) -> int | None:
        """Return the place of the load of which a repeat is wanted next; None where the search, or its budget, has ended.

        A load is begun where the budget has room for it and for what the lower end still takes; otherwise that end is decided
        instead: two ends that are far apart are an answer, one end is none.
        """
        search, budget_s = self.search, self.find.budget_s
        place = search.wanted()
        if place is None or budget_s is None or not self.records:
            return place
        if self.spent_s >= budget_s:
            return None
        end = search.looked_at
        takes_s = LEAST_REPEATS * self._repeat_s(place) + (0.0 if end is None else self._repeat_s(end))
        if place in self.records or self.spent_s + takes_s <= budget_s:
            return place
        return None if end is None else search.least_measured(end)

    @property
    def is_cut(self) -> bool:
        """Return whether the budget ended the search."""
        return self.wanted() is None and self.search.wanted() is not None

    def _repeat_s(self, place: int) -> float:
        """Return how long a repeat of a load takes: as those that there are, or those of the load that is nearest to it."""
        nearest = min(self.records, key=lambda each: (abs(each - place), each))
        return fmean(one.ended_monotonic_s - one.started_monotonic_s for one in self.records[nearest])

    @property
    def repeats(self) -> int:
        """Return how many repeats told something."""
        return sum(map(len, self.records.values()))


def question_of(find: Find) -> Question:
    """Return what is asked of each load."""
    if find.saturation is not None:
        return Grows(tuple(find.loads), find.saturation, THROUGHPUT)
    return Kept(tuple(_margins(find)))


def sample_of(record: Record, find: Find) -> Sample | None:
    """Return what a repeat tells of its load; None where it tells nothing.

    One whose server left requests unanswered keeps no limit. One that is INVALID for another reason is no evidence.
    """
    if find.saturation is not None:
        value = record.values.get(THROUGHPUT) if record.is_believed else None
        return Sample({THROUGHPUT: math.log(value)}, start_of(record)) if value else None
    if record.is_measured and _LOSING & {reason.code for reason in record.reasons}:
        return Sample(dict.fromkeys(_margins(find), _LOST), start_of(record))
    if not record.is_believed:
        return None
    values = {key: _LOST if (told := margin(record)) is None else told for key, margin in _margins(find).items()}
    return Sample(values, start_of(record), _least_sd(record, find))


def _margins(find: Find) -> Mapping[str, Callable[[Record], float | None]]:
    """Return what tells of a record how far it is beyond each limit of a search, by the limit's key."""
    margins: dict[str, Callable[[Record], float | None]] = {
        key: lambda record, key=key, limit=limit: _log_ratio(record.values.get(key), limit)
        for key, limit in find.limits.items()
    }
    if find.attainment is not None:
        margins[ATTAINMENT] = lambda record: _missed(record, find.attainment)
    if find.by == "request_rate_rps":
        margins[KEEPS_UP] = _behind
    return margins


def _log_ratio(value: float | None, limit: float) -> float | None:
    return math.log(value / limit) if value else None


def _missed(record: Record, wanted: float) -> float | None:
    """Return by how much more of the requests missed their limits than may."""
    share = share_within(record)
    return None if share is None else wanted - share


def share_within(record: Record) -> float | None:
    """Return the share of a record's requests that kept the limits of one request; None where it does not tell."""
    good, answered = (record.values.get(key) for key in ("request_goodput_rps", "request_throughput_rps"))
    return good / answered if good is not None and answered else None


def _least_sd(record: Record, find: Find) -> dict[str, float]:
    """Return by how much the share varies at least where it is at its limit: as independent requests would."""
    number = record.values.get("completed")
    if find.attainment is None or not number:
        return {}
    return {ATTAINMENT: math.sqrt(find.attainment * (1 - find.attainment) / number)}


def _behind(record: Record) -> float | None:
    """Return how far a server is beyond the signs of one that falls behind, see knee.py: below 0 it keeps up.

    Of one repeat the mean latency stands for that of the least rate, so that it is called late a little less often.
    """
    answered_rps, completed, latency_ms = (
        record.values.get(key) for key in ("request_throughput_rps", "completed", "mean_e2el_ms")
    )
    rate_rps = record.load.rate_rps if record.load else None
    if not (answered_rps and completed and latency_ms and rate_rps):
        return None
    latency_s, arrival_s = latency_ms / _MS_PER_S, completed / rate_rps
    drain_s = max(completed / answered_rps - arrival_s, 1e-3 * latency_s)
    lateness = MIN_REACHED * completed / (answered_rps * (arrival_s + latency_s))
    return min(math.log(drain_s / (MIN_DRAIN * latency_s)), math.log(lateness))
