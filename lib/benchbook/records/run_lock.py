"""A run has one writer: a lock on a file in its folder, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbook.system_faults import line_of
from benchbook.terms.errors import StoreError

LOCK_FILE = ".lock"


@contextmanager
def locked(run_dir: Path) -> Iterator[bool]:
    """Hold the run in `run_dir` alone; raise StoreError when another process does. The lock ends with its process.

    Gives whether it is held: False where the file system has no locks, so that nothing keeps another process out.
    """
    try:
        descriptor = os.open(run_dir / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StoreError(f"cannot write {line_of(error)}") from error
    try:
        is_free = _is_free(descriptor, fcntl.LOCK_EX)
        if is_free is False:
            raise StoreError(
                f"{run_dir} is being written by another benchbook; wait for it, or start afresh with --new"
            )
        yield is_free is True
    finally:
        os.close(descriptor)


def is_held(run_dir: Path) -> bool:
    """Return whether a process may hold the run in `run_dir`: also where that cannot be known."""
    try:
        descriptor = os.open(run_dir / LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _is_free(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int, kind: int) -> bool | None:
    """Lock a file and return True; False when another process holds it, None where locks cannot be had."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # Lustre as it is mounted by default, NFS without its lock service, ...
        return None
    return True
