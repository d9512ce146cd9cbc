"""The program behind WarmClient: it imports vLLM's `bench serve` once and forks a child for each task.

    python -m benchbook.measure.client.main --socket PATH

A child runs vLLM's own command line code as a new process would; whatever it does to random generators, garbage
collector, event loop or environment ends with it, and the next child starts from the same untouched parent.

The fork is safe because the parent does nothing but import: it never encodes a text (the tokenizers' thread pool), runs
no torch operator (OpenMP's), opens no event loop and no CUDA context. The threads it has are OpenBLAS's, which ends
them before a fork and starts them again on demand.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchbook.hosts.process import processes, tasks
from benchbook.hosts.vllm import bench
from benchbook.measure.client.ceiling import measured_ceiling
from benchbook.measure.client.memory import end_above
from benchbook.measure.client.meter import meter_path, metered


class WarmParent:
    """A process that has imported `vllm bench serve` and is ready to fork."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._at_start = dict(os.environ)
        self._refusal = _import_vllm()
        self._ceiling: float | None = None
        self._has_looked = False
        # What is imported stays: no child's collector walks it, which would copy every page of it.
        gc.collect()
        gc.freeze()

    def run(self, task: tasks.Task, connection: socket.socket) -> dict[str, Any]:
        """Run `task` in a child and return the answer to its client; the child is killed when the client leaves."""
        started_s = time.monotonic()
        try:
            self._check(task)
        except tasks.TaskRefused as refusal:
            return {"refused": str(refusal)}
        if not self._has_looked:
            # Now, and not while the server starts: both would be slower than they are when it is measured.
            self._ceiling, self._has_looked = measured_ceiling(), True
        worker_pid, pid = os.getpid(), os.fork()
        if pid == 0:
            self._be_child(task, connection, worker_pid)
        descriptor = os.pidfd_open(pid)
        readable, _, _ = select.select([descriptor, connection], [], [])
        os.close(descriptor)
        if connection in readable and tasks.is_closed(connection):
            os.kill(pid, signal.SIGKILL)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return {"exit_code": exit_code, "wall_s": time.monotonic() - started_s}

    def _check(self, task: tasks.Task) -> None:
        """Raise TaskRefused when this process is not the one for `task`."""
        if self._refusal:
            raise tasks.TaskRefused(self._refusal)
        if task.argv[0] != "serve":
            raise tasks.TaskRefused(f"this client runs serve, not {task.argv[0]}")
        tasks.check_environment(task, self._at_start)

    def _be_child(self, task: tasks.Task, connection: socket.socket, worker_pid: int) -> NoReturn:
        """Run `task` and end this process without the parent's clean-up."""
        exit_code = 1
        try:
            processes.die_with(worker_pid)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            connection.close()
            self._listener.close()
            with tasks.as_own_process(task), metered(meter_path(task.log_path), self._ceiling) as notes:

                def begin(asked_tokens: Sequence[int] | None) -> None:
                    notes["asked_tokens"] = asked_tokens
                    end_above(task.memory_mib)

                with bench.before_requests(begin):
                    exit_code = bench.run_vllm_bench(task.argv)
        except BaseException as error:  # nothing may return into the parent's loop, which this process has inherited
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(exit_code)


def _import_vllm() -> str | None:
    """Import and build what `vllm bench serve` needs; return why that is impossible with this vLLM, or None."""
    try:
        bench.rehearse()
    except (ImportError, AttributeError) as error:
        return f"vLLM's internals have moved: {error!r}"
    return None


def main() -> None:
    """Listen at once, so that clients can wait in the queue while vLLM is imported; then answer tasks."""
    parser = argparse.ArgumentParser(description="Import vLLM's serving benchmark once and fork a child per task.")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen for tasks")
    options = parser.parse_args()
    with tasks.until_sigterm(), tasks.listening(options.socket) as listener:
        parent = WarmParent(listener)
        print("client worker: ready", flush=True)
        tasks.serve_tasks(listener, parent.run, after_task=lambda: None)


if __name__ == "__main__":
    main()
