"""Every reason code there is: how bad it is, what it means, from where on and why, what to do about it.

The rows stand in `codes/`, a module a topic; the tables in docs/verdicts.md and report read from here. A threshold that a
check uses stands in that check's module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbook.judge.codes import conditions, counted, measuring, modes, offered, sample, streams, together, warmth
from benchbook.judge.codes.code import Code

if TYPE_CHECKING:
    from benchbook.records.record import Reason

MAX_EVIDENCE = 2000  # characters: what a server says of itself has no end by itself

CODES: tuple[Code, ...] = (
    *counted.CODES,
    *streams.CODES,
    *offered.CODES,
    *warmth.CODES,
    *sample.CODES,
    *conditions.CODES,
    *together.CODES,
    *modes.CODES,
    *measuring.CODES,
)

BY_CODE = {code.code: code for code in CODES}
OUTSIDE = frozenset(code.code for code in CODES if code.is_outside)


def reason(code: str, evidence: str) -> Reason:
    """Return the Reason of a catalogued `code`, with what was seen; an unknown code is a KeyError."""
    from benchbook.records.record import Reason  # whose checks of types who only reads the catalogue need not load

    shown = evidence if len(evidence) <= MAX_EVIDENCE else evidence[: MAX_EVIDENCE - 1] + "…"
    return Reason(code=code, severity=BY_CODE[code].severity, evidence=shown)
