"""All that a launch says, by name, as rules over several names ask it: args, options of configs by their ways, variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.hosts.vllm.renaming import is_on, ways
from benchbook.hosts.vllm.switches import on_or_off
from benchbook.terms.sizes import size_of


class Said:
    """What a launch says, under vLLM's full names."""

    def __init__(self, args: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self.all: Mapping[str, Any] = {**dict(ways(args)), **env}

    def __contains__(self, name: str) -> bool:
        return name in self.all

    def __getitem__(self, name: str) -> Any:
        """Return what is said under a name, None where nothing is."""
        return self.all.get(name)

    def number(self, name: str, otherwise: int | None = None) -> int | None:
        """Return a number, or a size as vLLM reads it; `otherwise` where nothing is said, 0, or no number."""
        return size_of(str(self[name])) or otherwise

    def ranks(self, *kinds: str) -> list[int]:
        """Return the parallel sizes of these kinds: 'tensor', 'prefill_context'; 1 where none is said."""
        return [self.number(f"{kind}_parallel_size", 1) for kind in kinds]

    def is_off(self, name: str) -> bool:
        """Return whether a launch says of a switch that it is off."""
        return name in self and not is_on(self[name])

    def has(self, name: str) -> bool:
        """Return whether a launch says something there that is neither off nor 0, and not nothing or 'none'."""
        return self[name] not in (None, "", "none", [], {}) and on_or_off(self[name]) is not False
