"""Rates as people say them: 4 requests a second, inf for all at once, '1 to 16' for a rate that rises.

rate_of(4)                        # 4.0
rate_of("inf")                    # 'inf': nobody waits, vLLM's own word
rate_of("1 to 16")                # '1 to 16 linear': vLLM's --ramp-up-strategy
Ramp.of("1 to 16 exponential").mean_rps
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple

AT_ONCE = "inf"  # as vLLM says it
MAX_RATE_RPS = 1e9  # beyond lies nothing that a machine does
RATE_WORDS = r"^(inf|\d{1,10} to \d{1,10} (linear|exponential))$"  # a rate that is no number, as workloads hold it
_WITHOUT_LIMIT = ("inf", "infinity", "infinite", "unlimited", "max")
_RAMP = re.compile(r"([0-9.]{1,20}) to ([0-9.]{1,20})(?: (linear|exponential))?")
_FORMS = "a number above 0, inf for all at once, or a ramp such as 1 to 16 or 1 to 16 exponential"


class Ramp(NamedTuple):
    """A rate that rises from request to request, as vLLM's client has it rise: by whole requests a second."""

    start_rps: int
    end_rps: int
    strategy: Literal["linear", "exponential"]

    @classmethod
    def of(cls, text: str) -> Ramp | None:
        """Return the ramp of '1 to 16 linear'; None for what is none. Raises ValueError for one that vLLM cannot send."""
        found = _RAMP.fullmatch(text)
        if not found:
            return None
        if not (found[1].isdecimal() and found[2].isdecimal()):
            raise ValueError("vLLM's ramps begin and end at whole requests a second")
        ramp = cls(int(found[1]), int(found[2]), found[3] or "linear")
        if not 1 <= ramp.start_rps < ramp.end_rps <= MAX_RATE_RPS:
            raise ValueError("a ramp of vLLM's rises, from 1 request a second or more")
        return ramp

    def __str__(self) -> str:
        return f"{self.start_rps} to {self.end_rps} {self.strategy}"

    @property
    def text(self) -> str:
        """Return '1 to 16 req/s, rising linearly'."""
        how = {"linear": "linearly", "exponential": "exponentially"}[self.strategy]
        return f"{self.start_rps} to {self.end_rps} req/s, rising {how}"

    @property
    def mean_rps(self) -> float:
        """Return the requests a second over the whole of it: it rises by request, so the slow part takes most time."""
        return 1 / self._mean_gap_s

    @property
    def unevenness(self) -> float:
        """Return how much more the time of the whole varies by chance than that of as many arrivals at one rate: 1 or more."""
        growth = math.log(self.end_rps / self.start_rps)
        if self.strategy == "linear":
            mean_square = 1 / (self.start_rps * self.end_rps)
        else:
            mean_square = (1 / self.start_rps**2 - 1 / self.end_rps**2) / (2 * growth)
        return math.sqrt(mean_square) / self._mean_gap_s

    @property
    def _mean_gap_s(self) -> float:
        growth = math.log(self.end_rps / self.start_rps)
        if self.strategy == "linear":
            return growth / (self.end_rps - self.start_rps)
        return (1 / self.start_rps - 1 / self.end_rps) / growth


def rate_of(said: Any) -> float | str | None:
    """Return a rate as workloads hold it: a float (requests a second), 'inf', '1 to 16 linear', None for none.

    Raises ValueError, in words, for anything else.
    """
    if said is None:
        return None
    if isinstance(said, str):
        return _worded(" ".join(said.lower().split()).strip("+."))
    if not isinstance(said, int | float) or isinstance(said, bool) or not said > 0:
        raise ValueError(f"must be {_FORMS}")
    if said == math.inf:
        return AT_ONCE
    if said > MAX_RATE_RPS:
        raise ValueError("is more than any machine does: write inf, which sends all at once")
    return float(said)


def _worded(text: str) -> str:
    if text in _WITHOUT_LIMIT:
        return AT_ONCE
    if (ramp := Ramp.of(text)) is None:
        raise ValueError(f"must be {_FORMS}")
    return str(ramp)
