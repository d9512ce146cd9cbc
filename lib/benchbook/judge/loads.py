"""What is turned up along a curve: the requests in flight of a closed loop, or the rate that an open one is offered.

Checks, lines, figures and sentences all take from here what a load is called and how one of its values is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.wording import counted, lengths_text

LENGTHS = ("input_len_tokens", "output_len_tokens")


@dataclass(frozen=True)
class Load:
    """One kind of load. A rate makes a loop open, also where the requests in flight are capped."""

    key: str  # its column in the tidy table
    heading: str  # of a figure's axis
    by: str  # in a caption: "… by requests in flight"
    noun: str  # what one value is
    is_open: bool

    def value(self, number: float) -> float:
        """Return `number` as a load: whole requests in flight, any rate."""
        return float(number) if self.is_open else int(number)

    def short(self, number: float) -> str:
        """Return the bare number: '8', '2.5'."""
        return f"{number:,.10g}"

    def text(self, number: float) -> str:
        """Return '8 requests in flight' or '2.5 req/s'."""
        if self.is_open:
            return f"{self.short(number)} req/s"
        return f"{counted(number, 'request', self.short(number))} in flight"

    def at(self, number: float) -> str:
        """Return 'with 8 requests in flight' or 'at 2.5 req/s'."""
        return f"{'at' if self.is_open else 'with'} {self.text(number)}"


IN_FLIGHT = Load("max_concurrency", "Requests in flight", "requests in flight (log2 axis)", "concurrency", False)
RATE = Load("request_rate_rps", "Offered rate (req/s)", "offered rate (req/s)", "rate", True)
LOADS = (IN_FLIGHT, RATE)
_KEYS = {load.key for load in LOADS}


def load_text(workload: Mapping[str, Any]) -> str:
    """Return the load of a serve workload: '8 requests in flight', '2.5 req/s', '2.5 req/s, at most 8 in flight'."""
    rate, cap = workload.get(RATE.key), workload.get(IN_FLIGHT.key)
    if rate is None:
        return IN_FLIGHT.text(cap) if cap is not None else ""
    return RATE.text(rate) + (f", at most {cap} in flight" if cap is not None else "")


def case_name(benchmark: str, workload: Mapping[str, Any]) -> str:
    """Return a case without its launch as people say it: 'serve, 128 in / 64 out, 8 requests in flight'."""
    parts = [benchmark.replace("_", " ")]
    if all(workload.get(name) is not None for name in LENGTHS):
        parts.append(lengths_text((workload[LENGTHS[0]], workload[LENGTHS[1]])))
    row = BENCHMARKS[benchmark]
    load = load_text(workload) if row.load in _KEYS else row.load_text.format(workload.get(row.load))
    return ", ".join([*parts, *([load] if load else [])])
