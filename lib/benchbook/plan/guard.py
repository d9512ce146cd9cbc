"""`guard` of an experiment: questions that all launches answer under load, so that speed is not bought with answers.

    guard: {items: data/questions.jsonl, margin: 1 %}    # margin: of the items, by so much fewer may be right
    guard: {items: tasks/ours.yaml, margin: 1 %}         # a task of lm-eval: its file, or lm_eval:NAME of one it knows

An item is a line of JSON: a question with choices, of which one is right, or with the very answer that is to come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from benchbook.plan.case import Case
from benchbook.plan.document import Document
from benchbook.plan.precision import read_share
from benchbook.plan.read_requests import found_file
from benchbook.plan.requests import FOLDER
from benchbook.plan.strict import StrictModel
from benchbook.reading import read_bytes, read_json
from benchbook.terms.corpus import ITEMS
from benchbook.terms.errors import StoreError

KEY = "guard"
ITEMS_FILE = "guard.jsonl"  # among the frozen requests of a run
ITEMS_NOTE = "guard.json"  # beside it: of what the file is a copy, and its hash
TASK = "task"  # noted as well where lm-eval made the items: of which task, and how they are judged
EXAMPLE = "guard: {items: questions.jsonl, margin: 1 %}"
_LM_EVAL = "lm_eval:"  # before the name of a task


class Guard(StrictModel):
    """What is asked of every launch, and by how much fewer right answers a claim of more speed still stands."""

    items: str  # a file, absolute, or the name of the items that are made here, or of a task of lm-eval
    margin: float  # as a share of the items
    at_most: int | None = None  # of the items of a task, the first ones


class _GuardKeys(StrictModel):
    items: str = Field(examples=["items: questions.jsonl"])
    margin: Any = Field(examples=["margin: 1 %"])
    at_most: int | None = Field(None, ge=1, examples=["at_most: 200"])


def read_guard(doc: Document, cases: Iterable[Case]) -> Guard | None:
    """Return the guard of the file, None where it asks for none; raise or note its refusals."""
    if KEY not in doc.data:
        return None
    keys = doc.parse((KEY,), _GuardKeys, EXAMPLE)
    margin, items = 0.0, keys.items
    with doc.faults.noted():
        margin = read_share(doc, (KEY, "margin"))
    if keys.at_most is not None and not is_task(items):
        raise doc.error((KEY, "at_most"), "is of a task of lm-eval: the items of a file are all asked")
    if kept := _frozen(doc, items, keys.at_most):
        items = str(kept)
    elif items != ITEMS and not items.startswith(_LM_EVAL):
        items = found_file(doc, (KEY, "items"), items)
    if not guarded(cases) and not doc.faults.has_within(("benchmarks",)):
        raise doc.error((KEY,), "is asked beside a serve that is measured in any case, and here is none")
    return Guard(items=items, margin=margin, at_most=keys.at_most)


def items_note(named: str, at_most: int | None, content: bytes) -> dict[str, str | int]:
    """Return what is noted of a run's copy of the items: how its experiment file names them, and their hash."""
    asked = {} if at_most is None else {"at_most": at_most}
    return {"items": named, **asked, "sha256": hashlib.sha256(content).hexdigest()}


def is_task(items: str) -> bool:
    """Return whether items are named that are a task of lm-eval."""
    return items.startswith(_LM_EVAL) or is_task_file(items)


def is_task_file(path: str) -> bool:
    """Return whether a file is one of a task of lm-eval, by its name."""
    return path.endswith((".yaml", ".yml"))


def task_of(items: str) -> str:
    """Return by what lm-eval is asked for a task: its name there, or its file."""
    return items.removeprefix(_LM_EVAL)


def _frozen(doc: Document, named: str, at_most: int | None) -> Path | None:
    """Return where the very items that the file names lie beside it, as in a run that is made again; None elsewhere."""
    folder = doc.path.resolve().parent / FOLDER
    path = folder / ITEMS_FILE
    try:
        noted = {key: value for key, value in read_json(folder / ITEMS_NOTE).items() if key != TASK}
        return path if noted == items_note(named, at_most, read_bytes(path)) else None
    except StoreError:
        return None


def guarded(cases: Iterable[Case]) -> dict[str, str]:
    """Return by launch the id of the case beside which the items are asked: of those served, the one of the largest load.

    That is the most requests in flight, of open loops the highest rate; of several the first. Loads of a search are none.
    """
    found: dict[str, Case] = {}
    for case in cases:
        if case.workload.row.times != "requests" or case.find is not None:
            continue
        if case.launch not in found or case.size > found[case.launch].size:
            found[case.launch] = case
    return {launch: case.case_id for launch, case in found.items()}
