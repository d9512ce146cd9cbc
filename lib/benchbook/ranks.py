"""Over how many devices, and how many machines, vLLM spreads a model, by its arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SHARDS = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size")
_REPLICAS = "data_parallel_size"


@dataclass(frozen=True)
class Ranks:
    """Over how many devices a launch spreads: `shards` hold one copy of the model, and there are `replicas` copies."""

    shards: int
    replicas: int

    @property
    def devices(self) -> int:
        """How many devices that makes."""
        return self.shards * self.replicas


def ranks_of(args: Mapping[str, Any]) -> Ranks | None:
    """Return over how many devices `args` spread a model; None where they make no sense, which vLLM will say."""
    said = spelt(args)
    numbers = [str(said.get(name, 1)) for name in (*_SHARDS, _REPLICAS)]
    if not all(number.isdecimal() and int(number) for number in numbers):
        return None
    *shards, replicas = map(int, numbers)
    return Ranks(math.prod(shards), replicas)


def num_devices(args: Mapping[str, Any]) -> int | None:
    """Return over how many devices `args` spread a model; None as in `ranks_of`."""
    ranks = ranks_of(args)
    return ranks.devices if ranks else None


def num_machines(args: Mapping[str, Any]) -> int:
    """Return on how many machines a server with `args` runs: those that it names, or whose ranks it leaves to others."""
    said = spelt(args)
    replicas = as_number(said.get(_REPLICAS, 1))
    local = as_number(said.get(f"{_REPLICAS}_local", replicas))
    return max(as_number(said.get("nnodes", 1)), math.ceil(replicas / max(local, 1)))


def spelt(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return `args` under names without dashes and capitals."""
    return {name.replace("-", "_").lower(): value for name, value in args.items()}


def as_number(value: Any) -> int:
    """Return a whole number as such, 1 for what is none: vLLM will say so."""
    return int(value) if str(value).isdecimal() else 1
