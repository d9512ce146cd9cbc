"""How a launch says other rotary positions: what is to be written, with what of the model's own it would replace."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

PARAMETERS = ("rope_parameters", "rope_scaling")  # what a config.json calls them, and called them
THETA, TYPE, _ORIGINAL, LENGTH = (
    "rope_theta",
    "rope_type",
    "original_max_position_embeddings",
    "max_position_embeddings",
)
OWN_THETA = 10_000  # what vLLM takes where rope_parameters tell none
_YARN = ("yarn", "deepseek_yarn", "deepseek_llama_scaling")
UNSCALED = ("su", "longrope", "llama3", *_YARN)  # by their factor vLLM makes no sequence longer
KINDS = (
    *("default", "linear", "ntk", "dynamic", "yarn", "llama3", "longrope", "proportional", "mllama4"),
    *("deepseek_yarn", "deepseek_llama_scaling", "bailing_mrope", "openpangu", "mrope"),
)


def kind_of(rope: Mapping[str, Any]) -> Any:
    """Return the type that rope_parameters tell, under its name of today or its old one; None where they tell none."""
    return rope.get(TYPE, rope.get("type"))


def rope_of(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the rope_parameters that a config.json tells, in whichever form; {} where it tells none."""
    told = config or {}
    found = next((rope for name in PARAMETERS if isinstance(rope := told.get(name), Mapping)), {})
    own = _renamed_type(found)
    return own if is_nested(own) or told.get(THETA) is None else {THETA: told[THETA], **own}


def _renamed_type(rope: Mapping[str, Any]) -> dict[str, Any]:
    """Return rope_parameters with their type under its name of today."""
    named = {TYPE if key == "type" else key: value for key, value in rope.items()}
    return {**named, TYPE: rope[TYPE]} if TYPE in rope else named


def stays_short(rope: Any, length: Any) -> bool:
    """Return whether these rope_parameters scale positions, and no sequence becomes longer by them than `length` tokens."""
    if not isinstance(rope, Mapping) or kind_of(rope) not in _YARN or not isinstance(length, int):
        return False
    factor, original = rope.get("factor"), rope.get(_ORIGINAL, length)
    return isinstance(factor, int | float) and isinstance(original, int) and original * factor > length


def is_nested(rope: Mapping[str, Any]) -> bool:
    """Return whether rope_parameters are told for each kind of layer."""
    return any(isinstance(value, Mapping) for value in rope.values())


def scaled_text(asked: Mapping[str, Any], config: Mapping[str, Any] | None) -> str:
    """Return what a launch writes to have these rope_parameters, which replace the model's own whole.

    What they need of the model's config.json is taken from there, and where that is not known, named.
    """
    own, rope, beside, missing = rope_of(config), _renamed_type(asked), {}, []
    if THETA not in rope and own.get(THETA) is not None:
        rope[THETA] = own[THETA]
    elif THETA not in rope and not is_nested(rope):
        missing.append(f"the model's own {THETA} in it ({OWN_THETA} counts without)")
    if rope.get(TYPE) in _YARN:
        factor, length = rope.get("factor"), (config or {}).get(LENGTH)
        original = rope.get(_ORIGINAL) or own.get(_ORIGINAL) or length
        if isinstance(factor, int | float) and math.isfinite(factor) and isinstance(original, int):
            rope[_ORIGINAL] = original
            beside[LENGTH] = max(math.floor(original * factor), length if isinstance(length, int) else 0)
        else:
            missing.append(f"{LENGTH} beside it, which the factor of {rope[TYPE]} does not make longer")
    return " with ".join([_overriding(rope, beside), *([" and ".join(missing)] if missing else [])])


def theta_text(value: Any, config: Mapping[str, Any] | None) -> str:
    """Return what a launch writes to have this base of the rotary positions, and all else as the model has it."""
    own = rope_of(config)
    if config is None or is_nested(own):
        return f"{_overriding({THETA: value}, {})}, and {TYPE}: default beside it where nothing is scaled"
    return _overriding({TYPE: "default", **own, THETA: value}, {})


def _overriding(rope: Mapping[str, Any], beside: Mapping[str, Any]) -> str:
    """Return how a launch says these rope_parameters, and what stands beside them."""
    overrides = {"hf_overrides": {"rope_parameters": dict(rope), **beside}}
    return yaml.safe_dump(overrides, default_flow_style=True, sort_keys=False, width=math.inf).strip()[1:-1]
