"""Text of others, made harmless: nothing in it moves a cursor, hides, turns letters around or cannot be written."""

from __future__ import annotations

import re

# Terminal codes with their words, before what is left of them: single control characters, marks that turn the direction
# of letters (a name then reads as another one), halves of characters.
_HARMFUL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Return `text` without terminal codes, control characters but tab and newline, and marks of direction."""
    return _HARMFUL.sub("", text)
