"""A launch as a later vLLM wants it: old names and values become what says the same, or are refused.

The names stand in `old_args`, `old_variables` and `old_values`; args are spelt out in full before (`spelling`).
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchbook.hosts.vllm.old_args import FLAGS, OPTIONS
from benchbook.hosts.vllm.old_values import VALUES
from benchbook.hosts.vllm.old_variables import VARIABLES
from benchbook.hosts.vllm.renaming import CONFIG, OldValue, Refused, Settings, Translation, is_variable, ways

NEWEST_CHECKED = "0.33.0"  # taken for the version where no vLLM is installed
TABLE = (*FLAGS, *OPTIONS, *VARIABLES)


@dataclass(frozen=True)
class Change:
    """One translation as it was applied."""

    old: str  # a variable, or the way to an arg: 'compilation_config.full_cuda_graph'
    value: Any
    new: Settings
    reason: str

    def __str__(self) -> str:
        parts = [_said(name, value) for name, value in self.new.items()]
        return f"{_shown(self.value)} → {', '.join(parts) or 'left out'}; {self.reason}"


@dataclass
class Translated:
    """A launch as one version of vLLM wants it; what it cannot have is left out of it and told in `refusals`."""

    args: dict[str, Any]
    env: dict[str, str]
    changes: list[Change] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    config: Settings | None = None  # the model's config.json, as far as it is known

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the launch says, by name: args whole and by their ways, variables, and its model's config."""
        known = {} if self.config is None else {CONFIG: self.config}
        return {**dict(ways(self.args)), **self.env, **known}

    def take(self, name: str) -> Any:
        """Return the value of `name` and leave it out, with the config around it if nothing else is in that."""
        *outer, last = [name] if is_variable(name) else name.split(".")
        holders: list[dict] = [self.env if is_variable(name) else self.args]
        for step in outer:
            holders.append(holders[-1][step])
        value = holders[-1].pop(last)
        for step, holder in zip(reversed(outer), reversed(holders[:-1])):
            if not holder[step]:
                del holder[step]
        return value

    def put(self, name: str, value: Any) -> None:
        """Set `name`; raises Refused where the launch says something else there."""
        *outer, last = [name] if is_variable(name) else name.split(".")
        holder: Any = self.env if is_variable(name) else self.args
        for step in outer:
            holder = holder.setdefault(step, {})
            if not isinstance(holder, dict):
                raise Refused(f"now means {_said(name, value)}, but the launch says {_shown(holder)}")
        if isinstance(value, Mapping) and isinstance(holder.get(last), Mapping):
            for key, inner in value.items():
                self.put(f"{name}.{key}", inner)
        elif holder.setdefault(last, value) != value:
            raise Refused(f"now means {_said(name, value)}, but the launch says {_shown(holder[last])}")


def translate(
    args: Mapping[str, Any], env: Mapping[str, str], version: str, config: Settings | None = None
) -> Translated:
    """Return `args` and `env` as this version of vLLM wants them, with all that was changed and all that it cannot have.

    What replaces an old name never overrides what the launch says under the new one: that is a refusal too. `config` is
    the model's config.json, None while that is not known.
    """
    done = Translated(copy.deepcopy(dict(args)), dict(env), config=config)
    for entry in TABLE:
        if _holds(entry, version) and entry.old in done.settings:
            _apply(entry, done, version)
    for entry in VALUES:
        for name in entry.names:
            if _is_old_value(entry, name, done.settings.get(name), version):
                _apply(_as_translation(entry, name), done, version)
    return done


@functools.cache
def old_args(version: str) -> frozenset[str]:
    """Return the names of args that this version of vLLM does not know any more and that are translated."""
    return frozenset(entry.old for entry in FLAGS if _holds(entry, version))


@functools.cache
def old_variables(version: str) -> frozenset[str]:
    """Return the names of variables that this version of vLLM does not know any more, or does not ask."""
    return frozenset(entry.old for entry in VARIABLES if _holds(entry, version))


def _apply(entry: Translation, done: Translated, version: str) -> None:
    """Replace one old name; where that cannot be, note why and leave it out."""
    value = done.take(entry.old)
    before = copy.deepcopy((done.args, done.env))
    try:
        new, reason = dict(entry.becomes(value, done.settings)), entry.reason
        for name, wanted in new.items():
            if old := next((old for old in VALUES if _is_old_value(old, name, wanted, version)), None):
                new[name] = _new_value(old)
                reason += f"; {old.old} {_since(old)}"
        for name, wanted in new.items():
            done.put(name, wanted)
    except Refused as refusal:
        refusal.old = entry.old
        done.refusals.append(refusal)
        done.args, done.env = before
    else:
        done.changes.append(Change(entry.old, value, new, reason))


def _as_translation(old: OldValue, name: str) -> Translation:
    return Translation(name, old.unknown_since, lambda value, _: {name: _new_value(old)}, f"{old.old} {_since(old)}")


def _new_value(old: OldValue) -> str:
    if old.new is None:
        raise Refused(f"{old.old} {_since(old)}")
    return old.new


def _since(old: OldValue) -> str:
    return f"is gone since {old.unknown_since.removesuffix('.0')}: {old.reason}"


def _is_old_value(old: OldValue, name: str, value: Any, version: str) -> bool:
    """Return whether `value` is the old one for this name, in capitals or not, as vLLM reads the names of backends."""
    is_the_same = isinstance(value, str) and value.lower() == old.old.lower()
    return name in old.names and is_the_same and _is_gone(old, version)


def _is_gone(entry: Translation | OldValue, version: str) -> bool:
    return version_number(version) >= version_number(entry.unknown_since)


def _holds(entry: Translation, version: str) -> bool:
    ended = entry.until is not None and version_number(version) >= version_number(entry.until)
    return _is_gone(entry, version) and not ended


@functools.cache
def version_number(version: str) -> tuple[int, ...]:
    """Return (0, 32, 0) of '0.32.0+cpu' or '0.32.0rc1'."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def _said(name: str, value: Any) -> str:
    return f"{name}={value}" if is_variable(name) else f"args.{name}: {_shown(value)}"


def _shown(value: Any) -> str:
    return {"True": "true", "False": "false"}.get(repr(value), str(value))
