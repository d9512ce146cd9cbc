"""A child of the warm client: one task of `vllm bench serve`, or one set to draw, in a fork that ends with it.

One that is forked before its task is there does meanwhile what vLLM's command line does before it reads its words: it
builds the parsers of all that vLLM has, which takes as long as to make the prompts. Parent and child share a socket:

    parent -> {"argv": ["serve", ...], ...}     and on a second line the client's ceiling     8000.0
    child  -> told     and when its task has ended its exit code     0

One that ends without being told has met a vLLM that reads its words elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchbook.hosts.process import processes, tasks
from benchbook.hosts.vllm import bench, bench_end, bench_requests
from benchbook.measure.client.memory import end_above
from benchbook.measure.client.meter import meter_path, metered
from benchbook.measure.client.sender import Sender
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.drawing.order import DRAW
from benchbook.terms.benchmarks import SERVE

_TOLD = b"told\n"


class Child:
    """A fork of this process, for one task; it closes `inherited`, and ends with its parent."""

    def __init__(self, inherited: Sequence[socket.socket], *, is_ahead: bool) -> None:
        self._channel, theirs = socket.socketpair()
        worker_pid, self.pid = os.getpid(), os.fork()
        if self.pid == 0:
            for other in (self._channel, *inherited):
                other.close()
            _be_child(theirs, worker_pid, is_ahead)
        theirs.close()
        self._descriptor = os.pidfd_open(self.pid)
        self._exit_code: int | None = None  # once it is gone

    def take(self, task: tasks.Task, ceiling_chunks_per_s: float | None) -> bool:
        """Have it begin `task`; return whether it does: False when it has ended before."""
        try:
            self._channel.sendall(task.to_line() + json.dumps(ceiling_chunks_per_s).encode() + b"\n")
            return self._channel.recv(len(_TOLD), socket.MSG_WAITALL) == _TOLD
        except OSError:
            return False

    def result(self, client: socket.socket) -> int:
        """Return the task's exit code, which is there before the child is gone; kill it when `client` leaves."""
        ready, _, _ = select.select([self._channel, self._descriptor, client], [], [])
        if self._channel in ready and (said := self._channel.recv(16)):
            return int(said)
        if client in ready and tasks.is_closed(client):
            self.kill()
        return self.reap()

    def kill(self) -> None:
        """End it, whatever it does."""
        os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait until it is gone and return how it ended, as an exit code."""
        if self._exit_code is None:
            self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._channel.close()
            os.close(self._descriptor)
        return self._exit_code


def _be_child(parent: socket.socket, worker_pid: int, is_ahead: bool) -> NoReturn:
    """Run the task that `parent` tells, and end this process without the parent's clean-up."""
    exit_code = 1
    try:
        processes.die_with(worker_pid)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with contextlib.ExitStack() as stack:
            if is_ahead:
                with contextlib.suppress(ImportError):  # of a vLLM that reads its words elsewhere
                    exit_code = bench.run_when_told(SERVE.name, lambda: _begin(parent, stack))
            else:
                argv = _begin(parent, stack)
                exit_code = _draw(argv[1]) if argv[0] == DRAW else bench.run_vllm_bench(argv)
        parent.sendall(str(exit_code).encode())  # its memory takes as long to free as to fork
    except BaseException as error:  # nothing may return into the parent's loop, which this process has inherited
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(exit_code)


def _draw(order_path: str) -> int:
    from benchbook.measure.drawing.draw import run_order

    return run_order(Path(order_path))


def _begin(parent: socket.socket, stack: contextlib.ExitStack) -> Sequence[str]:
    """Wait to be told the task, become its process until `stack` is left, and return what follows `vllm bench`."""
    with parent.makefile("rb") as stream:
        line, ceiling = stream.readline(), stream.readline()
    if not ceiling:
        os._exit(0)  # nobody wants it any more
    task = tasks.Task.from_line(line)
    parent.sendall(_TOLD)
    stack.enter_context(tasks.as_own_process(task))
    if task.argv[0] == DRAW:
        return task.argv
    notes = stack.enter_context(metered(meter_path(task.log_path), json.loads(ceiling)))
    notes |= {bench_requests.COUNTED: 0, bench_requests.TEXTLESS: 0}

    def heard(what: str) -> None:
        notes[what] += 1

    def begin(asked_tokens: Sequence[int] | None) -> None:
        notes["asked_tokens"] = asked_tokens
        end_above(task.memory_mib)

    stack.enter_context(bench_requests.hearing_ends(heard))
    if task.addresses:
        stack.enter_context(bench_requests.to_each_in_turn(task.addresses))
    if task.stretch is not None:
        sender = Sender(Stretch(**task.stretch))
        notes["sent"] = sender.notes
        stack.enter_context(bench_requests.sending(sender))
    if task.ends_after_s is not None:
        stack.enter_context(bench_end.ending_after(task.ends_after_s))
    stack.enter_context(bench_requests.before_requests(begin))
    return task.argv
