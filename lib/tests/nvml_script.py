"""A scripted NVML binding: the functions of pynvml that we call, with values from a script and processes of its own."""

from __future__ import annotations

import time
from types import SimpleNamespace

_NOBODY: dict[int, list[int]] = {}


class NVMLError(Exception):
    """What the binding raises for whatever a card does not have."""


class NVMLLibraryMismatchError(Exception):
    """What the binding raises for a function that the driver is too old for."""


class ScriptedNvml:
    """One or more GPUs; `readings` name the values of all of them, a missing one is not supported."""

    NVMLError, NVMLLibraryMismatchError = NVMLError, NVMLLibraryMismatchError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    NVML_ERROR_NOT_FOUND = 6

    def __init__(
        self,
        num_gpus: int = 1,
        pids: dict[int, list[int]] | None = _NOBODY,
        uses: dict[int, int] | None = None,
        **readings: float,
    ) -> None:
        self.num_gpus, self.pids = num_gpus, pids  # None: this driver cannot tell
        self.uses = uses  # share of the time (%) by pid; None: this driver cannot tell
        self.readings = {"power_mw": 500_000, "energy_mj": 0, "sm": 1980, "mem": 2619, "temp": 60, "bits": 0}
        self.readings |= {"used": 20 * 2**30, "busy": 90, "highest_sm": 1980, "of_each": None, **readings}

    def _value(self, name):
        value = self.readings[name]
        if value is None:
            raise NVMLError(f"{name} is not supported")
        return value

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return self.num_gpus

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA H200"

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._value("power_mw")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if self.readings["energy_mj"] is not None:
            self.readings["energy_mj"] += 125_000  # a quarter of a second at 500 W
        return self._value("energy_mj")

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self._value("sm" if kind == self.NVML_CLOCK_SM else "mem")

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):
        return self._value("highest_sm")

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._value("temp")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self._value("bits")

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=self._value("used"))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=self._value("busy"))

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        if self.pids is None:
            raise NVMLLibraryMismatchError("unversioned function called")
        used = self.readings["of_each"]  # None: not told, as in some containers
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid in self.pids.get(handle, [])]

    def nvmlDeviceGetProcessUtilization(self, handle, since_us):
        if self.uses is None:
            raise NVMLError("Not Supported")
        if not self.uses:
            error = NVMLError("Not Found")
            error.value = self.NVML_ERROR_NOT_FOUND
            raise error
        now_us = int(time.time() * 1e6)
        return [SimpleNamespace(pid=pid, smUtil=share, timeStamp=now_us) for pid, share in self.uses.items()]
