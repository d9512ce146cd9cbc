"""What the NVIDIA driver tells of its GPUs while they work, through NVML.

The binding is the one that vLLM brings along, loaded from its file: importing vLLM for it would cost seconds. A value
that a card does not have is None. AMD's cards are read through amd_smi.py.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchbook.visible import named, visible

BINDING = "third_party/pynvml.py"  # inside vLLM
GIB = 2**30

# NVML's bits for why the clocks are lower than they could be; idleness and settings of the owner are no throttling.
THROTTLE_BITS = {
    0x04: "power_cap",
    0x08: "hardware_slowdown",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
}
CLOCKS_SET_BIT = 0x02  # the clocks are as low as the owner has set them
QUANTITIES = (
    "power_w",
    "energy_j",  # a counter since the driver was loaded
    "sm_clock_mhz",
    "memory_clock_mhz",
    "temperature_c",
    "throttle",  # names of THROTTLE_BITS, joined by +
    "memory_used_gib",
    "utilisation_pct",
    "clocks_are_set",  # 1: no higher than the owner allows
    "processes_gib",  # of memory, all processes that the driver lists together
)


class NoGpuError(Exception):
    """There is no GPU that NVML could read; the text says why."""


@dataclass(frozen=True)
class Gpu:
    """One GPU that this environment may use."""

    index: int
    uuid: str
    name: str
    handle: Any


class Nvml:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to a process with `env`, through the NVML binding `library`."""

    def __init__(self, library: Any, env: Mapping[str, str] | None = None) -> None:
        self._library = library
        # The second is no subclass of the first: a driver too old for a function of the binding. The third: an old one.
        self._refusals = (library.NVMLError, library.NVMLLibraryMismatchError, AttributeError)
        try:
            library.nvmlInit()
            every = [self._gpu(index) for index in range(library.nvmlDeviceGetCount())]
        except self._refusals as error:
            raise NoGpuError(f"NVML: {error}") from error
        self.gpus = visible(every, lambda gpu: (str(gpu.index), gpu.uuid), env)
        if not self.gpus and any(name.startswith("MIG-") for name in named(env) or ()):
            raise NoGpuError("a slice of a GPU: power, clocks and temperature are those of all its slices")
        if not self.gpus:
            raise NoGpuError("NVML: no GPU is visible to this environment")

    def read(self, gpu: Gpu) -> tuple[float | int | str | None, ...]:
        """Return one value for each of QUANTITIES, None for what this card does not tell."""
        library, handle = self._library, gpu.handle
        throttle = self._ask(lambda: library.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        return (
            self._ask(lambda: library.nvmlDeviceGetPowerUsage(handle) / 1000),
            self._ask(lambda: library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000),
            self._ask(lambda: library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM)),
            self._ask(lambda: library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_MEM)),
            self._ask(lambda: library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)),
            None if throttle is None else throttle_text(throttle),
            self._ask(lambda: round(library.nvmlDeviceGetMemoryInfo(handle).used / GIB, 3)),
            self._ask(lambda: library.nvmlDeviceGetUtilizationRates(handle).gpu),
            None if throttle is None else int(bool(throttle & CLOCKS_SET_BIT)),
            _gib_of(self._processes(gpu)),
        )

    def pids(self, gpu: Gpu) -> list[int]:
        """Return the processes that compute on `gpu`, as the driver numbers them; empty where it does not tell."""
        return [process.pid for process in self._processes(gpu)]

    def highest_sm_clock_mhz(self, gpu: Gpu) -> int | None:
        """Return the highest clock (MHz) that `gpu` can have, whatever it is set to; None where it does not tell."""
        return self._ask(lambda: self._library.nvmlDeviceGetMaxClockInfo(gpu.handle, self._library.NVML_CLOCK_SM))

    def _processes(self, gpu: Gpu) -> Sequence[Any]:
        return self._ask(lambda: self._library.nvmlDeviceGetComputeRunningProcesses(gpu.handle)) or ()

    def uses(self, gpu: Gpu, since_us: int) -> list[tuple[int, int, int]] | None:
        """Return (pid, share of the time in %, when in µs) of who computed on `gpu` after `since_us`, by the epoch.

        None where the driver does not measure it, as on slices of a GPU.
        """
        try:
            samples = self._library.nvmlDeviceGetProcessUtilization(gpu.handle, since_us)
        except self._refusals as error:
            return [] if getattr(error, "value", None) == self._library.NVML_ERROR_NOT_FOUND else None
        return [(sample.pid, sample.smUtil, sample.timeStamp) for sample in samples]

    def _gpu(self, index: int) -> Gpu:
        handle = self._library.nvmlDeviceGetHandleByIndex(index)
        uuid, name = self._library.nvmlDeviceGetUUID(handle), self._library.nvmlDeviceGetName(handle)
        return Gpu(index, str(uuid), str(name), handle)

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._refusals:
            return None


def _gib_of(processes: Sequence[Any]) -> float | None:
    """Return the memory (GiB) of all `processes`; None without any, or where the driver does not tell that of each."""
    used = [getattr(process, "usedGpuMemory", None) for process in processes]
    return None if not used or None in used else round(sum(used) / GIB, 3)


def throttle_text(bits: int) -> str:
    """Return the names of what lowers the clocks, from NVML's bits: 'power_cap+thermal_hardware', '' for nothing."""
    return "+".join(name for bit, name in THROTTLE_BITS.items() if bits & bit)


def open_nvml(env: Mapping[str, str] | None = None) -> Nvml:
    """Return the NVIDIA GPUs that a process with `env` sees; raise NoGpuError, which says why, where there are none."""
    library = binding()
    if library is None:
        raise NoGpuError(f"the installed vLLM brings no {BINDING}")
    return Nvml(library, env)


@functools.cache
def binding() -> ModuleType | None:
    """Return vLLM's binding of NVML, which asks the driver nothing before it is told to; None where vLLM has none."""
    package = importlib.util.find_spec("vllm")
    path = Path(package.origin).parent / BINDING if package and package.origin else None
    if path is None or not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("benchbook_nvml_binding", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # it looks itself up there
    spec.loader.exec_module(module)
    return module
