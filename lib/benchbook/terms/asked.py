"""What a workload asks for, as it says so itself once, into the record: how much, how it ends, and how hard it presses.

    Asked.of_lengths(80, 4096, 1024)
    Asked(requests=80)                                    # lengths that nobody knows beforehand
    Offered(by="request_rate_rps", value=2.5, at_most=8)     # an open loop with at most 8 in flight
    Offered(by="request_rate_rps", value=5.4, ramp="1 to 16 linear")    # one whose rate rises: its mean
    Offered(by="num_prompts", value=80)                      # all 80 at once

Whoever judges or reports asks this and no lengths of a workload; what is None is not known, and no check guesses it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from benchbook.terms.benchmarks import Benchmark
from benchbook.terms.rates import Ramp

IN_FLIGHT, RATE = "max_concurrency", "request_rate_rps"  # the loads of a closed and of an open loop
PROMPTS = "num_prompts"  # all of them at once
BATCH = "batch_size"  # offline
USUAL_SEATS = 256  # vLLM's usual max_num_seqs: of all that comes at once, so many are in a step

MadeOf = Literal["random tokens", "text"]
_Tokens = Annotated[int, Field(ge=1)]
_MeanTokens = Annotated[int | float, Field(gt=0)]


class Asked(BaseModel):
    """How much a workload asks for. Without any fields: nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: Annotated[int, Field(ge=1)] | None = None  # of one batch, where a batch is asked again and again
    input_tokens: _Tokens | None = None  # of all requests together, to the token
    output_tokens: _Tokens | None = None
    input_tokens_each: _MeanTokens | None = None  # of one request, on average
    output_tokens_each: _MeanTokens | None = None  # the most, where answers may end before
    varies_by: Annotated[float, Field(ge=0, lt=1)] | None = (
        None  # lengths are drawn evenly within this share of the mean
    )
    ends_by: Literal["length", "any"] = "any"  # "length": every answer has the tokens asked for
    made_of: MadeOf | None = None  # the prompts; None: nobody knows
    shares_prefix: bool = False  # whether prompts begin alike, so that a prefix cache answers for some of them
    is_replayed: bool = False  # whether requests are sent at recorded times
    in_turns: bool = False  # whether they are conversations, whose turns follow answers and grow with them

    @classmethod
    def of_lengths(
        cls, requests: int | None, input_len_tokens: int, output_len_tokens: int, varies_by: float = 0.0
    ) -> Asked:
        """Return what random prompts of one pair of lengths ask for, each answered to its full length."""
        is_exact = requests is not None and not varies_by
        return cls(
            requests=requests,
            input_tokens=requests * input_len_tokens if is_exact else None,
            output_tokens=requests * output_len_tokens if is_exact else None,
            input_tokens_each=input_len_tokens,
            output_tokens_each=output_len_tokens,
            varies_by=varies_by,
            ends_by="length",
            made_of="random tokens",
        )

    @property
    def tokens_each(self) -> int | float | None:
        """Return the tokens of one request, in and out, on average; None where either is not known."""
        if self.input_tokens_each is None or self.output_tokens_each is None:
            return None
        return self.input_tokens_each + self.output_tokens_each

    @property
    def is_drawn(self) -> bool:
        """Return whether lengths are drawn around a mean that is known."""
        return bool(self.varies_by)


class Offered(BaseModel):
    """How hard a workload presses: what a curve runs along, and how far along it this one is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str  # the key of the workload that turns it up: max_concurrency, request_rate_rps, batch_size, num_prompts
    value: Annotated[int | float, Field(gt=0)]
    at_most: Annotated[int, Field(ge=1)] | None = None  # in flight, of an open loop; None: no limit
    ramp: str = ""  # of a rate that rises: '1 to 16 linear', of which `value` is the mean
    of: str = ""  # what the value was made of, where that was measured: '0.8 of throughput'

    @property
    def is_at_once(self) -> bool:
        """Return whether all requests are there from the beginning, and what does not fit waits, as is meant."""
        return self.by == PROMPTS

    @property
    def is_level(self) -> bool:
        """Return whether it is meant to stay as it is from the first request to the last: no ramp, no single wave."""
        return not self.ramp and not self.is_at_once

    @property
    def unevenness(self) -> float:
        """Return how much more than at one rate the time of sending varies by chance; 1 without a ramp."""
        ramp = Ramp.of(self.ramp)
        return ramp.unevenness if ramp else 1.0

    @property
    def is_open(self) -> bool:
        """Return whether requests come at a rate, whatever becomes of those before."""
        return self.by == RATE

    @property
    def rate_rps(self) -> float | None:
        """Return the rate (requests a second) of an open loop, None for any other load."""
        return self.value if self.is_open else None

    @property
    def in_flight(self) -> int | None:
        """Return how many requests it puts there at once; None where a rate sends them."""
        return None if self.is_open else int(self.value)

    @property
    def most_in_flight(self) -> int | None:
        """Return how many requests may be there at once; None where nothing limits them."""
        return self.at_most if self.is_open else self.in_flight


class Asking(Protocol):
    """Whatever has a workload's own description: the workload, its record, a measurement under judgment."""

    @property
    def row(self) -> Benchmark:
        """The facts of its benchmark."""

    @property
    def asked(self) -> Asked:
        """How much."""

    @property
    def load(self) -> Offered | None:
        """How hard."""


def asked_in_flight(work: Asking) -> int | None:
    """Return how many sequences are asked to be there at once; None in an open loop, where that is not fixed."""
    number = work.load.in_flight if work.load else None
    return min(number, work.asked.requests or number) if number else None


def held_in_flight(work: Asking) -> int | None:
    """Return how many are to run at once; None also where more are given on purpose than run."""
    return None if work.load is None or work.load.is_at_once or work.row.queues else asked_in_flight(work)
