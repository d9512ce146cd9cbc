"""What a rate such as '0.8 of throughput' is a share of: a case of the same requests, all at once, measured before it.

It is measured in each round like any other, by each launch that has the share, so that a report shows it with its
spread. What counts is one number: the answers a second of its first repeat, on the launch that goes first. So all
launches are offered the same rate, in every round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from benchbook.plan.case import Case
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload
from benchbook.terms.asked import USUAL_SEATS
from benchbook.terms.wording import listed

LEAST_PER_SEAT = 10  # prompts for each request in flight at most: fewer tell how a server fills and drains


def with_maxima(cases: Sequence[Case], sets: Mapping[str, RequestSet]) -> tuple[Case, ...]:
    """Return the cases with those that tell a maximum, which stand first; each share knows the id of its own."""
    shares: dict[str, list[Case]] = {}
    for case in cases:
        if getattr(case.workload, "share", None):
            shares.setdefault(case.workload.maximum(1).axes_text(), []).append(case)
    if not shares:
        return tuple(cases)
    turns = {name: place for place, name in enumerate(dict.fromkeys(case.launch for case in cases))}
    told_by: dict[str, str] = {}  # by the id of a share
    found: dict[str, Case] = {}
    for together in shares.values():
        maxima = {case.launch: case for case in _maxima(together, sets)}
        first = maxima[min(maxima, key=turns.__getitem__)]
        found |= {case.case_id: case for case in maxima.values()}
        told_by |= {case.case_id: first.case_id for case in together}
    asked = {case.case_id: replace(case, is_maximum=True) for case in cases if case.case_id in found}
    others = (case for case in cases if case.case_id not in found)
    # By turns too, which the order of the launches in the cases makes.
    maxima = sorted({**found, **asked}.values(), key=lambda case: turns[case.launch])
    with_theirs = (replace(case, maximum=told_by.get(case.case_id, "")) for case in others)
    return (*maxima, *with_theirs)


def _maxima(shares: Sequence[Case], sets: Mapping[str, RequestSet]) -> Iterator[Case]:
    """Yield of shares of one maximum the case that tells it, one a launch."""
    first: ServeWorkload = shares[0].workload
    number = max(case.workload.num_prompts for case in shares)
    wanted = sets.get(first.requests or "")
    if wanted is None or wanted.is_endless:
        number = max(number, LEAST_PER_SEAT * first.max_concurrency if first.max_concurrency else USUAL_SEATS)
    numbers = sorted({case.workload.share.share for case in shares})
    verb = "is" if len(numbers) == 1 else "are"
    why = f"what {listed([f'{number:g}' for number in numbers])} of throughput {verb} of, first in each round"
    for launch in dict.fromkeys(case.launch for case in shares):
        yield Case(launch, first.maximum(number), why, is_maximum=True)
