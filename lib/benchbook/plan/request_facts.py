"""What is known of the requests of a set, before they are drawn and, of a stretch of them, afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchbook.terms.asked import Asked, MadeOf

EndsBy = Literal["length", "any"]


@dataclass(frozen=True)
class SetFacts:
    """What is known of the requests of a set, or of a stretch of it; tokens that are None are not known."""

    input_tokens_each: float | None = None  # on average
    output_tokens_each: float | None = None  # on average; the most, where answers may end before
    longest_tokens: int | None = None  # input plus output
    input_tokens: int | None = None  # of all together, which a stretch knows
    output_tokens: int | None = None
    ends_by: EndsBy = "length"
    made_of: MadeOf | None = None
    shares_prefix: bool = False
    is_chat: bool = False  # a template is put around what is sent: more tokens are counted than asked
    is_replayed: bool = False
    rate_rps: float | None = None  # at which a trace came, on average
    in_turns: bool = False
    has_adapters: bool = False
    samples: bool = False  # the set says by itself how tokens are chosen

    def asked(self, requests: int) -> Asked:
        """Return what so many of these requests ask for."""
        return Asked(
            requests=requests,
            input_tokens=None if self.is_chat else self.input_tokens,
            output_tokens=self.output_tokens if self.ends_by == "length" else None,
            input_tokens_each=self.input_tokens_each,
            output_tokens_each=self.output_tokens_each,
            ends_by=self.ends_by,
            made_of=self.made_of,
            shares_prefix=self.shares_prefix,
            is_replayed=self.is_replayed,
            in_turns=self.in_turns,
        )
