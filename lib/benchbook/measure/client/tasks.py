"""Run `vllm bench` on a warm worker when there is one, else by the plain command line. Both run the same vLLM code.

Either way the console text goes to the end of a log file, and each line of it to `on_line` as it appears.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.process.guardian import OWN_FOLDER, spawn
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.process.tasks import Task
from benchbook.hosts.vllm.command import private_environment, vllm_program
from benchbook.measure.client.given import Given
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.drawing.order import DRAW, PROGRAM
from benchbook.terms.errors import Cause, MeasureError
from benchbook.terms.redaction import known_secrets, redact_file

FOLLOW_POLL_S = 0.05
CANCELLED_EXIT_CODE = -15  # as if by SIGTERM
WARM, COMMAND_LINE = "warm", "command line"

OnLine = Callable[[str], object] | None
Requests = Stretch | Given | None


@dataclass(frozen=True)
class BenchRun:
    """How one `vllm bench` ended, and which way it was run."""

    exit_code: int
    way: str  # WARM or COMMAND_LINE
    reason: str | None  # why the warm worker that was offered did not run it
    wall_s: float


class TaskRefusedError(MeasureError):
    """The worker cannot run this task; the command line can."""


def run_bench(
    argv: Sequence[str],
    *,
    socket_path: str | Path | None,
    env: Mapping[str, str],
    on_line: OnLine,
    log_path: str | Path,
    limit_s: float,
    memory_mib: int | None = None,
    seed: int | None = None,
    stretch: Requests = None,
    ends_after_s: float | None = None,
    cancel: threading.Event | None = None,
    python: Python = HERE,
    private_words: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> BenchRun:
    """Run `vllm bench *argv` on the worker at `socket_path`, or by the command line when there is none or it refuses.

    The command line is that of the vLLM of `python`. Given a `stretch`, whose words `argv` has, its requests are sent.

    A refusal is said in one line to `on_line`. A benchmark that fails is never run again. When `cancel` is set the
    benchmark is ended and the exit code is negative. `private_words` behind `argv` go to a worker alone: whoever lists
    processes sees a command line, so without one nothing is run and MeasureError is raised; so it is with `addresses`,
    which get the requests in turn, and with `ends_after_s`, after which nothing more is sent. A worker's ends with exit
    code 1 once its answers take more than `memory_mib`. Raises MeasureError when the worker is lost and after `limit_s`.
    """
    started_s = time.monotonic()
    way, reason = COMMAND_LINE, None
    how = {"env": env, "on_line": on_line, "log_path": log_path, "limit_s": limit_s, "cancel": cancel}
    if socket_path is not None:
        try:
            more = {"memory_mib": memory_mib, "seed": seed, "stretch": stretch}
            more |= {"addresses": addresses, "ends_after_s": ends_after_s}
            exit_code = run_task(socket_path, [*argv, *private_words], **more, **how)
            way = WARM
        except TaskRefusedError as refusal:
            reason = refusal.cause.evidence
            if on_line is not None:
                on_line(f"benchbook: by the plain command line, since {reason}")
    if way == COMMAND_LINE:
        _refuse_what_it_cannot(bool(private_words), len(addresses), ends_after_s is not None, reason or "there is none")
        with stretch.plain_file(argv) if stretch else contextlib.nullcontext():
            exit_code = run_official(argv, python=python, **how)
    return BenchRun(exit_code, way, reason, time.monotonic() - started_s)


def _refuse_what_it_cannot(has_headers: bool, num_addresses: int, has_end: bool, reason: str) -> None:
    """Raise MeasureError for what a plain command line cannot send, where there is no warm client for `reason`."""
    if has_headers:
        evidence = f"only the warm client could send the headers unseen: {reason}"
        raise MeasureError(f"nothing was sent: {evidence}", Cause("headers_seen", evidence, "leave headers_env out"))
    if num_addresses:
        evidence = f"only the warm client sends to {num_addresses} addresses in turn: {reason}"
        raise MeasureError(f"nothing was sent: {evidence}", Cause("one_address", evidence, "attach one of them"))
    if has_end:
        evidence = f"only the warm client ends by the clock: {reason}"
        hint = "leave ends_after_s out, or say a time as num_prompts"
        raise MeasureError(f"nothing was sent: {evidence}", Cause("client_needed", evidence, hint))


def run_task(
    socket_path: str | Path,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    on_line: OnLine,
    log_path: str | Path,
    limit_s: float,
    memory_mib: int | None = None,
    seed: int | None = None,
    stretch: Requests = None,
    ends_after_s: float | None = None,
    cancel: threading.Event | None = None,
    addresses: Sequence[str] = (),
) -> int:
    """Run `vllm bench *argv` on the worker at `socket_path` and return its exit code; leaving early ends the task.

    `seed` is for the random generators that the benchmark does not seed itself. Raises TaskRefusedError when this worker
    cannot run it, MeasureError when the worker is lost and after `limit_s`.
    """
    task = Task(
        argv=tuple(argv),
        env={name: value for name, value in env.items() if value != OWN_FOLDER},  # the worker has its own already
        log_path=str(Path(log_path).resolve()),
        cwd=os.getcwd(),
        memory_mib=memory_mib,
        seed=seed,
        addresses=tuple(addresses),
        ends_after_s=ends_after_s,
        stretch=stretch and stretch.to_json(),
    )
    with _LogReader(log_path, on_line) as log, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(socket_path))
            connection.sendall(task.to_line())
            answer = _follow(lambda poll_s: _read_answer(connection, poll_s), log, limit_s, cancel)
        except OSError as error:
            raise _lost(f"{error.strerror} at {socket_path}") from error
    if answer is None:
        return CANCELLED_EXIT_CODE
    if "refused" in answer:
        cause = Cause("task_refused", answer["refused"], "the plain command line can run it")
        raise TaskRefusedError(f"the worker refused the task: {answer['refused']}", cause)
    return answer["exit_code"]


def run_official(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    on_line: OnLine,
    log_path: str | Path,
    limit_s: float,
    cancel: threading.Event | None = None,
    python: Python = HERE,
) -> int:
    """Run the plain command line `vllm bench *argv` of `python` in a process of its own and return its exit code.

    Raises MeasureError after `limit_s`.
    """
    # Whether the hub may be asked is the caller's to say: only it knows if a model has to be downloaded.
    env = {**private_environment(needs_download=True), "PYTHONUNBUFFERED": "1", **env}
    with _LogReader(log_path, on_line) as log:
        command = [*PROGRAM, *argv[1:]] if argv[0] == DRAW else [*vllm_program(python), "bench", *argv]
        process = spawn(command, env=env, log_path=log_path, name=f"bench {argv[0]}", kind="client", python=python)
        try:
            exit_code = _follow(process.wait, log, limit_s, cancel)
        finally:
            process.stop()
    return CANCELLED_EXIT_CODE if exit_code is None else exit_code


class _LogReader:
    """Gives each line that is appended to a log from now on to `on_line`; a carriage return ends a line as well."""

    def __init__(self, log_path: str | Path, on_line: OnLine) -> None:
        self._on_line = on_line
        self._file = open(log_path, "a+b")  # begins at the end, and makes the file
        self._partial = b""

    def __enter__(self) -> _LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.read()
        self._pass_on([self._partial])
        self._file.close()
        with contextlib.suppress(OSError):  # deleted meanwhile
            redact_file(Path(self._file.name), known_secrets())

    def read(self) -> None:
        """Pass on the lines that have come since the last call."""
        *lines, self._partial = (self._partial + self._file.read()).replace(b"\r", b"\n").split(b"\n")
        self._pass_on(lines)

    def _pass_on(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if self._on_line is not None and line.strip():
                self._on_line(line.decode(errors="replace").rstrip())


def _follow(wait: Callable[[float], Any], log: _LogReader, limit_s: float, cancel: threading.Event | None) -> Any:
    """Return what `wait(seconds)` returns once that is not None, passing the log on meanwhile; None when cancelled."""
    deadline = time.monotonic() + limit_s
    while (end := wait(FOLLOW_POLL_S)) is None:
        log.read()
        if cancel is not None and cancel.is_set():
            return None
        if time.monotonic() > deadline:
            cause = Cause("benchmark_late", f"no end within {limit_s:g} s", "raise the limit or measure less")
            raise MeasureError(f"the benchmark was ended: {cause.evidence}", cause)
    return end


def _read_answer(connection: socket.socket, poll_s: float) -> dict[str, Any] | None:
    """Return the worker's answer, None when there is none within `poll_s`."""
    if not select.select([connection], [], [], poll_s)[0]:
        return None
    line = connection.makefile("rb").readline()
    if not line.endswith(b"\n"):
        raise _lost("it closed the connection in the middle of the task")
    return json.loads(line)


def _lost(evidence: str) -> MeasureError:
    return MeasureError(f"the worker is lost: {evidence}", Cause("worker_lost", evidence, "see the worker's log"))
