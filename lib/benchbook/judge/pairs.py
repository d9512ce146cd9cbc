"""Which repeats of two launches belong together: the same workload, the same round.

Only what was measured and is not INVALID enters; a repeat that one launch lost takes its partner out of the pairs. Where
launches were at several places or nodes, what these differ by cancels over rounds that took both launches to each of
them equally often; others are no pairs, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from benchbook.judge.loads import case_name
from benchbook.judge.starts import start_of
from benchbook.records.fingerprint import changed_parts, digest
from benchbook.records.record import Record
from benchbook.terms.asked import Offered

_EVERYWHERE = "the whole machine"
_OF_ARMS = {"launch", "model", "seed", "server_packages"}  # parts of a fingerprint in which arms may differ


@dataclass(frozen=True)
class Arm:
    """What one launch has of one workload: every record by repeat, and of these the ones that may be compared."""

    records: Mapping[int, Record]
    believed: Mapping[int, Record]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Arm:
        """Return the arm of one case's records."""
        by_repeat = {record.identity.repeat: record for record in records}
        usable = {repeat: record for repeat, record in by_repeat.items() if record.is_believed}
        return cls(by_repeat, usable)


@dataclass(frozen=True)
class MatchedCase:
    """One workload as two launches measured it."""

    benchmark: str
    text: str  # the workload, e.g. 'serve,lengths=128x64,max_concurrency=8,num_prompts=80'
    name: str  # the same for people: 'serve, 128 in / 64 out, 8 requests in flight'
    load: Offered | None
    base: Arm
    other: Arm

    @property
    def shared_rounds(self) -> list[int]:
        """Return the repeats that both arms have, ascending."""
        return sorted(self.base.believed.keys() & self.other.believed.keys())

    @property
    def planned(self) -> int:
        """Return how many rounds any arm has a record of, measured or not."""
        return len(self.base.records.keys() | self.other.records.keys())

    @property
    def is_interleaved(self) -> bool:
        """Return whether each shared round began, on both arms, before the next one did.

        Several at once are: what the machine does meanwhile it does to all of them.
        """
        if self.is_at_several_at_once:
            return True
        starts = [sorted(_started(arm.believed[repeat]) for arm in self._arms) for repeat in self.shared_rounds]
        return all(before[-1] <= after[0] for before, after in zip(starts, starts[1:]))

    @property
    def is_at_several_at_once(self) -> bool:
        """Return whether other blocks ran at once in all shared rounds, at places of one machine or on nodes."""
        places = [arm.believed[repeat].host.place for repeat in self.shared_rounds for arm in self._arms]
        return bool(places) and all(place is not None and place.is_one_of_several for place in places)

    @property
    def places(self) -> tuple[Counter[str], Counter[str]]:
        """Return how often each arm was at each place or node in the shared rounds."""
        base, other = zip(*map(self.places_of, self.shared_rounds), strict=True) if self.shared_rounds else ((), ())
        return Counter(base), Counter(other)

    def places_of(self, repeat: int) -> tuple[str, str]:
        """Return where each arm was in a shared round: 'place 0', 'node n1', or 'the whole machine'."""
        base, other = (str(arm.believed[repeat].host.place or _EVERYWHERE) for arm in self._arms)
        return base, other

    @property
    def is_of_one_start_each(self) -> bool:
        """Return whether each arm has all its rounds on one start, and one arm was done before the other began."""
        arms = [list(arm.believed.values()) for arm in self._arms]
        if any(len({start_of(record) for record in each}) != 1 or len(each) < 2 for each in arms):
            return False
        times = sorted(sorted(map(_started, each)) for each in arms)
        return times[0][-1] < times[1][0]

    @property
    def is_attached(self) -> bool:
        """Return whether an arm is a server that nobody started here."""
        return any(record.host.attached for arm in self._arms for record in arm.records.values())

    @property
    def is_attached_out_of_turn(self) -> bool:
        """Return whether an arm is such a server and was not measured in turn with the other: its rounds are no pairs then."""
        return self.is_attached and not self.is_interleaved

    @property
    def has_same_prompts(self) -> bool:
        """Return whether no shared round is known to have sent the arms different prompts."""
        sets = [{arm.believed[repeat].request_set_sha256 for arm in self._arms} for repeat in self.shared_rounds]
        return all(None in hashes or len(hashes) == 1 for hashes in sets)

    @property
    def other_conditions(self) -> set[str]:
        """Return what differs between the arms besides the launch, its model and the prompts: packages, device, notebook."""
        parts = [next(iter(arm.records.values())).identity.fingerprint_parts for arm in self._arms]
        return set(changed_parts(*parts)) - _OF_ARMS

    @property
    def _arms(self) -> tuple[Arm, Arm]:
        return self.base, self.other


def match_cases(base: Sequence[Record], other: Sequence[Record]) -> tuple[list[MatchedCase], list[str]]:
    """Return the workloads that both launches have records of, in the order of `base`, and the names of the others."""
    ours, theirs = _by_workload(base), _by_workload(other)
    names = _names({workload: records[0] for workload, records in {**ours, **theirs}.items()})
    both = {workload for workload in ours.keys() & theirs.keys() if _is_one_load([*ours[workload], *theirs[workload]])}
    matched = [
        MatchedCase(
            benchmark=records[0].benchmark,
            text=_text(records[0]),
            name=names[workload],
            load=records[0].load,
            base=Arm.of(records),
            other=Arm.of(theirs[workload]),
        )
        for workload, records in ours.items()
        if workload in both
    ]
    return matched, [name for workload, name in names.items() if workload not in both]


def rotated(cases: Sequence[MatchedCase], rounds: Collection[int]) -> list[int]:
    """Return the most of `rounds` over which both arms of `cases` were at each place equally often; of equally many the first.

    Each round is a step from where the one arm was to where the other was, and such rounds are steps in closed circles: the
    largest circulation, which a linear programme finds whole.
    """
    steps = {repeat: zip(*(case.places_of(repeat) for case in cases), strict=True) for repeat in sorted(rounds)}
    apart = {repeat: (base, other) for repeat, (base, other) in steps.items() if base != other}
    closed = set(rounds) - apart.keys()
    if Counter(base for base, _ in apart.values()) == Counter(other for _, other in apart.values()):
        closed = set(rounds)  # whole squares, as planned: each place was left as often as it was come to
    else:
        from scipy.optimize import linprog  # imported late: the command line starts without scipy

        ends = dict.fromkeys(place for step in apart.values() for place in step)
        leads = [[(other == place) - (base == place) for base, other in apart.values()] for place in ends]
        # Earlier rounds are worth a little more, all of it together less than one round.
        costs = [-1 - (len(apart) - at) / (2 * len(apart) ** 2) for at in range(len(apart))]
        found = linprog(costs, A_eq=leads, b_eq=[0] * len(ends), bounds=(0, 1), method="highs-ds")
        closed |= {repeat for repeat, taken in zip(apart, found.x, strict=True) if taken > 0.5}
    return sorted(closed)


def _is_one_load(records: Sequence[Record]) -> bool:
    """Return whether records of one workload were offered one load: a share of what each run measured may be two."""
    return len({record.load.value for record in records if record.load and record.load.of}) <= 1


def _by_workload(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(digest([record.benchmark, record.workload]), []).append(record)
    return found


def _names(records: Mapping[str, Record]) -> dict[str, str]:
    """Return what people call each workload; its whole text where two would have one name, as with two temperatures."""
    names = {workload: case_name(record) for workload, record in records.items()}
    taken = Counter(names.values())
    return {workload: name if taken[name] == 1 else _text(records[workload]) for workload, name in names.items()}


def _text(record: Record) -> str:
    """Return the case without its launch."""
    return record.identity.case_id.removeprefix(f"{record.identity.launch},")


def _started(record: Record) -> datetime:
    return datetime.fromisoformat(record.started_utc)
