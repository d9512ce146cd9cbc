"""Processor time, which neighbours on a machine hardly change, as tests of what costs little count it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def children_cpu_s() -> float:
    """Return the processor time (s) of the processes of this one that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def least_cpu_s(call: Callable[[], object], tries: int = 3) -> float:
    """Return the least processor time (s) that `call` takes in this process, of so many tries."""
    return min(_cpu_s(call) for _ in range(tries))


def _cpu_s(call: Callable[[], object]) -> float:
    start_s = time.process_time()
    call()
    return time.process_time() - start_s
