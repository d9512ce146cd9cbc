"""Does one launch fit the devices that it sees? What cannot work is refused, what vLLM will queue for is a note."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from benchbook.hosts.machine import cpu_cores, shared_memory
from benchbook.hosts.machine.devices import CPU, TITLES, Device, devices, naming
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.ranks import ranks_of
from benchbook.sweep.needs import Need, need_of, size_text
from benchbook.sweep.preflight import Preflight
from benchbook.terms.errors import ExperimentError
from benchbook.terms.sizes import size_of

_BACKENDS = ("distributed_executor_backend", "data_parallel_backend")
_KV_SPACE, _KV_BYTES = "VLLM_CPU_KVCACHE_SPACE", "kv_cache_memory_bytes"


class LaunchFit:
    """One launch against the devices that it sees."""

    def __init__(self, checked: Preflight, launch: Launch, there: Sequence[Device] | None) -> None:
        self._experiment: Experiment = checked.experiment
        self._python = checked.python_of(launch)
        self._launch, self._env = launch, naming(launch.args, launch.env)
        self._need, self._ranks = need_of(checked.experiment, launch), ranks_of(launch.args)
        there = devices(self._env) if there is None else there
        self._kind = CPU if uses_cpu(checked, launch) else checked.experiment.device or there[0].kind
        self._seen = [device for device in there if device.kind == self._kind]

    def notes(self) -> list[str]:
        """Return what is to be said of the launch on this machine; raise the refusal of one that cannot work."""
        notes = [*self._shared_memory(), *self._binding()]
        if self._ranks is None or not self._seen or is_by_ray(self._launch):
            return notes  # vLLM says what is wrong; GPU machines are not short of CPU; Ray may find devices elsewhere
        num_devices, least_gib = self._ranks.devices, self._need.least_gib if self._need else None
        if self._kind != CPU and len(self._seen) < num_devices:
            raise self._refusal(f"needs {devices_text(self._kind, num_devices, least_gib)}")
        self._check_cache()
        if self._need is None:
            return notes
        self._check_memory(self._need)
        return notes + self._queue(self._need)

    def _check_cache(self) -> None:
        """Raise the refusal of a KV cache that is told to be nothing, or larger than what is free: vLLM would not start."""
        setting, space_gib = self._cache_setting()
        if space_gib is not None and space_gib <= 0:
            raise self._refusal(
                f"{setting} leaves no KV cache: leave it out to have vLLM's own size", says_devices=False
            )
        if space_gib is not None and any(space_gib > seen.free_gib for seen in self._seen[: self._ranks.devices]):
            each = " for each rank" if self._ranks.devices > 1 else ""
            raise self._refusal(f"{setting} asks for {size_text(space_gib)} of KV cache{each}")

    def _check_memory(self, need: Need) -> None:
        if self._kind == CPU:  # all ranks share the one machine
            ranks = f" on each of {need.ranks.devices} ranks" if need.ranks.devices > 1 else ""
            least_gib = need.weights_gib * need.ranks.devices + need.request_gib * need.ranks.shards
            if self._seen[0].free_gib < least_gib:
                raise self._refusal(f"needs {devices_text(CPU, 1, least_gib)} ({need.least_text}{ranks})")
        elif any(device.free_gib < need.least_gib for device in self._seen[: need.ranks.devices]):
            what = devices_text(self._kind, need.ranks.devices, need.least_gib)
            raise self._refusal(f"needs {what} ({need.least_text})")
        setting, space_gib = self._cache_setting()
        if space_gib is not None and space_gib < need.request_gib:
            problem = f"one request of {need.request_tokens} tokens needs {size_text(need.request_gib)} of KV cache"
            raise self._refusal(f"{problem}, and {setting} gives {size_text(space_gib)}", says_devices=False)

    def _queue(self, need: Need) -> list[str]:
        """Return the note of a KV cache that does not hold all requests in flight."""
        _, space_gib = self._cache_setting()
        if space_gib is None:
            ranks = need.ranks.devices if self._kind == CPU else 1
            used = self._launch.args.get("gpu_memory_utilization", 1)
            share = float(used) if str(used).replace(".", "", 1).isdecimal() else 1.0
            space_gib = min(
                min(device.free_gib / ranks, device.total_gib * share) - need.weights_gib
                for device in self._seen[: need.ranks.devices]
            )
        if need.kv_gib <= space_gib:
            return []
        return [
            f"note: launch {self._launch.name!r}: {need.sequences} x {need.tokens} tokens in flight need "
            f"{size_text(need.kv_gib)} of KV cache, and no more than {size_text(space_gib)} is there: vLLM queues the "
            "rest, and such cases get the reason kv_exhausted"
        ]

    def _cache_setting(self) -> tuple[str, float | None]:
        """Return what fixes the size of the KV cache (GiB on each rank), and that size; None where nothing does."""
        space = {**os.environ, **self._env}.get(_KV_SPACE, "") if self._kind == CPU else ""
        if space.removeprefix("-").isdecimal():  # which vLLM heeds before the arg
            return f"{_KV_SPACE}={space}{'' if _KV_SPACE in self._env else ' of your shell'}", float(space)
        size = size_of(str(self._launch.args.get(_KV_BYTES)))
        is_told = size is not None and (size > 0 or self._kind == CPU)  # 0 bytes on a GPU leave it to vLLM
        return f"{_KV_BYTES}: {self._launch.args.get(_KV_BYTES)}", size / 2**30 if is_told else None

    def _shared_memory(self) -> list[str]:
        """Return the note of a /dev/shm that is too small; raise its refusal where this vLLM would not start."""
        env, free_mib = {**os.environ, **self._env}, shared_memory.free_mib()
        is_cpu, shards = self._kind == CPU, self._ranks.shards if self._ranks else 1
        least_mib = shared_memory.least_mib(env)
        if free_mib is None or free_mib >= least_mib:
            return []
        if not shared_memory.has_workers(self._launch.args, env, shards, is_cpu):
            return []
        problem = (
            f"its processes share {least_mib} MiB in /dev/shm, where {free_mib:.0f} MiB are free: {shared_memory.HOW}"
        )
        if shared_memory.vllm_looks(self._python):
            raise self._refusal(problem, says_devices=False)
        return [f"note: launch {self._launch.name!r}: {problem}"]

    def _binding(self) -> list[str]:
        """Return the note of more workers on a CPU than vLLM binds by itself; raise the refusal of cores that are named wrongly.

        With these it would not start.
        """
        if self._ranks is None or self._kind != CPU:
            return []
        env = {**os.environ, **self._env}
        if wrong := cpu_cores.named_wrongly(self._ranks.shards, self._ranks.replicas, env):
            raise self._refusal(wrong, says_devices=False)
        problem = cpu_cores.binding_problem(self._ranks.shards, self._ranks.replicas, env)
        return [f"note: launch {self._launch.name!r}: {problem}"] if problem else []

    def _refusal(self, problem: str, says_devices: bool = True) -> ExperimentError:
        here = f"; this machine has {listed_devices(self._seen)}" if says_devices else ""
        return self._experiment.document.error(("launches", self._launch.name), problem + here)


def is_by_ray(launch: Launch) -> bool:
    """Return whether Ray spreads the launch, maybe over other machines."""
    return any(launch.args.get(name) == "ray" for name in _BACKENDS)


def uses_cpu(checked: Preflight, launch: Launch) -> bool:
    """Return whether a launch uses the CPU: a build for CPUs does so, whatever else the machine has."""
    return is_cpu_build(checked, launch) or checked.experiment.device == CPU


def is_cpu_build(checked: Preflight, launch: Launch) -> bool:
    """Return whether the vLLM of a launch is a build for CPUs."""
    return checked.is_installed and "+cpu" in checked.version_of(launch)


def devices_text(kind: str, number: int, free_gib: float | None) -> str:
    """Return 'an NVIDIA GPU with 63 GiB free', '2 NVIDIA GPUs with 32 GiB free each'."""
    title, each = TITLES[kind], ""
    if number > 1:
        title, each = f"{number} {title.removeprefix('an ').removeprefix('a ')}s", " each"
    return title + (f" with {math.ceil(free_gib)} GiB free{each}" if free_gib is not None else "")


def listed_devices(there: Sequence[Device]) -> str:
    """Return the devices for a sentence, equal ones together."""
    texts = list(map(str, there))
    counted = [f"{texts.count(text)} x {text}" if texts.count(text) > 1 else text for text in dict.fromkeys(texts)]
    return " and ".join(counted) or "none that it sees"
