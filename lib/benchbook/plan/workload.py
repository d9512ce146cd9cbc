"""A workload: what one benchmark is asked to do, as a frozen model with units in the names of its fields.

The names are vLLM's own where those carry a unit. A value that cannot be run is an ExperimentError of one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from pydantic import Field

from benchbook.plan.strict import StrictModel
from benchbook.terms.asked import Asked, Offered
from benchbook.terms.benchmarks import BENCHMARKS, Benchmark, HostKind

MAX_COUNT = 10**9  # beyond lies nothing that a machine does, and no record that is read again
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
CountFromZero = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[float, Field(gt=0)]

BatchSeconds = Callable[[int, int, int], float]  # of a batch: sequences, input and output tokens of each


class Workload(StrictModel):
    """Base of what a benchmark is asked to do: its fields are the keys, and the axes, of an experiment file."""

    benchmark: ClassVar[str]
    example: ClassVar[str]  # of an entry in the file
    plans_prompts: ClassVar[bool] = False  # num_prompts may be said by `precision`, or in words, see plan/prompts.py
    worded: ClassVar[frozenset[str]] = frozenset()  # fields whose texts are a few plain words, fit to be part of a name

    @property
    def row(self) -> Benchmark:
        """The facts of its benchmark."""
        return BENCHMARKS[self.benchmark]

    @property
    def host_kind(self) -> HostKind:
        """The kind of host that its benchmark runs on."""
        return self.row.host_kind

    @property
    def asked(self) -> Asked:
        """How much it asks for, for the record: what is not said here, judge and report do not know."""
        return Asked()

    @property
    def curve(self) -> str:
        """What workloads of one curve have in common, which differ in their load alone: '4096 in / 1024 out'."""
        return ""

    @property
    def load(self) -> Offered | None:
        """How hard it presses: where it lies on its curve; None for a benchmark that has no load."""
        key = self.row.load
        return Offered(by=key, value=getattr(self, key)) if key else None

    def at_maximum(self, rps: float | None) -> Workload:
        """Return the same load where so many requests a second are the most; None: nobody knows. Most need not know."""
        return self

    @property
    def max_request_tokens(self) -> int:
        """The most tokens (input plus output) that one request can hold; must fit into max_model_len."""
        raise NotImplementedError

    @property
    def warm_shape(self) -> str:
        """What one warm-up covers, as text: cases that share it put the same shapes before the same kernels."""
        return self.axes_text()

    def work_s(self, is_warm: bool, batch_s: BatchSeconds) -> float:
        """Return how long (s) the work of one repeat takes, that of its warm-up included, by `batch_s`."""
        raise NotImplementedError

    @property
    def sending_s(self) -> float:
        """How long (s) an open loop sends for, 0 for anything else: no server can be done sooner."""
        return 0.0

    @property
    def load_text(self) -> str:
        """Its load in the table of a plan."""
        return self.row.load_text.format(getattr(self, self.row.load)) if self.row.load else "one request"

    def why(self, why_num_prompts: str) -> str:
        """Return why it is as long as it is, given the reason of its number of prompts: '' where nobody would ask."""
        return ""

    def axes_text(self) -> str:
        """Return e.g. 'serve,lengths=128x64,max_concurrency=8,num_prompts=80', fit to be part of a folder's name.

        Optional fields appear only where they differ from their default, so two workloads share a text only if equal.
        """
        values = dict(vars(self))  # what iterating over a model gives, in a twentieth of the time
        parts = [self.benchmark]
        if values.get("input_len_tokens"):
            parts.append(f"lengths={values.pop('input_len_tokens')}x{values.pop('output_len_tokens')}")
        elif name := values.pop("requests", None):
            parts.append(f"requests={name}")
        fields = type(self).model_fields
        changed = sorted(name for name, value in values.items() if value != fields[name].default)
        return ",".join(parts + [f"{name}={self._value_text(name, values[name])}" for name in changed])

    def _value_text(self, name: str, value: Any) -> str:
        """Return a path-safe text that differs for every value: numbers as they are, free text by its hash."""
        if not isinstance(value, str):
            return repr(value).removesuffix(".0").replace("+", "")
        return value.replace(" ", "-") if name in self.worded else hashlib.sha256(value.encode()).hexdigest()[:8]
