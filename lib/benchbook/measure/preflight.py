"""What is checked before anything starts: does the installed vLLM know every flag and variable of every launch?

Old names are translated, and each translation is told; what no vLLM of this version knows is refused with its line in
the file and the nearest known name. On a machine for another platform the same names hold: one release has one parser
and one table of variables for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchbook.errors import ExperimentError
from benchbook.hosts import inputs, translations
from benchbook.hosts.flags import known
from benchbook.hosts.forms import Forms, installed_forms
from benchbook.hosts.shapes import PREFIX, shape_named
from benchbook.hosts.spelling import Misspelt, Spelt, spelt_out
from benchbook.measure.names import Places, check_args, check_variables
from benchbook.plan.document import Document, Where
from benchbook.plan.experiment import Experiment, read_experiment
from benchbook.plan.launches import Launch
from benchbook.refused_args import halves, refused


@dataclass(frozen=True)
class Preflight:
    """An experiment as the installed vLLM will be asked to run it."""

    experiment: Experiment  # its launches translated
    version: str  # of the vLLM that it was checked against
    is_installed: bool  # False: no vLLM here, so old names were translated and nothing else was checked
    is_readable: bool  # False: the installed vLLM's source does not tell what it knows
    notes: tuple[str, ...]  # a line for each translation, and for what else a reader must know, with its place

    @property
    def checked_against(self) -> str:
        """Return in words what stands behind the check."""
        if self.is_installed and not self.is_readable:
            return f"vLLM {self.version} is installed, and its source does not tell what it knows: nothing was checked"
        if self.is_installed:
            return f"checked against vLLM {self.version}, which is installed"
        return f"translated for vLLM {self.version}; none is installed here, so nothing else was checked"


def preflight_of(file: Path) -> Preflight:
    """Return the experiment in `file`, checked; raise one ExperimentError with all that is wrong, in file and flags."""
    return preflight(read_experiment(file))


def preflight(experiment: Experiment) -> Preflight:
    """Return `experiment` with its launches translated; raise ExperimentError for all that this vLLM does not know."""
    doc, faults = experiment.document, experiment.document.faults
    there, forms = known(), installed_forms()
    version = there.version if there else translations.NEWEST_CHECKED
    launches, notes = [], []
    for launch in experiment.launches:
        with faults.noted():
            _check_shape(experiment, launch)
        spelt = _spelt(doc, launch, forms, version)
        translated, places, told = _translated(doc, launch, spelt, version)
        if there and there.flags:
            check_args(doc, translated.args, places, there, forms, _has_offline(experiment, launch))
            told += check_variables(doc, translated, places, there)
        notes += told + _check_use(doc, translated, places)
        launches.append(translated)
    faults.raise_any()
    is_readable = bool(there and there.flags)
    return Preflight(
        replace(experiment, launches=tuple(launches)), version, there is not None, is_readable, tuple(notes)
    )


def _spelt(doc: Document, launch: Launch, forms: Forms, version: str) -> Spelt:
    """Return the launch's args under their full names; names that are to be translated stay for that.

    What cannot be understood is noted as a fault and left out.
    """
    args = dict(launch.args)
    while True:
        try:
            return spelt_out(args, forms, translations.old_args(version))
        except Misspelt as fault:
            doc.faults.note(doc.error(("launches", launch.name, "args", fault.name), str(fault)))
            del args[fault.name]


def _translated(doc: Document, launch: Launch, spelt: Spelt, version: str) -> tuple[Launch, Places, list[str]]:
    """Return the launch as this version wants it, where the file says what it has now, and what was changed.

    What it cannot have is noted as a fault and left out.
    """
    places = Places(launch, spelt)
    own = {name: value for name, value in launch.env.items() if name not in launch.plugin_env}
    done = translations.translate(spelt.args, own, version)
    for refusal in done.refusals:
        doc.faults.note(doc.error(places.of(refusal.old), str(refusal)))
    told = [((*places.args, name), f"is {full}") for name, full in spelt.notes.items()]
    told += [(places.of(change.old), str(change)) for change in done.changes]
    for change in done.changes:
        places.note(change.old, change.new)
    foreign = {name: launch.env[name] for name in launch.plugin_env}
    notes = [f"translated: {_at(doc, place)}: {what}" for place, what in told]
    return replace(launch, args=done.args, env={**done.env, **foreign}), places, notes


def _has_offline(experiment: Experiment, launch: Launch) -> bool:
    return any(case.launch == launch.name and case.workload.host_kind == "engine" for case in experiment.cases)


def _at(doc: Document, place: Where) -> str:
    return f"{doc.path}:{doc.line(place)}: {'.'.join(map(str, place))}"


def _check_use(doc: Document, launch: Launch, places: Places) -> list[str]:
    """Note what makes a server that can never be asked; return what a reader must know of one that can."""
    for name, why in refused(launch.args):
        doc.faults.note(doc.error(places.of(name), why))
    for (part, name, *path), why in inputs.missing(launch.args, launch.env, doc.path.absolute().parent):
        doc.faults.note(doc.error(places.of(name, *path), why))
    return [f"note: {_at(doc, places.of(*path))}: {what}" for path, what in halves(launch.args)]


def _check_shape(experiment: Experiment, launch: Launch) -> None:
    """Raise the refusal of a shape that is not known, where the file names it."""
    if launch.model is None or not launch.model.path_or_id.startswith(PREFIX):
        return
    try:
        shape_named(launch.model.path_or_id.removeprefix(PREFIX))
    except ExperimentError as unknown:
        own = ("launches", launch.name, "model")
        has_own = "model" in experiment.document.mapping(own[:-1])
        raise experiment.document.error((*(own if has_own else ("model",)), "shape"), str(unknown)) from None
