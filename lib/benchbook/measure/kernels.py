"""Kernels that have imported already what notebooks need: forked from a process that did so once, for a whole sweep."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchbook.hosts.worker import Worker

LISTEN_LIMIT_S = 60.0  # it listens before it imports anything heavy: 0.2 s on an idle machine
FORK_LIMIT_S = 60.0  # for a kernel, the imports included where they are not over yet: some three seconds

_socket_path = ""  # of the worker that this process uses now; one sweep, one worker


class WarmKernels(Worker):
    """The process that kernels are forked from; the guardian ends it, with all of them, when its owner is gone."""

    def __init__(self, log_dir: Path | str) -> None:
        super().__init__(
            "benchbook.measure.kernel_worker",
            [],
            env={},
            name="kernels",
            kind="kernels",
            log_dir=log_dir,
            ready_timeout_s=LISTEN_LIMIT_S,
        )


@contextmanager
def warm_kernels(log_dir: Path | str) -> Iterator[None]:
    """Inside, notebooks are executed in kernels forked from one worker, whose log is in `log_dir`."""
    global _socket_path
    with WarmKernels(log_dir) as worker:
        _socket_path = worker.socket_path
        try:
            yield
        finally:
            _socket_path = ""


def kernel_socket() -> str:
    """Return where kernels are forked now; '' where each is started anew."""
    return _socket_path


class ForkedKernel:
    """A kernel forked by the worker at `socket_path`, with the part of Popen's interface that Jupyter uses.

    Closing the connection, as the end of this process does, ends the kernel. Raises OSError when there is no worker.
    """

    stdin = stdout = stderr = None

    def __init__(self, socket_path: str, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
        self.returncode: int | None = None
        self._buffer = b""
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.settimeout(FORK_LIMIT_S)
            self._connection.connect(socket_path)
            order = {"argv": list(argv), "env": dict(env), "cwd": cwd}
            self._connection.sendall(json.dumps(order).encode() + b"\n")
            answer = self._message()
            if not answer:
                raise ConnectionResetError("the worker is gone")
            self.pid = int(answer["pid"])
        except BaseException:
            self._connection.close()
            raise

    def poll(self) -> int | None:
        """Return the exit code, None while the kernel runs."""
        return self._end(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when the kernel has ended; raise TimeoutError when it has not within `timeout` seconds."""
        exit_code = self._end(timeout)
        if exit_code is None:
            raise TimeoutError(f"kernel {self.pid} runs on after {timeout:g} s")
        return exit_code

    def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the kernel."""
        self.send_signal(signal.SIGKILL)

    def _end(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout_s)[0]:
            # A worker that is gone took its kernels along.
            self.returncode = self._message().get("exit_code", -signal.SIGKILL)
            self._connection.close()
        return self.returncode

    def _message(self) -> dict[str, Any]:
        """Return the next line of the worker; {} when the worker is gone."""
        while b"\n" not in self._buffer:
            try:
                data = self._connection.recv(4096)
            except ConnectionResetError:
                data = b""
            if not data:
                return {}
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)
