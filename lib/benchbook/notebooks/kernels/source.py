"""Kernels that have imported what notebooks need: forked from a process that did so once, or one that is started ahead."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from benchbook.hosts.worker import Worker
from benchbook.terms.errors import HostStartError

LISTEN_LIMIT_S = 60.0  # it listens before it imports anything heavy: 0.2 s on an idle machine
FORK_LIMIT_S = 60.0  # for a kernel, the imports included where they are not over yet: some three seconds


class KernelSource(Protocol):
    """Gives a kernel's process, with the part of Popen's interface that Jupyter uses."""

    def __call__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Any: ...


_source: KernelSource | None = None  # of the kernels that this process uses now; one sweep, one worker


class WarmKernels(Worker):
    """The process that kernels are forked from; the guardian ends it, with all of them, when its owner is gone.

    One that has died is started again for the next kernel.
    """

    def __init__(self, log_dir: Path | str) -> None:
        super().__init__(
            "benchbook.notebooks.kernels.fork_main",
            [],
            env={},
            name="kernels",
            kind="kernels",
            log_dir=log_dir,
            ready_timeout_s=LISTEN_LIMIT_S,
        )

    def fork(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> ForkedKernel | AheadKernel:
        """Return a new kernel: a fork of the worker, or a process of its own where there is no worker to be had."""
        try:
            self.ensure()
            return ForkedKernel(self.socket_path, argv, env, cwd)
        except (OSError, HostStartError):
            return AheadKernel([]).become(argv, env, cwd)


@contextmanager
def warm_kernels(log_dir: Path | str) -> Iterator[None]:
    """Inside, notebooks are executed in kernels forked from one worker, whose log is in `log_dir`."""
    worker = WarmKernels(log_dir)
    try:
        with suppress(HostStartError):  # each kernel tries again, and does without
            worker.start()  # the first kernel waits for it, and is wanted once a host is there
        with _kernels_from(worker.fork):
            yield
    finally:
        worker.stop(grace_s=0.0)  # it holds nothing that would have to be ended in order


@contextmanager
def kernel_ahead(modules: Sequence[str]) -> Iterator[None]:
    """Inside, the first notebook's kernel imports `modules` while this process gets ready to execute it.

    Inside of `warm_kernels`, whose kernels have imported all, nothing is started.
    """
    if _source:
        yield
        return
    kernel = AheadKernel(modules)
    try:
        with _kernels_from(kernel.become):
            yield
    finally:
        kernel.kill()
        kernel.communicate()  # reaps it, and closes the pipe


def kernel_source() -> KernelSource | None:
    """Return where kernels come from now; None where each is started as Jupyter does."""
    return _source


@contextmanager
def _kernels_from(source: KernelSource) -> Iterator[None]:
    global _source
    _source = source
    try:
        yield
    finally:
        _source = None


class AheadKernel(subprocess.Popen):
    """A process that imports `modules` and is a kernel once it has been told which."""

    def __init__(self, modules: Sequence[str]) -> None:
        # -P: as with the `benchbook` script, the current folder is not searched for modules.
        argv = [sys.executable, "-P", "-m", "benchbook.notebooks.kernels.ahead_main", *modules]
        super().__init__(argv, stdin=subprocess.PIPE, start_new_session=True)

    def become(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> AheadKernel:
        """Return the kernel of `argv` in the folder `cwd`: this process, a new one where it is one already or has died."""
        if not self.stdin.closed:
            with suppress(BrokenPipeError), self.stdin as pipe:
                pipe.write(kernel_order(argv, env, cwd))
                pipe.flush()
                return self
        return AheadKernel([]).become(argv, env, cwd)


def kernel_order(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> bytes:
    """Return the line that tells a process of ours which kernel it is."""
    return json.dumps({"argv": list(argv), "env": dict(env), "cwd": cwd}).encode() + b"\n"


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
            self._connection.sendall(kernel_order(argv, env, cwd))
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
