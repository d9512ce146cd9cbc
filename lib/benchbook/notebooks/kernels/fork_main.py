"""The program behind WarmKernels: it imports once what notebooks need, and forks a Jupyter kernel for each that asks.

    python -m benchbook.notebooks.kernels.fork_main --socket PATH MODULE ...

One connection is one kernel, which lives no longer than the connection does:

    client -> {"argv": ["python", "-m", "ipykernel_launcher", "-f", "..."], "env": {...}, "cwd": "/..."}
    worker -> {"pid": 4711}     and when it has ended     {"exit_code": 0}
    client -> {"argv": [], "env": {...}, "cwd": "/..."}

The kernel gets ready after the first line, and takes messages after the second, in that environment and folder.

The fork is safe for the reasons given in client_worker.py: the parent only imports and draws one figure, in one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import benchbook
from benchbook import collector
from benchbook.hosts.machine import nvml
from benchbook.hosts.machine.facts import machine
from benchbook.hosts.process import processes, tasks
from benchbook.notebooks.kernels.ahead_main import import_ahead, run_kernel, take_on
from benchbook.records.packages import package_versions

# Of our own measuring, of every kernel and its shell: they would import them when they come to need them.
_LATE_MODULES = (
    *("prometheus_client.parser", "psutil", "encodings.idna", "faulthandler"),
    *("tornado.platform.asyncio", "zmq.utils.garbage", "sqlite3", "IPython.core.debugger", "IPython.core.logger"),
    *("IPython.core.completerlib", "IPython.core.oinspect", "IPython.extensions.storemagic", "IPython.utils.wildcard"),
)
_DRAWING = "benchbook.report.drawing"  # which this room does not know: it is what notebooks draw with


@dataclass(frozen=True)
class _Kernel:
    pid: int
    descriptor: int  # readable once the kernel has ended
    connection: socket.socket
    pipe: int  # to the kernel, for what its client says after the first line


class KernelWorker:
    """Answers connections, one kernel each, until SIGTERM."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._pipes: set[int] = set()  # of all kernels

    def run(self) -> NoReturn:
        """Serve for ever."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._selector.get_map():  # else what came before it has ended its kernel
                    key.data()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        with connection.makefile("rb") as stream:
            line = stream.readline()
        if not line:
            connection.close()  # somebody looked whether we listen
            return
        reading, writing = os.pipe()
        worker_pid, pid = os.getpid(), os.fork()
        if pid == 0:
            os.close(writing)
            self._be_kernel(json.loads(line), reading, connection, worker_pid)
        os.close(reading)
        os.setpgid(pid, pid)  # before anybody is told of it: signals to its group must not reach ours
        self._pipes.add(writing)
        kernel = _Kernel(pid, os.pidfd_open(pid), connection, writing)
        self._watch(kernel.descriptor, lambda: self._has_ended(kernel))
        self._watch(connection, lambda: self._is_heard(kernel))
        _tell(connection, pid=pid)

    def _watch(self, what: Any, then: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, then)

    def _is_heard(self, kernel: _Kernel) -> None:
        """Pass on what the client says; the end of the connection is that of the kernel."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            if said := kernel.connection.recv(2**16):
                os.write(kernel.pipe, said)
                return
        self._selector.unregister(kernel.connection)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(kernel.pid, signal.SIGKILL)

    def _has_ended(self, kernel: _Kernel) -> None:
        self._selector.unregister(kernel.descriptor)
        os.close(kernel.descriptor)
        os.close(kernel.pipe)
        self._pipes.remove(kernel.pipe)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(kernel.pid, 0)[1])
        with contextlib.suppress(KeyError):  # it was abandoned
            self._selector.unregister(kernel.connection)
        _tell(kernel.connection, exit_code=exit_code)
        kernel.connection.close()

    def _be_kernel(
        self, order: Mapping[str, Any], reading: int, connection: socket.socket, worker_pid: int
    ) -> NoReturn:
        """Become the kernel that `order` describes, and end without the parent's clean-up."""
        exit_code = 1
        try:
            os.setpgid(0, 0)
            processes.die_with(worker_pid)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for descriptor in (*self._pipes, *(key.fd for key in self._selector.get_map().values())):
                os.close(descriptor)
            self._selector.close()
            connection.close()
            take_on(order)
            exit_code = run_kernel(lambda: _take_on_rest(reading))
        except BaseException as error:  # nothing may return into the parent's loop, which this process has inherited
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_code)


def _take_on_rest(reading: int) -> None:
    """Wait for what is known only when the notebook is there; end where it never comes."""
    with os.fdopen(reading) as pipe:
        line = pipe.readline()
    if not line:
        raise SystemExit
    take_on(json.loads(line))


def _tell(connection: socket.socket, **message: int) -> None:
    with contextlib.suppress(OSError):  # the client has left
        connection.sendall(json.dumps(message).encode() + b"\n")


@collector.at_rest()
def rehearse(modules: Sequence[str]) -> None:
    """Import what notebooks use, look at the machine, and rehearse drawing."""
    import_ahead([*_LATE_MODULES, *benchbook.modules()])
    for module in modules:
        with contextlib.suppress(Exception):  # of those that import it, its notebook tells
            importlib.import_module(module)
    package_versions()
    machine()
    nvml.binding()
    importlib.import_module(_DRAWING).rehearse()


def main(get_ready: Callable[[Sequence[str]], object] = rehearse) -> None:
    """Listen at once, so that clients can wait in the queue while notebooks' libraries are imported, and get ready."""
    parser = argparse.ArgumentParser(description="Import what notebooks need once and fork a Jupyter kernel for each.")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="what else the notebooks import")
    options = parser.parse_args()
    with tasks.until_sigterm(), tasks.listening(options.socket) as listener:
        get_ready(options.modules)
        # What is imported stays: no kernel's collector walks it, which would copy every page of it. Nor does ours first:
        # there is next to nothing to be freed.
        gc.freeze()
        worker = KernelWorker(listener)
        print("kernel worker: ready", flush=True)
        worker.run()


if __name__ == "__main__":
    main()
