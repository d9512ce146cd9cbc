"""What is checked before anything starts: does the installed vLLM know every flag and variable of every launch?

Old names are translated, and each translation is told; what no vLLM of this version knows is refused with its line in
the file and the nearest known name. On a machine for another platform the same names hold: one release has one parser
and one table of variables for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchbook.hosts.model.hub_cache import json_object
from benchbook.hosts.model.shapes import PREFIX, shape_named
from benchbook.hosts.process.pythons import HERE, Python, is_ours
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.forms import installed_forms
from benchbook.hosts.vllm.misfits import longest
from benchbook.measure.attached_check import checked_attached
from benchbook.measure.launch_check import checked_launch, config_of, version_of
from benchbook.measure.variables import check_shell
from benchbook.plan.document import Document, Where
from benchbook.plan.experiment import Experiment, read_experiment
from benchbook.plan.faults import Fault, Faults
from benchbook.plan.launches import Launch
from benchbook.sweep.estimates import pace_of
from benchbook.sweep.needs import queue_notes
from benchbook.terms.engines import VLLM
from benchbook.terms.errors import ExperimentError

_ANSWER = "max_new_tokens"


@dataclass(frozen=True)
class Preflight:
    """An experiment as the installed vLLM will be asked to run it."""

    experiment: Experiment  # its launches translated
    version: str  # of the vLLM that it was checked against
    is_installed: bool  # False: no vLLM here, so old names were translated and nothing else was checked
    is_readable: bool  # False: the installed vLLM's source does not tell what it knows
    notes: tuple[str, ...]  # a line for each translation, and for what else a reader must know, with its place
    unfit: tuple[tuple[str, Fault], ...] = ()  # launch, and why it cannot start with its model, or here
    pythons: Mapping[str, Python] = field(default_factory=dict)  # of launches whose vLLM is that of another environment

    def without(self, left_out: Mapping[str, str]) -> Preflight:
        """Return the same without these candidates of its search; raise ExperimentError where none is left."""
        experiment = self.experiment
        launches = tuple(launch for launch in experiment.launches if launch.name not in left_out)
        cases = tuple(case for case in experiment.cases if case.launch not in left_out)
        if len(launches) < 2:
            why = "\n".join(f"  {name}: {why}" for name, why in left_out.items())
            raise ExperimentError(f"{experiment.path}: no candidate of the search can run:\n{why}")
        search = replace(experiment.search, left_out={**experiment.search.left_out, **left_out})
        return replace(self, experiment=replace(experiment, launches=launches, cases=cases, search=search))

    def part_of(self, asked: Collection[str] | None) -> Preflight:
        """Return the same with the launches of the cases of these ids, None: of all: others need nothing of a machine."""
        experiment = self.experiment
        names = {case.launch for case in experiment.cases if asked is None or case.case_id in asked}
        launches = tuple(launch for launch in experiment.launches if launch.name in names)
        return replace(self, experiment=replace(experiment, launches=launches))

    def python_of(self, launch: Launch) -> Python:
        """Return the environment in which a launch is started."""
        return self.pythons.get(launch.name, HERE)

    def version_of(self, launch: Launch) -> str:
        """Return the version of the vLLM that a launch starts."""
        return self.python_of(launch).version_of("vllm") or "" if launch.name in self.pythons else self.version

    @property
    def checked_against(self) -> str:
        """Return in words what stands behind the check of launches in benchbook's own environment."""
        if self.is_installed and not self.is_readable:
            return f"vLLM {self.version} is installed, and its source does not tell what it knows: nothing was checked"
        if self.is_installed:
            return f"checked against vLLM {self.version}, which is installed"
        return f"translated for vLLM {self.version}; none is installed here, so nothing else was checked"


def preflight_of(file: Path, sets: Sequence[str] = ()) -> Preflight:
    """Return the experiment in `file`, checked; raise one ExperimentError with all that is wrong, in file and flags.

    `sets` are values in place of the file's: 'repeats=5'.
    """
    return preflight(read_experiment(file, pace_of, sets))


def preflight(experiment: Experiment) -> Preflight:
    """Return `experiment` with its launches translated; raise ExperimentError for all that this vLLM does not know."""
    doc, faults = experiment.document, experiment.document.faults
    there = known()
    launches, notes, unfit, left_out = [], [], [], {}
    pythons = _pythons(experiment)
    for launch in experiment.launches:
        if launch.attached:
            checked = checked_attached(doc, launch, has_offline=bool(experiment.offline_workloads(launch.name)))
            launches.append(checked.launch)
            notes += checked.notes
            unfit += [(launch.name, fault) for fault in checked.unfit]
            continue
        own = replace(doc, faults=Faults()) if launch.name in doc.optional else doc
        with own.faults.noted():
            _check_shape(experiment, launch)
        if (python := pythons.get(launch.name, HERE)) is None:
            continue
        its, has_offline = there if python.is_here else known(python), bool(experiment.offline_workloads(launch.name))
        checked = checked_launch(own, launch, its, has_offline=has_offline, python=python)
        with own.faults.noted():
            _check_answers(experiment, checked.launch)
        launches.append(checked.launch)
        cannot = [*checked.unfit, *_too_long(experiment, checked.launch)]
        if own is not doc and (why := [*own.faults.texts, *map(str, cannot)]):
            left_out[launch.name] = why[0]
            continue
        notes += [*checked.notes, *queue_notes(experiment, checked.launch)]
        unfit += [(launch.name, fault) for fault in cannot]
    if experiment.requests and not faults.has_within(("requests",)):
        from benchbook.sweep.set_checks import check_sets  # late, as below: most experiments have no set and no guard

        notes += check_sets(experiment)
    if experiment.guard:
        from benchbook.sweep.guarding import check_guard

        notes += check_guard(experiment)
    started = [launch for launch in launches if not launch.attached]
    for python in dict.fromkeys(pythons.get(launch.name, HERE) for launch in started):
        heirs = [launch for launch in started if pythons.get(launch.name, HERE) == python]
        if (its := there if python.is_here else known(python)) and its.flags:
            notes += check_shell(doc, heirs, its, installed_forms(python), python)
    faults.raise_any()
    is_readable = bool(there and there.flags)
    translated = replace(experiment, launches=tuple(launches))
    told = tuple(dict.fromkeys(notes)), tuple(unfit)
    others = {name: python for name, python in pythons.items() if python and not python.is_here}
    found = Preflight(translated, version_of(there), there is not None, is_readable, *told, others)
    return found.without(left_out) if left_out else found


def _pythons(experiment: Experiment) -> dict[str, Python | None]:
    """Return the environment of each launch that names one; None where it is none or lacks something, noted as a fault."""
    doc, found = experiment.document, {}
    for launch in experiment.launches:
        if launch.engine == VLLM and not is_ours(launch.python):
            found[launch.name] = None
            with doc.faults.noted(), _at(doc, ("launches", launch.name, "python")):
                python = vllm_python(launch.python)
                installed_forms(python)  # which imports this vLLM, where none of our commands has done so before
                found[launch.name] = python
    return found


@contextmanager
def _at(doc: Document, where: Where) -> Iterator[None]:
    """Inside, a refusal is one of what stands at `where` in the file."""
    try:
        yield
    except ExperimentError as error:
        raise doc.error(where, str(error)) from None


def _too_long(experiment: Experiment, launch: Launch) -> list[Fault]:
    """Return the refusal of requests that are longer than the model can take, where no max_model_len was in their way.

    That of a search's candidate is looked at here too: it is left out where it is too short.
    """
    is_candidate = launch.name in experiment.document.optional
    most = launch.max_model_len if is_candidate else None
    what = "its max_model_len" if most else "the model's config.json"
    most = most or longest(launch.args, launch.env, config_of(launch))
    needed = max(
        (case.workload.max_request_tokens for case in experiment.cases if case.launch == launch.name), default=0
    )
    if most is None or needed <= most or (launch.max_model_len and not is_candidate):
        return []
    problem = f"a request of {needed} tokens (input + output) exceeds the {most} of {what}"
    return [experiment.document.error(("launches", launch.name), problem)]


def _check_answers(experiment: Experiment, launch: Launch) -> None:
    """Raise the refusal of answers that are longer than the launch lets its server give."""
    most = _answer_limit(launch.args)
    served = [case for case in experiment.cases if case.launch == launch.name and case.workload.host_kind == "server"]
    asked = [case.workload.asked for case in served if case.workload.asked.ends_by == "length"]
    tokens = [math.ceil((each.output_tokens_each or 0) * (1 + (each.varies_by or 0))) for each in asked]
    if most and max(tokens, default=0) > most:
        why = f"{_ANSWER} of its generation config ends every answer at {most} tokens, and {max(tokens)} are asked for"
        raise experiment.document.error(("launches", launch.name), why)


def _answer_limit(args: Mapping[str, Any]) -> int | None:
    """Return after how many tokens a server with these args ends every answer; None where it does not."""
    folder, said = args.get("generation_config"), args.get("override_generation_config")
    found = json_object(Path(folder, "generation_config.json")) if isinstance(folder, str) else None
    most = {**(found or {}), **(said if isinstance(said, Mapping) else {})}.get(_ANSWER)
    return most if isinstance(most, int) and not isinstance(most, bool) else None


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
