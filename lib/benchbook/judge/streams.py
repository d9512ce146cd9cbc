"""Streams: did the client see the tokens as they were made, or in heaps?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.records.record import Reason

# No engine makes a step in a tenth of a millisecond: chunks that close together waited somewhere, and came at once.
BUNCHED_GAP_S = 1e-4
BUNCHED_SHARE = 0.5  # of the gaps of one answer
TOLERATED_SHARE = 0.05  # of the answers


def stream_reasons(raw: Mapping[str, Any]) -> list[Reason]:
    """Return a suspicion when more than 5 % of the answers of a `bench serve` file came in one heap.

    Their TTFT holds the whole answer and their TPOT is close to 0: the server or the client had no processor to spare.
    """
    answers = [gaps for gaps in raw.get("itls", []) if gaps]
    heaps = [gaps for gaps in answers if sum(gap < BUNCHED_GAP_S for gap in gaps) > BUNCHED_SHARE * len(gaps)]
    if len(heaps) <= TOLERATED_SHARE * len(answers):
        return []
    return [
        reason(
            "stream_bunched",
            f"{len(heaps)} of {len(answers)} answers arrived in one heap: most gaps between their chunks are below {BUNCHED_GAP_S * 1000:g} ms",
        )
    ]
