"""A case: one point of the matrix, with what the file said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from benchbook.plan.find import Find
from benchbook.plan.workload import Workload

MAX_CASE_ID_CHARS = 150


@dataclass(frozen=True)
class Case:
    """One point of the matrix: a workload on a launch."""

    launch: str
    workload: Workload
    why_num_prompts: str = field(default="", compare=False)  # the reason of a serve case's number of prompts
    precision: tuple[tuple[str, float], ...] = field(default=(), compare=False)  # where it was planned for one
    said: Mapping[str, str] = field(default_factory=dict, compare=False)  # fields that the file says in other words
    find: Find | None = field(default=None, compare=False)  # of whose loads it is one: measured only if it is wanted
    maximum: str = field(default="", compare=False)  # the case whose answers a second its rate is a share of
    is_maximum: bool = field(default=False, compare=False)  # of others, and measured before them

    @cached_property
    def axes_text(self) -> str:
        """The workload as text, made once: a plan asks for it once a repeat and more."""
        return self.workload.axes_text()

    @cached_property
    def warm_shape(self) -> str:
        """What one warm-up covers, made once as well."""
        return self.workload.warm_shape

    @property
    def size(self) -> tuple[float, float]:
        """How hard it presses, to be compared: the most requests in flight, then the rate; open loops may have no limit."""
        load = self.workload.load
        return (load.most_in_flight or 0, load.rate_rps or 0.0) if load else (0, 0.0)

    @cached_property
    def case_id(self) -> str:
        """E.g. 'eager,serve,lengths=128x64,max_concurrency=8,num_prompts=80': path-safe, at most 150 characters."""
        text = f"{self.launch},{self.axes_text}"
        if len(text) <= MAX_CASE_ID_CHARS:
            return text
        tail = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{text[: MAX_CASE_ID_CHARS - len(tail) - 1]}-{tail}"
