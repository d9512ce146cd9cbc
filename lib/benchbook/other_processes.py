"""Work done by other processes, forks of this one: each has all that this one has, and a core of its own.

Of this one's threads it has none, and it needs none: it computes, and hands each piece over by a file. What it does not
give, for whatever reason, is left to this process.
"""

from __future__ import annotations

import math
import os
import pickle
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, NoReturn, TypeVar

from pydantic import BaseModel

from benchbook.container import cpus

LIMIT_S = 120  # of a process that hangs: it ends itself
MOST = 3  # others: what they make is taken over by one
HANDED = 1.5  # times as long as here something takes another one, which hands it over as well

Item, Found = TypeVar("Item"), TypeVar("Found")


class OtherProcess:
    """A process that does pieces of work in their order; raises OSError where none, or no file, is to be had."""

    def __init__(self, pieces: Sequence[Callable[[], Any]]) -> None:
        # Files, since a pipe would hold it up until its first piece is asked for.
        self._files = [tempfile.TemporaryFile() for _ in pieces]
        self._num_done, self._has_ended = 0, False
        reading, writing = os.pipe()
        self._news = open(reading, "rb", buffering=0)  # a byte a piece, and the end of them
        with open(writing, "wb", buffering=0) as news:
            self._pid = os.fork()
            if self._pid == 0:
                self._work(pieces, news.fileno())

    def is_to_come(self, place: int) -> bool:
        """Return whether the piece at `place` is not there and may still come; waits for nothing."""
        while not self._is_over(place) and select.select([self._news], [], [], 0)[0]:
            self._hear()
        return not self._is_over(place)

    def result(self, place: int) -> Any | None:
        """Return what the piece at `place` came to, once that is there; None where the process has ended without it."""
        while not self._is_over(place) or (self._num_done == len(self._files) and not self._has_ended):
            self._hear()
        if place >= self._num_done:
            return None
        self._files[place].seek(0)
        return pickle.load(self._files[place])

    def _is_over(self, place: int) -> bool:
        return self._has_ended or place < self._num_done

    def _hear(self) -> None:
        if self._news.read(1):
            self._num_done += 1
            return
        self._has_ended = True
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _work(self, pieces: Sequence[Callable[[], Any]], news: int) -> NoReturn:
        """Do all pieces, and end without the clean-up that is the other process's."""
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LIMIT_S)
            sys.stdout = sys.stderr = open(os.devnull, "w")  # a kernel's own are the work of its threads
            for piece, file in zip(pieces, self._files):
                _Pickler(file).dump(piece())
                file.flush()
                os.write(news, b".")
        finally:
            os._exit(0)


def num_others() -> int:
    """Return how many other processes have a core here; 0 where there is one core, or a fork is no copy."""
    return max(0, min(int(cpus()) - 1, MOST)) if sys.platform == "linux" else 0


def shared(work: Callable[[Sequence[Item]], Found], items: Sequence[Item]) -> list[Found]:
    """Return what `work` makes of `items`, part by part in their order: of the first here, of the others elsewhere."""
    number = num_others()
    first = round(len(items) * HANDED / (HANDED + number))
    each = max(1, math.ceil((len(items) - first) / max(1, number)))
    parts = [items[:first], *(items[place : place + each] for place in range(first, len(items), each))]
    others = [_begun(partial(work, part)) for part in parts[1:]]
    own = work(parts[0])
    results = [other.result(0) if other else None for other in others]
    return [own, *(work(part) if found is None else found for part, found in zip(parts[1:], results))]


def _begun(piece: Callable[[], Any]) -> OtherProcess | None:
    try:
        return OtherProcess([piece])
    except OSError:
        return None


class _Pickler(pickle.Pickler):
    """Pickles models in two thirds of the time of their own way: which of their fields were told is mostly the same."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._told: dict[frozenset[str], set[str]] = {}

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, BaseModel):
            return NotImplemented
        told = self._told.setdefault(frozenset(thing.model_fields_set), thing.model_fields_set)
        return _remade, (type(thing), vars(thing), thing.model_extra, told)


def _remade(kind: type[BaseModel], fields: dict[str, Any], extra: dict[str, Any] | None, told: set[str]) -> BaseModel:
    made = kind.__new__(kind)
    state = {
        "__dict__": fields,
        "__pydantic_extra__": extra,
        "__pydantic_fields_set__": told,
        "__pydantic_private__": None,
    }
    for name, value in state.items():
        object.__setattr__(made, name, value)
    return made
