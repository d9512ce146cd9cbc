"""How often a case is measured: a plain number, or rounds until its means are known well enough or a budget is used up.

    repeats: {at_least: 3, at_most: 10, until: {output_throughput_tok_s: 2 %}}

After `at_least` rounds, another one is held while any case's mean has a 95 % t-interval whose half-width exceeds the
target. Who stops when an interval looks narrow stops a little too often by luck; `at_least` keeps that small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator

from benchbook.plan.cases import Case
from benchbook.plan.document import Document, Where
from benchbook.plan.precision import read_targets
from benchbook.plan.strict import StrictModel

MAX_REPEATS = 1000
RepeatCount = Annotated[int, Field(ge=1, le=MAX_REPEATS)]
AgainCount = Annotated[int, Field(ge=0, le=10)]
DEFAULT_AGAIN = 2

_LATENCIES = tuple(
    f"{statistic}_{kind}_ms"
    for kind in ("ttft", "tpot", "itl", "e2el")
    for statistic in ("mean", "median", "p90", "p95", "p99")
)
_RATES = ("request_throughput_rps", "output_throughput_tok_s", "total_throughput_tok_s")
# The metrics of the metric table that a target may name, by benchmark.
TARGETS: Mapping[str, tuple[str, ...]] = {
    "serve": (*_RATES, "request_goodput_rps", *_LATENCIES),
    "throughput": _RATES,
    "latency": ("avg_batch_latency_s", "p50_batch_latency_s", "p90_batch_latency_s"),
    "first_request": ("ttft_ms", "e2el_ms"),
}


@dataclass(frozen=True)
class Until:
    """When rounds end: when every target is met, or after `at_most` of them."""

    at_most: int
    targets: Mapping[str, float]  # metric to greatest half-width, as a share of the mean

    def targets_of(self, case: Case) -> dict[str, float]:
        """Return the targets that `case` has a value for; a case without any is not measured again."""
        known = TARGETS[case.workload.benchmark]
        return {key: share for key, share in self.targets.items() if key in known}

    def text(self) -> str:
        """Return e.g. 'output_throughput_tok_s is known to ±2 %'."""
        return " and ".join(f"{key} is known to ±{100 * share:g} %" for key, share in self.targets.items())


class _RepeatsKeys(StrictModel):
    at_least: Annotated[int, Field(ge=2, le=MAX_REPEATS)] = 3  # one repeat has no spread
    at_most: RepeatCount
    until: dict[str, Any]

    @model_validator(mode="after")
    def _is_a_range(self) -> _RepeatsKeys:
        if self.at_most < self.at_least:
            raise ValueError(f"at_most {self.at_most} is below at_least {self.at_least}")
        return self


def read_repeats(doc: Document, where: Where, cases: Sequence[Case]) -> tuple[int, Until]:
    """Return how many repeats every case gets and until when more are added, or raise a refusal."""
    keys = doc.parse(where, _RepeatsKeys)
    known = list(dict.fromkeys(key for keys_of_one in TARGETS.values() for key in keys_of_one))
    until = Until(keys.at_most, read_targets(doc, (*where, "until"), keys.until, known, []))
    for key in until.targets if cases else ():  # without any, they were refused
        if not any(key in TARGETS[case.workload.benchmark] for case in cases):
            doc.faults.note(doc.error((*where, "until", key), "no benchmark of this experiment has this metric"))
    return keys.at_least, until
