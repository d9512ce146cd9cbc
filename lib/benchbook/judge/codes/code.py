"""One reason code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Code:
    """One reason code."""

    code: str
    severity: Literal["note", "suspect", "invalid"]  # a note leaves the verdict alone
    meaning: str
    remedy: str
    threshold: str = ""  # from where on it is said, and why from there
    # Brought about by what is not measured, for a while, and seen without a look at any value: worth measuring again.
    is_outside: bool = False
