"""What serve and throughput have in common: prompts that are random tokens of two lengths, or requests of a named set."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer, model_validator

from benchbook.plan.request_facts import SetFacts
from benchbook.plan.workload import Count, Workload
from benchbook.terms.asked import Asked
from benchbook.terms.wording import lengths_text

LENGTHS_AND_SAMPLING = ("input_len_tokens", "output_len_tokens", "range_ratio", "temperature")  # a set has its own
GUESSED_LENGTHS = 256, 256  # of a set that only drawing tells the lengths of


class SentWorkload(Workload):
    """Base of a load of so many prompts: what is known of those of a set, `of_set` adds."""

    unsaid: ClassVar[tuple[str, ...]] = ()  # fields that stand in files only where somebody said them

    input_len_tokens: Count | None = None
    output_len_tokens: Count | None = None
    requests: Annotated[str, Field(min_length=1)] | None = None  # a set of the file, in place of the two lengths
    _of_set: SetFacts | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        given = [self.input_len_tokens is not None, self.output_len_tokens is not None]
        if self.requests is None and not all(given):
            raise ValueError("lacks lengths, or requests in their place: the name of a set")
        if self.requests is not None and any(given):
            raise ValueError("requests and lengths: give one of the two, a set has lengths of its own")
        return self

    @model_serializer(mode="wrap")
    def _only_its_kind(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what a load of its kind has not: those of random tokens stand in files as they always did."""
        absent = ("requests",) if self.requests is None else LENGTHS_AND_SAMPLING
        unsaid = [name for name in self.unsaid if getattr(self, name) is None]
        return {name: value for name, value in fields(self).items() if name not in (*absent, *unsaid)}

    def of_set(self, facts: SetFacts) -> Self:
        """Return the same load with what is known of the requests of its set; FieldError where they do not fit together."""
        raise NotImplementedError

    def _with(self, facts: SetFacts) -> Self:
        known = self.model_copy()
        known._of_set = facts
        return known

    @property
    def asked(self) -> Asked:
        """All prompts: random ones of the two lengths, or those of its set."""
        if self.requests is not None:
            return (self._of_set or SetFacts(ends_by="any")).asked(self.num_prompts)
        return Asked.of_lengths(self.num_prompts, self.input_len_tokens, self.output_len_tokens, self._varies_by)

    @property
    def _varies_by(self) -> float:
        return getattr(self, "range_ratio", 0.0)

    @property
    def curve(self) -> str:
        """Its two lengths, or the name of its set."""
        return self.requests or lengths_text((self.input_len_tokens, self.output_len_tokens))

    @property
    def are_lengths_known(self) -> bool:
        """Whether the lengths of a request are known, on average, before they are drawn."""
        return None not in (self.asked.input_tokens_each, self.asked.output_tokens_each)

    @property
    def mean_lengths(self) -> tuple[int, int]:
        """Input and output (tokens) of a request, guessed where only drawing tells them."""
        asked = self.asked
        means = asked.input_tokens_each or GUESSED_LENGTHS[0], asked.output_tokens_each or GUESSED_LENGTHS[1]
        return max(1, round(means[0])), max(1, round(means[1]))

    @property
    def max_request_tokens(self) -> int:
        """The longest request (tokens) that may be drawn: each length times (1 + range_ratio), rounded up.

        Of a set of which nobody knows it yet, the least that a request can have.
        """
        if self.requests is not None:
            return (self._of_set.longest_tokens if self._of_set else None) or 2
        lengths = (self.input_len_tokens, self.output_len_tokens)
        return sum(math.ceil(length * (1 + self._varies_by)) for length in lengths)


def why_prompts(workload: SentWorkload, why_num_prompts: str) -> str:
    """Return why a load has so many prompts, and how many others are sent before they count."""
    first = f"{workload.warmup_prompts} others to warm up" if workload.warmup_prompts else "no warm-up, as asked"
    return f"{why_num_prompts or 'as the file says'}; {first}"
