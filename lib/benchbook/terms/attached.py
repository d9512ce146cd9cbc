"""A server that somebody else runs, as a file or a notebook names it: where it is, and how it is reached.

No secret is in it: keys and headers are named by the variables of the environment that hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reach:
    """How a server is reached beside its address; what is empty is the usual way."""

    api_key_env: str = ""  # the variable with its key; '' takes OPENAI_API_KEY or VLLM_API_KEY, where they are set
    headers_env: Mapping[str, str] = field(default_factory=dict)  # further headers, each with the variable of its value
    ca_file: str = ""  # certificates (PEM) that are trusted
    insecure: bool = False  # whoever answers is believed
    proxy: bool = False  # by the shell's proxy, which nothing goes through otherwise
    behind: tuple[str, ...] = ()  # addresses of the servers behind a router, whose counters are looked at
    also: tuple[str, ...] = ()  # further addresses of the same service, which gets its requests at each in turn

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the variables whose values go to the server."""
        return tuple(filter(None, (self.api_key_env, *self.headers_env.values())))

    @property
    def said(self) -> dict[str, Any]:
        """What differs from the usual way, by the keys of a file: fit for JSON and for a notebook's parameter."""
        usual = vars(Reach())
        changed = {name: value for name, value in vars(self).items() if value != usual[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


@dataclass(frozen=True)
class Attached:
    """A server that runs already, as a launch."""

    address: str
    model: str = ""  # which of its names is asked for; '' takes the first
    tokenizer: str = ""  # a folder or a hub id; '' takes that of the model where the server says that it lies
    reset_prefix_cache: bool = False  # whether its prefix cache may be emptied
    reach: Reach = Reach()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses that get its requests."""
        return (self.address, *self.reach.also)

    @property
    def settings(self) -> dict[str, Any]:
        """What tells it from another launch, by the keys of a file."""
        named = {"model": self.model, "tokenizer": self.tokenizer}
        may = {"reset_prefix_cache": True} if self.reset_prefix_cache else {}
        attach = list(self.addresses) if self.reach.also else self.address
        reach = {name: value for name, value in self.reach.said.items() if name != "also"}
        return {"attach": attach, **{key: text for key, text in named.items() if text}, **may, **reach}
