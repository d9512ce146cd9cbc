"""A benchmark's client that has grown beyond what its load can need ends itself.

vLLM's client keeps, and unpacks, all that it is sent: only its memory tells when a server answers without end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

POLL_S = 0.1
MIB = 2**20


def end_above(memory_mib: int | None) -> None:
    """From now on end this process, with a line on stderr and exit code 1, once it has grown by more than `memory_mib`.

    A thread looks, since the event loop has no turn for others while it unpacks. None sets no limit.
    """
    if memory_mib is not None:
        threading.Thread(target=_watch, args=(memory_mib, _resident_mib()), daemon=True).start()


def _watch(memory_mib: int, before_mib: float) -> None:
    while _resident_mib() - before_mib <= memory_mib:
        time.sleep(POLL_S)
    print(
        f"benchbook: MemoryError: the client has grown by more than {memory_mib} MiB, which its load cannot need: the "
        "server sends more than it was asked for",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
