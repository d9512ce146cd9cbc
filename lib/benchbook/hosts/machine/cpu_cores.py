"""The cores and threads that vLLM computes with on a CPU, as its own rules have it.

From vllm/utils/ompmultiprocessing.py and vllm/platforms/cpu.py (0.32): workers that are processes of their own are
bound by VLLM_CPU_OMP_THREADS_BIND, by default to one logical CPU a core of the first NUMA node, but for one that is
left to the rest; an engine in one process (VLLM_ENABLE_V1_MULTIPROCESSING=0), and 'nobind', have OMP_NUM_THREADS or
what torch takes by itself.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

SYSTEM = Path("/sys/devices/system")
BIND = "VLLM_CPU_OMP_THREADS_BIND"
_ONE_A_CORE = ("x86_64", "AMD64", "s390x")  # where several logical CPUs share a core, vLLM takes the last


class Threads(NamedTuple):
    """The cores to be bound to, none for all, and how many threads to have, 0 for torch's own choice."""

    cores: tuple[int, ...]
    count: int


def host_threads(env: Mapping[str, str]) -> Threads:
    """Return what the first worker of a host has whose whole environment is `env`."""
    bind = env.get(BIND) or "auto"
    is_bound = bind != "nobind" and env.get("VLLM_ENABLE_V1_MULTIPROCESSING", "1") != "0"
    if not is_bound:
        asked = env.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        return Threads((), int(asked) if asked.isdecimal() else 0)
    cores = _automatic(env.get("VLLM_CPU_NUM_OF_RESERVED_CPU", "")) if bind == "auto" else core_list(bind)
    return Threads(tuple(sorted(cores)), len(cores))


def binding_problem(shards: int, copies: int, env: Mapping[str, str]) -> str:
    """Return what is wrong with how vLLM binds the workers of so many copies of a model, and what to set; '' where nothing is.

    By itself it binds each worker of a copy to a NUMA node of its own, or does not start, and every copy alike; `env` is
    the whole environment of the process.
    """
    bind, is_simulated = env.get(BIND) or "auto", env.get("VLLM_CPU_SIM_MULTI_NUMA", "0") != "0"
    if bind != "auto" or is_simulated or shards * copies <= (nodes := num_nodes()):
        return ""
    set_it = f"{BIND}: nobind, or with the cores of each ('{'|'.join(map(str, range(shards * copies)))}')"
    if shards > nodes:
        each = f"vLLM binds each of {shards} workers to a NUMA node of its own, and there is no more than {nodes}"
        return f"{each}: it starts with {set_it}"
    return f"vLLM binds {copies} copies of the model to the same cores, since there is no more than {nodes} NUMA node: set {set_it}"


def named_wrongly(shards: int, copies: int, env: Mapping[str, str]) -> str:
    """Return what is wrong with the cores that `env` names for the workers of so many copies of a model; '' where nothing is."""
    bind = env.get(BIND) or "auto"
    is_one_process = shards == 1 and env.get("VLLM_ENABLE_V1_MULTIPROCESSING", "1") == "0"
    if bind in ("auto", "nobind") or is_one_process:
        return ""
    if wrong := misnamed(bind):
        return f"{BIND}={bind} {wrong}"
    lists, workers = [core_list(part) for part in bind.split("|")], shards * copies
    if len(lists) < workers or copies == 1 and len(lists) > workers:
        return f"{BIND}={bind} has {len(lists)} lists of cores, and there are {workers} workers"
    absent = sorted(set().union(*lists) - os.sched_getaffinity(0))
    return f"{BIND}={bind} names core {absent[0]}, which this process may not use" if absent else ""


def misnamed(bind: str) -> str:
    """Return why a text says on no machine to which cores vLLM binds its workers; '' where it does, or says nothing."""
    names_cores = bind in ("", "auto", "nobind") or all(map(core_list, bind.split("|")))
    return "" if names_cores else "is none of auto, nobind and cores such as 0-3|4-7"


def num_nodes() -> int:
    """Return of how many NUMA nodes this process may use the memory; 1 where nobody tells."""
    told = re.search(r"^Mems_allowed_list:\s*(\S+)", _status(), re.MULTILINE)
    return len(core_list(told[1])) if told else 1


def _status() -> str:
    try:
        return Path("/proc/self/status").read_text()
    except OSError:
        return ""


def core_list(text: str) -> set[int]:
    """Return the cores of '0-3' or '0,2,4-5', those of the first rank of 'A|B'; empty for anything else."""
    first = re.sub(r"\s*([-,])\s*", r"\1", text.partition("|")[0].strip())
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", first):
        return set()
    spans = [part.partition("-") for part in first.split(",")]
    return {core for low, _, high in spans for core in range(int(low), int(high or low) + 1)}


def _automatic(reserved: str) -> set[int]:
    """Return the cores that vLLM chooses itself, all but as many of the last as are reserved."""
    allowed = os.sched_getaffinity(0)
    nodes = sorted(SYSTEM.glob("node/node[0-9]*"), key=lambda path: int(path.name.removeprefix("node")))
    on_node = (allowed & listed_in(node / "cpulist") for node in nodes)
    here = next(filter(None, on_node), allowed)
    chosen = sorted(_one_a_core(here) if platform.machine() in _ONE_A_CORE else here)
    spare = int(reserved) if reserved.isdecimal() else 1
    return set(chosen[: len(chosen) - spare] if len(chosen) > spare else chosen)


def _one_a_core(cpus: Iterable[int]) -> set[int]:
    """Return the last of the logical `cpus` of each core."""
    cores: dict[frozenset[int], int] = {}
    for cpu in sorted(cpus):
        cores[frozenset(siblings(cpu))] = cpu
    return set(cores.values())


def siblings(cpu: int) -> set[int]:
    """Return the logical CPUs of the core that `cpu` is of; itself where the machine does not tell."""
    return listed_in(SYSTEM / f"cpu/cpu{cpu}/topology/thread_siblings_list") or {cpu}


def listed_in(path: Path) -> set[int]:
    """Return the cores that a file of the kernel lists, such as '0-3,8'; none where it cannot be read."""
    try:
        return core_list(path.read_text())
    except OSError:
        return set()
