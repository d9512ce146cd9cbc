"""Two processes that become a notebook's kernel: one started ahead, and one forked from a worker that has imported all."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from benchbook.hosts.process import processes

FORK_LIMIT_S = 60.0  # for a kernel, the imports included where they are not over yet: some three seconds


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

    It gets ready by itself, and takes its first message after `begin`. Closing the connection, as the end of this process
    does, ends the kernel. Raises OSError when there is no worker.
    """

    stdin = stdout = stderr = None
    pid: int  # once it has begun

    def __init__(self, socket_path: str, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
        self.returncode: int | None = None
        self._buffer = b""
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.settimeout(FORK_LIMIT_S)
            self._connection.connect(socket_path)
            self._connection.sendall(kernel_order(argv, env, cwd))
        except BaseException:
            self._connection.close()
            raise

    def begin(self, env: Mapping[str, str], cwd: str) -> ForkedKernel:
        """Have it take messages, in the folder `cwd`, and return it; raise OSError where it has ended."""
        try:
            answer = self._message()
            if not answer:
                raise ConnectionResetError("the worker is gone")
            self.pid = int(answer["pid"])
            self._connection.sendall(kernel_order((), env, cwd))
            stat = processes.read_stat(self.pid)
            if stat is None or stat.state in "ZX":
                raise ConnectionResetError("the kernel has ended")
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End it."""
        self._connection.close()

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
