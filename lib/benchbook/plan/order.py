"""The order of work: which host is started when, and what is measured on it in which order.

One device holds one host at a time. Repeats go in rounds: every case once, in an order of its own for every round, so
that drift of the machine (heat, neighbours) touches all cases alike and no case is measured twice in a row. The orders
follow from a seed of their own, which is recorded: another one tells whether the order mattered.

A single launch is started once for its online cases and once for its offline ones, unless starts are asked for: then
each round starts it anew. Several launches are compared, so each round starts each of them anew, in an order that turns
round from round to round: A B, B A, A B … Measured one after the other, launches would differ by whatever the machine
did meanwhile; in turn, a steady drift cancels over two rounds. And starts differ (memory layout, kernels chosen):
repeats of one start would share its luck and pass for more evidence than they are, so a round never goes on with the
host of the round before, though that would save a start. Without turns (`turns: false`) each launch has one start, one
launch after the other: that is for a look at many, and nothing is claimed of their differences.

Rounds that are added until a target is met go the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchbook.plan.case import Case
from benchbook.terms.benchmarks import HOST_KINDS, HostKind


@dataclass(frozen=True)
class Repeat:
    """One measurement of one case, with the seed (below 2**31) of its request set."""

    case: Case
    number: int  # from 0
    host_kind: HostKind
    seed: int
    tries: int = 0  # so often its host was sent these requests before, and may hold them in its prefix cache


@dataclass(frozen=True)
class Block:
    """All repeats of one host, in order: one start."""

    launch: str
    host_kind: HostKind
    repeats: tuple[Repeat, ...]


def rounds(
    cases: Sequence[Case],
    repeats: int,
    seed: int,
    order_seed: int | None = None,
    fresh_starts: bool = False,
    turns: bool = True,
) -> tuple[Block, ...]:
    """Return the blocks that measure every case `repeats` times; the same arguments always give the same order.

    Online work comes before offline work. Request sets follow from `seed`, the order of cases inside a block from
    `order_seed`, which is `seed` when None. With `fresh_starts`, a single launch is started anew in each round too;
    without `turns`, several launches have one start each.
    """
    order_seed = seed if order_seed is None else order_seed
    blocks: list[Block] = []
    for host_kind in HOST_KINDS:
        mine = [case for case in cases if case.workload.host_kind == host_kind]
        launches = dict.fromkeys(case.launch for case in mine)
        if fresh_starts or (turns and len(launches) > 1):
            blocks += [block for repeat in range(repeats) for block in added_round(mine, repeat, seed, order_seed)]
            continue
        for launch in launches:
            own = [case for case in mine if case.launch == launch]
            blocks.append(Block(launch, host_kind, _repeats(own, range(repeats), seed, order_seed)))
    return tuple(blocks)


def repeat_seed(seed: int, workload_text: str, repeat: int) -> int:
    """Return the seed of a repeat: the hash of experiment seed, workload (`axes_text`) and repeat, below 2**31 - 1.

    It depends on nothing else, so that it stays when cases are added, and launches that are compared get the same
    requests in the same round. On one launch it differs from repeat to repeat (but for one chance in 2**31 a pair), so that
    no request set repeats and is served from a prefix cache. The last value is left free because vLLM's throughput
    benchmark draws its warm-up with seed + 1.
    """
    return _hash(seed, workload_text, repeat) % (2**31 - 1)


def seed_of_try(seed: int, tries: int) -> int:
    """Return the seed of a repeat whose prompts a host was sent `tries` times already, and may hold in its prefix cache."""
    return _hash(seed, "again", tries) % (2**31 - 1)


def added_round(
    cases: Sequence[Case], repeat: int, seed: int, order_seed: int, after: Case | None = None
) -> tuple[Block, ...]:
    """Return one round of `cases`, which share a host kind: a block for each launch, in turns that alternate.

    On one launch, whose host may still be there, it does not begin with `after`, the case measured last.
    """
    launches = list(dict.fromkeys(case.launch for case in cases))
    turn = launches if repeat % 2 == 0 else launches[::-1]
    by_launch = {launch: [case for case in cases if case.launch == launch] for launch in turn}
    return tuple(
        Block(launch, mine[0].workload.host_kind, _repeats(mine, [repeat], seed, order_seed, after))
        for launch, mine in by_launch.items()
    )


def _repeats(
    cases: Sequence[Case], numbers: Iterable[int], seed: int, order_seed: int, after: Case | None = None
) -> tuple[Repeat, ...]:
    """Return the rounds of one host, each shuffled, and none beginning with the case measured last.

    The order in a round is that of every launch, so that neighbours are alike.
    """
    repeats: list[Repeat] = []
    for number in numbers:
        # Sorting by hash is a shuffle that no change of Python's random module can alter.
        order = sorted(cases, key=lambda case: (_rank(case), _hash(order_seed, "round", number, case.axes_text)))
        if order[0] == (repeats[-1].case if repeats else after):
            order = order[1:] + order[:1]
        repeats += [
            Repeat(case, number, case.workload.host_kind, repeat_seed(seed, case.axes_text, number)) for case in order
        ]
    return tuple(repeats)


def _rank(case: Case) -> int:
    """What is no load goes first: it says whether the host answers at all. Then what rates of other cases are shares of."""
    return 2 * case.workload.row.is_load - case.is_maximum


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:8])
