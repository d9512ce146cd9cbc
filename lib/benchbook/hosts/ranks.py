"""Over how many devices vLLM spreads a model, by its arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    spelt = {name.replace("-", "_"): value for name, value in args.items()}
    numbers = [str(spelt.get(name, 1)) for name in (*_SHARDS, _REPLICAS)]
    if not all(number.isdecimal() and int(number) for number in numbers):
        return None
    *shards, replicas = map(int, numbers)
    return Ranks(math.prod(shards), replicas)


def ranks_of_command(argv: Sequence[str]) -> Ranks | None:
    """Return over how many devices the command line `argv`, one of ours, spreads a model; None as in `ranks_of`."""
    flags = {name: "--" + name.replace("_", "-") for name in (*_SHARDS, _REPLICAS)}
    return ranks_of({name: argv[argv.index(flag) + 1] for name, flag in flags.items() if flag in argv[:-1]})
