"""What imported figures are called: launch, case and repeat, which no file of another says in these words."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from benchbook.numbers.figures import Figures
from benchbook.records.fingerprint import combined, fingerprint_parts
from benchbook.records.record import Identity

EXPERIMENT = "import"
_MOST_CHARS = 120


def identities(figures: Sequence[Figures]) -> Iterator[Identity]:
    """Yield launch, case and repeat of each: what is not told to be a repeat of another is a case of its own."""
    repeats: Counter[str] = Counter()
    owners: dict[str, str] = {}
    for one in figures:
        settings = [one.benchmark, *(f"{key}={value}" for key, value in one.workload.items())]
        family = one.repeats_of or re.sub(r"\d+", "", one.where)
        own = launch = _safe(one.launch or (one.model or one.tool).rstrip("/").rpartition("/")[2])
        number = 1
        # The same words of another file: nobody says that it was the same server.
        while not one.case and owners.setdefault(",".join([launch, *settings]), family) != family:
            number += 1
            launch = f"{own}-{number}"
        case_id = one.case or _short(f"{launch},{_safe(','.join(settings))}")
        parts = fingerprint_parts(
            launch=[launch, dict(one.args)], workload=dict(one.workload), model=one.model, tool=one.tool
        )
        yield Identity(
            experiment=EXPERIMENT,
            launch=launch,
            case_id=case_id,
            fingerprint=combined(parts),
            fingerprint_parts=parts,
            repeat=repeats[case_id] if one.repeat is None else one.repeat,
        )
        repeats[case_id] += 1


def _safe(text: str) -> str:
    """Return `text` as part of a folder's name."""
    return re.sub(r"[^\w.,=+@ ()-]", "_", text)[:_MOST_CHARS] or "unnamed"


def _short(text: str) -> str:
    if len(text) <= _MOST_CHARS + 30:
        return text
    return f"{text[:_MOST_CHARS]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
