"""What the warm workers have in common: a process of ours that listens for tasks on a unix socket (tasks.py)."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchbook.hosts.process import registry
from benchbook.hosts.process.guardian import STOP_GRACE_S, GuardedProcess, spawn
from benchbook.hosts.process.logs import HostLog
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.process.scratch import scratch_dir
from benchbook.terms.errors import HostDiedError, HostStartError

if TYPE_CHECKING:
    from benchbook.hosts.face import Engine, OnProgress

READY_POLL_S = 0.05


class Worker:
    """A program that takes tasks, under a guardian. As a context manager it listens inside and is gone after."""

    def __init__(
        self,
        module: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        name: str,
        kind: str,
        log_dir: Path | str | None,
        ready_timeout_s: float,
        on_progress: OnProgress | None = None,
        python: Python = HERE,
    ) -> None:
        self.name, self.ready_timeout_s, self._on_progress = name, ready_timeout_s, on_progress
        self.ready_s: float | None = None  # from the start until it takes tasks; None until it does
        self.started_utc: str | None = None
        self.socket_path = str(scratch_dir() / secrets.token_hex(6))
        # -P: as with the `vllm` script, the current folder is not searched for modules.
        self.argv = [python.path, "-P", "-m", module, "--socket", self.socket_path, *argv]
        self._python = python
        self._env, self._kind = {**env, "PYTHONUNBUFFERED": "1"}, kind
        self._process: GuardedProcess | None = None
        folder = Path(log_dir) if log_dir else registry.state_dir() / "logs" / Path(self.socket_path).name
        folder.mkdir(parents=True, exist_ok=True)
        # Absolute, as Papermill stands in the notebook's folder when a kernel has the worker started again.
        self.log_path = folder.absolute() / f"{kind}.log"
        self._log = HostLog(self.log_path, start_bytes=0)

    def __repr__(self) -> str:
        ready = f"ready after {self.ready_s:.1f} s" if self.ready_s and self.is_alive() else "not ready"
        return f"<{type(self).__name__} {self.name!r} {ready}>"

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()  # __exit__ does not run when __enter__ raises
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The pid of the worker's main process, None before the start."""
        return self._process.pid if self._process else None

    @property
    def process(self) -> GuardedProcess | None:
        """The process and its guardian: its host id, its tree. None before the start."""
        return self._process

    def tree_pids(self) -> list[int]:
        """Return the pids of all running processes of the worker."""
        return self._process.tree_pids() if self._process else []

    def ensure(self) -> None:
        """Have it take tasks, at the same socket: one that starts is waited for, one that has died is started again.

        One that is killed while it starts is started once more. Raises HostStartError.
        """
        for has_another_try in (True, False):
            try:
                # Both: a guardian tells of a death an instant later, and one that has died itself leaves a listener.
                if not (self.is_alive() and (self.ready_s is None or self._listens())):
                    self.stop()
                    self.start()
                if self.ready_s is None:
                    self.wait_ready()
                return
            except HostStartError as error:
                if error.cause.code != "killed_by_signal" or not has_another_try:
                    raise

    def start(self, descriptors: Sequence[int] = ()) -> None:
        """Start the process and return; `wait_ready` tells when it takes tasks. `descriptors` are as in `spawn`."""
        self._log = HostLog(self.log_path)
        self.ready_s = None
        self._started_at_s = time.monotonic()
        self.started_utc = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._process = spawn(
            self.argv,
            env=self._env,
            log_path=self.log_path,
            name=self.name,
            kind=self._kind,
            descriptors=descriptors,
            python=self._python,
        )

    def wait_ready(self) -> None:
        """Return when the worker takes tasks; raise HostStartError when it is dead or late."""
        deadline = self._started_at_s + self.ready_timeout_s
        while not self._listens():
            exit_code = self._process.poll()
            if exit_code is not None:
                cause = _vllm().causes.ended(self.log_text(), exit_code)
                raise HostStartError(f"{self._title} exited with code {exit_code} ({cause}); {self._log.end()}", cause)
            if time.monotonic() > deadline:
                cause = _vllm().causes.late(self.log_text(), self.ready_timeout_s)
                raise HostStartError(f"{self._title} is late ({cause}); {self._log.end()}", cause)
            if self._on_progress:
                self._on_progress(time.monotonic() - self._started_at_s, _vllm().log.startup_phase(self.log_text()))
            time.sleep(READY_POLL_S)
        self.ready_s = time.monotonic() - self._started_at_s

    def is_alive(self) -> bool:
        """Return whether the worker's main process runs."""
        return self._process is not None and self._process.poll() is None

    def check_alive(self) -> None:
        """Raise HostDiedError, with the cause, when the worker has died."""
        if not self.is_alive():
            cause = _vllm().causes.ended(self.log_text(), self._process.poll() if self._process else None)
            raise HostDiedError(f"{self._title} died ({cause}); {self._log.end()}", cause)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the worker with its whole tree and return when it is gone; a second call does nothing."""
        if self._process:
            self._process.stop(grace_s)
        Path(self.socket_path).unlink(missing_ok=True)  # the worker removes it, unless it was killed

    def log_text(self) -> str:
        """Return the log of the current start, as `HostLog.text` does."""
        return self._log.text()

    @property
    def _title(self) -> str:
        return f"{self._kind} {self.name!r}"

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(self.socket_path)
            return True
        return False


def _vllm() -> Engine:
    """Return who reads a log of ours; imported late, since the command of a report has a worker at hand and starts none."""
    from benchbook.hosts.engines import VLLM

    return VLLM
