"""Kernels that have imported what notebooks need: forked from a process that did so once, or one that is started ahead.

A forked one can be got ready before its notebook is there: it listens, and is told folder and environment when it comes.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from benchbook.hosts.process.scratch import scratch_dir
from benchbook.hosts.worker import Worker
from benchbook.notebooks.kernels.processes import AheadKernel, ForkedKernel
from benchbook.terms.errors import HostStartError

LISTEN_LIMIT_S = 60.0  # it listens before it imports anything heavy: 0.2 s on an idle machine
ARGUMENTS = (
    # A kernel's own remarks on being shut down would stand among our lines, and its cells among a person's own in
    # IPython's history, on disk before the first one is executed.
    "--log-level=50",
    "--HistoryManager.enabled=False",
)
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")  # of a unix socket a number each


class KernelSource(Protocol):
    """Where kernels come from."""

    def become(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Any:
        """Return the process of the kernel of `argv`, with the part of Popen's interface that Jupyter uses."""


_source: KernelSource | None = None  # of the kernels that this process uses now; one sweep, one worker


class WarmKernels(Worker):
    """The process that kernels are forked from; the guardian ends it, with all of them, when its owner is gone.

    One that has died is started again for the next kernel.
    """

    program = "benchbook.notebooks.kernels.fork_main"

    def __init__(self, log_dir: Path | str, modules: Sequence[str] = ()) -> None:
        super().__init__(
            self.program,
            modules,
            env={},
            name="kernels",
            kind="kernels",
            log_dir=log_dir,
            ready_timeout_s=LISTEN_LIMIT_S,
        )

        self._ready: tuple[Path, ForkedKernel] | None = None  # the kernel of the next notebook, and its connection file

    @property
    def ready_file(self) -> Path | None:
        """The connection file of the kernel that is ready, None where there is none."""
        return self._ready and self._ready[0]

    def make_ready(self) -> None:
        """Have a kernel forked that is ready once the next notebook is there; waits for nothing."""
        if self._ready or not self.is_alive():
            return
        path = _new_connection_file()
        ports = {name: number for number, name in enumerate(_PORTS, start=1)}
        signed = {"signature_scheme": "hmac-sha256", "key": secrets.token_hex(16)}
        path.touch(mode=0o600)
        path.write_text(json.dumps({"transport": "ipc", "ip": str(path.with_suffix("")), **ports, **signed}))
        with suppress(OSError):  # it has just died: the notebook gets another one
            argv = ["-m", "ipykernel_launcher", "-f", str(path), *ARGUMENTS]
            self._ready = path, ForkedKernel(self.socket_path, argv, dict(os.environ), str(path.parent))

    def become(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> ForkedKernel | AheadKernel:
        """Return a new kernel: the one that is ready for `argv`, a fork of the worker, or where that fails a process of its own."""
        ready, self._ready = self._ready, None
        if ready:
            with suppress(OSError):
                if str(ready[0]) in argv:
                    return ready[1].begin(env, cwd)
            ready[1].close()
        try:
            self.ensure()
            return ForkedKernel(self.socket_path, argv, env, cwd).begin(env, cwd)
        except (OSError, HostStartError):
            return AheadKernel([]).become(argv, env, cwd)


@contextmanager
def warm_kernels(log_dir: Path | str, modules: Sequence[str] = ()) -> Iterator[None]:
    """Inside, notebooks are executed in kernels forked from one worker, whose log is in `log_dir`.

    It has imported what every notebook needs, and `modules`.
    """
    worker = WarmKernels(log_dir, modules)
    try:
        with suppress(HostStartError):  # each kernel tries again, and does without
            worker.start()  # the first kernel waits for it, and is wanted once a host is there
        with _kernels_from(worker):
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
        with _kernels_from(kernel):
            yield
    finally:
        kernel.kill()
        kernel.communicate()  # reaps it, and closes the pipe


def make_ready() -> None:
    """Have the next notebook's kernel get ready meanwhile, where kernels are forked; waits for nothing."""
    if isinstance(_source, WarmKernels):
        _source.make_ready()


def connection_file() -> Path:
    """Return the path of the next kernel's connection file, which is there already where that kernel is ready."""
    ready_file = _source.ready_file if isinstance(_source, WarmKernels) else None
    return ready_file or _new_connection_file()


def _new_connection_file() -> Path:
    return scratch_dir() / f"kernel-{secrets.token_hex(4)}.json"


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
