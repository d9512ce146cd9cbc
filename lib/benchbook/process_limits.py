"""What this shell lets a process do, against what benchbook takes: looked at first, since libraries abort or hang."""

from __future__ import annotations

import os
import resource
import threading

from benchbook.terms.errors import ExperimentError

LEAST_FILES, MORE_FILES = 64, 4096  # open at once: without these nothing works; so many where they can be had
LEAST_MEMORY_BYTES = 2_000_000_000  # of addresses, a good part of which is never used; vLLM takes many times as much
LEAST_THREADS = 32  # of runner, kernel and client; vLLM has more
_SMALL_STACK_BYTES = 1 << 16


def check_limits() -> None:
    """Raise ExperimentError where a process may have too few files or too little memory, with the way out."""
    files = _raised_files()
    if files < LEAST_FILES:
        raise ExperimentError(
            f"only {files} files may be open at once here, and {LEAST_FILES} are needed: raise `ulimit -n`"
        )
    memory_bytes = _limit(resource.RLIMIT_AS)
    if memory_bytes < LEAST_MEMORY_BYTES:
        raise ExperimentError(
            f"a process may have only {memory_bytes / 1e6:.0f} MB of addresses here, and "
            f"{LEAST_MEMORY_BYTES / 1e6:.0f} MB are needed: raise `ulimit -v`"
        )


def check_threads() -> None:
    """Raise ExperimentError where too few threads can be started: tried, since there are limits of several kinds."""
    if not _has_threads():
        raise ExperimentError(
            f"{LEAST_THREADS} more threads cannot be started here: end some processes (`benchbook ps` lists "
            "benchbook's), or raise `ulimit -u` or the container's limit"
        )


def keep_own_files() -> None:
    """See to it that what this process makes is its own to use, and nobody else's to change, whatever the umask."""
    os.umask((os.umask(0o077) & 0o077) | 0o002)


def _raised_files() -> int:
    """Return how many files may be open at once, after the soft limit was raised as far as it serves."""
    soft, hard = (_finite(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = max(soft, min(hard, MORE_FILES))
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return wanted


def _has_threads() -> bool:
    done, started = threading.Event(), []
    usual_bytes = threading.stack_size(_SMALL_STACK_BYTES)  # else their stacks would be what is lacking
    try:
        for _ in range(LEAST_THREADS):
            thread = threading.Thread(target=done.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return False
    finally:
        threading.stack_size(usual_bytes)
        done.set()
        for thread in started:
            thread.join()
    return True


def _limit(kind: int) -> int:
    return _finite(resource.getrlimit(kind)[0])


def _finite(limit: int) -> int:
    return 2**62 if limit == resource.RLIM_INFINITY else limit
