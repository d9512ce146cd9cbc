"""A run made again from its folder alone: its experiment file, and what here is not as it was there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchbook.hosts.engines import engine_of
from benchbook.hosts.machine.facts import machine
from benchbook.launch_differences import NOT_SET, difference_text, differing
from benchbook.measure.environments import environment_facts
from benchbook.plan.experiment import Experiment
from benchbook.plan.guard import ITEMS_FILE, ITEMS_NOTE
from benchbook.plan.launches import SAFE_NAME, Launch
from benchbook.plan.requests import ENDING
from benchbook.plan.requests import FOLDER as REQUESTS
from benchbook.reading import read_bytes
from benchbook.records.files import make_folder, write_bytes
from benchbook.records.fingerprint import changed_parts
from benchbook.records.header import LaunchFacts, RunHeader
from benchbook.records.packages import package_versions
from benchbook.records.parts import MachineFacts, gpus_text
from benchbook.records.record import IMPORTED, Record
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preflight import preflight_of
from benchbook.sweep.request_sets import drawn_before
from benchbook.sweep.set_layout import layouts
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.wording import counted, listed

FOLDER = "reproduced"  # under the results folder: the files that runs were made again from
# Of a machine, what may change a number; beside a fingerprint's own parts, which are named as they stand.
_MACHINE = ("cpu", "cpu_cores", "memory_gib", "gpus", "kernel", "python")
_FROZEN = (f"*{ENDING}", ITEMS_FILE, ITEMS_NOTE)  # what is sent again
_DETAILED = {"packages", "server_packages", "device", "launch", "requests", "seed", "environment"}
_PARTS = {
    "guard": "other items of the guard",
    "model": "other files of the model",
    "notebook": "another notebook that measures",
    "workload": "other settings of its benchmark",
}


def recreated(store: Store, results_dir: Path) -> Path:
    """Return the experiment file of a run, written anew under the experiment's name; ExperimentError where it has none.

    Beside it lie the requests and the guard's items that were frozen there, which are then sent again.
    """
    source, header = store.run_dir / EXPERIMENT_FILE, store.header()
    if not source.is_file():
        is_others = any(record.way == IMPORTED for record in store.records()[:1])
        why = "its figures are others'" if is_others else f"it has no {EXPERIMENT_FILE}"
        raise ExperimentError(f"{store.run_dir} cannot be made again: {why}")
    if not SAFE_NAME.fullmatch(header.experiment):  # from another machine, and to become a file's name here
        raise ExperimentError(
            f"{store.run_dir} cannot be made again: its experiment is called {header.experiment[:80]!r}"
        )
    target = make_folder(results_dir / FOLDER / store.run_dir.name) / f"{header.experiment}.yaml"
    try:
        write_bytes(target, read_bytes(source))
        for frozen in sorted(one for name in _FROZEN for one in (store.run_dir / REQUESTS).glob(name)):
            write_bytes(make_folder(target.parent / REQUESTS) / frozen.name, read_bytes(frozen))
    except StoreError as error:
        raise ExperimentError(str(error)) from error
    return target


def mismatches(store: Store, file: Path, asked: Collection[str] = ()) -> list[str]:
    """Return a sentence for each thing that is not here as it was there, as far as the run's folder tells.

    With `asked`, ids of cases, only what concerns these.
    """
    header, records = store.header(), store.records()
    plan = RunPlan.of(preflight_of(file).experiment)
    concerned = [record for record in records if record.is_measured and (not asked or record.identity.case_id in asked)]
    names = {record.identity.launch for record in concerned}
    launches = [launch for launch in plan.experiment.launches if launch.name in names]
    first = {launch.name: next(one for one in concerned if one.identity.launch == launch.name) for launch in launches}
    told = [
        f"launch {name!r} was measured, and {EXPERIMENT_FILE} has none of that name"
        for name in sorted(names - first.keys())
    ]
    for launch in launches:
        known, record = header.launches.get(launch.name, LaunchFacts()), first[launch.name]
        told += _settings(plan, launch, known)
        told += _packages(launch, record)
        told += _inherited(plan, launch, record, known)
    told += _machine(header.provenance.machine, MachineFacts.of(machine()))
    told += _seed(plan.experiment, header)
    told += _requests(plan.experiment, concerned)
    return [*dict.fromkeys(told), *_parts(plan, concerned)]


def other_requests(there: Sequence[Record], here: Sequence[Record]) -> list[str]:
    """Return a sentence where repeats of the same number were sent other requests than there."""
    sent = {(record.identity.case_id, record.identity.repeat): record.request_set_sha256 for record in there}
    other = {
        record.identity.case_id
        for record in here
        if record.request_set_sha256
        and sent.get((record.identity.case_id, record.identity.repeat), record.request_set_sha256)
        not in (None, record.request_set_sha256)
        and not record.identity.disturbed  # whose second try is sent others on purpose
    }
    return [f"other requests were sent here than there: {listed(sorted(other)[:3])}"] if other else []


def _settings(plan: RunPlan, launch: Launch, known: LaunchFacts) -> Iterator[str]:
    """Yield in what a launch of the file is not the one that was measured: the file was changed, or a default was."""
    if known == LaunchFacts():  # a damaged run.json has lost it
        return
    if known.attached or launch.attached:
        before, now = dict(known.attached), dict(launch.attached.settings if launch.attached else {})
    else:
        engine = {name: getattr(known, name) for name in ("engine", "program", "command") if getattr(known, name)}
        before = {"model": known.model.name, **engine, **known.args, **known.env}
        named = {name: said for name, said in launch.named_engine.items() if name != "python"}  # a place is no setting
        now = {"model": plan.models[launch.name].name, **named, **launch.args, **launch.env}
    if differing(before, now):
        yield difference_text(before, now, ("as it was measured", f"launch {launch.name!r} in {EXPERIMENT_FILE}"))


def _packages(launch: Launch, record: Record) -> Iterator[str]:
    """Yield the packages of other versions, of those that were noted there, where a launch's server or engine runs."""
    if launch.attached:
        return
    there = {**record.provenance.packages, **record.host.packages}
    here = {**package_versions(), **environment_facts(engine_of(launch).python).get("packages", {})}
    whose = f" under launch {launch.name!r}" if launch.python or record.host.python else ""
    for name, version in there.items():
        if here.get(name) != version:
            yield f"{name} {version} there, {here.get(name, 'none')} here{whose}"


def _inherited(plan: RunPlan, launch: Launch, record: Record, known: LaunchFacts) -> Iterator[str]:
    """Yield the variables that a launch's host has from another shell than it had there."""
    part, engine = "environment", engine_of(launch)
    before, planned = record.identity.fingerprint_parts, plan.cases.get(record.identity.case_id)
    if planned is None or before.get(part) in (None, planned.parts[part]):
        return
    ours = {*engine.environment(False, launch.args), *launch.env, *known.env}  # set by benchbook or the file
    there, here = (
        {name: one[name] for name in one if name not in ours} for one in (record.host.env, engine.inherited())
    )
    named = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    for name in named:
        yield f"variable {name} of the shell: {there.get(name, NOT_SET)} there, {here.get(name, NOT_SET)} here"
    if not named:
        yield "other variables of the shell, which its server inherits"


def _machine(there: MachineFacts, here: MachineFacts) -> list[str]:
    pairs = [(name, getattr(there, name), getattr(here, name)) for name in _MACHINE]
    return [
        f"{name.replace('_', ' ')}: {_fact(before)} there, {_fact(now)} here"
        for name, before, now in pairs
        if before not in (None, ()) and before != now
    ]


def _fact(value: Any) -> str:
    if isinstance(value, tuple):
        return gpus_text(value) or "none"
    return "unknown" if value is None else str(value)


def _seed(experiment: Experiment, header: RunHeader) -> Iterator[str]:
    if header.seed not in (None, experiment.seed):
        yield f"seed {header.seed} there, {experiment.seed} in {EXPERIMENT_FILE}: other prompts"


def _requests(experiment: Experiment, records: Sequence[Record]) -> Iterator[str]:
    """Yield which sets lie in the folder otherwise than they were sent from there."""
    sent: dict[str, set[str]] = {}
    for record in records:
        if record.requests and record.requests.sha256:
            sent.setdefault(record.requests.name, set()).add(record.requests.sha256)
    for name, layout in layouts(experiment).items():
        drawn = drawn_before(experiment, name, layout)
        if drawn and drawn.sha256 not in sent.get(name, {drawn.sha256}):
            yield f"the requests {name!r} of the folder are not those that were sent there: their sha256 is another"


def _parts(plan: RunPlan, records: Sequence[Record]) -> list[str]:
    """Return what else of a case's fingerprint is another, a sentence a part; cases that the file lacks are named."""
    cases: dict[str, list[str]] = {}
    for record in records:
        identity, planned = record.identity, plan.cases.get(record.identity.case_id)
        if planned is None:
            cases.setdefault(f"{EXPERIMENT_FILE} no longer asks it", []).append(identity.case_id)
            continue
        for part in changed_parts(identity.fingerprint_parts, planned.parts):
            if part not in _DETAILED and identity.fingerprint_parts:
                cases.setdefault(_PARTS.get(part, f"another {part}"), []).append(identity.case_id)
    return [f"{what}: {_some(list(dict.fromkeys(names)))}" for what, names in cases.items()]


def _some(names: Sequence[str]) -> str:
    return f"{names[0]} and {counted(len(names) - 1, 'other case')}" if len(names) > 1 else names[0]
