"""The workload of a server: requests in a closed loop, in an open one, or both.

ServeWorkload(input_len_tokens=128, output_len_tokens=64, max_concurrency=8, num_prompts=80)
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr, field_validator, model_validator

from benchbook.plan.request_facts import SetFacts
from benchbook.plan.sent_workload import SentWorkload, why_prompts
from benchbook.plan.strict import FieldError
from benchbook.plan.workload import BatchSeconds, Count, CountFromZero, Positive
from benchbook.terms.asked import IN_FLIGHT, PROMPTS, RATE, USUAL_SEATS, Asked, Offered
from benchbook.terms.benchmarks import SERVE
from benchbook.terms.rates import AT_ONCE, Ramp, ShareOfMaximum, rate_of

# What a client of vLLM's keeps of its answers, generously: text, each chunk's time, each connection's buffers.
CLIENT_MIB, REQUEST_KIB, TOKEN_KIB = 128, 128, 1

WARMUP_WAVES = 2  # the first fills the batch, the second arrives in a running one, as requests do when it counts
OPEN_LOOP_WARMUP_PROMPTS = 32
UNBOUNDED = "workload is unbounded: set max_concurrency, request_rate_rps, or both"
AS_RECORDED = "as recorded"  # how the requests of a trace come
LONGEST_GUESSED_TOKENS = 32_768  # of a conversation


class ServeWorkload(SentWorkload):
    """Requests sent to a server: a closed loop (max_concurrency), an open one (request_rate_rps), or both: capped.

    They are random tokens of two lengths, or of a set, by its name: what is known of that, `of_set` adds.
    A rate may rise ("1 to 16 exponential"), or be "inf": all at once; with a cap that is a closed loop, and held as one.
    One that is "0.8 of throughput" is known once `at_maximum` has told what that is.
    """

    benchmark: ClassVar[str] = SERVE.name
    example: ClassVar[str] = "serve: {max_concurrency: [1, 8], lengths: [[128, 64]], num_prompts: 80}"
    plans_prompts: ClassVar[bool] = True
    worded: ClassVar[frozenset[str]] = frozenset((RATE,))
    unsaid: ClassVar[tuple[str, ...]] = ("ends_after_s",)

    num_prompts: Count
    max_concurrency: Count | None = None  # None: no cap on requests in flight
    request_rate_rps: float | str | None = None  # None: as fast as the cap allows; see terms/rates.py
    burstiness: Positive = 1.0  # 1: Poisson arrivals; below 1 in bursts, above 1 more even
    temperature: Annotated[float, Field(ge=0)] = 0.0
    range_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0  # vLLM's random-range-ratio: lengths vary by ± this share
    ends_after_s: Positive | None = None  # a closed loop sends no more then; None: until all num_prompts are answered
    num_warmup_prompts: CountFromZero | None = None  # None: two for each request in flight, see warmup_prompts
    slo_ttft_ms: Positive | None = None  # limits for one request, counted by request_goodput_rps
    slo_tpot_ms: Positive | None = None
    slo_e2el_ms: Positive | None = None
    _maximum_rps: float | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _capped(cls, fields: dict[str, Any]) -> dict[str, Any]:
        is_capped = fields.get(IN_FLIGHT) is not None
        with suppress(ValueError):
            if is_capped and rate_of(fields.get(RATE)) == AT_ONCE:
                return {**fields, RATE: None}
        return fields

    @field_validator(RATE, mode="before")
    @classmethod
    def _rate(cls, said: Any) -> float | str | None:
        return rate_of(said)

    @model_validator(mode="after")
    def _lengths_are_its_own(self) -> ServeWorkload:
        if self.requests is not None and self.range_ratio:
            raise ValueError("range_ratio varies lengths, and requests have their own: say there how they spread")
        if self.requests is not None and self.temperature:
            raise ValueError("temperature goes with lengths: a set says how tokens are chosen by its own sampling")
        return self

    @model_validator(mode="after")
    def _is_bounded(self) -> ServeWorkload:
        if self._is_unbounded and self.requests is None:
            raise ValueError(UNBOUNDED)
        if self.burstiness != 1.0 and self.request_rate_rps in (None, AT_ONCE):
            raise ValueError("burstiness has no effect without request_rate_rps, or where all is sent at once (inf)")
        return self

    @model_validator(mode="after")
    def _ends_a_closed_loop(self) -> ServeWorkload:
        if self.ends_after_s is not None and (self.max_concurrency is None or self.request_rate_rps is not None):
            raise ValueError(
                "ends_after_s ends a closed loop, max_concurrency without request_rate_rps: at a rate, a time as "
                "num_prompts, such as 60 s, ends by the clock"
            )
        return self

    @property
    def _is_unbounded(self) -> bool:
        return self.max_concurrency is None and self.request_rate_rps is None

    def of_set(self, facts: SetFacts) -> ServeWorkload:
        """Return the same load with what is known of the requests of its set; FieldError where they do not fit together."""
        if self._is_unbounded and not facts.is_replayed:
            raise FieldError(type(self).__name__, (), "", UNBOUNDED)
        if self.request_rate_rps is not None and facts.is_replayed:
            raise FieldError(type(self).__name__, (), "", "a trace has its own arrivals: leave request_rate_rps out")
        if self.ends_after_s is not None and (facts.is_replayed or facts.in_turns):
            why = "a trace ends by its window_s" if facts.is_replayed else "a conversation is held to its last turn"
            raise FieldError(type(self).__name__, (), "", f"{why}: leave ends_after_s out")
        return self._with(facts)

    def held(self, name: str, value: Any) -> Any:
        """Return the value of a field as this load holds it: a rate of '1 to 16' is '1 to 16 linear', inf below a cap none."""
        if name != RATE:
            return value
        try:
            rate = rate_of(value)
        except ValueError:
            return value
        return None if rate == AT_ONCE and self.max_concurrency is not None else rate

    @property
    def asked(self) -> Asked:
        """All prompts; how many that will be nobody knows where the clock ends them."""
        found = super().asked
        open_end = {"requests": None, "input_tokens": None, "output_tokens": None}
        return found if self.ends_after_s is None else found.model_copy(update=open_end)

    @property
    def curve(self) -> str:
        """Its two lengths, or the name of its set; a rate that rises is no point of a curve, but one of its own."""
        rises = f", {self.ramp.text}" if self.ramp else ""
        return super().curve + rises

    @property
    def ramp(self) -> Ramp | None:
        """How its rate rises, None where it does not."""
        return Ramp.of(self.request_rate_rps) if isinstance(self.request_rate_rps, str) else None

    @property
    def share(self) -> ShareOfMaximum | None:
        """Which share of the most that is answered its rate is, None where it is none."""
        return ShareOfMaximum.of(self.request_rate_rps) if isinstance(self.request_rate_rps, str) else None

    def at_maximum(self, rps: float | None) -> ServeWorkload:
        """Return the same load where so many requests a second are the most; None: nobody knows."""
        if not self.share:
            return self
        known = self.model_copy()
        known._maximum_rps = rps
        return known

    def maximum(self, num_prompts: int) -> ServeWorkload:
        """Return the load that tells what its rate is a share of: all prompts at once, or as many as may be in flight."""
        own = {
            "burstiness": 1.0,
            "num_warmup_prompts": None,
            "slo_ttft_ms": None,
            "slo_tpot_ms": None,
            "slo_e2el_ms": None,
        }
        rate = None if self.max_concurrency else AT_ONCE
        return self.model_copy(update={**own, RATE: rate, PROMPTS: num_prompts})

    @property
    def load(self) -> Offered | None:
        """The rate of an open loop, which may be capped, or all prompts at once, else the requests in flight.

        None for a share of a maximum that nobody knows.
        """
        if share := self.share:
            if self._maximum_rps is None:
                return None
            rate_rps = share.rate_rps(self._maximum_rps)
            return Offered(by=RATE, value=rate_rps, at_most=self.max_concurrency, of=str(share))
        if self._of_set and self._of_set.is_replayed:
            rate_rps = self._of_set.rate_rps or 1.0  # which only drawing tells
            return Offered(by=RATE, value=rate_rps, at_most=self.max_concurrency, ramp=AS_RECORDED)
        if self.request_rate_rps is None:
            return Offered(by=IN_FLIGHT, value=self.max_concurrency)
        if self.request_rate_rps == AT_ONCE:
            return Offered(by=PROMPTS, value=self.num_prompts)
        if self.ramp:
            return Offered(by=RATE, value=self.ramp.mean_rps, at_most=self.max_concurrency, ramp=str(self.ramp))
        return Offered(by=RATE, value=self.request_rate_rps, at_most=self.max_concurrency)

    @property
    def warmup_prompts(self) -> int:
        """How many requests to send before measuring: as asked, else twice max_concurrency, or 32 without one.

        Where all come at once, as many as a step may hold.

        A shape seen for the first time may compile kernels (on a GPU, 10 s of p99 TTFT): so the warm-up has the lengths
        and the concurrency that are measured. One wave would leave out the steps that prefill beside a running batch.
        """
        if self.num_warmup_prompts is not None:
            return self.num_warmup_prompts
        if self.request_rate_rps == AT_ONCE:
            return min(self.num_prompts, USUAL_SEATS)
        if self._of_set and self._of_set.is_replayed:  # a trace may have no more
            return min(self.num_prompts, OPEN_LOOP_WARMUP_PROMPTS)
        return WARMUP_WAVES * self.max_concurrency if self.max_concurrency else OPEN_LOOP_WARMUP_PROMPTS

    @property
    def client_memory_mib(self) -> int:
        """By how much (MiB) a client's memory can grow while it sends this load, many times what it was seen to."""
        is_known = self.requests is None or self._of_set and self._of_set.longest_tokens
        request_kib = REQUEST_KIB + TOKEN_KIB * (self.max_request_tokens if is_known else LONGEST_GUESSED_TOKENS)
        return CLIENT_MIB + self.num_prompts * request_kib // 1024

    def warmup(self) -> ServeWorkload:
        """Return the load of the warm-up: that of the measurement, except that a cap is reached without waiting."""
        rate_rps = None if self.max_concurrency else self.request_rate_rps
        changes = {
            "num_prompts": self.warmup_prompts,
            "request_rate_rps": rate_rps,
            "burstiness": 1.0,
            "ends_after_s": None,
        }
        if rate_rps:
            changes["burstiness"] = self.burstiness
        return self.model_copy(update=changes)

    @property
    def warm_shape(self) -> str:
        """The load, whatever the number of prompts, its end, the arrivals below the cap and the limits of a good answer."""
        is_wave = self.request_rate_rps == AT_ONCE  # of so many that its warm-up was one as well
        number = self.warmup_prompts if is_wave else 1
        least = {"num_prompts": number or 1, "slo_ttft_ms": None, "slo_tpot_ms": None, "slo_e2el_ms": None}
        least |= {"ends_after_s": None}
        if self.max_concurrency:
            least |= {"request_rate_rps": None, "burstiness": 1.0}
        return self.model_copy(update=least).axes_text()

    def work_s(self, is_warm: bool, batch_s: BatchSeconds) -> float:
        """Return how long (s) the load takes, and that of its warm-up unless it `is_warm`."""
        return self._load_s(batch_s) + (0.0 if is_warm else self.warmup()._load_s(batch_s))

    def _load_s(self, batch_s: BatchSeconds) -> float:
        """Return how long (s) a load takes: as long as answering it or as long as sending it, whichever is longer."""
        number = self.num_prompts
        if not number:
            return 0.0
        lengths = self.mean_lengths
        batch = min(self.max_concurrency or number, number)
        answering_s = number / batch * batch_s(batch, *lengths)
        if self.ends_after_s is not None:  # what is under way then is answered
            return min(answering_s, self.ends_after_s + batch_s(batch, *lengths))
        return max(answering_s, self.sending_s + batch_s(1, *lengths)) if self.load.is_open else answering_s

    @property
    def sending_s(self) -> float:
        """How long (s) the prompts are sent for at their rate; 0 in a closed loop."""
        return (self.num_prompts - 1) / self.load.rate_rps if self.load.rate_rps else 0.0

    @property
    def load_text(self) -> str:
        """The rate, the requests in flight, or both; that all comes at once."""
        rate = self.request_rate_rps
        if self._of_set and self._of_set.is_replayed:
            return ", ".join([AS_RECORDED, *([super().load_text] if self.max_concurrency else [])])
        if rate == AT_ONCE:
            return "all at once"
        said = [] if rate is None else [self.ramp.text if self.ramp else str(self.share or f"{rate:g} req/s")]
        return ", ".join([*said, *([] if self.max_concurrency is None else [super().load_text])])

    def why(self, why_num_prompts: str) -> str:
        """Return why so many prompts, and what is sent before they count."""
        said = why_num_prompts or "as the file says"
        ends = f", at most: none is sent after {self.ends_after_s:g} s" if self.ends_after_s else ""
        return why_prompts(self, said + ends)
