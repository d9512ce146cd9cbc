"""The workload of each benchmark, by its name."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from benchbook.plan.offline_workloads import LatencyWorkload, ThroughputWorkload
from benchbook.plan.serve_workload import ServeWorkload
from benchbook.plan.workload import BatchSeconds, Count, Workload
from benchbook.terms.asked import Asked
from benchbook.terms.benchmarks import FIRST_REQUEST

FIRST_PROMPT_TOKENS = 8


class FirstRequestWorkload(Workload):
    """One completion request, to see that the server answers and what an answer holds."""

    benchmark: ClassVar[str] = FIRST_REQUEST.name
    example: ClassVar[str] = "first_request: {}"

    prompt: Annotated[str, Field(min_length=1)] = "The future of AI is"
    max_tokens: Count = 100
    temperature: Annotated[float, Field(ge=0)] = 0.0

    @property
    def asked(self) -> Asked:
        """One request, answered with `max_tokens` or fewer."""
        return Asked(requests=1, output_tokens_each=self.max_tokens)

    @property
    def max_request_tokens(self) -> int:
        """The least the request can need (tokens): its output and one token of prompt; only a tokenizer knows more."""
        return self.max_tokens + 1

    def work_s(self, is_warm: bool, batch_s: BatchSeconds) -> float:
        """Return how long (s) one answer takes."""
        return batch_s(1, FIRST_PROMPT_TOKENS, self.max_tokens)


WORKLOADS: dict[str, type[Workload]] = {
    model.benchmark: model for model in (FirstRequestWorkload, ServeWorkload, LatencyWorkload, ThroughputWorkload)
}
