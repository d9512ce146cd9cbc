"""The process of a place, as both sides of its pipe see it: it runs the blocks that it is sent, and tells of them.

To it go a block with its work, or the repeats that it has asked for; from it come the calls of a BlockListener, `more`
which wants an answer, and what became of the block. It ends with its parent, and its hosts end with it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from benchbook.hosts.machine import card_locks
from benchbook.hosts.machine.places import Place
from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block, Repeat
from benchbook.records.files import make_folder
from benchbook.records.host import PlaceFacts
from benchbook.records.store import Store
from benchbook.sweep.again import Again
from benchbook.sweep.block import run_block
from benchbook.sweep.block_result import Work
from benchbook.sweep.hosts import BenchHost, OpenHost, host_opener
from benchbook.sweep.interrupts import blocked, end_with
from benchbook.terms.errors import BenchbookError, StoreError

DONE, RAISED, MORE = "done", "raised", "more"


@dataclass(frozen=True)
class Setting:
    """What the processes of all places are told at their start."""

    share_gpu: bool
    compares_launches: bool
    log_dir: Path
    modules: Sequence[str]  # that notebooks import


@dataclass
class PlaceProcess:
    """The process of one place, started with the first block that it is sent and again when it was lost."""

    place: Place
    setting: Setting
    block: Block | None = None  # under way
    is_asking: bool = False  # whether it waits for `answer`
    _process: Any = None
    _pipe: Connection | None = None

    def begin(self, block: Block, work: Work, facts: PlaceFacts) -> None:
        """Have `block` run, whose records say that they are of a place with these `facts`."""
        if self._pipe is None:
            self._start()
        self.block = block
        self._send((block, work, facts))

    def answer(self, repeats: Sequence[Repeat]) -> None:
        """Say what else is to be measured on the host of the block, after it has asked."""
        self.is_asking = False
        self._send(tuple(repeats))

    @property
    def pipe(self) -> Connection:
        """What it can be heard through; `hear` takes one message."""
        return self._pipe

    def hear(self) -> tuple[str, tuple]:
        """Return what it tells next: the name of a call and what is given; raise EOFError when it is gone."""
        try:
            name, given = self._pipe.recv()
        except (EOFError, OSError) as gone:
            self.stop()
            raise EOFError from gone
        self.is_asking = name == MORE
        if name == RAISED:
            raise given[0]
        if name == DONE:
            self.block = None
        return name, given

    def end(self) -> None:
        """Have it end, its hosts first: in order where it has nothing under way."""
        if self._process and self.block:
            self._process.terminate()
        if self._pipe:
            self._pipe.close()  # it waits for nobody to hear it

    def stop(self) -> None:
        """End it, and return when its hosts are gone."""
        self.end()
        if self._process:
            self._process.join()
        self._process, self._pipe, self.is_asking = None, None, False

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would have our threads' locks, and not the threads
        self._pipe, theirs = context.Pipe()
        locks = {card: _Handed(descriptor) for card, descriptor in card_locks.descriptors().items()}
        given = (self.place, self.setting, theirs, locks)
        self._process = context.Process(target=_be_place, args=given, name=str(self.place), daemon=True)
        with blocked():
            self._process.start()
        theirs.close()

    def _send(self, message: Any) -> None:
        with suppress(OSError):  # it has just ended, which `hear` will tell
            self._pipe.send(message)


@dataclass(frozen=True)
class _Handed:
    """An open file that goes along to a process which is started."""

    descriptor: int

    def __reduce__(self) -> tuple:
        return _received, (DupFd(self.descriptor),)


def _received(handed: Any) -> int:
    return handed.detach()


@dataclass
class _Teller:
    """The BlockListener of a block there: passes on all it is told."""

    pipe: Connection

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given: self.pipe.send((name, given))

    def more(self, block: Block) -> tuple[Repeat, ...]:
        """Return what the other side answers."""
        self.pipe.send((MORE, (block,)))
        return self.pipe.recv()


def _be_place(place: Place, setting: Setting, pipe: Connection, locks: Mapping[str, int]) -> None:
    """Run the blocks that come, until none does."""
    with suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        end_with(multiprocessing.parent_process().join)
        place.enter()
        card_locks.adopt(locks)
        with warm_kernels(make_folder(setting.log_dir / f"place={place.number}"), setting.modules):
            _run_blocks(pipe, host_opener(setting.share_gpu, setting.compares_launches))


def _run_blocks(pipe: Connection, opener: OpenHost) -> None:
    teller, agains = _Teller(pipe), {}
    while True:
        block, work, facts = pipe.recv()
        budget = work.plan.experiment.again
        again = agains.setdefault(budget, Again(budget, teller))
        try:
            pipe.send((DONE, (run_block(block, work, placed(opener, facts), teller, again=again),)))
        except BenchbookError as error:
            pipe.send((RAISED, (StoreError(str(error)),)))  # others want more than a text to be made again


def placed(opener: OpenHost, facts: PlaceFacts) -> OpenHost:
    """Return what opens hosts as `opener` does, which say where they are."""

    @contextmanager
    def open_host(launch: Launch, kind: str, store: Store, ready_timeout_s: float) -> Iterator[BenchHost]:
        with opener(launch, kind, store, ready_timeout_s) as host:
            yield replace(host, facts=host.facts.model_copy(update={"place": facts}))

    return open_host
