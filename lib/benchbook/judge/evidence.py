"""What checks look at: one measurement with its raw file, its host, and what was watched while it ran.

A check is a function of a Measured that returns a Reason or None. What was not recorded is empty, and a check that
lacks its evidence says nothing: published figures have no raw file, an attached server no log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from benchbook.records.conditions import Conditions
from benchbook.records.host import HostFacts
from benchbook.records.parts import MachineFacts
from benchbook.records.record import Reason, Record
from benchbook.terms.asked import IN_FLIGHT, Asked, Offered
from benchbook.terms.benchmarks import BENCHMARKS, Benchmark
from benchbook.terms.metrics import request_latencies_s


class Answer(NamedTuple):
    """One answered request of a `bench serve` file; times in seconds on the client's clock."""

    start_s: float
    ttft_s: float
    latency_s: float
    gaps_s: tuple[float, ...]  # between its chunks
    tokens: int
    queue_s: float  # in the client, before it was sent
    prompt_tokens: int

    @property
    def end_s(self) -> float:
        """Return when its last chunk came."""
        return self.start_s + self.latency_s


def answers_of(raw: Mapping[str, Any]) -> tuple[Answer, ...]:
    """Return the answered requests of a `bench serve` file in the order of their sending; empty without details."""
    latencies_s = request_latencies_s(raw)
    if not raw.get("start_times") or not raw.get("ttfts") or not latencies_s:
        return ()
    count = len(latencies_s)
    columns = zip(
        raw["start_times"],
        raw["ttfts"],
        latencies_s,
        raw.get("itls") or [()] * count,
        raw.get("output_lens") or [0] * count,
        raw.get("queue_times") or [0.0] * count,
        raw.get("input_lens") or [0] * count,
        raw.get("errors") or [""] * count,
    )
    found = [
        Answer(start, ttft, latency, tuple(gaps), tokens, queue, prompt_tokens)
        for start, ttft, latency, gaps, tokens, queue, prompt_tokens, error in columns
        if not error and latency > 0
    ]
    return tuple(sorted(found))


def chunks_of(answers: Sequence[Answer]) -> tuple[Any, Any]:
    """Return of all chunks but each answer's first the gap before it and when it came (s): two numpy arrays."""
    import numpy  # late: the command line starts without it

    gaps_s = [numpy.asarray(answer.gaps_s, dtype=float) for answer in answers]
    came_s = [answer.start_s + answer.ttft_s + numpy.cumsum(gaps) for answer, gaps in zip(answers, gaps_s)]
    return numpy.concatenate([[], *gaps_s]), numpy.concatenate([[], *came_s])


@dataclass(frozen=True)
class Measured:
    """One measurement as checks see it."""

    benchmark: str
    workload: Mapping[str, Any]
    values: Mapping[str, float | int | None]
    raw: Mapping[str, Any] = field(default_factory=dict)
    host: HostFacts = HostFacts()
    conditions: Conditions = Conditions()  # what was watched meanwhile, see measure/watched.py
    machine: MachineFacts = MachineFacts()
    asked: Asked = Asked()  # by the workload itself, as `load` is
    load: Offered | None = None
    request_set_sha256: str | None = None  # of the requests that were to be sent

    @classmethod
    def of(cls, record: Record) -> Measured:
        """Return what a record alone has, without its raw file."""
        machine = record.provenance.machine
        host, conditions, told = record.host, record.conditions, {"asked": record.asked, "load": record.load}
        told["request_set_sha256"] = record.request_set_sha256
        return cls(record.benchmark, record.workload, record.values, {}, host, conditions, machine, **told)

    @property
    def row(self) -> Benchmark:
        """Return the facts of its benchmark."""
        return BENCHMARKS[self.benchmark]

    @property
    def is_of_requests(self) -> bool:
        """Return whether a client sent requests, and counted and timed each of them."""
        return self.row.times == "requests"

    @property
    def is_of_iterations(self) -> bool:
        """Return whether the same batch was timed again and again."""
        return self.row.times == "iterations"

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """Return the answered requests in the order of their sending; empty without a detailed raw file."""
        return answers_of(self.raw)

    @cached_property
    def chunks(self) -> tuple[Any, Any]:
        """Return `chunks_of` all answers."""
        return chunks_of(self.answers)

    @cached_property
    def window_s(self) -> float:
        """Return the seconds from the first send to the last chunk, 0.0 without answers."""
        answers = self.answers
        return max(answer.end_s for answer in answers) - answers[0].start_s if answers else 0.0

    @property
    def mean_in_flight(self) -> float:
        """Return how many requests were in flight on average over the window, 0.0 without answers."""
        return sum(answer.latency_s for answer in self.answers) / self.window_s if self.window_s else 0.0

    @property
    def is_closed_loop(self) -> bool:
        """Return whether each answer lets the next request go, without a rate."""
        return self.load is not None and self.load.by == IN_FLIGHT

    @property
    def rate_rps(self) -> float | None:
        """Return the rate that an open loop offers, None for any other load."""
        return self.load.rate_rps if self.load else None

    @property
    def arrival_spread(self) -> float:
        """Return the standard deviation of the time in which an open loop is sent, by chance alone, as a share of it."""
        sent = self.asked.requests or self.value("completed") or 1
        uneven = self.load.unevenness if self.load else 1.0
        return uneven / math.sqrt(sent * (self.workload.get("burstiness") or 1.0))

    @property
    def cap(self) -> int | None:
        """Return how many requests may be in flight, None where nothing limits them."""
        return self.load.most_in_flight if self.load else None

    def value(self, key: str) -> float | None:
        """Return the metric `key`, None where it was not measured."""
        found = self.values.get(key)
        return None if found is None else float(found)

    @property
    def answered_rps(self) -> float | None:
        """Return the requests answered a second, as told or by count and duration; None where neither is told."""
        completed, duration_s = self.value("completed"), self.value("duration_s")
        told = self.value("request_throughput_rps")
        return completed / duration_s if told is None and completed and duration_s else told

    @property
    def output_tokens_each(self) -> float | None:
        """Return the tokens of an answer on average, as counted or else as asked; None where neither is told."""
        tokens, completed = self.value("total_output_tokens"), self.value("completed")
        return tokens / completed if tokens and completed else self.asked.output_tokens_each

    @property
    def mean_e2el_ms(self) -> float | None:
        """Return the mean E2EL (ms), as told or by mean TTFT, mean TPOT and mean length; None where these are not told.

        What it is made of is exact where all answers have one length.
        """
        told, each = self.value("mean_e2el_ms"), self.output_tokens_each
        ttft_ms, tpot_ms = self.value("mean_ttft_ms"), self.value("mean_tpot_ms")
        if told is not None or ttft_ms is None or tpot_ms is None or not each:
            return told
        return ttft_ms + tpot_ms * max(each - 1, 0)

    def count(self, key: str) -> int | None:
        """Return how many vLLM's file says, or else the record; None, which is not 0, where neither does."""
        return self.raw.get(key, self.values.get(key))


def kv_usage_pct(measured: Measured) -> float | None:
    """Return the highest usage (%) of the KV cache while measuring, by the server's log and its gauge; None untold."""
    gauge = measured.host.telemetry.server.max_kv_use_ratio
    told = (measured.conditions.kv_usage_max_pct, None if gauge is None else 100 * gauge)
    return max((usage for usage in told if usage is not None), default=None)


def kv_cache_tokens(host: HostFacts) -> int | None:
    """Return how many tokens the KV cache of a record's host holds, as its log tells; None where it does not."""
    return host.facts.kv_cache_tokens


def counted_experts(host: HostFacts) -> list[tuple[int, float]]:
    """Return (tokens in a step, experts of a layer that it reads) as counted for the model of a host, fewest first."""
    counts = {**host.routing.prefill, **host.routing.decode}
    return sorted((int(tokens), experts) for tokens, experts in counts.items() if experts > 0)


Check = Callable[[Measured], Reason | None]
Finding = tuple[Record, Reason]  # of checks over several records
