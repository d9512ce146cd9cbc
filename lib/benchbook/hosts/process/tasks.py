"""One benchmark task on a warm worker: the protocol, and the worker's side of it.

A worker is a process that has paid vLLM's import, and for the offline benchmarks the engine's start, once. It listens
on a unix socket in a folder closed to other users; one connection is one task, the next one waits in the queue:

    client -> {"argv": ["latency", "--input-len", "128"], "env": {}, "log_path": "bench.log", "cwd": "/", "seed": 7}
    worker -> {"exit_code": 0, "wall_s": 1.25}   or   {"refused": "why this worker cannot run it"}

Console text does not pass through the socket: the worker appends it, stdout and stderr in order, to `log_path`, as the
command line would with `>> bench.log 2>&1`, and the client follows that file. So a slow reader never holds up what is
being measured, and nothing is lost when the reader dies. A client that closes its connection abandons its task.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

# Variables that act when a process starts: a task that asks for another value needs another process.
_FIXED_AT_START = tuple("VLLM_ CUDA_ HIP_ HSA_ ROCR_ NCCL_ TORCH PYTORCH_ OMP_ LD_ HF_ SSL_".split())


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a client asks of a worker."""

    argv: tuple[str, ...]  # what follows `vllm bench`
    env: Mapping[str, str]  # added to the worker's environment for this task
    log_path: str  # absolute; console text is appended
    cwd: str  # where relative paths of `argv` begin
    memory_mib: int | None = None  # by which the task may grow before it is ended; None: without a limit
    seed: int | None = None  # for numpy's and Python's global generators; None: from entropy, as in a new process
    addresses: tuple[str, ...] = ()  # of one service, which get its requests in turn, where they are several
    ends_after_s: float | None = None  # a closed loop sends nothing more then; None: it sends all
    stretch: Mapping[str, Any] | None = None  # of frozen requests, or these themselves, in place of a data set

    def to_line(self) -> bytes:
        """Return the task as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Task:
        """Return the task that `to_line` wrote."""
        fields = json.loads(line)
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("argv", "addresses")}})


class TaskRefused(BaseException):
    """This worker cannot run the task, the command line can. A BaseException: no `except Exception` of vLLM eats it."""


class WorkerStopped(BaseException):
    """SIGTERM came: unwind, so that what was opened is closed in order."""


@contextlib.contextmanager
def until_sigterm() -> Iterator[None]:
    """Leave the block on SIGTERM, wherever the code is."""

    def stop(*_: object) -> NoReturn:
        raise WorkerStopped

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(WorkerStopped):
        yield


@contextlib.contextmanager
def listening(socket_path: Path) -> Iterator[socket.socket]:
    """Inside, a socket listens at `socket_path`, which is gone after; its folder is closed to other users."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(socket_path))
            listener.listen()
            yield listener
    finally:
        socket_path.unlink(missing_ok=True)  # the owner removes it as well


def serve_tasks(
    listener: socket.socket, handle: Callable[[Task, socket.socket], dict[str, Any]], after_task: Callable[[], None]
) -> None:
    """Answer tasks for ever, one at a time; `after_task` runs when the client has its answer."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            line = stream.readline()
            if not line:
                continue  # somebody looked whether we listen
            task = Task.from_line(line)
            answer = handle(task, connection)
            print(f"{task.argv[0]}: {answer}", flush=True)
            with contextlib.suppress(BrokenPipeError):  # the client has left; its log file has all there is
                connection.sendall(json.dumps(answer).encode() + b"\n")
        after_task()


def is_closed(connection: socket.socket) -> bool:
    """Return whether the client has closed its end."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def check_environment(task: Task, at_start: Mapping[str, str]) -> None:
    """Raise TaskRefused when `task` sets a variable that only a new process would heed."""
    different = [
        name
        for name, value in sorted(task.env.items())
        if name.startswith(_FIXED_AT_START) and at_start.get(name) != value
    ]
    if different:
        raise TaskRefused(f"the task sets {', '.join(different)}, which this process did not start with")


@contextlib.contextmanager
def as_own_process(task: Task) -> Iterator[None]:
    """Inside, console, environment, folder, arguments and random generators are those of a new process for `task`.

    The file descriptors themselves are moved, so that libraries which hold on to the old stream objects follow.
    """
    environment, folder, arguments = dict(os.environ), os.getcwd(), sys.argv
    _flush()
    console = [os.dup(1), os.dup(2)]
    log = os.open(task.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(task.env)
        os.chdir(task.cwd)
        _seed(task.seed)
        yield
    finally:
        _flush()
        for descriptor, saved in enumerate(console, start=1):
            os.dup2(saved, descriptor)
        for descriptor in (*console, log):
            os.close(descriptor)
        os.chdir(folder)
        _restore_environment(environment)
        sys.argv = arguments


def _seed(seed: int | None) -> None:
    import numpy

    random.seed(seed)
    numpy.random.seed(None if seed is None else seed % 2**32)


def _restore_environment(before: Mapping[str, str]) -> None:
    """Undo what has changed and touch nothing else: other threads may be reading the environment."""
    for name in set(os.environ) - set(before):
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
