"""A notebook's `engine_args` and `engine_env`, checked as a launch in an experiment's file is, in words of their place."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.forms import installed_forms
from benchbook.measure.launch_check import checked_launch
from benchbook.measure.variables import check_shell
from benchbook.plan.document import Document, Where
from benchbook.plan.faults import Faults
from benchbook.plan.launches import Launch
from benchbook.plan.strict import key_text

_PARAMETERS = {"args": "engine_args", "env": "engine_env", "python": "engine_python"}


def checked_by_hand(launch: Launch, *, has_offline: bool) -> tuple[Launch, list[str]]:
    """Return the `launch` of a notebook translated, and what is to be told; its parameters are named as the place.

    Raises one ExperimentError with all that this vLLM does not know.
    """
    doc = _Parameters(
        Path("notebook"), "", {"launches": {launch.name: vars(launch)}}, yaml.MappingNode("", []), Faults()
    )
    python = vllm_python(launch.python)
    there = known(python)
    checked = checked_launch(doc, launch, there, has_offline=has_offline, python=python)
    notes = check_shell(doc, [checked.launch], there, installed_forms(python), python) if there and there.flags else []
    for fault in checked.unfit:
        doc.faults.note(fault)
    doc.faults.raise_any()
    return checked.launch, [*checked.notes, *notes]


class _Parameters(Document):
    """What a notebook's parameters say of a launch: no file, and no lines in it."""

    def line(self, where: Where) -> int:
        return 0

    def place_text(self, where: Where) -> str:
        _, _, kind, *path = where
        return ".".join([_PARAMETERS.get(str(kind), str(kind)), key_text(tuple(path))])
