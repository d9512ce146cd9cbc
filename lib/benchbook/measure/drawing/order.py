"""An order: what the runner has drawn by a process that has vLLM."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

DRAW = "draw"  # the task of a warm client, in the place of a benchmark's name
PROGRAM = (sys.executable, "-m", "benchbook.measure.drawing")  # the same without one


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be drawn, for whom, and where it goes."""

    name: str
    request_set: dict[str, Any]  # a RequestSet, as it dumps itself
    requests: int
    at_once: int  # so many of them must be different: those of one case
    stretches: Sequence[int] = ()  # as they are sent, over and over: a recorded conversation goes on into no other
    seed: int
    model: str  # as its server serves it
    tokenizer_words: Sequence[str]  # of `vllm bench serve`: --tokenizer and what else says how it is read
    path: str  # of the frozen file

    def to_json(self) -> dict[str, Any]:
        """Return what `Order(**...)` makes an order of again."""
        return {**asdict(self), "tokenizer_words": list(self.tokenizer_words), "stretches": list(self.stretches)}
