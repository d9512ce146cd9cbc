"""Where blocks run: several at once on one machine, each on cards or cores of its own.

    place: {gpus: 1, at_once: all}       # as many places as there are cards
    place: {cores: 8, at_once: 4}        # without GPUs: four times eight processors
    place: {at_once: 2}                  # two that share the processors
    place: {gpus: 1, neighbours: 0.5 %, otherwise: alone}

What neighbours cost is measured first. Where it is more than `neighbours`, a share, each record says so (`otherwise: marked`),
or one block runs at a time (`otherwise: alone`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from benchbook.plan.document import Document
from benchbook.plan.precision import read_share
from benchbook.plan.strict import StrictModel

WHERE = ("place",)
DEFAULT_LIMIT = 0.01  # no more than what two starts of one launch differ by
MOST_AT_ONCE = 64


@dataclass(frozen=True)
class Placing:
    """What the file says of places."""

    gpus: int | None  # cards of a place
    cores: int | None  # processors of a place; None for both: places share all processors
    at_once: int | None  # None: as many as there are cards or processors for
    limit: float  # what neighbours may cost, as a share
    runs_alone: bool  # what to do where they cost more: one block at a time; False: each record says so

    @property
    def identity(self) -> dict[str, int]:
        """What of it can change a number: how much of the machine a launch has, or how many share all its processors."""
        own = {name: number for name, number in (("gpus", self.gpus), ("cores", self.cores)) if number}
        shared = {"at_once": self.at_once} if (self.at_once or 1) > 1 else {}  # one shares them with nobody
        return own or shared


def read_place(doc: Document) -> Placing:
    """Return what the file says under `place`; raises ExperimentError."""
    limit = DEFAULT_LIMIT
    with doc.faults.noted():
        if "neighbours" in doc.mapping(WHERE, "place: {gpus: 1, at_once: all}"):
            limit = read_share(doc, (*WHERE, "neighbours"))
    keys = doc.parse(WHERE, _PlaceKeys)
    at_once = None if keys.at_once == "all" else keys.at_once
    return Placing(keys.gpus, keys.cores, at_once, limit, keys.otherwise == "alone")


class _PlaceKeys(StrictModel):
    gpus: int | None = Field(None, ge=1, le=64)
    cores: int | None = Field(None, ge=1, le=4096)
    at_once: Any = "all"
    neighbours: Any = None
    otherwise: Literal["marked", "alone"] = "marked"

    @field_validator("at_once")
    @classmethod
    def _is_a_number_or_all(cls, at_once: Any) -> Any:
        # A union would answer a wrong number with the errors of both its sides.
        if at_once != "all" and (type(at_once) is not int or not 1 <= at_once <= MOST_AT_ONCE):
            raise ValueError(f"must be all or how many run at once, 1 to {MOST_AT_ONCE}")
        return at_once

    @model_validator(mode="after")
    def _says_what_a_place_is(self) -> _PlaceKeys:
        if self.gpus and self.cores:
            raise ValueError("names gpus and cores: a place of cards has the processors near them, so leave cores out")
        if self.at_once == "all" and not (self.gpus or self.cores):
            raise ValueError("says not of what: name gpus or cores, or at_once: 2 for places that share the processors")
        return self
