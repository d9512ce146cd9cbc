"""What is checked before anything starts: does the installed vLLM know every flag and variable of every launch?

Old names are translated, and each translation is told; what no vLLM of this version knows is refused with its line in
the file and the nearest known name. On a machine for another platform the same names hold: one release has one parser
and one table of variables for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbook.errors import ExperimentError
from benchbook.hosts import inputs, translations
from benchbook.hosts.flags import Known, known
from benchbook.hosts.forms import Forms, flag_of, installed_forms, problem_of
from benchbook.hosts.shapes import PREFIX, shape_named
from benchbook.hosts.spelling import Misspelt, Spelt, spelt_out
from benchbook.plan.document import Document, Where
from benchbook.plan.experiment import Experiment, read_experiment
from benchbook.plan.hints import meant
from benchbook.plan.launches import Launch
from benchbook.refused_args import halves, refused

_PLACES = {
    translations.ARG: ("args",),
    translations.VARIABLE: ("env",),
    translations.OPTION: ("args", translations.OPTION),
}


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
    faults = experiment.document.faults
    there, forms = known(), installed_forms()
    version = there.version if there else translations.NEWEST_CHECKED
    launches, notes = [], []
    for launch in experiment.launches:
        with faults.noted():
            _check_shape(experiment, launch)
        spelt = _spelt(experiment.document, launch, forms, version)
        translated, told = _translated(experiment.document, launch, spelt, version)
        if there and there.flags:
            _check_names(experiment, translated, spelt, there, forms)
        notes += told + _check_use(experiment.document, translated, spelt)
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


def _translated(doc: Document, launch: Launch, spelt: Spelt, version: str) -> tuple[Launch, list[str]]:
    """Return the launch as this version wants it, and what was changed.

    What it cannot have is noted as a fault and left out.
    """
    where: Where = ("launches", launch.name)
    args, env = dict(spelt.args), dict(launch.env)
    while True:
        try:
            args, env, changes = translations.translate(args, env, version)
            break
        except translations.Refused as refusal:
            doc.faults.note(doc.error((*where, *_PLACES[refusal.kind], refusal.old), str(refusal)))
            args, env = _without(refusal, args, env)
    told = [((*where, "args", name), f"is {full}") for name, full in spelt.notes.items()]
    told += [((*where, *_PLACES[change.kind], change.old), str(change)) for change in changes]
    return replace(launch, args=args, env=env), [f"translated: {_at(doc, place)}: {what}" for place, what in told]


def _without(refusal: translations.Refused, args: dict[str, Any], env: dict[str, str]) -> tuple[dict, dict]:
    """Return `args` and `env` without the name that was refused."""
    old, options = refusal.old, args.get(translations.OPTION)
    if refusal.kind == translations.VARIABLE:
        return args, {name: value for name, value in env.items() if name != old}
    if refusal.kind == translations.OPTION and isinstance(options, Mapping):
        args = {**args, translations.OPTION: {name: value for name, value in options.items() if name != old}}
    return {name: value for name, value in args.items() if name != old}, env


def _at(doc: Document, place: Where) -> str:
    return f"{doc.path}:{doc.line(place)}: {'.'.join(map(str, place))}"


def _check_use(doc: Document, launch: Launch, spelt: Spelt) -> list[str]:
    """Note what makes a server that can never be asked; return what a reader must know of one that can."""
    where = ("launches", launch.name, "args")
    for name, why in refused(launch.args):
        doc.faults.note(doc.error((*where, spelt.written.get(name, name)), why))
    for (part, name, *path), why in inputs.missing(launch.args, launch.env, doc.path.absolute().parent):
        written = spelt.written.get(name, name) if part == "args" else name
        place = (*where[:2], part, written, *([] if "." in written else path))  # sc.model says the way in its name
        doc.faults.note(doc.error(place, why))
    return [f"note: {_at(doc, (*where, *path))}: {what}" for path, what in halves(launch.args)]


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


def _check_names(experiment: Experiment, launch: Launch, spelt: Spelt, there: Known, forms: Forms) -> None:
    doc, where = experiment.document, ("launches", launch.name)
    has_offline = any(case.launch == launch.name and case.workload.host_kind == "engine" for case in experiment.cases)
    for name, value in launch.args.items():
        place = (*where, "args", spelt.written.get(name, name))
        with doc.faults.noted():
            _check_flag(doc, place, name, there, has_offline)
            if problem := problem_of(name, value, forms):
                raise doc.error(place, problem)
            _check_options(doc, place, value, _options_of(name, there, forms), there)
    for name in launch.env:
        if name.startswith("VLLM_") and name not in there.variables:
            place = (*where, "env", name)
            doc.faults.note(doc.error(place, _unknown(there, "variable", name, there.variables)))


def _check_flag(doc: Document, place: Where, name: str, there: Known, has_offline: bool) -> None:
    flag = flag_of(name)
    if flag not in there.flags:
        flags = [known_flag.removeprefix("--").replace("-", "_") for known_flag in there.flags]
        raise doc.error(place, _unknown(there, "flag", name, flags))
    if has_offline and flag not in there.engine_flags:
        problem = "is a flag of the server alone, and latency and throughput run without one: "
        raise doc.error(place, problem + "restrict them to other launches with launches:")


def _options_of(name: str, there: Known, forms: Forms) -> Mapping[str, Any] | None:
    """Return the options that the config behind a flag has, None where it is none of vLLM's configs."""
    form = forms.get(flag_of(name))
    if form is not None:
        return form.options
    return dict.fromkeys(there.compilation_options) if name == translations.OPTION else None


def _check_options(doc: Document, place: Where, value: Any, options: Mapping[str, Any] | None, there: Known) -> None:
    """Note each key of a config, and of the configs inside it, that the installed one does not have."""
    if not isinstance(value, Mapping) or options is None:
        return
    for key, inner in value.items():
        if key in options:
            _check_options(doc, (*place, key), inner, options[key], there)
        else:
            doc.faults.note(doc.error((*place, key), _unknown(there, "option", key, options)))


def _unknown(there: Known, what: str, name: str, names: Iterable[str]) -> str:
    near = meant(name, sorted(names))
    return f"vLLM {there.version} has no such {what}" + (f"; did you mean {near}?" if near else "")
