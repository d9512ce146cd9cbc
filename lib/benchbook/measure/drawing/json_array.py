"""The items of one JSON array of any size, one at a time: no more of the file is held than one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchbook.measure.drawing.rows import DECODER, MOST_ROW_BYTES, PIECE_BYTES, Row, decoded, opened, row_of, said_of
from benchbook.terms.errors import ExperimentError


def json_items(path: Path | str) -> Iterator[Row]:
    """Yield the JSON objects of the one array that the file holds; each with the line that it begins on."""
    with opened(path) as stream:
        pieces = _Pieces(path, stream)
        if not pieces.skip(" \t\r\n") or not pieces.take("["):
            raise ExperimentError(f"{path}, line {pieces.line}: must be a JSON array, which begins with [")
        if not _ends(pieces):
            while True:
                line, (item, text) = pieces.line, pieces.value()
                yield row_of(path, line, item, text)
                if _ends(pieces):
                    break
                if not pieces.take(","):
                    raise ExperimentError(f"{path}, line {pieces.line}: a comma or ] is missing after an item")
                pieces.skip(" \t\r\n")
        if pieces.skip(" \t\r\n"):
            raise ExperimentError(f"{path}, line {pieces.line}: more stands behind the array")


def _ends(pieces: _Pieces) -> bool:
    pieces.skip(" \t\r\n")
    return pieces.take("]")


class _Pieces:
    """A text that is read piece by piece, with the place that has been reached."""

    def __init__(self, path: Path | str, stream: Any) -> None:
        self._path, self._stream = path, stream
        self._text, self._at, self._rest, self.line = "", 0, b"", 1

    def skip(self, chars: str) -> bool:
        """Go on behind all of `chars`; return whether anything is left."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in chars:
                self._go(self._at + 1)
            if self._at < len(self._text):
                return True
            if not self._more(PIECE_BYTES):
                return False

    def take(self, char: str) -> bool:
        """Go on behind `char` where it is next; return whether it was."""
        is_next = self._text[self._at : self._at + 1] == char
        self._go(self._at + is_next)
        return is_next

    def value(self) -> tuple[Any, str]:
        """Return the JSON value that is next and its text, and go on behind it."""
        size = PIECE_BYTES
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more(size):
                    text = self._text[self._at : end]
                    self._go(end)
                    return value, text
            except json.JSONDecodeError as error:
                if not self._more(size):
                    line = self.line + self._text.count("\n", self._at, error.pos)
                    raise ExperimentError(f"{self._path}, line {line}: {said_of(error, self._text)}") from error
            except (ValueError, RecursionError) as error:
                raise ExperimentError(f"{self._path}, line {self.line}: {said_of(error, '')}") from error
            size *= 2  # what is cut is parsed again: seldom

    def _go(self, place: int) -> None:
        self.line += self._text.count("\n", self._at, place)
        self._at = place

    def _more(self, size: int) -> bool:
        """Read on; return whether there was more, and room for it."""
        self._text, self._at = self._text[self._at :], 0
        if len(self._text) > MOST_ROW_BYTES or not (piece := self._stream.read(size)):
            if self._rest:
                decoded(self._rest, self._path, self.line + self._text.count("\n"))
            return False
        piece = self._rest + piece
        cut = _whole_chars(piece)
        self._rest = piece[cut:]
        self._text += decoded(piece[:cut], self._path, self.line + self._text.count("\n"))
        return True


def _whole_chars(piece: bytes) -> int:
    """Return where the last character of UTF-8 that may be cut begins, else the end."""
    for back in range(1, min(4, len(piece) + 1)):
        byte = piece[-back]
        if byte >= 0xC0:
            return len(piece) - back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else len(piece)
        if byte < 0x80:
            break
    return len(piece)
