"""`guard` of an experiment: questions that all launches answer under load, so that speed is not bought with answers.

    guard: {items: data/questions.jsonl, margin: 1 %}    # margin: of the items, by so much fewer may be right

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
EXAMPLE = "guard: {items: questions.jsonl, margin: 1 %}"


class Guard(StrictModel):
    """What is asked of every launch, and by how much fewer right answers a claim of more speed still stands."""

    items: str  # a file, absolute, or the name of the items that are made here
    margin: float  # as a share of the items


class _GuardKeys(StrictModel):
    items: str = Field(examples=["items: questions.jsonl"])
    margin: Any = Field(examples=["margin: 1 %"])


def read_guard(doc: Document, cases: Iterable[Case]) -> Guard | None:
    """Return the guard of the file, None where it asks for none; raise or note its refusals."""
    if KEY not in doc.data:
        return None
    keys = doc.parse((KEY,), _GuardKeys, EXAMPLE)
    margin, items = 0.0, keys.items
    with doc.faults.noted():
        margin = read_share(doc, (KEY, "margin"))
    if kept := _frozen(doc, items):
        items = str(kept)
    elif items != ITEMS:
        items = found_file(doc, (KEY, "items"), items)
    if not guarded(cases) and not doc.faults.has_within(("benchmarks",)):
        raise doc.error((KEY,), "is asked beside a serve that is measured in any case, and here is none")
    return Guard(items=items, margin=margin)


def items_note(named: str, content: bytes) -> dict[str, str]:
    """Return what is noted of a run's copy of the items: how its experiment file names them, and their hash."""
    return {"items": named, "sha256": hashlib.sha256(content).hexdigest()}


def _frozen(doc: Document, named: str) -> Path | None:
    """Return where the very items that the file names lie beside it, as in a run that is made again; None elsewhere."""
    folder = doc.path.resolve().parent / FOLDER
    path = folder / ITEMS_FILE
    try:
        return path if read_json(folder / ITEMS_NOTE) == items_note(named, read_bytes(path)) else None
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
