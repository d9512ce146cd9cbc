"""Does /dev/shm hold what vLLM's processes share? A container's is often of 64 MiB."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbook.hosts.process.pythons import HERE, Python

SHARED = Path("/dev/shm")
MIB = 1 << 20
_BROADCAST = "distributed/device_communicators/shm_broadcast.py"
_LOOKS = "check_shm_free_space"  # the function by which vLLM refuses to start, of 0.31 and later
_CHUNKS, _ANSWER_MIB, _CHUNK_MIB = (
    10,
    24,
    16,
)  # of its queues: how many, and the size of one chunk of answers and of calls
HOW = "start the container with --shm-size=1g or --ipc=host"


def free_mib() -> float | None:
    """Return how much of /dev/shm is free (MiB); None where there is none."""
    return shutil.disk_usage(SHARED).free / MIB if SHARED.is_dir() else None


def least_mib(env: Mapping[str, str]) -> int:
    """Return the largest piece of /dev/shm (MiB) that vLLM makes at once where its engine has workers of their own."""
    chunk = env.get("VLLM_MQ_MAX_CHUNK_BYTES_MB", "")
    return _CHUNKS * max(_ANSWER_MIB, int(chunk) if chunk.isdecimal() else _CHUNK_MIB)


def vllm_looks(python: Python = HERE) -> bool:
    """Return whether the vLLM of `python` refuses to start where that piece does not fit; others die of it later."""
    package = python.folder_of("vllm")
    path = package / _BROADCAST if package else None
    return path is not None and path.is_file() and _LOOKS in path.read_text(errors="replace")


def has_workers(args: Mapping[str, Any], env: Mapping[str, str], shards: int, is_cpu: bool) -> bool:
    """Return whether an engine of so many shards runs them as processes of their own, which share memory with it."""
    if shards > 1 or args.get("distributed_executor_backend") == "mp":
        return True
    return is_cpu and env.get("VLLM_ENABLE_V1_MULTIPROCESSING", "1") == "1"  # a CPU's engine always has one then
