"""What the device can do at best: bandwidth and FLOP/s, from its maker's data sheet or by a probe of a second.

Data sheets give dense figures here: where a maker prints them with sparsity, half of that.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchbook.hosts.machine.cpu_cores import Threads, host_threads
from benchbook.hosts.process import registry, shell
from benchbook.hosts.process.caches import cache_dir, remember, remembered

PROBE_LIMIT_S = 60.0  # two seconds on a CPU, ten where a GPU's libraries must be loaded
PEAKS_FILE = "peaks.json"
KEPT_S = 24 * 3600.0  # a peak is what a machine can do, not what it does at the moment
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SMALLEST_BYTES, LARGEST_BYTES = 8 << 20, 1 << 30  # of the probe's memory

_HOPPER_SXM = {"bfloat16": 989.4, "float16": 989.4, "fp8": 1978.9}
_HOPPER_NVL = {"bfloat16": 835.5, "float16": 835.5, "fp8": 1671.0}
_HOPPER_PCIE = {"bfloat16": 756.0, "float16": 756.0, "fp8": 1513.0}
_MI300X = {"bfloat16": 1307.4, "float16": 1307.4, "fp8": 2614.9}
# (name as the driver tells it, GB/s, dense TFLOP/s by format, source); the first that matches.
DATA_SHEETS: tuple[tuple[str, float, Mapping[str, float], str], ...] = (
    (r"H200 NVL", 4800, _HOPPER_NVL, "NVIDIA H200 Tensor Core GPU data sheet, H200 NVL"),
    (r"H200", 4800, _HOPPER_SXM, "NVIDIA H200 Tensor Core GPU data sheet, H200 SXM"),
    (r"H100 NVL", 3900, _HOPPER_NVL, "NVIDIA H100 Tensor Core GPU data sheet, H100 NVL"),
    (r"H100 PCIe", 2000, _HOPPER_PCIE, "NVIDIA H100 Tensor Core GPU data sheet, H100 PCIe"),
    (r"H100 80GB HBM3", 3350, _HOPPER_SXM, "NVIDIA H100 Tensor Core GPU data sheet, H100 SXM"),
    # The driver names a superchip by the memory of its CPU (480 or 120 GB) where the GPU has 96 GB of HBM3.
    (r"GH200 144G HBM3e", 4900, _HOPPER_SXM, "NVIDIA GH200 data sheet (document 3773000), 144 GB HBM3e"),
    (r"GH200 (480|120)GB", 4000, _HOPPER_SXM, "NVIDIA GH200 data sheet (document 3773000), 96 GB HBM3"),
    # The H20-3e has other memory. NVIDIA prints no public sheet: the figures are those that its partners print.
    (
        r"H20(?!-)",
        4000,
        {"bfloat16": 148.0, "float16": 148.0, "fp8": 296.0},
        "NVIDIA H20 data sheet as partners print it, 96 GB HBM3",
    ),
    # 1,000 W as in HGX B200; a GB200 has more.
    (
        r"B200",
        8000,
        {"bfloat16": 2250.0, "float16": 2250.0, "fp8": 4500.0, "fp4": 9000.0},
        "NVIDIA Blackwell architecture technical brief, HGX B200",
    ),
    (r"L40S", 864, {"bfloat16": 362.05, "float16": 362.05, "fp8": 733.0}, "NVIDIA L40S GPU data sheet"),
    (r"MI300X", 5300, _MI300X, "AMD Instinct MI300X accelerator data sheet"),
    (r"MI325X", 6000, _MI300X, "AMD Instinct MI325X accelerator data sheet"),
    (
        r"MI355X",
        8000,
        {"bfloat16": 2516.6, "float16": 2516.6, "fp8": 5033.2, "fp4": 10066.3},
        "AMD Instinct MI355X accelerator data sheet",
    ),
)


def data_sheet(device_name: str) -> dict[str, Any] | None:
    """Return the peaks of a GPU by the name its driver tells, None for one that is not in the table."""
    for pattern, bandwidth_gb_s, tflops, source in DATA_SHEETS:
        if " MIG " not in device_name and re.search(rf"\b{pattern}\b", device_name):
            return {
                "kind": "data sheet",
                "device": device_name,
                "bandwidth_gb_s": bandwidth_gb_s,
                "tflops": dict(tflops),
                "source": source,
            }
    return None


def _nothing() -> None:
    pass


def device_peaks(
    gpu_name: str | None,
    weight_bytes: int | None,
    env: Mapping[str, str] | None = None,
    get_quiet: Callable[[], None] = _nothing,
) -> dict[str, Any]:
    """Return {'bandwidth_gb_s', 'tflops': {format: ...}, 'source', ...} of the GPU of that name, or of the CPU.

    What is in no table is probed: call it before a host starts, while nothing else runs. A model's weights that fit
    into a cache are read from there, so the memory that the probe reads is as large as they are (`weight_bytes`). `env`
    is the launch's: on a CPU it decides how many threads vLLM has, and so the probe; before it `get_quiet` is called, for
    what this process does beside. A probe that fails leaves the peaks unknown and says why; one of this day and boot is
    not repeated.
    """
    known = data_sheet(gpu_name) if gpu_name else None
    if known:
        return known
    size_bytes = min(max(weight_bytes or LARGEST_BYTES, SMALLEST_BYTES), LARGEST_BYTES)
    # Of a GPU's work none is done by threads.
    threads = Threads((), 0) if gpu_name else host_threads({**os.environ, **(env or {})})
    return dict(_probed(size_bytes, threads, get_quiet))


@functools.cache
def _probed(size_bytes: int, threads: Threads, get_quiet: Callable[[], None] = _nothing) -> Mapping[str, Any]:
    """Return what a probe found: one of the last day on this machine as it was booted, else a new one.

    That is kept, unless another benchbook was at work here and has had its share of the device.
    """
    path, visible = cache_dir() / PEAKS_FILE, os.environ.get("CUDA_VISIBLE_DEVICES", "")
    key = " ".join([BOOT_ID.read_text().strip(), f"{size_bytes} bytes", f"threads {threads}", f"GPUs {visible}"])
    kept = {key: found for key, found in (remembered(path) or {}).items() if _is_of_today(found)}
    if key in kept:
        return kept[key]
    get_quiet()
    was_shared, found = registry.others_at_work(), _probe(size_bytes, threads)
    if found["kind"] != "measured":
        return found
    is_shared = was_shared or registry.others_at_work()
    beside = "beside another benchbook at work here" if is_shared else "while no host ran"
    found = {**found, "source": f"{found['source']}, {beside}"}
    if not is_shared:
        remember(path, {**kept, key: {**found, "measured_at_s": time.time()}})
    return found


def _is_of_today(found: Any) -> bool:
    """Return whether `found` is what a probe of the last day found, whole."""
    if not isinstance(found, dict) or not isinstance(found.get("tflops"), dict):
        return False
    numbers = [found.get("measured_at_s"), found.get("bandwidth_gb_s"), *found["tflops"].values()]
    if not all(isinstance(number, int | float) and 0 < number < 1e12 for number in numbers):
        return False
    return 0 <= time.time() - found["measured_at_s"] < KEPT_S and isinstance(found.get("source"), str)


def _probe(size_bytes: int, threads: Threads) -> Mapping[str, Any]:
    """Run the probe in a process of its own: torch has no business in ours."""
    root = str(Path(__file__).parents[3])
    search_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    numbers = map(str, (size_bytes, threads.count, *threads.cores))
    command = [sys.executable, "-P", "-m", "benchbook.hosts.machine.peaks_probe", *numbers]
    unknown = {"kind": "unknown", "bandwidth_gb_s": None, "tflops": {}}
    try:
        done = subprocess.run(
            command,
            env={**shell.child_environment(), "PYTHONPATH": search_path},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROBE_LIMIT_S,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no output"])[-1]
        return {**unknown, "source": f"the probe of the device's peaks failed: {last}"}
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {**unknown, "source": f"the probe of the device's peaks failed: {error}"}
