"""What AMD's driver tells of its GPUs while they work, through AMD SMI: what NVML tells of NVIDIA's, in the same units.

It answers 'N/A' for what a card does not have, and its releases name some fields otherwise: the first number counts. That
was written from its documentation and is tested on a scripted library alone: it was not run on a card.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.hosts.machine.nvml import GIB, Gpu, NoGpuError
from benchbook.visible import CUDA, HIP, ROCR, named, visible

LIBRARY = "amdsmi"  # the package, which vLLM for ROCm needs as well
_POWERS = ("socket_power", "current_socket_power", "average_socket_power")
_ENERGIES = ("energy_accumulator", "power")
_CLOCKS = ("clk", "cur_clk")
_VIOLATIONS = {
    "active_ppt_pwr": "power_cap",
    "active_prochot_thrm": "thermal_hardware",
    "active_socket_thrm": "thermal_hardware",
    "active_vr_thrm": "thermal_hardware",
    "active_hbm_thrm": "thermal_memory",
}
_MIB = 2**20
COMPUTE_DRIVER, NVIDIA_DRIVER = Path("/dev/kfd"), Path("/dev/nvidiactl")


class AmdSmi:
    """The GPUs that ROCR_ and HIP_VISIBLE_DEVICES leave to a process with `env`, through AMD's `library`: as Nvml."""

    def __init__(self, library: Any, env: Mapping[str, str] | None = None) -> None:
        self._library = library
        self._refusals = (library.AmdSmiException, AttributeError, LookupError, TypeError)
        try:
            library.amdsmi_init()
            every = [self._gpu(index, handle) for index, handle in enumerate(library.amdsmi_get_processor_handles())]
        except self._refusals as error:
            raise NoGpuError(f"AMD SMI: {error}") from error
        left = visible(every, _names_of, env, ROCR)
        renumbered = [Gpu(index, gpu.uuid, gpu.name, gpu.handle) for index, gpu in enumerate(left)]
        self.gpus = visible(renumbered, _names_of, env, HIP if named(env, HIP) is not None else CUDA)
        if not self.gpus:
            raise NoGpuError("AMD SMI: no GPU is visible to this environment")

    def read(self, gpu: Gpu) -> tuple[float | int | str | None, ...]:
        """Return one value for each of nvml.QUANTITIES, None for what this card does not tell."""
        library, handle = self._library, gpu.handle
        energy = self._ask(lambda: library.amdsmi_get_energy_count(handle)) or {}
        counted, micro_joules = _first(energy, _ENERGIES), _first(energy, ["counter_resolution"])
        used_mib = _first(self._ask(lambda: library.amdsmi_get_gpu_vram_usage(handle)), ["vram_used"])
        hot_spot = self._ask(lambda: library.AmdSmiTemperatureType.HOTSPOT)
        now = self._ask(lambda: library.AmdSmiTemperatureMetric.CURRENT)
        return (
            _first(self._ask(lambda: library.amdsmi_get_power_info(handle)), _POWERS),
            None if counted is None or not micro_joules else counted * micro_joules / 1e6,
            self._clock(gpu, "GFX", _CLOCKS),
            self._clock(gpu, "MEM", _CLOCKS),
            _number(self._ask(lambda: library.amdsmi_get_temp_metric(handle, hot_spot, now))),
            self._throttle(gpu),
            None if used_mib is None else round(used_mib * _MIB / GIB, 3),
            _first(self._ask(lambda: library.amdsmi_get_gpu_activity(handle)), ["gfx_activity"]),
            None,  # whether the owner has set the clocks low is not told
            self._processes_gib(gpu),
        )

    def pids(self, gpu: Gpu) -> list[int]:
        """Return the processes that compute on `gpu`; empty where the driver does not tell."""
        return [process["pid"] for process in self._processes(gpu)]

    def highest_sm_clock_mhz(self, gpu: Gpu) -> int | None:
        """Return the highest clock (MHz) that `gpu` can have; None where it does not tell."""
        return self._clock(gpu, "GFX", ["max_clk"])

    def uses(self, gpu: Gpu, since_us: int) -> None:
        """Return None: which process computed when, this driver does not measure."""

    def _gpu(self, index: int, handle: Any) -> Gpu:
        library = self._library
        told = self._ask(lambda: library.amdsmi_get_gpu_enumeration_info(handle)["hip_uuid"])
        uuid = told or self._ask(lambda: library.amdsmi_get_gpu_device_uuid(handle)) or ""
        name = self._ask(lambda: library.amdsmi_get_gpu_asic_info(handle)["market_name"]) or "AMD GPU"
        return Gpu(index, str(uuid), str(name), handle)

    def _clock(self, gpu: Gpu, kind: str, keys: Sequence[str]) -> float | int | None:
        library = self._library
        return _first(
            self._ask(lambda: library.amdsmi_get_clock_info(gpu.handle, getattr(library.AmdSmiClkType, kind))), keys
        )

    def _throttle(self, gpu: Gpu) -> str | None:
        found = self._ask(lambda: self._library.amdsmi_get_violation_status(gpu.handle))
        if not found or not any(isinstance(found.get(key), bool | int) for key in _VIOLATIONS):
            return None
        return "+".join(dict.fromkeys(name for key, name in _VIOLATIONS.items() if found.get(key) in (True, 1)))

    def _processes(self, gpu: Gpu) -> list[Mapping[str, Any]]:
        found = self._ask(lambda: self._library.amdsmi_get_gpu_process_list(gpu.handle)) or ()
        return [process for process in found if isinstance(process, Mapping) and isinstance(process.get("pid"), int)]

    def _processes_gib(self, gpu: Gpu) -> float | None:
        used = [_first(process.get("memory_usage"), ["vram_mem"]) for process in self._processes(gpu)]
        return None if not used or None in used else round(sum(used) / GIB, 3)

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._refusals:
            return None


def has_amd_gpus() -> bool:
    """Return whether this machine computes on AMD's GPUs, and not on NVIDIA's."""
    return COMPUTE_DRIVER.exists() and not NVIDIA_DRIVER.exists()


def open_amd_smi(env: Mapping[str, str] | None = None) -> AmdSmi:
    """Return the AMD GPUs that a process with `env` sees; raise NoGpuError, which says why, where there are none."""
    try:
        library = importlib.import_module(LIBRARY)
    except (ImportError, OSError, KeyError) as error:  # it loads a library of ROCm's, by a path of the environment
        raise NoGpuError(f"an AMD GPU, which is read through the package {LIBRARY}: {error}") from error
    return AmdSmi(library, env)


def _names_of(gpu: Gpu) -> tuple[str, str]:
    return str(gpu.index), gpu.uuid


def _first(found: Any, keys: Sequence[str]) -> float | int | None:
    """Return the first number under one of the keys; None where there is none."""
    told = (_number(found.get(key)) for key in keys) if isinstance(found, Mapping) else ()
    return next((number for number in told if number is not None), None)


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
