"""The parts of a set of requests: lengths that spread, prompts that begin alike, turns, and how tokens are chosen."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from benchbook.plan.strict import StrictModel
from benchbook.plan.workload import Count

# How vLLM's offline benchmarks choose tokens, whatever they are given.
OFFLINE_SAMPLING = {"temperature": 1.0, "top_p": 1.0}
Pair = tuple[float, float]
Share = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0)]


class Spread(StrictModel):
    """A length (tokens) that is drawn for each request: evenly, or normal or log-normal and cut at `min` and `max`."""

    uniform: Pair | None = None  # the least and the most, both included
    normal: Pair | None = None  # mean and standard deviation
    lognormal: Pair | None = None  # mean and standard deviation too: of the length, not of its logarithm
    min: Count = 1
    max: Count | None = None

    @field_validator("uniform", "normal", "lognormal", mode="before")
    @classmethod
    def _is_apair(cls, value: Any) -> Any:
        return pair(value)

    @model_validator(mode="after")
    def _is_one_form(self) -> Spread:
        given = [name for name in ("uniform", "normal", "lognormal") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one of uniform, normal and lognormal")
        if self.uniform is not None:
            least, most = self.uniform
            if not (least == int(least) >= 1 and most == int(most) >= least):
                raise ValueError("uniform must be [least, most], whole numbers from 1 on")
            if self.max is not None or self.min != 1:
                raise ValueError("min and max are in uniform already")
            return self
        mean, deviation = self.normal or self.lognormal
        if mean <= 0 or deviation <= 0:
            raise ValueError(f"{given[0]} must be [mean, standard deviation], both above 0")
        if self.max is None:
            raise ValueError("needs max: the longest request has to fit into the model")
        if not self.min <= mean <= self.max:
            raise ValueError(f"the mean {mean:g} is not between min {self.min} and max {self.max}")
        return self

    @property
    def longest(self) -> int:
        """Return the most tokens that may be drawn."""
        return int(self.uniform[1]) if self.uniform else self.max

    @property
    def mean(self) -> float:
        """Return the tokens to expect, were nothing cut off by `min` and `max`."""
        return sum(self.uniform) / 2 if self.uniform else (self.normal or self.lognormal)[0]

    def __str__(self) -> str:
        if self.uniform:
            return f"{self.uniform[0]:g} to {self.uniform[1]:g}"
        mean, deviation = self.normal or self.lognormal
        return f"{mean:g} ± {deviation:g} {'normal' if self.normal else 'log-normal'}, {self.min} to {self.max}"


Length = Count | Spread


class Prefix(StrictModel):
    """Prompts that begin alike: this share of each, in so many groups, each group by its own beginning."""

    share: Share
    groups: Count = 1


class Conversations(StrictModel):
    """Several turns, each sent with all that was said before it; by a file, or as many turns of drawn lengths."""

    path: str | None = None  # one conversation a line
    turns: Annotated[int, Field(ge=2, le=1000)] | None = None
    think_s: Seconds = 0.0  # from an answer to the next turn

    @model_validator(mode="after")
    def _is_one_source(self) -> Conversations:
        if (self.path is None) == (self.turns is None):
            raise ValueError("give one of turns and path")
        return self


class Sampling(StrictModel):
    """How the server chooses tokens, in vLLM's names; what is not given is the server's choice."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None


def pair(value: Any) -> Any:
    """Return a list of the file as the pair that it is to be; anything else as it is, to be refused."""
    return tuple(value) if isinstance(value, list) else value
