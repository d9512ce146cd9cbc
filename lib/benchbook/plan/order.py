"""The order of work: which host is started when, and what is measured on it in which order.

One device holds one host at a time, so the work goes launch by launch: first all online cases on one server, then all
offline cases on one engine. On a host, repeats go in rounds: every case once, in an order of its own for every round,
so that drift of the machine (heat, neighbours) touches all cases alike and no case is measured twice in a row. The
orders follow from a seed of their own, which is recorded: another one tells whether the order mattered.

Rounds that are added until a target is met go on with the host that is there when a single launch is measured. Several
launches are started for each of them anew, in alternating turns: A B, then B A.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchbook.plan.cases import Case
from benchbook.plan.workloads import HostKind


@dataclass(frozen=True)
class Job:
    """One repeat of one case, with the seed (below 2**31) of its request set."""

    case: Case
    repeat: int  # from 0
    host_kind: HostKind
    seed: int


@dataclass(frozen=True)
class Block:
    """All jobs of one host, in order: one start."""

    launch: str
    host_kind: HostKind
    jobs: tuple[Job, ...]


def rounds(cases: Sequence[Case], repeats: int, seed: int, order_seed: int | None = None) -> tuple[Block, ...]:
    """Return the blocks that measure every case `repeats` times; the same arguments always give the same order.

    Request sets follow from `seed`, the order of cases inside a block from `order_seed`, which is `seed` when None.
    """
    order_seed = seed if order_seed is None else order_seed
    blocks = []
    for launch in dict.fromkeys(case.launch for case in cases):
        for host_kind in ("server", "engine"):
            mine = [case for case in cases if case.launch == launch and case.workload.host_kind == host_kind]
            if mine:
                blocks.append(Block(launch, host_kind, _jobs(mine, range(repeats), seed, order_seed)))
    return tuple(blocks)


def job_seed(seed: int, case_id: str, repeat: int) -> int:
    """Return the seed of a case's repeat: the hash of experiment seed, case and repeat, below 2**31 - 1.

    It depends on nothing else, so that it stays when cases are added. It differs from job to job (but for one chance in
    2**31 a pair), so that no request set repeats and is served from a prefix cache. The last value is left free because
    vLLM's throughput benchmark draws its warm-up with seed + 1.
    """
    return _hash(seed, case_id, repeat) % (2**31 - 1)


def added_round(
    cases: Sequence[Case], repeat: int, seed: int, order_seed: int, after: Case | None = None
) -> tuple[Block, ...]:
    """Return one more round of `cases`, which share a host kind: a block for each launch, in turns that alternate.

    On one launch, whose host may still be there, it does not begin with `after`, the case measured last.
    """
    launches = list(dict.fromkeys(case.launch for case in cases))
    turn = launches if repeat % 2 == 0 else launches[::-1]
    by_launch = {launch: [case for case in cases if case.launch == launch] for launch in turn}
    return tuple(
        Block(launch, mine[0].workload.host_kind, _jobs(mine, [repeat], seed, order_seed, after))
        for launch, mine in by_launch.items()
    )


def _jobs(
    cases: Sequence[Case], repeats: Iterable[int], seed: int, order_seed: int, after: Case | None = None
) -> tuple[Job, ...]:
    """Return rounds of cases that share a host, each shuffled, and none beginning with the case measured last."""
    jobs: list[Job] = []
    for repeat in repeats:
        # Sorting by hash is a shuffle that no change of Python's random module can alter.
        order = sorted(cases, key=lambda case: (_rank(case), _hash(order_seed, "round", repeat, case.case_id)))
        if order[0] == (jobs[-1].case if jobs else after):
            order = order[1:] + order[:1]
        jobs += [Job(case, repeat, case.workload.host_kind, job_seed(seed, case.case_id, repeat)) for case in order]
    return tuple(jobs)


def _rank(case: Case) -> int:
    """The first request goes first: it says whether the server answers at all."""
    return 0 if case.workload.benchmark == "first_request" else 1


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:8])
