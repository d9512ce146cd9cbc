"""Who is on the GPU, by `nvidia-smi`. On a machine without one every question here is answered with None."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from benchbook.hosts.process import processes, registry
from benchbook.terms.errors import Cause, HostStartError
from benchbook.visible import named, visible

QUESTION_LIMIT_S = 30.0  # nvidia-smi takes seconds when no persistence daemon runs
FREE_POLL_S = 0.5
IDLE_USED_RATIO = 0.03  # what a driver keeps for itself on an idle GPU, with room
# Of `nvidia-smi -L`.
_CARD = re.compile(r"GPU \d+: (.*?) \(UUID")
_SLICE = re.compile(r"(MIG \S*?(\d+)gb\S*)\s.*\(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True)
class GpuProcess:
    """One process that computes on a GPU."""

    pid: int
    name: str
    used_gib: float | None  # None where the driver does not tell, as inside some containers
    gpu_uuid: str


@dataclass(frozen=True)
class GpuMemory:
    """The memory of one GPU, or of one slice of a GPU that MIG divides."""

    index: int | None  # None for a slice, which has no number of its own
    uuid: str
    used_gib: float | None  # None where the driver does not tell
    total_gib: float

    @property
    def names(self) -> tuple[str, ...]:
        """By what CUDA_VISIBLE_DEVICES can name it."""
        return (self.uuid,) if self.index is None else (str(self.index), self.uuid)


@dataclass(frozen=True)
class GpuSlice:
    """A slice that MIG makes of a GPU."""

    uuid: str
    name: str  # with that of its GPU: 'NVIDIA H200 MIG 1g.18gb'
    total_gib: float


def gpu_processes(env: Mapping[str, str] | None = None, number: int | None = None) -> list[GpuProcess] | None:
    """Return the processes on the GPUs that `gpu_memory` tells of; None when there is no GPU."""
    found = every_process()
    if found is None or (memory := gpu_memory(env, number)) is None:
        return None
    seen = {gpu.uuid for gpu in memory}
    return [process for process in found if process.gpu_uuid in seen]


def every_process() -> list[GpuProcess] | None:
    """Return the processes on all GPUs of the machine; None when there is no GPU."""
    rows = _ask("--query-compute-apps=pid,process_name,used_memory,gpu_uuid")
    return None if rows is None else [GpuProcess(int(pid), name, _gib(used), uuid) for pid, name, used, uuid in rows]


def gpu_memory(env: Mapping[str, str] | None = None, number: int | None = None) -> list[GpuMemory] | None:
    """Return the memory of each GPU that CUDA_VISIBLE_DEVICES leaves to a process with `env`; None without any GPU.

    `env` stands on top of this process's own environment. With `number`, those are the first so many.
    """
    there = all_gpus(names_slices(env))
    return visible(there, lambda gpu: gpu.names, env)[:number] if there else None


def all_gpus(with_slices: bool = False) -> list[GpuMemory]:
    """Return each GPU of the machine, whether it is visible or not, then the slices that MIG makes of them."""
    rows = _ask("--query-gpu=index,uuid,memory.used,memory.total") or []
    gpus = [GpuMemory(int(index), uuid, _gib(used) or 0.0, _gib(total) or 0.0) for index, uuid, used, total in rows]
    found = slices() if gpus and with_slices else ()
    return gpus + [GpuMemory(None, one.uuid, None, one.total_gib) for one in found]


def slices() -> list[GpuSlice]:
    """Return the slices that MIG makes of this machine's GPUs."""
    found, card = [], ""
    for line in said("-L") or ():
        if of_card := _CARD.match(line):
            card = of_card[1]
        elif one := _SLICE.search(line):
            found.append(GpuSlice(one[3], f"{card} {one[1]}", float(one[2])))
    return found


def names_slices(env: Mapping[str, str] | None = None) -> bool:
    """Return whether CUDA_VISIBLE_DEVICES of a process with `env` names a slice by its UUID."""
    return any(name.startswith("MIG-") for name in named(env) or ())


def said(*options: str) -> list[str] | None:
    """Return the lines that nvidia-smi says, None when there is none or it fails."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", *options]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=QUESTION_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        cause = Cause(
            "driver_mismatch", f"nvidia-smi did not answer within {QUESTION_LIMIT_S:g} s", "the GPU's driver hangs"
        )
        raise HostStartError(str(cause), cause) from error
    return None if done.returncode != 0 else [line for line in done.stdout.splitlines() if line.strip()]


def bus_ids() -> dict[str, str]:
    """Return by the UUID of each GPU where it is on its bus, as the kernel has it: '0000:3b:00.0'."""
    rows = _ask("--query-gpu=uuid,pci.bus_id") or []
    return {uuid: bus_id.lower()[-12:] for uuid, bus_id in rows}


def wait_device_free(
    own_pids: Collection[int] = (),
    timeout_s: float = 60.0,
    *,
    share_gpu: bool = False,
    env: Mapping[str, str] | None = None,
    number: int | None = None,
) -> None:
    """Return when nothing is left on the first `number` GPUs that a process with `env` sees; at once without any.

    Waits for hosts of ours to go and for the driver to give their memory back. A process of somebody else, another
    benchbook's too, is named in a HostStartError, unless `share_gpu`: then only `own_pids` are waited for.
    """
    deadline = time.monotonic() + timeout_s
    while (left := gpu_processes(env, number)) is not None:
        own = [process for process in left if process.pid in own_pids or is_leaving(process.pid)]
        foreign = [process for process in left if process not in own]
        if foreign and not share_gpu:
            raise _busy(listed(foreign))
        if share_gpu and not any(process.pid in own_pids for process in own):
            return
        if not left and _is_idle(env, number):
            return
        if time.monotonic() > deadline:
            raise _busy(listed(own) or "memory that no visible process holds")
        time.sleep(FREE_POLL_S)


def is_leaving(pid: int) -> bool:
    """Return whether `pid` is of a host of this process, or of one whose owner has ended: it will be gone soon."""
    host_id = processes.environment_of(pid).get(processes.MARKER)
    if host_id is None:
        return False
    entry = next((entry for entry in registry.live_hosts() if entry.host_id == host_id), None)
    if entry is None or entry.owner_pid == os.getpid():
        return True
    return not entry.keep and processes.read_stat(entry.owner_pid) is None


def listed(found: Sequence[GpuProcess]) -> str:
    """Return the processes for a sentence."""
    return "; ".join(f"pid {process.pid} ({process.name})" for process in found)


def _is_idle(env: Mapping[str, str] | None, number: int | None) -> bool:
    return all((gpu.used_gib or 0.0) <= IDLE_USED_RATIO * gpu.total_gib for gpu in gpu_memory(env, number) or ())


def _busy(who: str) -> HostStartError:
    cause = Cause("device_busy", f"on the GPU: {who}", "end it, choose another GPU, or share it with --share-gpu")
    return HostStartError(f"the GPU is in use; {cause}", cause)


def _ask(query: str) -> list[list[str]] | None:
    """Return the rows of one nvidia-smi query, None when there is no nvidia-smi or it finds no GPU."""
    lines = said(query, "--format=csv,noheader,nounits")
    return None if lines is None else [[field.strip() for field in line.split(", ")] for line in lines]


def _gib(mebibytes: str) -> float | None:
    return float(mebibytes) / 1024 if mebibytes.replace(".", "").isdigit() else None
