"""What a workload asked, where only its fields stand: in records of before format 3, and in published figures.

A workload of today says it itself, see plan/serve_workload.py and its neighbours; a test holds the two to say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchbook.terms.asked import BATCH, RATE, Asked, Offered
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.wording import lengths_text

_LENGTHS = ("input_len_tokens", "output_len_tokens")


class Described(NamedTuple):
    """What a record holds of its workload besides its fields."""

    asked: Asked
    curve: str
    load: Offered | None


def described(benchmark: str, workload: Mapping[str, Any]) -> Described:
    """Return what the four workloads of format 2 asked; what `workload` does not tell is not known.

    Raises KeyError, TypeError or ValueError for what nothing of ours wrote.
    """
    key = BENCHMARKS[benchmark].load
    if key is None:
        return Described(Asked(requests=1, output_tokens_each=workload.get("max_tokens")), "", None)
    requests = workload.get(BATCH if key == BATCH else "num_prompts")
    lengths = tuple(workload.get(name) for name in _LENGTHS)
    if None in lengths:
        asked, curve = Asked(requests=requests, ends_by="length"), ""
    else:
        asked = Asked.of_lengths(requests, *lengths, workload.get("range_ratio") or 0.0)
        curve = lengths_text(lengths)
    rate, level = workload.get(RATE), workload.get(key)
    if rate is not None:
        return Described(asked, curve, Offered(by=RATE, value=rate, at_most=level))
    return Described(asked, curve, Offered(by=key, value=level) if level is not None else None)
