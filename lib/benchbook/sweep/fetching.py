"""Can every model and data set of an experiment be had? Answered before anything starts: what is not here must be in reach."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchbook.hosts.model import hub, inputs
from benchbook.hosts.model.hub_cache import has_dataset
from benchbook.plan.document import Document, Where
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.requests import HUB
from benchbook.sweep.preflight import Preflight
from benchbook.sweep.set_layout import first_launch, layouts
from benchbook.terms.load_formats import makes_weights


def check_models(checked: Preflight) -> list[str]:
    """Raise ExperimentError with all models and data sets that cannot be had, and how to fetch them; return notes on downloads."""
    doc, notes = checked.experiment.document, {}
    for name, path in _hub_sets(checked.experiment):
        env = first_launch(checked.experiment, name).env
        if not has_dataset(path, env) and (why := hub.why_not(path, None, env, {}, "dataset")):
            doc.faults.note(doc.error(("requests", name, "path"), why))
    for launch in checked.experiment.launches:
        for place, hub_id, revision, has_weights in _hub_models(doc, launch):
            if hub.is_here(hub_id, revision, launch.env, has_weights=has_weights):
                continue
            if why := hub.why_not(hub_id, revision, launch.env, launch.args):
                doc.faults.note(doc.error(place, why))
            notes[hub_id] = f"note: {hub_id} is not in the cache of this machine: it is downloaded first"
    doc.faults.raise_any()
    return list(notes.values())


def _hub_sets(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the sets that are drawn from a data set of the hub, by name, and its name there."""
    for name in layouts(experiment):
        wanted = experiment.requests[name]
        if wanted.dataset == HUB and wanted.path and not os.path.exists(wanted.path):
            yield name, wanted.path


def _hub_models(doc: Document, launch: Launch) -> Iterator[tuple[Where, str, str | None, bool]]:
    """Yield where the file names each model of the hub, its id, its revision, and whether its weights are loaded."""
    if launch.model.is_of_hub and not launch.attached:
        has_weights = not makes_weights(launch.args)
        own = ("launches", launch.name)
        place: Where = (*own, "model") if "model" in doc.mapping(own) else ("model",)
        place = (*place, "hub") if isinstance(doc.at(place), dict) else place
        yield place, launch.model.path_or_id, launch.model.revision, has_weights
    for model in inputs.hub_models(launch.args):
        yield ("launches", launch.name, *model.way), model.hub_id, model.revision, False
