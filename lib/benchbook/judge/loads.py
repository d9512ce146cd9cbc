"""What is turned up along a curve: the requests in flight of a closed loop, or the rate that an open one is offered.

Checks, lines, figures and sentences all take from here what a load is called and how one of its values is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchbook.records.record import Record
from benchbook.terms import asked
from benchbook.terms.asked import Offered
from benchbook.terms.rates import Ramp
from benchbook.terms.wording import counted, mean_tokens_text


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


IN_FLIGHT = Load(asked.IN_FLIGHT, "Requests in flight", "requests in flight (log2 axis)", "concurrency", False)
AT_ONCE = "{} requests at once"
RATE = Load(asked.RATE, "Offered rate (req/s)", "offered rate (req/s)", "rate", True)
LOADS = (IN_FLIGHT, RATE)


def load_text(record: Record) -> str:
    """Return where on its curve a case lies: '8 requests in flight', '2.5 req/s, at most 8 in flight', 'a batch of 8'."""
    load = record.load
    if load is None:
        return ""
    if load.is_open:
        return _rate_text(load) + (f", at most {load.at_most} in flight" if load.at_most else "")
    if load.by == IN_FLIGHT.key:
        return IN_FLIGHT.text(load.value)
    if record.row.role == "curve":
        return AT_ONCE.format(load.value)
    return record.row.load_text.format(load.value)


def _rate_text(load: Offered) -> str:
    """Return '2.5 req/s', '1 to 16 req/s, rising linearly' or '2.5 req/s on average, as recorded'."""
    if ramp := Ramp.of(load.ramp):
        return ramp.text
    return (
        RATE.text(load.value)
        + (f" on average, {load.ramp}" if load.ramp else "")
        + (f" ({load.of})" if load.of else "")
    )


def tokens_text(record: Record) -> str:
    """Return '128 tokens in, 64 out'; what its curve is called where the lengths are not known."""
    inputs, outputs = record.asked.input_tokens_each, record.asked.output_tokens_each
    if inputs is None or outputs is None:
        return record.curve or "lengths not known beforehand"
    return f"{mean_tokens_text(inputs)} tokens in, {mean_tokens_text(outputs)} out"


def case_name(record: Record) -> str:
    """Return a case without its launch as people say it: 'serve, 128 in / 64 out, 8 requests in flight'."""
    parts = (record.benchmark.replace("_", " "), record.curve, load_text(record))
    return ", ".join(part for part in parts if part)
