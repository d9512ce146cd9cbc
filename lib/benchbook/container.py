"""What the container or job around this process allows it: memory and processors, by its cgroup of either version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
UNLIMITED_BYTES = 1 << 60  # what version 1 says where there is no limit is more than this
# By version: the folder of the controller, the limit, what is used, and which of that the kernel gives back when asked.
_MEMORY = (
    ("", "memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


@dataclass(frozen=True)
class Memory:
    """The memory that a container allows, and what of it could be taken now."""

    limit_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Quota:
    """How many processors' time a container allows, and how many seconds of one its processes have taken so far."""

    cpus: float
    used_s: float | None  # None where the cgroup does not tell


def memory() -> Memory | None:
    """Return the least of the limits above this process; None where its memory is that of the machine."""
    found = []
    for controller, limit_file, used_file, given_back in _MEMORY:
        for folder in _folders(controller):
            limit = _number(folder / limit_file)
            if limit is None or limit >= UNLIMITED_BYTES:
                continue
            stat = _table(folder / "memory.stat")
            used = (_number(folder / used_file) or 0) - sum(stat.get(name, 0) for name in given_back)
            found.append(Memory(limit, max(0, limit - max(0, used))))
    if not found:
        return None
    return Memory(min(each.limit_bytes for each in found), min(each.free_bytes for each in found))


def quota() -> Quota | None:
    """Return the least share of processors' time above this process; None where no limit is set."""
    found = []
    for folder in _folders(""):
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):
            used_us = _table(folder / "cpu.stat").get("usage_usec")
            found.append(Quota(int(words[0]) / int(words[1]), None if used_us is None else used_us / 1e6))
    for folder in _folders("cpu"):
        share, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if share and period:
            used_ns = _number(folder / "cpuacct.usage")
            found.append(Quota(share / period, None if used_ns is None else used_ns / 1e9))
    return min(found, key=lambda each: each.cpus, default=None)


def cpus() -> float:
    """Return how many processors this process may use: those it may run on, no more than its quota."""
    usable, limit = len(os.sched_getaffinity(0)), quota()
    return usable if limit is None else counted(min(limit.cpus, usable))


def counted(cpus: float) -> float:
    """Return a number of processors to be shown: 2 and not 2.0, but 0.5."""
    return int(cpus) if cpus == int(cpus) else round(cpus, 2)


def _folders(controller: str) -> Iterator[Path]:
    """Yield the cgroups above this process that can be seen here, its own first; '' is version 2's only hierarchy."""
    roots = [CGROUPS / controller] if controller else [CGROUPS, CGROUPS / "unified"]
    own = [Path()]
    for line in _text(OWN).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if controller in names.split(",") and ".." not in Path(path).parts:
            roots += [CGROUPS / names] if "," in names else []  # cpu,cpuacct
            own = [Path(path.lstrip("/")), *Path(path.lstrip("/")).parents]
    for root in roots:
        yield from (root / folder for folder in own)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None  # 'max' and -1: no limit


def _table(path: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
