"""What searches have found, said in units of load: the most that holds and the least that fails, and what binds there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchbook.judge.binding import FULL_KV_RATIO
from benchbook.judge.capacity import Decision, Known
from benchbook.judge.found import ATTAINMENT, KEEPS_UP, THROUGHPUT, Found, share_within
from benchbook.judge.ladder import Search, more_repeats
from benchbook.judge.loads import LOADS, Load
from benchbook.judge.spread import spread_of
from benchbook.judge.starts import start_of
from benchbook.records.record import Record
from benchbook.report.run import Run
from benchbook.report.sentences import GOODPUT_LIMITS
from benchbook.report.slo import limit_text
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import counted, duration_text, listed, number_text, percent_number, plus_minus_text

CLIFF = 1.5  # times as much from one load to the next is more than a queue that fills
QUEUED = 1.0  # requests wait, on average
_MAX_OPEN = 3  # loads that were not decided, in a sentence


def found_sentences(run: Run) -> list[str]:
    """Return what each search of the run has found, the answer to its question first; [] for a run without any."""
    return [sentence for find in run.header.finds for sentence in _Said(Found.of(find, run.records)).sentences()]


def is_searched(run: Run, launch: str, loads: Sequence[float]) -> bool:
    """Return whether the loads of a launch's line are those of a search, which has said what there is to say of them."""
    return any(find.launch == launch and set(loads) <= set(find.loads) for find in run.header.finds)


@dataclass(frozen=True)
class _Said:
    """A search, in words."""

    found: Found

    @property
    def search(self) -> Search:
        return self.found.search

    @property
    def load(self) -> Load:
        return next(load for load in LOADS if load.key == self.found.find.by)

    def sentences(self) -> Iterator[str]:
        search = self.search
        yield self._answer(search)
        if why := self._binding(search):
            yield why
        yield from self._open(search)
        yield from self._shape(search)
        yield self._price(search)

    def _answer(self, search: Search) -> str:
        """Return 'Within the SLO (…) 41 requests in flight hold and 46 fail; the most is 41 to 45 (95 %; eager, …).'"""
        find, load = self.found.find, self.load
        top, where = find.loads[-1], self._where()
        low = None if search.holds is None else find.loads[search.holds]
        high = None if search.fails is None else find.loads[search.fails]
        if find.saturation is not None:
            return self._saturation(low, high, where)
        wanted = f"Within {self._limits()}"
        if low is not None and high is not None:
            first = f"{wanted}, {self._does(low, 'hold')} and {load.short(high)} {self._verb(high, 'fail')}"
            return f"{first}: the most is {self._interval(low, high)} (95 %; {where})."
        if high is not None:
            if search.fails == 0:
                return f"{wanted}, not even {self._does(high, 'hold')}, the least of the search ({where})."
            return f"{wanted}, {self._does(high, 'fail')}, and no load below is known to hold ({where}){self._end(search)}."
        if low is not None and low == top:
            return f"{wanted}, {self._does(low, 'hold')}, the most of the search ({where})."
        if low is not None:
            return (
                f"{wanted}, {self._does(low, 'hold')}, and no load above is known to fail ({where}){self._end(search)}."
            )
        return f"{wanted}, no load is known to hold or to fail ({where}){self._end(search)}."

    def _end(self, search: Search) -> str:
        """Return what ended a search that has no answer, for the line that people see first."""
        if self.found.is_cut:
            return ": its budget ended the search"
        return (
            f": {listed([self.load.short(search.loads[place]) for place in search.open])} not decided"
            if search.open
            else ""
        )

    def _does(self, load: float, verb: str) -> str:
        """Return '8 requests in flight hold' or '2.5 req/s holds'."""
        return f"{self.load.text(load)} {self._verb(load, verb)}"

    def _verb(self, load: float, verb: str) -> str:
        return verb if load != 1 and not self.load.is_open else f"{verb}s"

    def _saturation(self, low: float | None, high: float | None, where: str) -> str:
        load, gain = self.load, f"{100 * self.found.find.saturation:g} %"
        if low is not None and high is not None:
            return (
                f"Output throughput still grows by more than {gain} when {load.text(low)} are doubled, and no longer from "
                f"{load.short(high)} on: it saturates at {self._interval(low, high, beyond=True)} (95 %; {where})."
            )
        if high is not None:
            return f"Output throughput grows by less than {gain} when {load.text(high)} are doubled ({where})."
        if low is not None:
            return f"Output throughput still grows by more than {gain} when {load.text(low)} are doubled ({where})."
        return f"From where doubling the load adds less than {gain} output throughput is not known ({where})."

    def _interval(self, low: float, high: float, beyond: bool = False) -> str:
        """Return what the ends leave: '41 to 45' of whole numbers, '2.1 to 2.3' of rates."""
        load = self.load
        if beyond:
            low, high = (low, high) if load.is_open else (low + 1, high)
        elif not load.is_open:
            high -= 1
        return load.short(low) if low == high else f"{load.short(low)} to {load.short(high)}"

    def _limits(self) -> str:
        find = self.found.find
        said = [limit_text(key, limit) for key, limit in find.limits.items()]
        if find.attainment is not None:
            record = next((record for some in self.found.records.values() for record in some), None)
            of_one = GOODPUT_LIMITS.items() if record else ()
            limits = [f"{name} {record.workload[key]:g} ms" for key, name in of_one if record.workload.get(key)]
            said.append(f"{100 * find.attainment:g} % of requests within {listed(limits) or 'their limits'}")
        return f"the SLO ({listed(said)})" if said else "what the server keeps up with"

    def _where(self) -> str:
        record = next((record for some in self.found.records.values() for record in some), None)
        return f"{self.found.find.launch}, {record.curve if record else self.found.find.curve}"

    def _binding(self, search: Search) -> str:
        """Return what is beyond its limit at the least load that fails, and what of the server runs out there."""
        if search.fails is None or self.found.find.saturation is not None:
            return ""
        known, ends = search.known[search.fails], [search.fails, search.holds]
        told = [self._value(known.key, place) for place in ends if place is not None]
        said = f"What binds is {self._name(known.key)}: {', '.join(told)}"
        return f"{said}. {self._runs_out(self.found.records[search.fails])}".strip()

    def _value(self, key: str, place: int) -> str:
        """Return '540 ± 12 ms with 46 requests in flight'."""
        records, at = self.found.records[place], self.load.at(self.found.find.loads[place])
        if key == ATTAINMENT:
            values, unit, factor = [share_within(record) for record in records], "%", 100
        elif key == KEEPS_UP:
            values, unit, factor = (
                [record.values.get("request_throughput_rps") for record in records],
                "req/s answered",
                1,
            )
        else:
            values, unit, factor = [record.values.get(key) for record in records], BY_KEY[key].unit, 1
        scaled = [None if value is None else factor * value for value in values]
        spread = spread_of(scaled, [start_of(record) for record in records])
        if spread is None or any(value is None for value in values):
            return f"not answered by all {at}"
        return f"{plus_minus_text(spread.mean, spread.stdev)} {unit} {at}"

    def _name(self, key: str) -> str:
        if key == ATTAINMENT:
            return "the share of requests within their limits"
        return "keeping up with the rate" if key == KEEPS_UP else BY_KEY[key].label

    def _runs_out(self, records: Sequence[Record]) -> str:
        """Return what the server's own counters say is used up where the load fails."""
        summaries = [record.host.telemetry.server for record in records]
        full = [one.max_kv_use_ratio for one in summaries if one.max_kv_use_ratio is not None]
        waiting = [one.mean_waiting for one in summaries if one.mean_waiting is not None]
        preempted = [one.preemptions for one in summaries if one.preemptions]
        if not full and not waiting:
            return "What runs out there, no counter of the server told."
        cache = f"the KV cache is {percent_number(max(full))} % full at most" if full else ""
        if full and (max(full) >= FULL_KV_RATIO or preempted):
            again = f", and {counted(round(sum(preempted)), 'request')} had to begin again" if preempted else ""
            return f"What runs out is the KV cache: it is {percent_number(max(full))} % full{again}."
        if waiting and fmean(waiting) >= QUEUED:
            return f"Requests queue there, {number_text(fmean(waiting))} on average, while {cache or 'nothing else is told'}."
        padded = (why.evidence for one in records for why in one.reasons if why.code == "steps_padded")
        longer = next(padded, "steps take longer")
        return f"Nothing that is counted runs out there: {cache or 'no request waits'}; {longer}."

    def _open(self, search: Search) -> Iterator[str]:
        """Yield which loads between the ends were not decided, and what would decide them."""
        for place in search.open[:_MAX_OPEN]:
            known, repeats = search.known[place], len(self.found.records.get(place, ()))
            value = "" if known.key == THROUGHPUT else f": {self._name(known.key)} {self._value(known.key, place)}"
            yield f"Not decided: {self.load.text(self.found.find.loads[place])}{value}. {self._would_decide(search, place, repeats)}"

    def _would_decide(self, search: Search, place: int, repeats: int) -> str:
        more = more_repeats(search, place)
        if more is None:
            return f"By the {counted(repeats, 'repeat')} there are, it is as good as at the limit."
        took_s = fmean([one.ended_monotonic_s - one.started_monotonic_s for one in self.found.records[place]])
        would = f"{counted(more, 'more repeat')} there would likely decide, {duration_text(more * took_s)}"
        return f"{would} (at_most: {repeats + more})."

    def _shape(self, search: Search) -> Iterator[str]:
        """Yield what is remarkable in how loads fail: at once, or not for good."""
        if search.holds_again:
            again = listed([self.load.short(self.found.find.loads[place]) for place in search.holds_again])
            yield (
                f"It does not fail for good: {again} hold again. The answer is the first load that fails; between loads "
                "that were tried there may be others."
            )
        jump = _jump(search)
        if jump and self.found.find.saturation is None and jump.key in BY_KEY:
            yield f"It is a cliff: {self._name(jump.key)} is {math.exp(jump.margin):.1f} times as long from the one to the other."

    def _price(self, search: Search) -> str:
        find, found = self.found.find, self.found
        said = (
            f"The search measured {len(found.records)} of {len(find.loads)} loads in {counted(found.repeats, 'repeat')}, "
            f"{duration_text(found.spent_s)}"
        )
        return f"{said}, and ended there by its budget: more would narrow it." if found.is_cut else f"{said}."


def _jump(search: Search) -> Known | None:
    """Return by how much a limit is nearer at the load that fails than at its neighbour that holds, where that is a cliff."""
    if search.fails is None or search.holds is None or search.fails - search.holds != 1:
        return None
    high, low = search.known[search.fails], search.known[search.holds]
    by = high.margin - low.margin
    return Known(Decision.FAILS, high.key, by) if high.key == low.key and by >= math.log(CLIFF) else None
