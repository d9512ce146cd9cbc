"""What the system refuses, as one line: where, why, and what can be done about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchbook.terms.errors import BenchbookError

_NO_THREAD = "can't start new thread"  # Python's RuntimeError where the system's is EAGAIN
_PROCESSES = "too many processes or threads: end some, or raise the limit (`ulimit -u`, or the container's)"
_HINTS = {
    errno.ENOSPC: "the disk is full; free space and run the same command again, it continues",
    errno.EDQUOT: "the disk quota is used up; free space and run the same command again, it continues",
    errno.EROFS: "choose another folder",
    errno.EACCES: "choose another folder",
    errno.EMFILE: "too many open files; raise the limit (`ulimit -n 4096`)",
    errno.ENFILE: "too many open files on this machine",
    errno.EFBIG: "files may not be so large here (`ulimit -f`)",
    errno.ENOMEM: "the memory is used up (`ulimit -v`, or the container's limit)",
    errno.EAGAIN: _PROCESSES,
}


def is_system_fault(error: BaseException) -> bool:
    """Return whether `error` tells what the system refused, and not what a program did wrong."""
    return isinstance(error, OSError | MemoryError) or (isinstance(error, RuntimeError) and _NO_THREAD in str(error))


def line_of(error: BaseException) -> str:
    """Return a system fault as one line: '/home/me/x: Permission denied; you may not; choose another folder'."""
    if isinstance(error, MemoryError):
        return f"out of memory: {_HINTS[errno.ENOMEM]}"
    if not isinstance(error, OSError):
        return f"{error}: {_PROCESSES}"
    if error.errno == errno.ENOENT and error.filename is None and not _has_current_folder():
        return "the current folder has been deleted: cd to another one"
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror or error}{hint_of(error)}"


def hint_of(error: OSError) -> str:
    """Return '; ' and what can be done about `error`, or '' where nothing is known."""
    hint = _HINTS.get(error.errno or 0)
    return f"; {hint}" if hint else ""


@contextmanager
def told_as(kind: type[BenchbookError]) -> Iterator[None]:
    """Inside, what the system refuses, and what else benchbook raises on purpose, becomes a `kind`, for its exit code."""
    try:
        yield
    except kind:
        raise
    except BenchbookError as error:
        raise kind(str(error)) from error
    except Exception as error:
        if not is_system_fault(error):
            raise
        raise kind(line_of(error)) from error


def _has_current_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
