"""What can go wrong, as a tree.

BenchbookError
├── ExperimentError     an experiment file or a parameter asks for what cannot be run; nothing was started (exit code 2)
├── HostError           a process under test did not do its part; carries a Cause
│   ├── HostStartError  it exited, or stayed silent past its limit, before it was ready
│   ├── HostDiedError   it was ready and then died or stalled
│   └── IdentityError   who answers is not who we started
├── MeasureError        a benchmark ended without a result that can be used; carries a cause code
└── StoreError          results cannot be read or written: disk full, read-only, locked, cut
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """Why a host or a benchmark failed: a stable code, the log's own line, and what to do about it."""

    code: str  # e.g. "out_of_memory"; the closed set is in hosts/vllm/causes.py
    evidence: str  # the line of the log that says so, or one sentence of ours
    hint: str  # what the reader can do

    def __str__(self) -> str:
        return f"{self.code}: {self.evidence} ({self.hint})"


class BenchbookError(Exception):
    """Base of everything benchbook raises on purpose: the message says what is wrong, a notebook shows nothing else."""

    def _render_traceback_(self) -> list[str]:
        """Return what Jupyter shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ExperimentError(BenchbookError):
    """The experiment file, a command line or a notebook parameter asks for something that cannot be run."""


class HostError(BenchbookError):
    """A process under test failed; `cause` says why in a form that a record can keep."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class HostStartError(HostError):
    """The host exited, or stayed silent past its limit, before it was ready."""


class HostDiedError(HostError):
    """The host was ready once and has died or stalled since."""


class IdentityError(HostError):
    """Something answers at the address, but it is not the host we started."""


class MeasureError(BenchbookError):
    """A benchmark ended without a usable result; `cause` says why."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class StoreError(BenchbookError):
    """The results folder cannot be read or written as it must be."""
