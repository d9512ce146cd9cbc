"""What a machine is: its processor, cores, memory and GPUs, its kernel, Python and limit of open files."""

from __future__ import annotations

import functools
import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchbook import container
from benchbook.hosts.machine.gpu import names_slices, said, slices
from benchbook.terms.errors import HostStartError
from benchbook.visible import visible

_FACTS = "--query-gpu=index,uuid,name,memory.total,driver_version"
_COMMAND_LIMIT_S = 10.0


@dataclass(frozen=True)
class Gpu:
    """One GPU, in the words of its driver."""

    name: str
    memory: str | None = None
    driver: str | None = None


@dataclass(frozen=True)
class Machine:
    """A machine; cores and memory (GiB) are those that the container around this process allows."""

    cpu: str | None = None
    cpu_cores: int | float | None = None
    memory_gib: float | None = None
    gpus: tuple[Gpu, ...] = ()
    kernel: str | None = None
    python: str | None = None
    open_files_limit: int | None = None


@functools.cache
def machine() -> Machine:
    """Return the facts of this machine."""
    memory_bytes, allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), container.memory()
    memory_gib = min(memory_bytes, allowed.limit_bytes if allowed else memory_bytes) / 2**30
    return Machine(
        cpu=_cpu_model(),
        cpu_cores=container.cpus(),
        memory_gib=round(memory_gib, 1),
        gpus=gpus(),
        kernel=platform.release(),
        python=platform.python_version(),
        open_files_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def device() -> str:
    """Return what numbers are measured on, in one line: the GPUs, else the CPU with its cores."""
    facts = machine()
    if facts.gpus:
        return " + ".join(gpu.name for gpu in facts.gpus)
    return f"{facts.cpu}, {facts.cpu_cores} cores"


def gpus(env: Mapping[str, str] | None = None) -> tuple[Gpu, ...]:
    """Return each NVIDIA GPU that a process with `env` sees, or AMD GPU; () where there is none, or its driver hangs."""
    try:
        lines = said(_FACTS, "--format=csv,noheader")
        found = slices() if lines and names_slices(env) else ()
    except HostStartError:
        return ()
    if lines is None:
        return _amd_gpus()
    rows = [[field.strip() for field in line.split(",")] for line in lines]
    rows += [["", one.uuid, one.name] for one in found]
    return tuple(Gpu(*facts[:3]) for _, _, *facts in visible(rows, lambda row: row[:2], env))


def _amd_gpus() -> tuple[Gpu, ...]:
    if not shutil.which("rocm-smi"):
        return ()
    command = ["rocm-smi", "--showproductname", "--csv"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=_COMMAND_LIMIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(Gpu(line.split(",")[1]) for line in done.stdout.strip().splitlines()[1:] if line.count(",") >= 1)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
