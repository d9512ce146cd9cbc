"""In what one launch differs from another: a comparison is of all of it, whatever the launches are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchbook.terms.secret_names import holds_secret
from benchbook.terms.sizes import number_of

_ATTACHED = "attach"  # the setting of a launch that somebody else has started
NOT_SET = "not set"
PACKAGES = ("vllm", "torch", "transformers", "numpy")  # whose versions tell two servers apart, where both are known
_MAX_CHARS = 60  # of a value; what is longer is told by its beginning


def difference_text(base: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]) -> str:
    """Return the sentence that names each setting (model, flag, variable) in which `other` differs from `base`.

    `base` and `other` are name to value; what only one of them has is not set in the other, but for the version of a
    package, which nobody told then. `names` are the launches'.
    """
    if unknown := [(name, one[_ATTACHED]) for name, one in zip(names, (base, other)) if one.get(_ATTACHED)]:
        there = " and ".join(f"{name} is the server that runs at {address}" for name, address in unknown)
        return f"{there}: in which settings {names[1]} differs from {names[0]} is not known here."
    untold = {key for key in PACKAGES if (key in base) != (key in other)}
    base, other = ({key: value for key, value in each.items() if key not in untold} for each in (base, other))
    keys = differing(base, other)
    if not keys:
        return f"{names[1]} and {names[0]} have the same model, flags and variables."
    parts = [f"{key} {_value(key, other)} ({names[0]}: {_value(key, base)})" for key in keys]
    several = f"{len(keys)} settings, any of which may be the cause: " if len(keys) > 1 else ""
    return f"{names[1]} differs from {names[0]} in {several}{'; '.join(parts)}."


def differing(base: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that are not the same in both."""
    return [key for key in {**base, **other} if not _is_same(base.get(key, NOT_SET), other.get(key, NOT_SET))]


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values are one to a command line, to which 8 is '8', and 32000 is '32k'."""
    text, number = (one, other) if isinstance(one, str) else (other, one)
    if isinstance(text, str) and isinstance(number, int | float) and not isinstance(number, bool):
        return number_of(text) == number
    return one == other


def _value(key: str, settings: Mapping[str, Any]) -> str:
    if key not in settings:
        return NOT_SET
    if holds_secret(key, settings[key]):
        return "…"
    text = settings[key] if isinstance(settings[key], str) else json.dumps(settings[key])
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
