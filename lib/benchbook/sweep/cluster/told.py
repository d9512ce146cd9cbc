"""What goes to a job and comes from it, by files of its folder: what it is given, and every call it tells of."""

from __future__ import annotations

import base64
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from benchbook.hosts.machine.facts import device
from benchbook.plan.order import Block, Repeat
from benchbook.sweep.block_result import Work

GIVEN, TOLD = "job.pickle", "told"
BEGAN, DONE, UNFIT, ENDED = "began", "done", "unfit", "ended"
_NODE_NAMES = ("SLURMD_NODENAME",)  # where several nodes are one machine, it has a name for each


@dataclass(frozen=True)
class Node:
    """Where a job runs."""

    name: str
    device: str  # as records are fingerprinted

    @classmethod
    def here(cls) -> Node:
        """Return the node that this process runs on."""
        named = next((os.environ[name] for name in _NODE_NAMES if os.environ.get(name)), socket.gethostname())
        return cls(named, device())


@dataclass(frozen=True)
class Given:
    """What a job is to do. Without blocks it says where it is, and ends."""

    blocks: tuple[Block, ...] = ()
    work: Work | None = None
    modules: Sequence[str] = ()  # that notebooks import
    share_gpu: bool = False


@dataclass
class Teller:
    """The BlockListener of a job: appends every call to its file."""

    file: BinaryIO

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given: self.tell(name, given)

    def tell(self, name: str, given: tuple[Any, ...] = ()) -> None:
        """Write a line."""
        self.file.write(base64.b64encode(pickle.dumps((name, given))) + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def more(self, block: Block) -> tuple[Repeat, ...]:
        """Return (): what is proposed comes as blocks of their own."""
        return ()


def told_in(path: Path, offset: int) -> Iterator[tuple[str, tuple, int]]:
    """Yield each call that `path` has from `offset` on, whole lines only, with the offset behind it."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            name, given = pickle.loads(base64.b64decode(line))
            yield name, given, offset
