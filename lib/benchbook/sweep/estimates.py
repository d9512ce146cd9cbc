"""What an estimate rests on: how fast each launch may be on this machine, and what earlier runs took here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchbook.hosts.machine.facts import machine
from benchbook.hosts.machine.peaks import data_sheet
from benchbook.hosts.model.files import EMBEDDED, config_of, planned_path, resolve_model
from benchbook.hosts.model.footprint import weight_bytes
from benchbook.hosts.vllm.routing import WEIGHTS, is_countable, known_routing
from benchbook.judge.bounds import NoRooflineError, Peaks, roofline_for
from benchbook.judge.model_config import shape_of
from benchbook.plan.eta import Estimator, Timings
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.pace import CPU, GPU, Pace
from benchbook.plan.workload import BatchSeconds
from benchbook.ranks import num_devices
from benchbook.reading import read_json
from benchbook.records.packages import package_versions
from benchbook.records.runs import run_files
from benchbook.sweep.placing import at_once_of
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.load_formats import makes_weights

if TYPE_CHECKING:
    from benchbook.records.header import LaunchFacts, RunHeader

_COUNT = "count experts of "  # begins the key of what is done once for each model
NEWEST_RUNS = 30  # so many are looked through
# Rough, of one core; what a probe measures is not known to `benchbook plan`, which starts nothing.
CORE_BYTES_S, CORE_FLOPS_S = 10e9, {"float32": 0.1e12, "bfloat16": 0.2e12, "float16": 0.1e12}
MOST_CPU_BYTES_S = 200e9
FASTEST = {"cuda": "H200", "rocm": "MI300X"}  # of those whose data sheets are known: the bound on a machine without any
_RESHAPING = ("hf_overrides", "speculative_config", "cpu_offload_gb")  # the roofline does not cover them
_FORMATS = {"dtype": "dtype", "quantization": "quantization", "kv_dtype": "kv_cache_dtype"}


def estimator_for(experiment: Experiment, results_dir: Path) -> Estimator:
    """Return what estimates the time of `experiment` on this machine, by the runs under `results_dir`."""
    paces = {launch.name: pace_of(experiment.device, launch) for launch in experiment.launches}
    to_count = {launch.name: key for launch in experiment.launches if (key := _to_count(launch))}
    earlier = earlier_timings(experiment, results_dir)
    return Estimator(paces, earlier, experiment.cases, to_count, experiment.guarded, at_once_of(experiment))


def earlier_timings(experiment: Experiment, results_dir: Path) -> dict[str, Timings]:
    """Return what the newest runs on this machine took, by the keys of run.json.

    Repeats are told by this experiment's own runs, starts by any that started the same model, best in the same way: by
    those that found their compiled code there, as the next one will; in another way, by those that had to compile it. A
    run teaches what it measured, whether it was finished or not.
    """
    repeats: dict[str, Timings] = {}
    alike: dict[str, Timings] = {}
    same_model: dict[str, Timings] = {}
    for header in _headers_here(experiment.name, results_dir):
        run = f"{header.experiment}/{header.run_id}"
        for key, wall_s in header.wall_s_by_job.items():
            timings = Timings(wall_s, run)
            if not key.startswith("start "):
                if header.experiment == experiment.name or key.startswith(_COUNT):
                    repeats.setdefault(key, timings)
                continue
            _, name, host_kind = [*key.split(), "", ""][:3]
            started = header.launches.get(name)  # None: no longer in the file when the run was continued
            for launch in experiment.launches if started else ():
                path = started.model.path
                if path and _resolved(path) == _resolved(planned_path(launch.model.path_or_id)):
                    is_alike = (started.args, started.env) == (dict(launch.args), dict(launch.env))
                    told = Timings(_starts(wall_s, started, host_kind, is_cold=not is_alike), run)
                    (alike if is_alike else same_model).setdefault(f"start {launch.name} {host_kind}", told)
    return {**same_model, **alike, **repeats}


def _starts(wall_s: Sequence[float], started: LaunchFacts, host_kind: str, *, is_cold: bool) -> Sequence[float]:
    """Return what those starts took (s) that had to compile, or those that had not; all where none is known to be so."""
    were_cold = [host.facts.compile_cache == "cold" for host in started.hosts if host.kind == host_kind]
    if len(were_cold) != len(wall_s):  # of a start in which this process was halted no time is known
        return wall_s
    return [each_s for each_s, was_cold in zip(wall_s, were_cold, strict=True) if was_cold == is_cold] or wall_s


def _headers_here(experiment: str, results_dir: Path) -> Iterator[RunHeader]:
    """Yield the newest runs' headers of this machine, those of `experiment` first."""
    paths = run_files(results_dir)[::-1]
    # A run that was given a name in place of its time, as the committed ones are, is older than any.
    paths.sort(key=lambda path: (path.parent.parent.name != experiment, not path.parent.name[:1].isdigit()))
    here = [path for path in paths[:NEWEST_RUNS] if _is_of_here(path)]
    if not here:
        return
    from benchbook.records.header import read_header  # late: all that a header may hold takes long to import

    yield from (read_header(path)[0] for path in here)


def _is_of_here(run_file: Path) -> bool:
    """Return whether a run shares with this machine what its times depend on: the CPU with its cores, and the GPUs."""
    with suppress(AttributeError, KeyError, StoreError, TypeError):  # of what is damaged nobody can tell
        told, here = read_json(run_file)["provenance"]["machine"], machine()
        gpus = [gpu["name"] for gpu in told.get("gpus") or ()]
        return (told["cpu"], told["cpu_cores"], gpus) == (here.cpu, here.cpu_cores, [gpu.name for gpu in here.gpus])
    return False


def _resolved(model: str) -> str:
    """Return a model's folder without links, or its hub id."""
    folder = os.path.expanduser(model)
    return os.path.realpath(folder) if os.path.isdir(folder) else model


def _to_count(launch: Launch) -> str:
    """Return the key of run.json for counting the experts of the launch's model; '' where that is done or not to be."""
    config, _ = (None, None) if launch.attached else config_of(launch.model.path_or_id)
    if config is None or not is_countable(config):
        return ""
    weights = {name: launch.args[name] for name in WEIGHTS if name in launch.args}
    key = f"{_COUNT}{launch.model_text} {json.dumps(weights, default=str)}"
    ref = launch.model.path_or_id
    if planned_path(ref) != ref and not os.path.isdir(planned_path(ref)):
        return key  # the run will make it: nobody has counted it
    try:
        return "" if known_routing(resolve_model(ref, launch.args, launch.env), launch.args) else key
    except ExperimentError:
        return ""  # the run will be refused


def pace_of(device: str | None, launch: Launch) -> Pace:
    """Return how fast `launch` may be on this `device`, None for what the machine has, before anything was measured."""
    if launch.attached:
        return Pace(is_running=True)
    is_gpu = device in FASTEST or (device is None and _takes_gpus())
    try:
        roofline_s = _roofline(launch, _gpu_peaks(device, launch) if is_gpu else _cpu_peaks())
        weights = _bytes_to_load(launch)
    except (
        KeyError,
        TypeError,
        ValueError,
    ):  # a shape or a device that is not covered, or a flag that vLLM will refuse
        roofline_s, weights = None, 0
    return Pace(
        overheads=GPU if is_gpu else CPU,
        roofline_s=roofline_s or (lambda batch, input_tokens, output_tokens: 0.0),
        weight_bytes=weights,
        is_eager=bool(launch.args.get("enforce_eager")),
        is_worth_a_guess=not is_gpu and roofline_s is not None,
    )


def _takes_gpus() -> bool:
    """Return whether vLLM would take the machine's GPUs: a build for CPUs has no use for them."""
    return bool(machine().gpus) and "+cpu" not in package_versions().get("vllm", "")


def _cpu_peaks() -> Peaks:
    cores = machine().cpu_cores
    flops_s = {name: cores * each_s for name, each_s in CORE_FLOPS_S.items()}
    return Peaks(min(cores * CORE_BYTES_S, MOST_CPU_BYTES_S), flops_s, "rough")


def _gpu_peaks(device: str | None, launch: Launch) -> Peaks:
    """Return the peaks of the GPUs that `launch` takes; raise NoRooflineError for cards whose data sheet is not known."""
    gpus = machine().gpus
    sheet = data_sheet(gpus[0].name if gpus else FASTEST[device])
    if sheet is None:
        raise NoRooflineError(f"no data sheet of {gpus[0].name}")
    devices = num_devices(launch.args) or 1
    flops_s = {name: tflops * 1e12 * devices for name, tflops in sheet["tflops"].items()}
    return Peaks(sheet["bandwidth_gb_s"] * 1e9 * devices, flops_s, sheet["source"], devices)


def _roofline(launch: Launch, peaks: Peaks) -> BatchSeconds | None:
    """Return what tells the least time of a batch on `peaks`, None where the model is not known here."""
    if launch.model.path_or_id in EMBEDDED:
        return lambda batch, input_tokens, output_tokens: 0.0  # less than what each step costs besides
    config, _ = config_of(launch.model.path_or_id)
    if config is None or any(name in launch.args for name in _RESHAPING):
        return None
    shape = shape_of(config, **{ours: launch.args.get(theirs) for ours, theirs in _FORMATS.items()})
    peaks.flops_for(shape.dtype)  # raises where they are not known

    @cache
    def batch_s(batch: int, input_tokens: int, output_tokens: int) -> float:
        return roofline_for(shape, peaks, batch, input_tokens, output_tokens, batch_size=batch).sure.batch_floor_s

    return batch_s


def _bytes_to_load(launch: Launch) -> int:
    """Return the size of the weights to load, 0 where it is not known or they are made on the device."""
    config, folder = config_of(launch.model.path_or_id)
    if config is None or makes_weights(launch.args):
        return 0
    return weight_bytes(config, folder) or 0
