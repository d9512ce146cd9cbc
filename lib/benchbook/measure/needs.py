"""Does this machine have the device and the memory that an experiment needs? Answered before anything starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchbook.errors import ExperimentError
from benchbook.hosts.devices import CPU, ROCM, TITLES, Device, devices
from benchbook.hosts.footprint import GIB, kv_bytes, weight_bytes
from benchbook.hosts.models import config_of
from benchbook.measure.preflight import Preflight
from benchbook.plan.cases import Case
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch

# Under these the weights are not as large as the model's files, or lie elsewhere: nothing is computed then.
_RESIZING = ("quantization", "cpu_offload_gb", "hf_overrides", "speculative_config")
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


@dataclass(frozen=True)
class Need:
    """What one launch needs of each of its devices."""

    launch: str
    num_devices: int
    weights_gib: float
    kv_gib: float
    sequences: int  # so many at once, of ...
    tokens: int  # ... this length, need the most KV cache

    @property
    def total_gib(self) -> float:
        """Weights and KV cache; activations and the program itself come on top."""
        return self.weights_gib + self.kv_gib

    def __str__(self) -> str:
        return (
            f"{_size_text(self.weights_gib)} of weights and {_size_text(self.kv_gib)} of KV cache "
            f"for {self.sequences} x {self.tokens} tokens"
        )


def need_of(experiment: Experiment, launch: Launch) -> Need | None:
    """Return what `launch` needs for its cases; None when its model's size is not known."""
    config, folder = config_of(launch.model.path_or_id)
    cases = [case for case in experiment.cases if case.launch == launch.name]
    if config is None or any(name in launch.args for name in _RESIZING) or not cases:
        return None
    kv_dtype = str(launch.args.get("kv_cache_dtype", "auto"))
    try:
        sizes = {case: kv_bytes(config, case.workload.max_request_tokens, kv_dtype) for case in cases}
        weights = weight_bytes(config, folder)
        tensor, pipeline, data = (max(1, int(launch.args.get(name, 1))) for name in _PARALLEL)
    except (KeyError, TypeError, ValueError):
        return None  # vLLM will say what is wrong with the config.json or with the flag
    if weights is None or None in sizes.values():
        return None
    hardest = max(cases, key=lambda case: sizes[case] * _at_once(case))
    return Need(
        launch=launch.name,
        num_devices=tensor * pipeline * data,
        weights_gib=weights / (tensor * pipeline) / GIB,
        kv_gib=sizes[hardest] * _at_once(hardest) / (tensor * pipeline * data) / GIB,
        sequences=_at_once(hardest),
        tokens=hardest.workload.max_request_tokens,
    )


def check_machine(checked: Preflight, there: Sequence[Device] | None = None) -> None:
    """Raise ExperimentError, with what is needed and what is here, when the machine lacks the device or the memory."""
    experiment = checked.experiment
    there = devices() if there is None else there
    is_cpu_build = checked.is_installed and "+cpu" in checked.version
    # A build for CPUs uses the CPU, whatever else the machine has.
    wanted = experiment.device or (CPU if is_cpu_build else there[0].kind)
    fitting = [device for device in there if device.kind == wanted]
    needs = [need for launch in experiment.launches if (need := need_of(experiment, launch))]
    largest = max(needs, key=lambda need: need.total_gib, default=None)
    if wanted == CPU and not fitting:
        return  # a machine with GPUs has a CPU as well; its memory is not what a GPU machine is short of
    if not fitting:
        raise _refusal(experiment, wanted, largest, there)
    if experiment.device and experiment.device != CPU and is_cpu_build:
        problem = f"needs {TITLES[wanted]}, and the installed vLLM {checked.version} is a build for CPUs"
        raise experiment.document.error(("device",), problem)
    if largest and not _holds(fitting, largest):
        raise _refusal(experiment, wanted, largest, fitting)


def machine_note(checked: Preflight) -> str:
    """Return for `benchbook plan` whether `run` would find here what the experiment needs."""
    try:
        check_machine(checked)
    except ExperimentError as refusal:
        return f"`run` would be refused on this machine: {refusal}"
    return "this machine has what it needs, as far as that can be computed"


def _size_text(gib: float) -> str:
    """Return '60.8 GiB', or '22 MiB' for what would be 0.0 GiB."""
    return f"{gib:.1f} GiB" if gib >= 0.1 else f"{math.ceil(gib * 1024)} MiB"


def _at_once(case: Case) -> int:
    """Return how many sequences a case holds at once at least; an offline engine takes as many as fit."""
    workload = case.workload.model_dump()
    return workload.get("batch_size") or workload.get("max_concurrency") or 1


def _holds(fitting: Sequence[Device], need: Need) -> bool:
    used = fitting[: need.num_devices]
    return len(used) == need.num_devices and all(device.free_gib >= need.total_gib for device in used)


def _refusal(experiment: Experiment, wanted: str, need: Need | None, there: Sequence[Device]) -> ExperimentError:
    title, why = TITLES[wanted], ""
    if need:
        each, free = "", f"{math.ceil(need.total_gib)} GiB free"
        if need.num_devices > 1:
            title, each = f"{need.num_devices} {title.removeprefix('an ').removeprefix('a ')}s", " each"
        title = f"{title} with {free}{each}"
        why = f" ({need}, launch {need.launch!r})"
    where = ("device",) if experiment.device else ("launches", *([need.launch] if need else []))
    here = " and ".join(map(str, there))
    hint = ", and no ROCm driver (/dev/kfd)" if wanted == ROCM and all(one.kind != ROCM for one in there) else ""
    return experiment.document.error(where, f"needs {title}{why}; this machine has {here}{hint}")
