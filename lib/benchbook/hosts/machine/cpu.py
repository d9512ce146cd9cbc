"""Who uses the processors: all processes of the machine against those of a measurement."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from benchbook import container
from benchbook.hosts.process import ports, processes, registry

_BUSY = ("user", "nice", "system", "irq", "softirq")  # of /proc/stat; a guest's time is in user's


@dataclass(frozen=True)
class CpuLook:
    """Processor seconds used since boot, and when one looked."""

    at_s: float  # monotonic
    machine_s: float  # of the processors that we may use, by anybody here
    own_s: float  # by the measurement's processes and those they have waited for
    usable: int  # processors that we may run on
    quota: container.Quota | None = None  # where a container allows less than all their time
    stolen_s: float = 0.0  # which the host of a virtual machine gave to others while somebody here wanted it


def look(own_pids: Iterable[int]) -> CpuLook:
    """Return what the processors have done so far; `own_pids` are the roots of the measurement's process trees."""
    import psutil

    usable = os.sched_getaffinity(0)
    times = [cpu for number, cpu in enumerate(psutil.cpu_times(percpu=True)) if number in usable]
    machine_s = sum(getattr(cpu, field, 0.0) for cpu in times for field in _BUSY)
    roots = set(own_pids)
    pids = roots | set(processes.descendants(*roots))
    own_s = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):  # it has ended; its parent's sum holds its time
            own_s += sum(psutil.Process(pid).cpu_times()[:4])  # user, system, and both of reaped children
    stolen_s = sum(getattr(cpu, "steal", 0.0) for cpu in times)
    return CpuLook(time.monotonic(), machine_s, own_s, len(times), container.quota(), stolen_s)


def shares(before: CpuLook, after: CpuLook) -> dict[str, float]:
    """Return 'cpus' and the shares of their time that was own, others' and stolen, between two looks; 1.0 is all of it.

    In a container that allows less, 1.0 is what it allows, and its own processes count against that as well.
    """
    duration_s, cpus, limit = max(1e-9, after.at_s - before.at_s), float(after.usable), after.quota
    own_cpus = max(0.0, after.own_s - before.own_s) / duration_s
    other = ((after.machine_s - before.machine_s) / duration_s - own_cpus) / cpus
    if limit is not None and limit.cpus < cpus:
        cpus = limit.cpus
        if limit.used_s is not None and before.quota is not None and before.quota.used_s is not None:
            other = max(other, ((limit.used_s - before.quota.used_s) / duration_s - own_cpus) / cpus)
    return {
        "cpus": container.counted(cpus),
        "own_cpu_share": round(own_cpus / cpus, 4),
        "other_cpu_share": round(max(0.0, other), 4),
        "stolen_cpu_share": round((after.stolen_s - before.stolen_s) / duration_s / cpus, 4),
    }


def server_pids(base_url: str) -> list[int]:
    """Return the roots of the process trees that serve `base_url` on this machine; [] for a server elsewhere."""
    from urllib.parse import urlsplit

    if entry := host_entry(base_url=base_url):
        return [entry.guardian_pid]
    parts = urlsplit(base_url)
    if not parts.port or not ports.is_loopback(parts.hostname or ""):
        return []
    return [pid for pid, _ in ports.listeners(parts.port) if pid]


def host_entry(*, base_url: str = "", argument: str = "") -> registry.HostEntry | None:
    """Return the live host of ours at `base_url`, or with `argument` in its command; None for one that is not ours."""
    for entry in registry.live_hosts():
        if base_url and entry.base_url == base_url or argument and argument in entry.argv:
            return entry
    return None
