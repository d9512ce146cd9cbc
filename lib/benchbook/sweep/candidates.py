"""Which candidates of a search this machine has no room for: they are left out before anything starts, and said.

What the installed vLLM does not know of one, or cannot do with its model, was found before (preflight.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.hosts.machine.devices import Device
from benchbook.plan.launches import Launch
from benchbook.sweep.launch_fit import LaunchFit
from benchbook.sweep.preflight import Preflight
from benchbook.terms.errors import ExperimentError


def runnable(checked: Preflight, there: Sequence[Device] | None = None) -> Preflight:
    """Return `checked` without the candidates of a matrix that do not fit this machine; none is left out without a search.

    Where the default does not fit either, it is the machine that is another one: then nothing is left out. `there` are
    the machine's devices; without it they are looked for. Raises ExperimentError where no candidate is left.
    """
    experiment = checked.experiment
    if not experiment.search or _misfit(checked, experiment.launches[0], there):
        return checked
    candidates = [launch for launch in experiment.launches if launch.name in experiment.document.optional]
    left_out = {launch.name: why for launch in candidates if (why := _misfit(checked, launch, there))}
    return checked.without(left_out) if left_out else checked


def _misfit(checked: Preflight, launch: Launch, there: Sequence[Device] | None) -> str:
    try:
        LaunchFit(checked, launch, there).notes()
    except ExperimentError as refused:
        return str(refused)
    return ""
