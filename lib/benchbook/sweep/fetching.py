"""Can every model of an experiment be had? Answered before anything starts: what is not here must be within reach."""

from __future__ import annotations

from collections.abc import Iterator

from benchbook.hosts.model import hub, inputs
from benchbook.plan.document import Document, Where
from benchbook.plan.launches import Launch
from benchbook.sweep.preflight import Preflight
from benchbook.terms.load_formats import makes_weights


def check_models(checked: Preflight) -> list[str]:
    """Raise ExperimentError with all models that cannot be had, and how to fetch them; return notes on downloads."""
    doc, notes = checked.experiment.document, {}
    for launch in checked.experiment.launches:
        for place, hub_id, revision, has_weights in _hub_models(doc, launch):
            if hub.is_here(hub_id, revision, launch.env, has_weights=has_weights):
                continue
            if why := hub.why_not(hub_id, revision, launch.env, launch.args):
                doc.faults.note(doc.error(place, why))
            notes[hub_id] = f"note: {hub_id} is not in the cache of this machine: it is downloaded first"
    doc.faults.raise_any()
    return list(notes.values())


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
