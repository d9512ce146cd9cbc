"""A lock for each GPU: who measures on a card holds it from before the start to the end, and no other run gets it.

The kernel frees it when the last process that has it ends: the one that took it, and the guardians that it was handed
on to, so that a card is held while a host of ours may still be on it, whatever has become of the host's owner. The lock
is a file of the state folder, so it is between the runs of one user.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from benchbook.hosts.machine.devices import Device
from benchbook.hosts.process import processes, registry
from benchbook.terms.errors import Cause, HostStartError

LEAVING_LIMIT_S = 30.0  # for the guardian of an owner that has ended
POLL_S = 0.1
HINT = "wait for its end, name another GPU, or share it with `run --share-gpu`"


@dataclass(frozen=True)
class Holder:
    """Who holds a card: a run or a host, the process that lives as long, and since when."""

    who: str
    pid: int | None  # None: it has not noted itself yet
    start_ticks: int | None
    since_utc: str

    def __str__(self) -> str:
        if self.pid is None:
            return self.who
        since = datetime.fromisoformat(self.since_utc).astimezone()
        return f"{self.who} (pid {self.pid}, since {since:%Y-%m-%d %H:%M:%S})"


class CardTakenError(HostStartError):
    """A card is held by somebody else."""

    def __init__(self, card: Device, holder: Holder) -> None:
        self.card = card
        evidence = f"{card.title} is held by {holder}"
        super().__init__(evidence, Cause("device_busy", evidence, HINT))


@dataclass
class Locks:
    """The locks of one host's cards, as its guardian gets them."""

    who: str
    descriptors: list[int] = field(default_factory=list)
    own: list[IO[str]] = field(default_factory=list)  # taken for this host alone

    def held_by(self, pid: int) -> None:
        """Note who holds on to what was taken for this host alone: its guardian."""
        for file in self.own:
            _note(file, self.who, pid)


# What this process holds until its end, by card; None: it is there by leave of --share-gpu, without the lock.
_held: dict[str, IO[str] | None] = {}


def hold(cards: Sequence[Device], who: str, *, share: bool = False) -> bool:
    """Hold `cards` until this process ends, and return whether they could be locked: some file systems have no locks.

    Raises CardTakenError, and holds none of them, where another holds one; with `share` that is no matter.
    """
    taken: dict[str, IO[str] | None] = {}
    has_locks = True
    for card in sorted(cards, key=lambda card: card.key):  # of two runs that begin at once, one gets all
        if card.key in _held or card.key in taken:
            continue
        try:
            taken[card.key] = _locked(card, who, 0.0 if share else LEAVING_LIMIT_S)
            has_locks = has_locks and taken[card.key] is not None
        except CardTakenError:
            if not share:
                _close(taken)
                raise
            taken[card.key] = None
    _held.update(taken)
    return has_locks


def descriptors() -> dict[str, int]:
    """Return the locks that this process holds, by card, for a process of its own that is to `adopt` them."""
    return {card: file.fileno() for card, file in _held.items() if file}


def adopt(locks: Mapping[str, int]) -> None:
    """Hold until this process ends the locks that its parent handed on, which are then held by both."""
    _held.update({card: open(descriptor, "a+", encoding="utf-8") for card, descriptor in locks.items()})


def rename(who: str) -> None:
    """Have what this process holds be said to be held by `who`."""
    for file in filter(None, _held.values()):
        _note(file, who, os.getpid())


@contextlib.contextmanager
def locks_for(cards: Sequence[Device], who: str) -> Iterator[Locks]:
    """Yield the locks of `cards` to hand on to a guardian: what this process holds, else taken for the host alone.

    Raises CardTakenError where another holds one.
    """
    locks = Locks(who)
    try:
        for card in cards:
            file = _held[card.key] if card.key in _held else _locked(card, who, LEAVING_LIMIT_S)
            if file and card.key not in _held:
                locks.own.append(file)
            locks.descriptors += [file.fileno()] if file else []
        yield locks
    finally:
        for file in locks.own:
            file.close()


def holder_of(card: Device) -> Holder | None:
    """Return who else holds `card` now; None where nobody does, as far as locks tell."""
    if card.key in _held or not _path(card).exists():
        return None
    with open(_path(card), encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(file)
        except OSError:
            return None
    return None


def _locked(card: Device, who: str, limit_s: float) -> IO[str] | None:
    """Return the locked file of `card`, None where nothing can be locked; raise CardTakenError where another has it.

    A guardian whose owner has ended will have ended its host in a moment: it is waited for, up to `limit_s`.
    """
    _path(card).parent.mkdir(mode=0o700, exist_ok=True)
    file = open(_path(card), "a+", encoding="utf-8")
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            is_there = holder.pid is not None and processes.is_alive(holder.pid, holder.start_ticks)
            if is_there or time.monotonic() >= deadline:
                file.close()
                raise CardTakenError(card, holder) from None
            time.sleep(POLL_S)
        except OSError:
            file.close()
            return None
        else:
            _note(file, who, os.getpid())
            return file


def _path(card: Device) -> Path:
    return registry.state_dir() / "cards" / f"{card.key}.lock"


def _note(file: IO[str], who: str, pid: int) -> None:
    stat = processes.read_stat(pid)
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    file.seek(0)
    file.truncate()
    json.dump(asdict(Holder(who, pid, stat.start_ticks if stat else None, since)), file)
    file.flush()


def _holder(file: IO[str]) -> Holder:
    """Return who has noted himself in the file of a card, or that somebody holds it who has not yet."""
    file.seek(0)
    try:
        return Holder(**json.load(file))
    except (ValueError, TypeError):
        return Holder("another benchbook", None, None, "")


def _close(files: dict[str, IO[str] | None]) -> None:
    for file in filter(None, files.values()):
        file.close()
    files.clear()


# A fork of this process without exec would keep the cards beyond its end.
os.register_at_fork(after_in_child=lambda: _close(_held))
