"""Measured again: a repeat that was disturbed from outside, once the machine is quiet, on the host that is there.

Each repeat may be measured again as often as the experiment's `again` allows. All tries stay in the run: the later one
counts, and says what disturbed the earlier ones. A machine that stays busy costs one wait, and then a look a repeat:
where all would only be disturbed again, nothing is measured again. Some disturbances only show under load, as the time
that the host of a virtual machine takes does: one that was there in every try of a repeat, each begun in quiet, costs no
further tries until a repeat comes through without any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from benchbook.judge.outside import disturbed_by, is_due_again
from benchbook.plan.launches import Launch
from benchbook.plan.order import Repeat, seed_of_try
from benchbook.records.record import Record
from benchbook.sweep.hosts import BenchHost
from benchbook.sweep.quiet import UNKNOWN_SHARE, disturbance
from benchbook.sweep.waits import LOOK_S, MAX_WAIT_S

Look = Callable[[Launch, float, float, Collection[str]], str]  # as `disturbance`


class Told(Protocol):
    """Who is told of waiting."""

    def say(self, text: str) -> None: ...
    def working_on(self, what: str, at_most_s: float | None = None) -> None: ...


@dataclass
class Again:
    """Says whether a repeat is measured again, and waits for quiet before that."""

    budget: int  # per repeat
    listener: Told
    look: Look = disturbance
    _is_hopeless: bool = False  # the last wait was in vain
    _unseen: frozenset[str] = frozenset()  # causes that no look has seen coming, and that were there in every try

    def is_wanted(self, record: Record, launch: Launch) -> bool:
        """Return whether the measured repeat of `record` is to be measured again; returns when the machine is quiet."""
        causes, tries = disturbed_by(record), len(record.identity.disturbed) + 1
        if not causes:
            self._unseen = frozenset()
        elif is_due_again(record, self.budget):
            if self._unseen.issuperset(causes.split()):
                return False
            seen = record.conditions.machine.own_cpu_share
            own_cpu_share = UNKNOWN_SHARE if seen is None else seen
            return self._is_quiet(causes, lambda: self.look(launch, LOOK_S, own_cpu_share, causes.split()))
        elif self.budget:
            self.listener.say(f"  measured {tries} times, each time disturbed, at last by {causes}: it stays as it is")
            each = (set(codes.split()) for codes in record.identity.disturbed)
            if always := frozenset(causes.split()).intersection(*each):
                self._unseen = always
                self.listener.say(
                    f"  quiet before is no sign of quiet while it measures: what {' '.join(sorted(always))} disturbs is "
                    "not measured again until a repeat comes through undisturbed"
                )
        return False

    def _is_quiet(self, causes: str, look: Callable[[], str]) -> bool:
        """Return whether `look` finds quiet within MAX_WAIT_S; after a wait in vain, at once."""
        limit_s = LOOK_S if self._is_hopeless else MAX_WAIT_S
        until_s, found = time.monotonic() + limit_s, f"it was disturbed ({causes}) and is measured again"
        while True:
            self.listener.working_on(f"waiting for quiet: {found}", max(LOOK_S, until_s - time.monotonic()))
            found = _found(look)
            if not found or time.monotonic() + LOOK_S > until_s:
                break
        if found and not self._is_hopeless:
            self.listener.say(
                f"  no quiet within {MAX_WAIT_S:g} s ({found}): what is disturbed stays as it is, and is measured again "
                "only where it is quiet at once"
            )
        self._is_hopeless = bool(found)
        return not found


def _found(look: Callable[[], str]) -> str:
    """Return what `look` finds, or why it cannot look: the sweep goes on without the second try."""
    try:
        return look()
    except Exception as error:  # whatever a driver or the process table answers
        return f"cannot be looked at: {type(error).__name__}: {error}"[:300]


def for_this_try(repeat: Repeat, launch: Launch, host: BenchHost, tries: int) -> Repeat:
    """Return `repeat` as it is sent to `host` after so many `tries` there: with other prompts where it may know these.

    A server with a prefix cache answers from it what it was sent before, unless the cache is emptied each time.
    Elsewhere the prompts stay, which other launches get in the same round.
    """
    is_off = launch.args.get("enable_prefix_caching") is False or host.parameters.get("reset_prefix_cache")
    if not tries or is_off or repeat.host_kind != "server":
        return repeat
    return replace(repeat, seed=seed_of_try(repeat.seed, tries), tries=tries)
