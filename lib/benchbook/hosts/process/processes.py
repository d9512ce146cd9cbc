"""The process table of this machine, read from /proc: who descends from whom, who carries a host's marker.

Only the standard library: the guardian imports this and must start in a few hundredths of a second.
A process is known by its pid and its start tick (since boot, so no change of the clock moves it), never by its pid
alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = "BENCHBOOK_HOST_ID"
END_POLL_S = 0.02
KILL_LIMIT_S = 10.0  # after SIGKILL only an uninterruptible process stays; we do not wait for a driver for ever
PROC = Path("/proc")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # the signal at the parent's death; whether orphans become ours


@dataclass(frozen=True)
class ProcessStat:
    """One line of the process table."""

    pid: int
    parent_pid: int
    state: str  # as in ps: R, S, D, Z ...
    start_ticks: int  # clock ticks between boot and the start of the process


def read_stat(pid: int) -> ProcessStat | None:
    """Return the table's line for `pid`, None when there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The command name is in brackets and may itself hold blanks and brackets.
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessStat(pid=pid, parent_pid=int(fields[1]), state=fields[0], start_ticks=int(fields[19]))


def all_pids() -> Iterator[int]:
    """Yield the pid of every process there is."""
    return (int(entry.name) for entry in os.scandir(PROC) if entry.name.isdigit())


def is_alive(pid: int | None, start_ticks: int | None) -> bool:
    """Return whether the process that started at `start_ticks` still runs under `pid` (a zombie does not run)."""
    stat = read_stat(pid) if pid else None
    return stat is not None and stat.start_ticks == start_ticks and stat.state not in "ZX"


def descendants(*root_pids: int) -> list[int]:
    """Return the pids of all running processes below `root_pids`, parents before children, by one look at the table."""
    children: dict[int, list[ProcessStat]] = {}
    for pid in all_pids():
        if stat := read_stat(pid):
            children.setdefault(stat.parent_pid, []).append(stat)
    found, queue = [], list(root_pids)
    while queue:
        for stat in children.get(queue.pop(0), []):
            queue.append(stat.pid)
            if stat.state not in "ZX":
                found.append(stat.pid)
    return found


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment `pid` was started with; empty when it is gone, a zombie, or another user's."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if "=" in item)
    return {name: value for name, _, value in pairs}


def marked_pids(host_id: str) -> list[int]:
    """Return every process that carries the marker of `host_id`, and all that descend from one; never ourselves."""
    marked = [pid for pid in all_pids() if environment_of(pid).get(MARKER) == host_id]
    family = dict.fromkeys(marked)  # a set that keeps its order
    for pid in marked:
        family.update(dict.fromkeys(descendants(pid)))
    family.pop(os.getpid(), None)
    return list(family)


def command_of(pid: int) -> str:
    """Return the command line of `pid` in one readable line; '' when it is gone."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    return raw.decode(errors="replace").replace("\0", " ").strip()


def send_signal(pids: list[int], signum: signal.Signals) -> None:
    """Send `signum` to each of `pids` that still is there and that we may end."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def wait_gone(find: Callable[[], list[int]], limit_s: float) -> bool:
    """Return whether `find` came back empty within `limit_s`."""
    start_s = time.monotonic()
    while find():
        waited_s = time.monotonic() - start_s
        if waited_s > limit_s:
            return False
        time.sleep(max(END_POLL_S, waited_s / 20))  # a look at all processes takes milliseconds
    return True


def end_all(find: Callable[[], list[int]], grace_s: float) -> list[int]:
    """End whatever `find` returns: TERM, up to `grace_s` of patience, then KILL, until nothing is left.

    Returns the pids that were signalled. `find` is asked anew each time, since a dying process may still start others.
    """
    ended: dict[int, signal.Signals] = {}  # the last signal that each of them got
    start_s = time.monotonic()
    num_empty = 0
    while num_empty < 2 and time.monotonic() < start_s + grace_s + KILL_LIMIT_S:
        left = find()
        # The table is not read in one instant: what was born meanwhile is seen only by a second look.
        num_empty = 0 if left else num_empty + 1
        signum = signal.SIGTERM if time.monotonic() < start_s + grace_s else signal.SIGKILL
        send_signal([pid for pid in left if ended.get(pid) != signum], signum)
        ended.update(dict.fromkeys(left, signum))
        time.sleep(END_POLL_S if left else 0)
    return list(ended)


def die_with(parent_pid: int) -> None:
    """Have this process killed when its parent ends, however that ends; at once when it has ended already.

    Where orphans are adopted, by a service manager or a guardian, a process would not see by itself that it is one.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def prctl(option: int, value: int) -> None:
    """Set one of this process's PR_SET_... options; raise OSError where the kernel refuses."""
    import ctypes  # late: few who look at the process table need it

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
