"""One launch as the installed vLLM will hear it: names in full, old ones translated, the rest checked, in words of its place.

A launch stands in an experiment's file or comes from a notebook's `engine_args` and `engine_env`: both go this way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbook.hosts.engines import engine_of, unvouched, why_not_here
from benchbook.hosts.face import Engine
from benchbook.hosts.model import files, hub, hub_cache, inputs
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.process.shell import child_environment
from benchbook.hosts.vllm import several_machines, translations
from benchbook.hosts.vllm.clients import missing_client
from benchbook.hosts.vllm.contradictions import contradictions
from benchbook.hosts.vllm.cpu_build import lacking
from benchbook.hosts.vllm.flags import Known
from benchbook.hosts.vllm.forms import Forms, installed_forms
from benchbook.hosts.vllm.import_paths import absent_classes, absent_packages
from benchbook.hosts.vllm.misfits import misfits, unquantized
from benchbook.hosts.vllm.overrides import doubtful, unread
from benchbook.hosts.vllm.renaming import ways
from benchbook.hosts.vllm.spelling import Misspelt, Spelt, spelt_out
from benchbook.hosts.vllm.unheeded import CPU, GPU, unheeded
from benchbook.measure.names import Places, check_args
from benchbook.measure.variables import check_variables, filled_variables, spelt_switches
from benchbook.plan.document import Document
from benchbook.plan.faults import Fault
from benchbook.plan.launches import SECRET, Launch
from benchbook.ranks import num_machines
from benchbook.refused_args import halves, refused
from benchbook.terms.engines import VLLM
from benchbook.terms.errors import ExperimentError
from benchbook.terms.secret_names import secret_ways
from benchbook.terms.sizes import size_of


@dataclass(frozen=True)
class Checked:
    """A launch as the installed vLLM will hear it."""

    launch: Launch  # translated
    notes: list[str]  # a line for each translation, and for what else a reader must know
    unfit: list[Fault]  # what its model cannot be served with, or is not installed here: a start would fail


def checked_launch(
    doc: Document, launch: Launch, there: Known | None, *, has_offline: bool, python: Python = HERE
) -> Checked:
    """Return `launch` translated for the vLLM of `python`, which is `there`.

    What this vLLM does not know, and what makes a host that can never be asked, is noted as a fault of `doc`.
    """
    if launch.engine != VLLM or launch.command:
        return _checked_other(doc, launch, has_offline)
    version, forms = version_of(there), installed_forms(python)
    spelt = _spelt(doc, launch, forms, version)
    _refuse_secrets(doc, launch, spelt)
    translated, places, notes = _translated(doc, launch, spelt, version)
    translated, respelt = spelt_switches(doc, translated, places, there)
    notes += respelt
    if there and there.flags:
        check_args(doc, translated.args, places, there, forms, has_offline, python)
        notes += check_variables(doc, translated, places, there, forms, python)
    notes += _check_use(doc, translated, places, _build_of(there), python)
    if has_offline:
        _check_offline(doc, translated, places)
    found = _with_download_dir(doc, translated, places, notes)
    config = config_of(found)
    for name, why in unread(found.args, config, python):
        doc.faults.note(doc.error(places.of(name), why))
    notes += [f"note: {doc.place_text(places.of(name))}: {why}" for name, why in doubtful(found.args, config, python)]
    notes += _verifier_note(found, config)
    told = [*misfits(found.args, found.env, config), *unquantized(found.args, config, _files_of(found))]
    if _build_of(there) == CPU:
        told += lacking(found.args, found.env, config, has_offline, python)
    told += [*absent_packages(found.args, python), *missing_client(found.env)]
    told += [(name, why) for name, why, may_be_elsewhere in _absent_classes(found, python) if may_be_elsewhere]
    unfit = [doc.error(places.of(name), why) for name, why in told]
    unfit += [doc.error(places.of(*way), why) for (_, *way), why in inputs.unfit_adapters(found.args)]
    return Checked(found, notes, unfit)


def _verifier_note(launch: Launch, config: Mapping[str, Any] | None) -> list[str]:
    """Return the note of a model that names another, for which it speculates: vLLM serves that one, and this is its draft."""
    verifier = dict(ways(config or {})).get("speculators_config.verifier.name_or_path")
    if not verifier:
        return []
    what = f"vLLM serves {verifier}, for which this model speculates, with it as the draft"
    return [f"note: launch {launch.name!r}: {what}; write that as the model, and this in speculative_config"]


def _absent_classes(launch: Launch, python: Python) -> list[tuple[str, str, bool]]:
    return list(absent_classes(launch.args, child_environment(launch.env, python), python))


def _checked_other(doc: Document, launch: Launch, has_offline: bool) -> Checked:
    """Return the launch of another engine than vLLM, or of a command, as it stands: its words are its own.

    What its engine refuses is noted as a fault.
    """
    place = ("launches", launch.name)
    try:
        engine = engine_of(launch)
    except ExperimentError as error:
        doc.faults.note(doc.error((*place, "python" if launch.python else "engine"), str(error)))
        return Checked(launch, [], [])
    for name, why in engine.refusals(launch.args, launch.env):
        doc.faults.note(doc.error((*place, "args" if name in launch.args else "env", name), why))
    if has_offline:
        without = "has servers alone: latency and throughput are vLLM's own benchmarks of an engine without one"
        doc.faults.note(doc.error((*place, "command" if launch.command else "engine"), f"{engine.title} {without}"))
    key = "program" if launch.program else "command" if launch.command else "engine"
    unfit = [doc.error((*place, key), why) for why in why_not_here(engine)]
    return Checked(launch, [f"note: launch {launch.name!r}: {what}" for what in _unchecked(engine, launch)], unfit)


def _unchecked(engine: Engine, launch: Launch) -> Iterator[str]:
    """Yield what nobody here can vouch for of a launch that is not vLLM's own."""
    if launch.args:
        yield f"which args {engine.title} has is not known here: they go to it as they stand"
    yield from (why for _, why in unvouched(engine))


def _with_download_dir(doc: Document, launch: Launch, places: Places, notes: list[str]) -> Launch:
    """Return `launch` with its download_dir as the hub's cache, where its model lies there and nowhere else; note it."""
    if launch.model is None or not launch.model.is_of_hub:
        return launch
    asked = (launch.model.path_or_id, launch.args, launch.env)
    if why := hub.download_dir_note(*asked):
        notes.append(f"note: {doc.place_text(places.of('download_dir'))}: {why}")
    if not (place := hub.download_dir_as_cache(*asked)):
        return launch
    said = "vLLM looks there for weights alone, and the model is there with its tokenizer"
    told = ", ".join(f"{name}={value}" for name, value in place.items())
    notes.append(f"note: {doc.place_text(places.of('download_dir'))}: {said}: {told} is set for all commands")
    return replace(launch, env={**launch.env, **place})


def config_of(launch: Launch) -> Mapping[str, Any] | None:
    """Return the config.json of a launch's model, None while it is not known."""
    with suppress(ExperimentError):  # of a shape that there is not, which is told elsewhere
        return launch.model and files.known_config(launch.model.path_or_id, launch.model.revision, launch.env)
    return None


def _files_of(launch: Launch) -> list[str] | None:
    """Return the names of the files in the model's folder; None while it is not on this machine as a whole."""
    if launch.model is None or launch.model.has_random_weights:
        return None if launch.model is None else []
    path = launch.model.path_or_id
    folder = Path(path) if os.path.isdir(path) else hub_cache.hub_snapshot(path, launch.model.revision, launch.env)
    with suppress(OSError):  # of a folder that is closed to us
        return None if folder is None else os.listdir(folder)
    return None


def version_of(there: Known | None) -> str:
    """Return the version that launches are translated for: the installed one, else the newest that is known."""
    return there.version if there else translations.NEWEST_CHECKED


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


def _refuse_secrets(doc: Document, launch: Launch, spelt: Spelt) -> None:
    """Note each secret that stands under a short or cut name; in full it was refused when the file was read."""
    places = Places(launch, spelt)
    for name, value in spelt.args.items():
        for way in secret_ways(name, value):
            doc.faults.note(doc.error(places.of(name, *way), SECRET, is_secret=True))


def _translated(doc: Document, launch: Launch, spelt: Spelt, version: str) -> tuple[Launch, Places, list[str]]:
    """Return the launch as this version wants it, where the file says what it has now, and what was changed.

    What it cannot have is noted as a fault and left out.
    """
    places = Places(launch, spelt)
    own = filled_variables(doc, launch, places, version)
    done = translations.translate(spelt.args, own, version, config_of(launch))
    for refusal in done.refusals:
        doc.faults.note(doc.error(places.of(refusal.old), str(refusal)))
    told = [((*places.args, name), f"is {full}") for name, full in spelt.notes.items()]
    told += [(places.of(change.old), str(change)) for change in done.changes]
    for change in done.changes:
        places.note(change.old, change.new)
    foreign = {name: launch.env[name] for name in launch.plugin_env}
    notes = [f"translated: {doc.place_text(place)}: {what}" for place, what in told]
    return replace(launch, args=done.args, env={**done.env, **foreign}), places, notes


def _build_of(there: Known | None) -> str:
    """Return what the installed vLLM is built for; '' where there is none."""
    return "" if there is None else CPU if "+cpu" in there.version else GPU


_SERVERS = (
    "is the server's alone, and latency and throughput run without one: restrict them to other launches with launches:"
)


def _check_offline(doc: Document, launch: Launch, places: Places) -> None:
    """Note what a launch says that the benchmarks of an engine without a server refuse."""
    ranks = size_of(str(launch.args.get("data_parallel_size")))
    if ranks and ranks > 1:
        doc.faults.note(doc.error(places.of("data_parallel_size"), f"data parallel {_SERVERS}"))
    elif num_machines(launch.args) > 1:
        doc.faults.note(doc.error(places.of("nnodes"), f"running on several machines {_SERVERS}"))


def _check_use(doc: Document, launch: Launch, places: Places, build: str, python: Python) -> list[str]:
    """Note what makes a server that can never be asked; return what a reader must know of one that can."""
    for name, why in refused(launch.args):
        doc.faults.note(doc.error(places.of(name), why))
    for (_, name, *path), why in inputs.missing(launch.args, launch.env, doc.path.absolute().parent, python):
        doc.faults.note(doc.error(places.of(name, *path), why))
    for name, why, may_be_elsewhere in _absent_classes(launch, python):
        if not may_be_elsewhere:
            doc.faults.note(doc.error(places.of(name), why))
    if name := several_machines.lacking(launch.args):
        doc.faults.note(doc.error(places.of(name), "is needed: where the first of its machines is"))
    for name, why in contradictions(launch.args, launch.env):
        doc.faults.note(doc.error(places.of(name), why))
    told = [*halves(launch.args), *(((name,), why) for name, why in unheeded(launch.args, launch.env, build))]
    return [f"note: {doc.place_text(places.of(*path))}: {what}" for path, what in told]
