"""Which devices this machine has for vLLM, and how much of their memory is free. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchbook.hosts.gpu import gpu_memory

CUDA, ROCM, CPU = "cuda", "rocm", "cpu"
TITLES = {CUDA: "an NVIDIA GPU", ROCM: "a ROCm GPU", CPU: "a CPU"}
AMD_VENDOR = "0x1002"
CARDS = Path("/sys/class/drm")
COMPUTE_DRIVER = Path("/dev/kfd")  # the kernel driver that ROCm computes through


@dataclass(frozen=True)
class Device:
    """One device, as large as it is now."""

    kind: str  # CUDA, ROCM or CPU
    free_gib: float
    total_gib: float

    def __str__(self) -> str:
        return f"{TITLES[self.kind]} with {self.free_gib:.0f} of {self.total_gib:.0f} GiB free"


def devices() -> list[Device]:
    """Return the GPUs that can be seen, else the CPU with the machine's memory."""
    return rocm_gpus() or cuda_gpus() or [cpu()]


def cuda_gpus() -> list[Device]:
    """Return the NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves visible."""
    return [Device(CUDA, gpu.total_gib - gpu.used_gib, gpu.total_gib) for gpu in gpu_memory() or ()]


def rocm_gpus(cards: Path = CARDS, driver: Path = COMPUTE_DRIVER) -> list[Device]:
    """Return the AMD GPUs whose memory the kernel's driver tells, when their compute driver is there."""
    if not driver.exists():
        return []
    return list(_amd_cards(cards.glob("card*/device")))


def cpu() -> Device:
    """Return the CPU, with the memory that could be taken without swapping."""
    import psutil

    memory = psutil.virtual_memory()
    return Device(CPU, memory.available / 2**30, memory.total / 2**30)


def _amd_cards(folders: Iterable[Path]) -> Iterable[Device]:
    for folder in sorted(folders):
        try:
            if (folder / "vendor").read_text().strip() != AMD_VENDOR:
                continue
            total = int((folder / "mem_info_vram_total").read_text())
            used = int((folder / "mem_info_vram_used").read_text())
        except (OSError, ValueError):
            continue  # a display's connector, or a card whose driver tells no memory
        yield Device(ROCM, (total - used) / 2**30, total / 2**30)
