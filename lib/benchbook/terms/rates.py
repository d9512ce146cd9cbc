"""Rates as people say them: 4 requests a second, inf for all at once, '1 to 16' for one that rises, a share of throughput.

rate_of(4)                        # 4.0
rate_of("inf")                    # 'inf': nobody waits, vLLM's own word
rate_of("1 to 16")                # '1 to 16 linear': vLLM's --ramp-up-strategy
Ramp.of("1 to 16 exponential").mean_rps
rate_of("80 % of throughput")     # '0.8 of throughput': of what the server answers at most, which a run measures first
ShareOfMaximum.of("0.8 of throughput").rate_rps(12.5)
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple

AT_ONCE = "inf"  # as vLLM says it
MAX_RATE_RPS = 1e9  # beyond lies nothing that a machine does
RATE_WORDS = r"^(inf|\d{1,10} to \d{1,10} (linear|exponential)|\d{1,2}(\.\d{1,3})? of throughput)$"  # a rate that is no number, as workloads hold it
_WITHOUT_LIMIT = ("inf", "infinity", "infinite", "unlimited", "max")
_RAMP = re.compile(r"([0-9.]{1,20}) to ([0-9.]{1,20})(?: (linear|exponential))?")
_SHARE = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) ?(%)? of (?:the )?(?:throughput|maximum)")
_LEAST_SHARE, _MOST_SHARE = 0.01, 10.0
_FORMS = (
    "a number above 0, inf for all at once, a ramp such as 1 to 16 or 1 to 16 exponential, or a share such as 0.8 of "
    "throughput"
)


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


class ShareOfMaximum(NamedTuple):
    """A rate that is a share of what the server answers at most, which a run measures before it."""

    share: float

    @classmethod
    def of(cls, text: str) -> ShareOfMaximum | None:
        """Return the share of '0.8 of throughput' or '80 % of throughput'; None for what is none. ValueError out of bounds."""
        found = _SHARE.fullmatch(text)
        if not found:
            return None
        share = round(float(found[1]) / (100 if found[2] else 1), 3)
        if not _LEAST_SHARE <= share <= _MOST_SHARE:
            raise ValueError(f"a share of throughput is from {_LEAST_SHARE:g} to {_MOST_SHARE:g}: 0.8, or 80 %")
        return cls(share)

    def __str__(self) -> str:
        return f"{self.share:g} of throughput"

    def rate_rps(self, maximum_rps: float) -> float:
        """Return the rate, to the four digits that a measured maximum has at best."""
        return float(f"{self.share * maximum_rps:.4g}")


def rate_of(said: Any) -> float | str | None:
    """Return a rate as workloads hold it: a float (req/s), 'inf', '1 to 16 linear', '0.8 of throughput', None for none.

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
    if (found := Ramp.of(text) or ShareOfMaximum.of(text)) is None:
        raise ValueError(f"must be {_FORMS}")
    return str(found)
