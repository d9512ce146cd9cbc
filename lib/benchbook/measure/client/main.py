"""The program behind WarmClient: it imports vLLM's `bench serve` once and forks a child for each task.

    python -m benchbook.measure.client.main --socket PATH

A child (child.py) runs vLLM's own command line code as a new process would; whatever it does to random generators, garbage
collector, event loop or environment ends with it, and the next child starts from the same untouched parent.

The fork is safe because the parent does nothing but import: it never encodes a text (the tokenizers' thread pool), runs
no torch operator (OpenMP's), opens no event loop and no CUDA context. The threads it has are OpenBLAS's, which ends
them before a fork and starts them again on demand.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import time
from pathlib import Path
from typing import Any

from benchbook import collector
from benchbook.hosts.process import tasks
from benchbook.hosts.vllm import bench, bench_end, bench_requests
from benchbook.measure.client.ceiling import measured_ceiling
from benchbook.measure.client.child import Child
from benchbook.measure.drawing.order import DRAW
from benchbook.terms.benchmarks import SERVE


class WarmParent:
    """A process that has imported `vllm bench serve` and is ready to fork."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._at_start = dict(os.environ)
        self._refusal = _import_vllm()
        self._ceiling: float | None = None
        self._has_looked = False
        self._ahead: Child | None = None
        self._ended: Child | None = None
        self._goes_ahead = self._refusal is None
        # What is imported stays: no child's collector walks it, which would copy every page of it. Nor does ours first:
        # it would take 0.6 s, to free ten objects.
        gc.freeze()
        self.make_ready()

    def make_ready(self) -> None:
        """Have a child ready for the next task, once that of the last one is gone; no client waits for either."""
        if self._ended:
            self._ended.reap()
        if self._goes_ahead and not self._ahead:
            self._ahead = Child([self._listener], is_ahead=True)

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
        self._ended = self._child_of(task, connection)
        exit_code = self._ended.result(connection)
        return {"exit_code": exit_code, "wall_s": time.monotonic() - started_s}

    def _child_of(self, task: tasks.Task, connection: socket.socket) -> Child:
        """Return the child that has begun `task`: the one that is ready, another where that has ended."""
        ahead, self._ahead = self._ahead, None
        if ahead and task.argv[0] == DRAW:
            self._ahead = ahead  # for the next load: what draws has other words
        elif ahead:
            if ahead.take(task, self._ceiling):
                return ahead
            self._goes_ahead = ahead.reap() < 0  # killed, as one that is told at once may be as well
        child = Child([self._listener, connection], is_ahead=False)
        child.take(task, self._ceiling)
        return child

    def _check(self, task: tasks.Task) -> None:
        """Raise TaskRefused when this process is not the one for `task`."""
        if self._refusal:
            raise tasks.TaskRefused(self._refusal)
        if task.argv[0] not in (SERVE.name, DRAW):
            raise tasks.TaskRefused(f"this client runs serve, not {task.argv[0]}")
        if (task.stretch is not None or task.addresses) and (why := bench_requests.why_not_sending()):
            raise tasks.TaskRefused(why)
        if task.ends_after_s is not None and (why := bench_end.why_not_ending()):
            raise tasks.TaskRefused(why)
        tasks.check_environment(task, self._at_start)


@collector.at_rest()
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
        tasks.serve_tasks(listener, parent.run, after_task=parent.make_ready)


if __name__ == "__main__":
    main()
