"""The program's output: streams that no alphabet and no lost reader can break, a console, and lines that fit its width."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import re
import select
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from benchbook.terms.plain import plain

_REPLACED = "replaced by ASCII"  # the name of our error handler for encoding
_IN_ASCII = {
    "·": "-", "–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "→": "->", "▶": ">", "✓": "+", "✕": "x", "≤": "<=",
    "≥": ">=", "“": '"', "”": '"', "‘": "'", "’": "'", **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#")),
}  # fmt: skip

_MOST_DAMAGE = 10
_PATIENCE_S = 2.0
BADGES = {"VALID": ("✓", "green"), "SUSPECT": ("!", "yellow"), "INVALID": ("✕", "red"), "failed": ("✕", "red")}


class OutputLost(Exception):
    """Standard output takes no more: its reader has gone (`| head`), or its disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output takes no more: {error.strerror}")
        self.has_no_reader = error.errno == errno.EPIPE


class Output:
    """A text stream that fails once at most: what is written later goes nowhere, also what it had not passed on yet.

    Losing it raises OutputLost while it `is_needed`, else it is told once on standard error. A program that `is_stopping`
    waits for its reader for two seconds, and then writes no more: one that has stopped reading would hold it for ever.
    """

    def __init__(self, stream: TextIO, is_needed: bool, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._stream, self.is_needed, self._is_stopping = stream, is_needed, is_stopping
        stream.reconfigure(errors=_REPLACED)

    def write(self, text: str) -> int:
        """Write `text`."""
        return self._try("write", text) or 0

    def flush(self) -> None:
        """Pass on what was written."""
        self._try("flush")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, method: str, *values: str) -> Any:
        if self._is_stopping():
            self._leave_stuck_reader(_PATIENCE_S)
        try:
            return getattr(self._stream, method)(*values)
        except OSError as error:
            self._lead_nowhere()
            lost = OutputLost(error)
            if self.is_needed:
                raise lost from error
            if self._stream is not sys.__stderr__:
                print(f"benchbook: {lost}; the run goes on", file=sys.stderr)
            return None
        except KeyboardInterrupt:
            self._leave_stuck_reader(0)
            raise

    def _leave_stuck_reader(self, patience_s: float) -> None:
        """Write no more where nothing can be written for so long: the reader has stopped reading."""
        if not select.select([], [self._stream], [], patience_s)[1]:
            self._lead_nowhere()

    def _lead_nowhere(self) -> None:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


def guard_streams(is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Make an Output of this process's standard output, which is needed, and of standard error, which is not.

    One that is closed leads nowhere. `is_stopping` tells whether the process has been told to end.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the closed one's number, which else a file of ours would have
    sys.stdout = Output(sys.stdout or open(1, "w", closefd=False), True, is_stopping)
    sys.stderr = Output(sys.stderr or open(2, "w", closefd=False), False, is_stopping)


def go_on_without_output() -> None:
    """From now on this process outlives its standard output: what it does matters more than what it says."""
    if isinstance(sys.stdout, Output):
        sys.stdout.is_needed = False


def console() -> Console:
    """Return the console of standard output; where a shell says that it is 0 columns wide, which means nothing, of 80."""
    columns = os.environ.get("COLUMNS", "")
    return Console(highlight=False, width=80 if columns.isdecimal() and int(columns) == 0 else None)


def say(console: Console, text: str | Text, lead: str = "") -> None:
    """Print `lead` (of a str: its indentation) and `text`: elsewhere one line, on a terminal broken between words, the text
    in a column of its own. A word wider than the terminal, such as an id, is broken after its commas."""
    if isinstance(text, str):
        lead = lead or " " * (len(text) - len(text.lstrip(" ")))
        text = Text(plain(text.removeprefix(lead) if lead.isspace() else text))
    elif plain(text.plain) != text.plain:
        text = Text(plain(text.plain), text.style)
    width, column = console.width, len(lead)
    for line in text.split("\n", allow_blank=True):
        for row in line.divide(_breaks(line.plain, width - column, width)) if console.is_terminal else [line]:
            row.rstrip()
            if (
                lead.isspace() and console.is_terminal
            ):  # a long word, such as an id, comes as far to the left as it needs to stay whole
                lead = " " * max(0, min(column, width - row.cell_len))
            console.print(Text(lead) + row, soft_wrap=True)
            lead = " " * column


def tell_damage(damage: Sequence[str]) -> None:
    """Say on standard error which files could not be read: what goes to standard output is of the others."""
    for line in damage[:_MOST_DAMAGE]:
        print(f"benchbook: left out: {plain(line)}", file=sys.stderr)
    if (further := len(damage) - _MOST_DAMAGE) > 0:
        print(f"benchbook: left out: {further} more", file=sys.stderr)


def badge(name: str, label: str = "") -> Text:
    """Return `label`, by default `name`, with the symbol and in the colour of a verdict or of 'failed'."""
    symbol, colour = BADGES[name]
    return Text.assemble((f"{symbol} {label or name}", colour))  # what is added to it has no colour


def shown(path: Path) -> Path:
    """Return `path` as one would type it here: relative to the current folder where it lies in it."""
    with contextlib.suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path


def _breaks(text: str, width: int, widest: int) -> list[int]:
    """Return where to break `text`, so that no line but that of a longer word is wider than `width`.

    That is between words, and after the commas of a word of over `widest` cells.
    """
    # Rich's own wrapping breaks or cuts a word that is longer than a line, such as an id or a path.
    breaks, began = [], 0
    for start, end in _unbroken(text, widest):
        if cell_len(text[began:end]) > width and start > began:
            breaks.append(began := start)
    return breaks


def _unbroken(text: str, widest: int) -> Iterator[tuple[int, int]]:
    """Yield where what is not to be broken begins and ends: each word, of one of over `widest` cells each part."""
    for word in re.finditer(r"\S+", text):
        parts = re.compile(r"[^,]*,*") if cell_len(word.group()) > widest else re.compile(r"\S+")
        yield from (part.span() for part in parts.finditer(text, *word.span()) if part.group())


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return, for an alphabet that lacks some characters, the nearest ASCII ones: an error handler for `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(each) or _without_marks(each) or "?" for each in lacking), error.end


def _without_marks(character: str) -> str:
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()


codecs.register_error(_REPLACED, _in_ascii)
