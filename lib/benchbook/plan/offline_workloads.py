"""The workloads of a loaded engine: batch after batch, or all prompts at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from pydantic import PrivateAttr

from benchbook.plan.request_facts import SetFacts
from benchbook.plan.request_parts import OFFLINE_SAMPLING
from benchbook.plan.sent_workload import SentWorkload, why_prompts
from benchbook.plan.strict import FieldError
from benchbook.plan.workload import BatchSeconds, Count, CountFromZero, Workload
from benchbook.terms.asked import USUAL_SEATS, Asked
from benchbook.terms.benchmarks import LATENCY, THROUGHPUT
from benchbook.terms.wording import counted, lengths_text


class LatencyWorkload(Workload):
    """One batch at a time on a loaded engine, again and again: the floor that serving cannot go below."""

    benchmark: ClassVar[str] = LATENCY.name
    example: ClassVar[str] = "latency: {batch_size: [1, 8], lengths: [[128, 64]]}"

    input_len_tokens: Count
    output_len_tokens: Count
    batch_size: Count
    num_iters: Count = 30
    num_iters_warmup: CountFromZero = 10  # vLLM's default

    def work_s(self, is_warm: bool, batch_s: BatchSeconds) -> float:
        """Return how long (s) all iterations take: vLLM warms up anew each time."""
        iterations = self.num_iters + self.num_iters_warmup
        return iterations * batch_s(self.batch_size, self.input_len_tokens, self.output_len_tokens)

    def why(self, why_num_prompts: str) -> str:
        """Return how many batches count, and how many come before them."""
        return f"{counted(self.num_iters, 'batch', plural='batches')} after {self.num_iters_warmup} to warm up"

    @property
    def asked(self) -> Asked:
        """One batch."""
        return Asked.of_lengths(self.batch_size, self.input_len_tokens, self.output_len_tokens)

    @property
    def curve(self) -> str:
        """Its two lengths."""
        return lengths_text((self.input_len_tokens, self.output_len_tokens))

    @property
    def max_request_tokens(self) -> int:
        """Input plus output (tokens) of one sequence of the batch."""
        return self.input_len_tokens + self.output_len_tokens


class ThroughputWorkload(SentWorkload):
    """All prompts at once on a loaded engine: the ceiling of serving, if they are enough to fill it.

    They are random tokens of two lengths, or of a set, by its name.
    """

    benchmark: ClassVar[str] = THROUGHPUT.name
    example: ClassVar[str] = "throughput: {num_prompts: 200, lengths: [[128, 64]]}"

    num_prompts: Count
    num_warmup_prompts: CountFromZero | None = None  # None: see warmup_prompts
    _ends_early: bool = PrivateAttr(False)  # answers of its set may, where they are sent to a server

    def of_set(self, facts: SetFacts) -> ThroughputWorkload:
        """Return the same load with what is known of its set; FieldError where an engine cannot be given that at once.

        vLLM has every answer run to the length asked for, however those of the set would end.
        """
        why = next((why for is_so, why in _not_offline(facts) if is_so), "")
        if why:
            raise FieldError(type(self).__name__, ("requests",), "", f"not by throughput: {why}")
        known = self._with(replace(facts, ends_by="length"))
        known._ends_early = facts.ends_by == "any"
        return known

    @property
    def warmup_prompts(self) -> int:
        """How many prompts vLLM processes before its clock starts: as asked, else num_prompts but at most 256.

        vLLM's own default of 0 counts the first-use costs of a fresh engine as throughput; so many fill its batch.
        """
        if self.num_warmup_prompts is not None:
            return self.num_warmup_prompts
        return min(self.num_prompts, USUAL_SEATS)

    def work_s(self, is_warm: bool, batch_s: BatchSeconds) -> float:
        """Return how long (s) all prompts take as one batch, and those of the warm-up unless it `is_warm`."""
        numbers = (self.num_prompts, 0 if is_warm else self.warmup_prompts)
        return sum(batch_s(n, *self.mean_lengths) for n in numbers if n)

    @property
    def load_text(self) -> str:
        """That all comes at once: how much is in a column of its own."""
        return "all at once"

    def why(self, why_num_prompts: str) -> str:
        """Return why so many prompts, what is processed before they count, and what is done otherwise than a set says."""
        parts = [why_prompts(self, why_num_prompts)]
        if self.requests is not None:
            parts.append(f"at temperature {OFFLINE_SAMPLING['temperature']:g}")
        if self._ends_early:
            parts.append("answers of full length")
        return "; ".join(parts)


def _not_offline(facts: SetFacts) -> Iterator[tuple[bool, str]]:
    """Yield what an engine cannot be given at once: whether a set is so, and why not."""
    yield facts.in_turns, "a turn of a conversation follows the answer before, and offline all is given at once"
    yield facts.is_replayed, "a trace has its times, and offline all is given at once"
    yield facts.is_chat, "offline no template is put around a prompt: send it to endpoint completions"
    yield facts.has_adapters, "offline vLLM chooses adapters by itself: leave them out, or send the set by serve"
    yield (
        facts.samples,
        f"offline vLLM always samples at temperature {OFFLINE_SAMPLING['temperature']:g}: leave sampling out",
    )
