"""A text's own words as a source of tokens: stretches from places all over a file, of which no more is read than is used.

A stretch begins with a word, and goes on at the file's beginning where it meets its end. No two begin with the same
word, as long as there are others.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchbook.measure.drawing.rows import opened
from benchbook.terms.errors import ExperimentError

MOST_UNKNOWN = 0.5  # of a text's tokens
_LOOKED_AT_BYTES = 256 * 1024
_BYTES_A_TOKEN = 8  # to begin with
_MOST_PLACES = 20  # that are looked at for a word nobody has begun with
_MOST_WORD_BYTES = 4096  # a text without spaces begins anywhere
_WORD_BEGINS = re.compile(rb"\s+(?=\S)")
_CHAR_BEGINS = re.compile(rb"(?=[^\x80-\xbf])")


def check_text(path: Path | str) -> str:
    """Return the beginning of the text at `path`; raise ExperimentError, with its line, where there is none."""
    with opened(path) as stream:
        text = _decoded(path, 0, stream.read(_LOOKED_AT_BYTES))
    if not text.strip():
        raise ExperimentError(f"{path}, line 1: no words in this file")
    return text


class TextTokens:
    """The words of the file at `path`, for one tokenizer; ExperimentError where it knows few of them."""

    def __init__(self, path: Path | str, tokenizer: Any) -> None:
        self._path, self._tokenizer = path, tokenizer
        self._size = Path(path).stat().st_size
        self._begun: set[int] = set()
        tokens, unknown = self._tokens(check_text(path)), getattr(tokenizer, "unk_token_id", None)
        share = tokens.count(unknown) / len(tokens) if unknown is not None and tokens else 0.0
        if share > MOST_UNKNOWN:
            raise ExperimentError(f"{path}: the model's tokenizer knows few of its words: {share:.0%} are one token")

    def ids(self, number: int, key: Sequence[int]) -> list[int]:
        """Return the tokens of words that follow each other in the file; ExperimentError where it has too few."""
        place, wanted = self._place(key), number * _BYTES_A_TOKEN
        while True:
            found = self._tokens(self._words(place, wanted))
            if len(found) >= number:
                return found[:number]
            if wanted >= self._size:
                raise ExperimentError(
                    f"{self._path} has {len(found):,} tokens: a prompt of {number:,} cannot be cut from it"
                )
            wanted *= 2

    def _place(self, key: Sequence[int]) -> int:
        """Return where a word begins that no stretch has begun with, if one is found."""
        import numpy

        for drawn in numpy.random.default_rng(list(key)).integers(self._size, size=_MOST_PLACES):
            with opened(self._path) as stream:
                stream.seek(int(drawn))
                content = stream.read(_MOST_WORD_BYTES)
            begins = _WORD_BEGINS.search(content) or _CHAR_BEGINS.search(content)
            place = (int(drawn) + begins.end()) % self._size if begins else 0
            if place not in self._begun:
                break
        self._begun.add(place)
        return place

    def _words(self, place: int, number: int) -> str:
        """Return the text of so many bytes from `place` on, and from the file's beginning after its end."""
        with opened(self._path) as stream:
            stream.seek(place)
            text = _decoded(self._path, place, stream.read(number))
            if (missing := min(number - (self._size - place), place)) > 0:
                stream.seek(0)
                text += "\n" + _decoded(self._path, 0, stream.read(missing))
        return text

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))


def _decoded(path: Path | str, place: int, content: bytes) -> str:
    """Return the text of bytes from `place` of the file on, without a character that they end in."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError as error:
        _refuse(path, place + error.start, f"not UTF-8: byte 0x{content[error.start]:02x}")
    if "\0" in text:
        _refuse(path, place + content.index(b"\0"), "a NUL byte, which no text has")
    return text


def _refuse(path: Path | str, place: int, problem: str) -> NoReturn:
    """Raise ExperimentError with the line that `place` is in."""
    line, left = 1, place
    with opened(path) as stream:
        while piece := stream.read(min(left, _LOOKED_AT_BYTES)):
            line, left = line + piece.count(b"\n"), left - len(piece)
    raise ExperimentError(f"{path}, line {line}: {problem}")
