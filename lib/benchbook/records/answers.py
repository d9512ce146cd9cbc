"""What a launch answered to the items of a guard, beside a load: which were right, and how likely the right answers were."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from benchbook.records.typed import Items, Number, Seconds, Whole

RIGHT, WRONG, NONE, NOT_ASKED = "1", "0", "-", "."


class GuardAnswers(BaseModel):
    """The answers of one start, item by item in the order of their file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items_sha256: str  # of the file of the items
    margin: Annotated[float, Field(gt=0, lt=1)]  # the share by which fewer may be right
    guess: Annotated[float, Field(ge=0, le=1)]  # the share that is right by guessing
    marks: Annotated[str, Field(pattern=r"^[01.-]*$")] = ""  # an item each: right, wrong, not answered, or not asked
    logprobs: Items[Number | None] = ()  # of the right answer, a token on average; None where nobody told it
    loads: Whole = 0  # so often the load was sent while the items were asked
    took_s: Seconds = 0.0  # beside the measurement
    why_not: str = ""  # of items that were not asked or not answered, the first cause

    @property
    def answered(self) -> int:
        """Return how many items were answered, right or wrong."""
        return len(self.marks) - self.marks.count(NONE) - self.not_asked

    @property
    def not_asked(self) -> int:
        """Return how many items were never sent: of them the launch tells nothing."""
        return self.marks.count(NOT_ASKED)

    @property
    def right(self) -> int:
        """Return how many answers were right."""
        return self.marks.count(RIGHT)
