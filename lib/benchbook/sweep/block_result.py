"""What a block is given, what becomes of it, and whom it tells meanwhile: what an executor passes on, all to be pickled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchbook.plan.order import Block, Repeat
from benchbook.records.host import HostFacts
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.sweep.planning import RunPlan
from benchbook.terms.errors import Cause, HostError
from benchbook.terms.redaction import tail_of

MAX_ATTEMPTS = 2  # a failed repeat is tried once more; both attempts are kept


def told_from(where: str, name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a BlockListener's call `name` is given, with where the block runs where it is a line of text."""
    if name == "say":
        return (f"  {where}: {given[0].strip()}", *given[1:])
    return (f"{where}: {given[0]}", *given[1:]) if name == "working_on" else given


@dataclass(frozen=True)
class Work:
    """What the blocks of a run have in common: its plan, and where records go."""

    plan: RunPlan
    store: Store


@dataclass(frozen=True)
class Start:
    """A host that became ready. Times are None where this process was halted meanwhile: they tell nothing."""

    facts: HostFacts
    wall_s: float | None  # without what went into counting experts
    counting_s: float | None


@dataclass(frozen=True)
class Attempt:
    """One attempt at a repeat, whose record lies in the store."""

    repeat: Repeat
    number: int  # from 1
    is_measured: bool
    is_warm: bool  # whether the host was warm for it
    wall_s: float | None  # None where this process was halted meanwhile


@dataclass(frozen=True)
class GivenUp:
    """Why a host was not started again: its repeats that were left have records that say so."""

    cause: Cause
    log_tail: str

    @classmethod
    def of(cls, error: HostError) -> GivenUp:
        """Return why, by the last error of the host."""
        return cls(error.cause, tail_of(str(error)))


@dataclass(frozen=True)
class BlockResult:
    """What became of a block, or, as its listener gets it, what has become of it so far."""

    block: Block
    starts: tuple[Start, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    given_up: GivenUp | None = None


class BlockListener(Protocol):
    """Whom a block tells how it goes on. `more` is its one question: an executor far away may answer () itself."""

    def say(self, text: str) -> None:
        """Take a line that stays."""

    def working_on(self, what: str, at_most_s: float | None = None) -> None:
        """Take what is being done now."""

    def recorded(self, record: Record, wall_s: float, log: Path | None) -> None:
        """Take one more record, and the log that tells most of it where it failed."""

    def noted(self, so_far: BlockResult) -> None:
        """Take what has become of the block: after each start and each attempt."""

    def going_on(self, rest: Block, warmed: Collection[str] | None) -> None:
        """Take what is left of the block, as the next piece of it begins; with `warmed`, its host is there already."""

    def more(self, block: Block) -> tuple[Repeat, ...]:
        """Return what else is to be measured on the host of `block`, whose repeats are all done."""
