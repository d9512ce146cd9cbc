"""What asks for more once records have been seen: rounds until means are known well enough (added_rounds.py), or others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchbook.plan.order import Block
from benchbook.sweep.block_result import BlockResult
from benchbook.terms.benchmarks import HostKind


@dataclass(frozen=True)
class Proposal:
    """What is to be measured next: its blocks, none when there is nothing, and why."""

    blocks: tuple[Block, ...] = ()
    why: str = ""
    repeats: Mapping[str, int] = field(default_factory=dict)  # by case id: how often it is planned by now
    ahead: tuple[
        Block, ...
    ] = ()  # what is likely wanted after these blocks, for whoever estimates how long it will take
    skipped: tuple[str, ...] = ()  # cases without which it gets no further, and which somebody asked to skip


class Proposer(Protocol):
    """Asks for more repeats after seeing the records of what was asked for before."""

    def next(self, host_kind: HostKind, results: Sequence[BlockResult]) -> Proposal:
        """Return what is wanted next on this kind of host, after `results` of this process; its records are in the store."""

    def goes_on(self, block: Block) -> bool:
        """Return whether what is proposed for the launch of `block` may be measured on its host, which is there."""

    def reached(self) -> dict[str, dict[str, float | None]]:
        """Return in the end how well each target is known, as a share, by case id and metric; {} without targets."""
