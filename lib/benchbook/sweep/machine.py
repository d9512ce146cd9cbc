"""Does this machine have what an experiment needs? Answered before anything starts: what cannot work is refused.

What may work is not: a KV cache that vLLM will queue for is a note, and a size that is not known is said to be so.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.hosts.machine.devices import CPU, ROCM, TITLES, Device, devices, misnamed, naming
from benchbook.hosts.vllm.random_loader import why_unknown
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.ranks import num_devices
from benchbook.refused_args import spread_over
from benchbook.sweep.fetching import check_models
from benchbook.sweep.holding import check_free
from benchbook.sweep.launch_fit import LaunchFit, devices_text, is_by_ray, is_cpu_build, listed_devices, uses_cpu
from benchbook.sweep.needs import need_of
from benchbook.sweep.placing import part_of_machine
from benchbook.sweep.preflight import Preflight
from benchbook.terms.errors import ExperimentError
from benchbook.terms.load_formats import OURS, load_format_of


def check_machine(checked: Preflight, there: Sequence[Device] | None = None) -> list[str]:
    """Raise ExperimentError with all that machine and models lack for the launches; return notes on what may be too little.

    `there` are the machine's devices; without it they are looked for, launch by launch as its environment names them.
    """
    experiment, faults, notes = checked.experiment, checked.experiment.document.faults, []
    check_one_machine(experiment)
    if there is None and experiment.place:
        there = part_of_machine(experiment)
    if there is None and checked.is_installed:
        for launch in _started(checked):
            if not uses_cpu(checked, launch):
                _check_names(checked, launch)
        faults.raise_any()
    for name, fault in checked.unfit:
        if any(launch.name == name for launch in experiment.launches):
            faults.note(fault)
    if _started(checked):
        _check_device(checked, devices() if there is None else there)
    for launch in _started(checked):
        with faults.noted():
            notes += LaunchFit(checked, launch, there).notes()
    faults.raise_any()
    return notes


def check_one_machine(experiment: Experiment) -> None:
    """Raise ExperimentError where a launch is one server on several machines."""
    for launch in experiment.launches:
        if why := spread_over(launch.args):
            experiment.document.faults.note(experiment.document.error(("launches", launch.name), why))
    experiment.document.faults.raise_any()


def check_loader(experiment: Experiment) -> None:
    """Raise ExperimentError where a launch has our load format, and the vLLM that would be started does not know it."""
    for launch in experiment.launches:
        with experiment.document.faults.noted():
            if load_format_of(launch.args) == OURS and (problem := why_unknown(launch.env, bool(launch.python))):
                raise experiment.document.error(("launches", launch.name), problem)
    experiment.document.faults.raise_any()


def machine_note(checked: Preflight) -> str:
    """Return for `benchbook plan` whether `run` would find here what the experiment needs."""
    try:
        check_loader(checked.experiment)
        check_free(checked)
        notes = check_machine(checked) + check_models(checked)
    except ExperimentError as refusal:
        return f"`run` would be refused on this machine: {refusal}"
    unknown = [launch for launch in _started(checked) if not need_of(checked.experiment, launch)]
    names = ", ".join(repr(launch.name) for launch in unknown)
    said = (
        f"this machine has the devices; whether their memory suffices is not known for launch {names}"
        if unknown
        else "this machine has what it needs, as far as that can be computed"
    )
    return "\n".join([said, *(f"  {note}" for note in notes)])


def _started(checked: Preflight) -> list[Launch]:
    """Return the launches that need something of this machine: those that are started."""
    return [launch for launch in checked.experiment.launches if not launch.attached]


def _check_device(checked: Preflight, there: Sequence[Device]) -> None:
    """Raise the refusal of a machine, or of a vLLM, that has not the kind of device that the experiment asks for."""
    experiment, wanted = checked.experiment, checked.experiment.device
    if wanted in (None, CPU):
        return  # a machine with GPUs has a CPU as well
    if all(device.kind != wanted for device in there):
        needs = [need for launch in _started(checked) if (need := need_of(experiment, launch))]
        largest = max(needs, key=lambda need: need.total_gib, default=None)
        what = devices_text(wanted, largest.ranks.devices if largest else 1, largest.total_gib if largest else None)
        why = f" ({largest}, launch {largest.launch!r})" if largest else ""
        hint = ", and no ROCm driver (/dev/kfd)" if wanted == ROCM else ""
        raise experiment.document.error(
            ("device",), f"needs {what}{why}; this machine has {listed_devices(there)}{hint}"
        )
    for launch in experiment.launches:
        if is_cpu_build(checked, launch):
            which = "the installed vLLM" if not launch.python else f"launch {launch.name!r} has a vLLM:"
            problem = f"needs {TITLES[wanted]}, and {which} {checked.version_of(launch)} is a build for CPUs"
            raise experiment.document.error(("device",), problem)


def _check_names(checked: Preflight, launch: Launch) -> None:
    """Note the refusal of a variable, or of vLLM's device_ids, that names no GPU, one twice, or one that is not here."""
    number = 1 if is_by_ray(launch) else num_devices(launch.args) or 1
    if not (wrong := misnamed(naming(launch.args, launch.env), checked.version_of(launch), number)):
        return
    document = checked.experiment.document
    variable, problem = wrong
    where, who, hint = ("launches", launch.name), f"{variable} of your shell ", ": unset it, or name others"
    for part, key, settings in (("env", variable, launch.env), ("args", "device_ids", launch.args)):
        if key in settings:
            where, who, hint = ("launches", launch.name, part, key), "", ""
    document.faults.note(document.error(where, f"{who}{problem}{hint}"))
