"""What a launch starts in place of its engine's own program: `command`, the whole of it, or `program`, its first words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from benchbook.plan.document import Document, Where
from benchbook.terms.containers import problem_of
from benchbook.terms.likeness import did_you_mean, nearest
from benchbook.terms.redaction import find_secrets
from benchbook.terms.secret_names import is_secret_variable

PLACES = ("port", "host", "model", "name", "api_key")  # what is filled in between { and }
_PLACE = re.compile(r"(?<!\{)\{([A-Za-z_]\w*)\}(?!\})")
_SECRET = "looks like a secret: take it out of the file and have the command read it from its environment"


def read_words(doc: Document, where: Where, value: Any) -> tuple[str, ...]:
    """Return the words of a list, or the one word that a text is. Raises ExperimentError; a bad word is noted."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise doc.error(where, "must be a list of words, such as [my-server, --port, '{port}']")
    places = [(*where, number) if words is value else where for number in range(len(words))]
    for place, word in zip(places, words):
        with doc.faults.noted():
            _check_word(doc, place, word)
    if any(isinstance(word, (dict, list)) or word is None for word in words):
        return ()
    read = tuple(doc.source(place) for place in places)
    for before, place, word in zip(("", *read), places, read):
        if _holds_secret(before, word):
            doc.faults.note(doc.error(place, _SECRET, is_secret=True))
    return read


def read_command(doc: Document, where: Where, value: Any) -> tuple[str, ...]:
    """Return the words of a whole command; what can be told to be wrong with it by its words alone is noted."""
    words = read_words(doc, where, value)
    for problem in _problems(words) if words else ():
        doc.faults.note(doc.error(where, problem))
    return words


def _check_word(doc: Document, where: Where, word: Any) -> None:
    if isinstance(word, dict):
        raise doc.error(where, "is a mapping: a word with braces in it stands in quotes, as '{port}'")
    if isinstance(word, list) or word is None or word == "":
        raise doc.error(where, "must be a word")


def _holds_secret(before: str, word: str) -> bool:
    """Return whether a word is, or has behind its =, what no file should have: --api-key SECRET, HF_TOKEN=SECRET."""
    name, is_pair, value = word.partition("=")
    if not is_pair:
        name, value = (before, word) if before.startswith("-") else ("", word)
    bare = name.lstrip("-").replace("-", "_")
    is_filled = _PLACE.search(value) or value.startswith("-")
    return bool(find_secrets(word)) or bool(bare and value and not is_filled and is_secret_variable(bare, value))


def _problems(words: Sequence[str]) -> Iterator[str]:
    if not any("{port}" in word for word in words):
        yield "has no {port}: benchbook chooses a free one, and the server must listen on it"
    for name in (name for word in words for name in _PLACE.findall(word) if name not in PLACES):
        known, meant = ", ".join(f"{{{each}}}" for each in PLACES), nearest(name, PLACES)
        hint = did_you_mean([f"{{{meant}}}"]) if meant else ""
        yield f"{{{name}}} is none of {known}{f'; {hint}' if hint else ''}"
    if problem := problem_of(words):
        yield problem
