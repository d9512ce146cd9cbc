"""Who is on the GPU, by `nvidia-smi`. On a machine without one every question here is answered with None."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass

from benchbook.errors import Cause, HostStartError
from benchbook.hosts import processes
from benchbook.visible import is_visible

QUESTION_LIMIT_S = 30.0  # nvidia-smi takes seconds when no persistence daemon runs
FREE_POLL_S = 0.5
IDLE_USED_RATIO = 0.03  # what a driver keeps for itself on an idle GPU, with room


@dataclass(frozen=True)
class GpuProcess:
    """One process that computes on a GPU."""

    pid: int
    name: str
    used_gib: float | None  # None where the driver does not tell, as inside some containers
    gpu_uuid: str


@dataclass(frozen=True)
class GpuMemory:
    """The memory of one GPU."""

    index: int
    uuid: str
    used_gib: float
    total_gib: float


def gpu_processes() -> list[GpuProcess] | None:
    """Return the processes on the GPUs that this environment can see; None when there is no GPU."""
    rows = _ask("--query-compute-apps=pid,process_name,used_memory,gpu_uuid")
    if rows is None or (memory := gpu_memory()) is None:
        return None
    visible = {gpu.uuid for gpu in memory}
    found = [GpuProcess(int(pid), name, _gib(used), uuid) for pid, name, used, uuid in rows]
    return [process for process in found if process.gpu_uuid in visible]


def gpu_memory() -> list[GpuMemory] | None:
    """Return the memory of each GPU that CUDA_VISIBLE_DEVICES leaves visible; None when there is no GPU."""
    rows = _ask("--query-gpu=index,uuid,memory.used,memory.total")
    if not rows:
        return None
    gpus = [GpuMemory(int(index), uuid, _gib(used) or 0.0, _gib(total) or 0.0) for index, uuid, used, total in rows]
    return [gpu for gpu in gpus if is_visible(gpu.index, gpu.uuid)]


def gpu_memory_free_gib() -> float | None:
    """Return the free memory of the visible GPU that has least of it; None when there is no GPU."""
    memory = gpu_memory()
    return min(gpu.total_gib - gpu.used_gib for gpu in memory) if memory else None


def wait_device_free(own_pids: Collection[int] = (), timeout_s: float = 60.0, *, share_gpu: bool = False) -> None:
    """Return when nothing is left on the GPUs that we see, at once when there is none.

    Waits for hosts of ours to go and for the driver to give their memory back. A process of somebody else is named in a
    HostStartError, unless `share_gpu`: then only `own_pids` are waited for.
    """
    deadline = time.monotonic() + timeout_s
    while (left := gpu_processes()) is not None:
        own = [process for process in left if process.pid in own_pids or _is_ours(process.pid)]
        foreign = [process for process in left if process not in own]
        if foreign and not share_gpu:
            raise _busy("; ".join(f"pid {process.pid} ({process.name})" for process in foreign))
        if share_gpu and not any(process.pid in own_pids for process in own):
            return
        if not left and _is_idle():
            return
        if time.monotonic() > deadline:
            raise _busy(
                "; ".join(f"pid {process.pid} ({process.name})" for process in own)
                or "memory that no visible process holds"
            )
        time.sleep(FREE_POLL_S)


def _is_idle() -> bool:
    return all(gpu.used_gib <= IDLE_USED_RATIO * gpu.total_gib for gpu in gpu_memory() or ())


def _is_ours(pid: int) -> bool:
    return processes.MARKER in processes.environment_of(pid)


def _busy(who: str) -> HostStartError:
    cause = Cause("device_busy", f"on the GPU: {who}", "end it, choose another GPU, or share it with --share-gpu")
    return HostStartError(f"the GPU is in use; {cause}", cause)


def _ask(query: str) -> list[list[str]] | None:
    """Return the rows of one nvidia-smi query, None when there is no nvidia-smi or it finds no GPU."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=QUESTION_LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        cause = Cause(
            "driver_mismatch", f"nvidia-smi did not answer within {QUESTION_LIMIT_S:g} s", "the GPU's driver hangs"
        )
        raise HostStartError(str(cause), cause) from error
    if done.returncode != 0:
        return None
    return [[field.strip() for field in line.split(", ")] for line in done.stdout.splitlines() if line.strip()]


def _gib(mebibytes: str) -> float | None:
    return float(mebibytes) / 1024 if mebibytes.replace(".", "").isdigit() else None
