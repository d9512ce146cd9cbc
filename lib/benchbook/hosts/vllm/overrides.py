"""What a launch says in place of the model's own configs: what then counts, and what vLLM would pass over in silence.

Read off how vLLM lays hf_overrides over a config.json, and which sampling defaults it takes from a generation config.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.hosts.model.checkpoints import DENSE_TYPES
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.rope import (
    KINDS,
    LENGTH,
    OWN_THETA,
    PARAMETERS,
    THETA,
    TYPE,
    is_nested,
    kind_of,
    rope_of,
    scaled_text,
    stays_short,
    theta_text,
)
from benchbook.terms.likeness import nearest

COMMON_TYPES = (*DENSE_TYPES, "gpt_oss", "mixtral", "qwen2_moe", "qwen3_moe")  # whose config.json is read as it stands
_OVERRIDES, _TEXT, _SAMPLING = "hf_overrides", "text_config", "override_generation_config"
# What vLLM itself asks of a config, whatever the model.
_OF_VLLM = (
    *("architectures", "model_type", "head_dtype", "model_max_length", "quantization_config"),
    *("quantization_config_file", "quantization_config_dict_json", *PARAMETERS, THETA),
)
_TAKEN = (
    *("repetition_penalty", "presence_penalty", "frequency_penalty", "temperature"),
    *("top_k", "top_p", "min_p", "max_new_tokens"),
)
_FIELD, _ALIAS = re.compile(r"^    (\w+):", re.MULTILINE), re.compile(r'"(\w+)": "\w+"')  # in transformers' sources
_GENERATION_KEY = re.compile(r'kwargs\.pop\("(\w+)"')
Config = Mapping[str, Any]
Told = Iterator[tuple[str, str]]


def overridden(overrides: Any, config: Config | None) -> Config | None:
    """Return the config.json with a launch's hf_overrides laid over it; None where the whole is not known.

    That is so of models with several configs in one, and of those that have one value under several names.
    """
    if not overrides or config is None:
        return config
    is_plain = config.get("model_type") in COMMON_TYPES and _TEXT not in config
    if not isinstance(overrides, Mapping) or not is_plain or "model_type" in overrides:
        return None
    has_rope = any(name in overrides for name in PARAMETERS)
    return {name: value for name, value in config.items() if not (has_rope and name in PARAMETERS)} | dict(overrides)


def unread(args: Mapping[str, Any], config: Config | None, python: Python = HERE) -> Told:
    """Yield each override (by its way, under vLLM's full names) that would not do what it says, and what to write."""
    overrides = args.get(_OVERRIDES)
    if overrides is not None and not isinstance(overrides, Mapping):
        yield _OVERRIDES, "must be a mapping: the keys of config.json that are to be others"
    for part, said in _parts(overrides):
        yield from _rope(part, said, config)
        yield from _unlike(part, said, config)
        for name in _unknown(said, config, python):
            if near := _near(name, config, python):
                yield f"{part}.{name}", f"is no key of the model's config.json; did you mean {near}?"
    for name in _not_taken(args, python):
        if near := nearest(name, _TAKEN):
            yield f"{_SAMPLING}.{name}", f"is no key of a generation config; did you mean {near}?"


def doubtful(args: Mapping[str, Any], config: Config | None, python: Python = HERE) -> Told:
    """Yield each override that may do nothing, and why: a reader must know of it."""
    for part, said in _parts(args.get(_OVERRIDES)):
        for name in _unknown(said, config, python):
            if not _near(name, config, python):
                yield f"{part}.{name}", "is no key of the model's config.json: the model's code alone may ask it"
        for name in PARAMETERS:
            if stays_short(said.get(name), said.get(LENGTH, (config or {}).get(LENGTH))):
                yield f"{part}.{name}", f"makes no sequence longer by its factor: {LENGTH} beside it does"
        if THETA in said and not _reads_parameters(config):
            yield f"{part}.{THETA}", f"is heeded by few models: most ask {THETA} in rope_parameters"
    for name in _not_taken(args, python):
        if not nearest(name, _TAKEN):
            yield f"{_SAMPLING}.{name}", f"is not heeded: vLLM takes {', '.join(_TAKEN)}"


def _parts(overrides: Any) -> Iterator[tuple[str, Config]]:
    """Yield the overrides of the whole config and of its text model's part, with the way to each."""
    if not isinstance(overrides, Mapping):
        return
    yield _OVERRIDES, overrides
    if isinstance(found := overrides.get(_TEXT), Mapping):
        yield f"{_OVERRIDES}.{_TEXT}", found


def _rope(part: str, said: Config, config: Config | None) -> Told:
    """Yield what of the rotary positions would stay as it is, or become what nobody asked for."""
    is_part = part != _OVERRIDES or _TEXT in (config or {})  # whose own mappings vLLM fills in and does not replace
    if THETA in said and _reads_parameters(config):
        inner = f"{_OVERRIDES}: {{{_TEXT}: {{rope_parameters: {{{THETA}: {said[THETA]}}}}}}}"
        written = inner if is_part else theta_text(said[THETA], config)
        yield f"{part}.{THETA}", f"leaves rope_parameters as they are: write {written}"
    for name in () if is_part else PARAMETERS:
        asked, own = said.get(name), rope_of(config).get(THETA)
        if not isinstance(asked, Mapping) or is_nested(asked):
            continue
        kind = kind_of(asked)
        if isinstance(kind, str) and kind not in KINDS and (near := nearest(kind, KINDS)):
            yield f"{part}.{name}.{TYPE}", f"is no kind of rotary positions that vLLM has; did you mean {near}?"
        if "type" in asked and TYPE not in asked:
            yield f"{part}.{name}.type", f"is not read: write {scaled_text(asked, config)}"
        elif THETA not in asked and own not in (None, OWN_THETA):
            why = f"replaces the model's own whole, and its {THETA}, {own}, would be {OWN_THETA}"
            yield f"{part}.{name}", f"{why}: write {scaled_text(asked, config)}"


def _unlike(part: str, said: Config, config: Config | None) -> Told:
    """Yield each override of another kind than the model's own value: text for a number, one name for a list of names."""
    own = {**(config or {}), **_part_of(config, part), "architectures": []}
    for name, value in said.items():
        is_any = value is None or name in PARAMETERS or name.endswith("_token_id")  # of which there may be several
        if not is_any and (wanted := _kind(own.get(name))) and wanted not in (_kind(value), _ALIKE.get(_kind(value))):
            yield f"{part}.{name}", f"must be {wanted}, as the model's own is"


_KINDS = {"text": str, "true or false": bool, "a number": int | float, "a list": list, "a mapping": Mapping}
_ALIKE = {"a number": "true or false", "true or false": "a number"}


def _kind(value: Any) -> str | None:
    """Return in words what kind of value one is; None for nothing."""
    return next((words for words, kind in _KINDS.items() if isinstance(value, kind)), None)


def _part_of(config: Config | None, part: str) -> Config:
    inner = (config or {}).get(_TEXT) if part != _OVERRIDES else None
    return inner if isinstance(inner, Mapping) else {}


def _reads_parameters(config: Config | None) -> bool:
    return (config or {}).get("model_type") in COMMON_TYPES


def _unknown(said: Config, config: Config | None, python: Python) -> list[str]:
    """Return which keys neither the model's config.json has, nor its kind, nor vLLM; none where that is not known."""
    if config is None or "model_type" not in config:
        return []
    asked = [name for name in said if name not in config and name not in (*_OF_VLLM, _TEXT)]
    return [name for name in asked if name not in _fields(config, python)] if asked else []


def _near(name: str, config: Config | None, python: Python) -> str | None:
    """Return of which key one is a misspelling; None where the model's code may have keys that nobody knows here."""
    fields = _fields(config, python)
    return nearest(name, {*(config or {}), *fields}) if fields else None


def _not_taken(args: Mapping[str, Any], python: Python) -> list[str]:
    """Return which keys of an overridden generation config vLLM does not take, but for those that transformers has."""
    said = args.get(_SAMPLING)
    asked = [name for name in said if name not in _TAKEN] if isinstance(said, Mapping) else []
    names = set(_GENERATION_KEY.findall(_source("generation/configuration_utils.py", python))) if asked else set()
    return [name for name in asked if name not in names]


def _fields(config: Config | None, python: Python) -> list[str]:
    """Return the keys that a config of this kind may have, of which a file has only some; none where not known."""
    kind = str((config or {}).get("model_type"))
    own = _source(f"models/{kind}/configuration_{kind}.py", python) if kind.isidentifier() else ""
    return [*_FIELD.findall(_source("configuration_utils.py", python) + own), *_ALIAS.findall(own)] if own else []


def _source(path: str, python: Python) -> str:
    """Return a source of the transformers of `python`, which is not imported; '' where there is none."""
    package = python.folder_of("transformers")
    file = package / path if package else None
    return file.read_text() if file and file.is_file() else ""
