"""The program behind VllmEngine: one `LLM`, loaded once, on which vLLM's own offline benchmarks run task after task.

    python -m benchbook.hosts.vllm.engine_worker --socket PATH -- --model PATH --enforce-eager --max-model-len 4096

A task is `vllm bench latency ...` or `vllm bench throughput ...`, run by vLLM's own command line code in this process.
One thing differs from a process of its own: where that code asks `vllm.LLM` for an engine, it gets the loaded one,
provided that it asked for exactly that; and where the task brings frozen requests, it gets these for a data set. vLLM may move these internals; then every task is refused with the reason, no
engine is loaded, and the client takes the command line.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchbook import collector
from benchbook.hosts.process import tasks
from benchbook.hosts.vllm import bench, bench_engine, bench_given, measured_part
from benchbook.terms.benchmarks import BENCHMARKS

OFFLINE = [name for name, benchmark in BENCHMARKS.items() if benchmark.host_kind == "engine"]
SETTLE_LIMIT_S = 10.0  # for the blocks of aborted requests to come free
SETTLE_POLL_S = 0.02


class TaskAbandoned(BaseException):
    """The client closed its connection while its task ran."""


class LoadedEngine:
    """Stands in for `vllm.LLM` while a benchmark runs: whoever asks for this very engine gets it, already loaded."""

    def __init__(self, engine_argv: Sequence[str]) -> None:
        self._engine_argv = engine_argv
        self._at_start = dict(os.environ)
        # Never given to vLLM, which fills in what it resolves: this stays what the command line asked for.
        with collector.at_rest():  # while vLLM is imported
            self._asked_for = bench_engine.asked_engine_args(engine_argv)
        self._llm: Any = None
        self._log = os.dup(1)  # a task moves the console to its own file

    def load(self) -> None:
        """Build the engine, if it is not there."""
        if self._llm is None:
            with collector.importing():  # vLLM, as it loads, looks several times for garbage: half a second each
                from vllm import LLM
            self._llm = LLM.from_engine_args(bench_engine.asked_engine_args(self._engine_argv))
            self.settle()

    def unload(self) -> None:
        """End the engine's processes and give its memory back."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None
            gc.collect()

    def from_engine_args(self, engine_args: Any) -> Any:
        """Return the loaded `LLM`; raise TaskRefused, naming the fields, when another one is asked for."""
        different = bench_engine.different_fields(self._asked_for, engine_args)
        if different:
            raise tasks.TaskRefused(f"the loaded engine differs from what the task asks for: {'; '.join(different)}")
        return self._llm

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse `LLM(...)`: a vLLM that builds its engine so is not the one this program knows."""
        raise tasks.TaskRefused("this vLLM's benchmark builds its engine without LLM.from_engine_args")

    def run(self, task: tasks.Task, connection: socket.socket) -> dict[str, Any]:
        """Run `task` and return the answer to its client."""
        started_s = time.monotonic()
        try:
            if task.argv[0] not in OFFLINE:
                raise tasks.TaskRefused(f"this engine runs {' and '.join(OFFLINE)}, not {task.argv[0]}")
            tasks.check_environment(task, self._at_start)
            self.load()
            with (
                tasks.as_own_process(task),
                _abandoned_with(connection),
                bench_engine.engine_from(self),
                bench_engine.before_tokens(self._llm, self._note_call),
                bench_given.giving(task.stretch, self._llm, self.settle) if task.stretch else contextlib.nullcontext(),
            ):
                exit_code = bench.run_vllm_bench(task.argv)
            return {"exit_code": exit_code, "wall_s": time.monotonic() - started_s}
        except tasks.TaskRefused as refusal:
            # The command line will load an engine of its own, and the device may not hold two.
            self.unload()
            return {"refused": str(refusal)}
        except TaskAbandoned:
            return {"abandoned": True}

    def _note_call(self) -> None:
        os.write(self._log, f"{measured_part.CALL}\n".encode())

    def settle(self) -> None:
        """Leave nothing of the last task: no request, no cached prefix, no garbage. Raises when that fails."""
        if self._llm is None:
            return
        engine = self._llm.llm_engine
        left_over = list(engine.output_processor.request_states)
        if left_over:
            engine.abort_request(left_over, internal=True)
        deadline = time.monotonic() + SETTLE_LIMIT_S
        # True only when every block is free again, so it vouches for the requests too.
        while not self._llm.reset_prefix_cache():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the engine still holds blocks {SETTLE_LIMIT_S:g} s after the task")
            time.sleep(SETTLE_POLL_S)
        gc.collect()


@contextlib.contextmanager
def _abandoned_with(connection: socket.socket) -> Iterator[None]:
    """Inside, TaskAbandoned is raised, wherever the code is, once the client closes its connection.

    The kernel tells us by a signal; a thread that waits for it would share the interpreter with what is measured.
    """

    def interrupt(*_: Any) -> None:
        if tasks.is_closed(connection):
            raise TaskAbandoned

    signal.signal(signal.SIGIO, interrupt)
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        interrupt()  # it may have left before the kernel was told to watch
        yield
    finally:
        fcntl.fcntl(connection, fcntl.F_SETFL, flags)
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # its default is to end the process


def _refusing(reason: str) -> Callable[[tasks.Task, socket.socket], dict[str, Any]]:
    return lambda task, connection: {"refused": reason}


def main() -> None:
    """Load the engine that the arguments after `--` ask for, then answer tasks until SIGTERM."""
    parser = argparse.ArgumentParser(description="Load one vLLM engine and run offline benchmarks on it.")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen for tasks")
    parser.add_argument("engine_argv", nargs="*", help="after --: engine arguments as for `vllm bench latency`")
    options = parser.parse_args()
    with tasks.until_sigterm(), contextlib.ExitStack() as stack:
        try:
            engine = LoadedEngine(options.engine_argv)
        except (ImportError, AttributeError) as error:
            run, settle = _refusing(f"vLLM's internals have moved: {error!r}"), lambda: None
        else:
            stack.callback(collector.skip_last_look)
            stack.callback(engine.unload)
            engine.load()
            run, settle = engine.run, engine.settle
        listener = stack.enter_context(tasks.listening(options.socket))
        print("engine worker: ready", flush=True)
        tasks.serve_tasks(listener, run, settle)


if __name__ == "__main__":
    main()
