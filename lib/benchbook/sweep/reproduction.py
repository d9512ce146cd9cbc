"""A run made again from its folder alone: its experiment file, and what here is not as it was there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook.hosts.machine.facts import machine
from benchbook.launch_differences import NOT_SET, difference_text
from benchbook.plan.experiment import Experiment, load_experiment
from benchbook.plan.launches import SAFE_NAME
from benchbook.plan.requests import ENDING
from benchbook.plan.requests import FOLDER as REQUESTS
from benchbook.reading import read_bytes
from benchbook.records.files import make_folder, write_bytes
from benchbook.records.fingerprint import changed_parts
from benchbook.records.header import LaunchFacts, RunHeader
from benchbook.records.parts import MachineFacts
from benchbook.records.provenance import package_versions
from benchbook.records.record import IMPORTED, Record
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.sweep.planning import RunPlan
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.wording import counted, listed

FOLDER = "reproduced"  # under the results folder: the files that runs were made again from
# Of a machine, what may change a number; beside a fingerprint's own parts, which are named as they stand.
_MACHINE = ("cpu", "cpu_cores", "memory_gib", "gpus", "kernel", "python")
_DETAILED = {"packages", "device", "launch", "requests", "seed"}
_PARTS = {
    "environment": "other variables that its server inherits from the shell",
    "model": "other files of the model",
    "notebook": "another notebook that measures",
    "workload": "other settings of its benchmark",
}


def recreated(store: Store, results_dir: Path) -> Path:
    """Return the experiment file of a run, written anew under the experiment's name; ExperimentError where it has none.

    Beside it lie the requests that were frozen there, which are then sent again.
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
        for frozen in sorted((store.run_dir / REQUESTS).glob(f"*{ENDING}")):
            write_bytes(make_folder(target.parent / REQUESTS) / frozen.name, read_bytes(frozen))
    except StoreError as error:
        raise ExperimentError(str(error)) from error
    return target


def mismatches(store: Store, file: Path, asked: Collection[str] = ()) -> list[str]:
    """Return a sentence for each thing that is not here as it was there, as far as the run's folder tells.

    With `asked`, ids of cases, only what concerns these.
    """
    experiment, header, records = load_experiment(file), store.header(), store.records()
    concerned = [record for record in records if not asked or record.identity.case_id in asked]
    told = [*_launches(experiment, header, {record.identity.launch for record in concerned})]
    told += _packages(concerned, header)
    told += _machine(header.provenance.machine, MachineFacts.of(machine()))
    return [*told, *_parts(RunPlan.of(experiment), concerned)]


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
    return [f"other requests were sent here, though by the same seed: {listed(sorted(other)[:3])}"] if other else []


def _launches(experiment: Experiment, header: RunHeader, names: Collection[str]) -> Iterator[str]:
    """Yield in what launches of the file are not those that were measured: the file was changed, or a default was."""
    for launch in experiment.launches:
        known = header.launches.get(launch.name)
        if launch.name not in names or known is None:
            continue
        before, now = _settings(known), {**launch.args, **launch.env}
        if any(before.get(key, NOT_SET) != now.get(key, NOT_SET) for key in {**before, **now}):
            yield difference_text(before, now, ("as it was measured", f"launch {launch.name!r} in {EXPERIMENT_FILE}"))
    for name in sorted(set(names) - {launch.name for launch in experiment.launches}):
        yield f"launch {name!r} was measured, and {EXPERIMENT_FILE} has none of that name"


def _settings(facts: LaunchFacts) -> Mapping[str, object]:
    return {**facts.args, **facts.env}


def _packages(records: Sequence[Record], header: RunHeader) -> list[str]:
    """Return the packages of other versions, of those that were noted there."""
    there: Mapping[str, str] = (records[0].provenance if records else header.provenance).packages
    here = package_versions()
    return [
        f"{name} {version} there, {here.get(name, 'none')} here"
        for name, version in there.items()
        if here.get(name) != version
    ]


def _machine(there: MachineFacts, here: MachineFacts) -> list[str]:
    pairs = [(name, getattr(there, name), getattr(here, name)) for name in _MACHINE]
    return [
        f"{name.replace('_', ' ')}: {_fact(before)} there, {_fact(now)} here"
        for name, before, now in pairs
        if before not in (None, ()) and before != now
    ]


def _fact(value: Any) -> str:
    if isinstance(value, tuple):
        return " + ".join(gpu.name for gpu in value) or "none"
    return "unknown" if value is None else str(value)


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
