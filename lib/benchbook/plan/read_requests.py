"""The `requests:` of an experiment file read into sets, each refusal at its own line, their files found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchbook.plan.document import Document, Where
from benchbook.plan.launches import SAFE_NAME, SAFE_NAME_RULE
from benchbook.plan.request_parts import Conversations, Length, Prefix, Sampling, Spread
from benchbook.plan.requests import RequestSet, drawn_beside
from benchbook.plan.strict import unknown
from benchbook.plan.workload import MAX_COUNT
from benchbook.terms.corpus import CORPUS, CORPUS_PREFIX

EXAMPLE = "requests: {words: {lengths: [128, 64], text: corpus.txt}}"
_PARTS = {"prefix": Prefix, "conversations": Conversations, "sampling": Sampling}


def read_requests(doc: Document) -> dict[str, RequestSet]:
    """Return the sets of the file's `requests:`, by name; {} where it has none. What is refused is noted."""
    found = {}
    for name in doc.mapping(("requests",), EXAMPLE) if "requests" in doc.data else ():
        where: Where = ("requests", name)
        with doc.faults.noted():
            if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
                raise doc.error(where, f"the name of a set {SAFE_NAME_RULE}")
            fields = _read_parts(doc, where)
            if not doc.faults.has_within(where):
                drawn = drawn_beside(doc.path, name)
                found[name] = _with_files(doc, where, doc.parse(where, RequestSet, fields=fields), drawn)
    return found


def _read_parts(doc: Document, where: Where) -> dict[str, Any]:
    """Return the fields of the set at `where`, its parts read one by one, so that each refusal names its own line."""
    fields = dict(doc.mapping(where, EXAMPLE))
    for key in _PARTS.keys() & fields.keys():
        if isinstance(fields[key], dict):
            with doc.faults.noted():
                fields[key] = doc.parse((*where, key), _PARTS[key])
    if isinstance(lengths := fields.get("lengths"), list):
        with doc.faults.noted():
            if len(lengths) != 2:
                raise doc.error((*where, "lengths"), "must be a pair, [input, output]; other lengths are another set")
            fields["lengths"] = [_read_length(doc, (*where, "lengths", at)) for at in range(2)]
    return fields


def _with_files(doc: Document, where: Where, found: RequestSet, drawn: Path | None) -> RequestSet:
    """Return the set with the absolute paths of its files; they may be missing where it was `drawn` already."""
    places = {}
    for way, path in found.files.items():
        places[way] = _place(doc, (*where, *way), path, is_needed=drawn is None)
        if way == ("frozen",) and drawn and not os.path.isfile(places[way]):
            places[way] = str(drawn)
    files: dict[str, Any] = {way[0]: path for way, path in places.items() if len(way) == 1}
    if talks := places.get(("conversations", "path")):
        files["conversations"] = found.conversations.model_copy(update={"path": talks})
    return found.model_copy(update=files)


def _read_length(doc: Document, where: Where) -> Length:
    value = doc.at(where)
    if isinstance(value, dict):
        return doc.parse(where, Spread)
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise doc.error(where, "must be a number of tokens, or a spread such as {uniform: [64, 256]}")
    return value


def _place(doc: Document, where: Where, text: str, is_needed: bool) -> str:
    """Return the file that `text` names, absolute: beside the experiment file, else in the current folder.

    A name of the corpus stays as it is: its file is made when it is needed. Where it is not there, and not needed,
    it is the first of these places.
    """
    if text in CORPUS:
        return text
    if text.startswith(CORPUS_PREFIX):
        raise doc.error(where, f"no such part of the corpus: {unknown(text, CORPUS, 'name')}")
    return found_file(doc, where, text, is_needed)


def found_file(doc: Document, where: Where, text: str, is_needed: bool = True) -> str:
    """Return the absolute path of the file `text`, named at `where`; one that is not there, and not needed, is beside the file."""
    path = os.path.expanduser(text)
    places = [os.path.abspath(os.path.join(base, path)) for base in (doc.path.resolve().parent, os.getcwd())]
    for place in places:
        if os.path.isfile(place):
            return place
    if not is_needed:
        return places[0]
    looked = f"; looked for {' and '.join(dict.fromkeys(places))}" if not os.path.isabs(path) else ""
    raise doc.error(where, f"is a folder: name a file{looked}" if os.path.isdir(path) else f"no such file{looked}")
