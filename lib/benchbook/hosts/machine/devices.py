"""Which devices this machine has for vLLM, and how much of their memory is free. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchbook import container
from benchbook.hosts.machine.gpu import GpuMemory, all_gpus, gpu_memory, names_slices
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.ranks import num_devices
from benchbook.visible import CUDA as CUDA_NAMES
from benchbook.visible import HIP, ROCR, ZE, named, not_here, repeated, visible

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
    remark: str = field(default="", compare=False)  # what else is to be said of its size
    names: tuple[str, ...] = field(default=(), compare=False)  # by which a variable can name it
    place: str = field(default="", compare=False)  # on its bus, where that tells it from all others

    @property
    def title(self) -> str:
        """The device for a sentence: 'GPU 0', or a slice of one by its UUID."""
        return f"GPU {self.names[0]}" if self.names[0].isdigit() else self.names[0]

    @property
    def key(self) -> str:
        """What tells this GPU from all others of the machine, fit for a file's name: its UUID; an AMD card's place."""
        return f"{self.kind}-{self.place or self.names[-1]}".replace("/", "_")

    def __str__(self) -> str:
        return f"{TITLES[self.kind]} with {self.free_gib:.0f} of {self.total_gib:.0f} GiB free{self.remark}"


def devices(env: Mapping[str, str] | None = None) -> list[Device]:
    """Return the GPUs that a process with `env` can see, else the CPU with the machine's memory."""
    return rocm_gpus(env=env) or cuda_gpus(env) or [cpu()]


def cards_of(args: Mapping[str, Any], env: Mapping[str, str], python: Python = HERE) -> list[Device]:
    """Return the GPUs that the vLLM of `python` takes with `args` in `env`: the first that it sees, as many as it has ranks.

    [] where it takes none: a build for CPUs, or a machine without any.
    """
    if is_cpu_build(python):
        return []
    seen = [device for device in devices(naming(args, env)) if device.kind != CPU]
    return seen[: num_devices(args)]


def is_cpu_build(python: Python = HERE) -> bool:
    """Return whether the vLLM of `python` is a build for CPUs, which has no use for GPUs."""
    return "+cpu" in (python.version_of("vllm") or "")


def every_card() -> list[Device]:
    """Return all GPUs of this machine, whatever the environment names."""
    return _amd_gpus() or [_of_nvidia(gpu) for gpu in all_gpus()]


def cuda_gpus(env: Mapping[str, str] | None = None) -> list[Device]:
    """Return the NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves to a process with `env`."""
    return [_of_nvidia(gpu) for gpu in gpu_memory(env) or ()]


def rocm_gpus(
    cards: Path | None = None, driver: Path | None = None, env: Mapping[str, str] | None = None
) -> list[Device]:
    """Return the AMD GPUs that ROCR_ and HIP_VISIBLE_DEVICES leave to a process with `env`, when their driver is there.

    HIP counts among those that ROCR leaves, and reads CUDA_VISIBLE_DEVICES where it has no variable of its own.
    """
    seen = visible(_amd_gpus(cards, driver), _names_of, env, ROCR)
    return visible(_numbered(seen), _names_of, env, HIP if named(env, HIP) is not None else CUDA_NAMES)


def naming(args: Mapping[str, Any], env: Mapping[str, str]) -> Mapping[str, str]:
    """Return `env` with the GPUs that vLLM's device_ids chooses, by number among those that the environment names."""
    ids = args.get("device_ids")
    chosen = [each.strip() for each in ",".join(map(str, ids if isinstance(ids, list) else [ids or ""])).split(",")]
    if not any(chosen):
        return env
    names = named(env)
    if names is not None and all(each.isdigit() and int(each) < len(names) for each in chosen):
        chosen = [names[int(each)] for each in chosen]
    return {**env, CUDA_NAMES: ",".join(chosen)}


def misnamed(env: Mapping[str, str] | None, version: str, number: int = 1) -> tuple[str, str] | None:
    """Return a variable that names no GPU at all, one twice, or one that is not here, and what is wrong; None without one.

    `version` is that of a vLLM which is no build for CPUs, for `number` GPUs. Where none can be looked at any name may
    be right, and is counted.
    """
    for variable, cards in _places(env, version):
        names = named(env, variable)
        if names is None:
            continue
        if not names:
            return variable, f"names no GPU, and the installed vLLM {version} is no build for CPUs"
        if again := repeated(cards, _names_of, env, variable):
            return variable, f"names a GPU twice: {_quoted(again)} stands for one that is named before"
        if cards and (missing := not_here(cards, _names_of, env, variable)):
            there = "; ".join(" or ".join(card.names) for card in cards)
            return variable, f"names {_quoted(missing)}, and the GPUs of this machine are {there}"
        if not cards and len(names) < number:
            return variable, f"names {len(names)} of the {number} GPUs that the launch takes"
    return None


def _places(env: Mapping[str, str] | None, version: str) -> list[tuple[str, list[Device]]]:
    """Return the variables that a vLLM of this version asks on this machine, each with the GPUs that it can name."""
    amd = _amd_gpus()
    if amd or "+rocm" in version:
        left = _numbered(visible(amd, _names_of, env, ROCR))
        return [(ROCR, amd), (HIP if named(env, HIP) is not None else CUDA_NAMES, left)]
    if "+xpu" in version:
        return [(ZE, [])]
    gpus = all_gpus(names_slices(env))
    return [(CUDA_NAMES, [Device(CUDA, 0.0, 0.0, names=gpu.names) for gpu in gpus])]


def _quoted(names: list[str]) -> str:
    return ", ".join(map(repr, names))


def cpu() -> Device:
    """Return the CPU, with the memory that could be taken without swapping: the machine's, or a container's."""
    import psutil

    memory, allowed = psutil.virtual_memory(), container.memory()
    if allowed is None or allowed.limit_bytes >= memory.total:
        return Device(CPU, memory.available / 2**30, memory.total / 2**30)
    free_bytes = min(memory.available, allowed.free_bytes)
    return Device(CPU, free_bytes / 2**30, allowed.limit_bytes / 2**30, ", as its container allows")


def _of_nvidia(gpu: GpuMemory) -> Device:
    return Device(CUDA, gpu.total_gib - (gpu.used_gib or 0.0), gpu.total_gib, names=gpu.names)


def _names_of(card: Device) -> tuple[str, ...]:
    return card.names


def _numbered(cards: list[Device]) -> list[Device]:
    """Return the cards with the numbers that they have among themselves."""
    return [replace(card, names=(str(number), *card.names[1:])) for number, card in enumerate(cards)]


def _amd_gpus(cards: Path | None = None, driver: Path | None = None) -> list[Device]:
    """Return the machine's AMD GPUs whose memory the kernel's driver tells; none without their compute driver."""
    if not (driver or COMPUTE_DRIVER).exists():
        return []
    folders = sorted((cards or CARDS).glob("card*/device"), key=lambda folder: (len(str(folder)), str(folder)))
    return _numbered(list(_amd_cards(folders)))


def _amd_cards(folders: Iterable[Path]) -> Iterable[Device]:
    for folder in folders:
        try:
            if (folder / "vendor").read_text().strip() != AMD_VENDOR:
                continue
            total = int((folder / "mem_info_vram_total").read_text())
            used = int((folder / "mem_info_vram_used").read_text())
        except (OSError, ValueError):
            continue  # a display's connector, or a card whose driver tells no memory
        uuid = (folder / "unique_id").read_text().strip() if (folder / "unique_id").is_file() else ""
        names = ("", f"GPU-{uuid}") if uuid else ("",)
        # Partitions of a card have its UUID; some cards have none.
        yield Device(ROCM, (total - used) / 2**30, total / 2**30, names=names, place=folder.resolve().name)
