"""What args and variables point at beside the launch's model: files and folders of this machine, models of the hub."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.model.files import EMBEDDED, planned_path
from benchbook.hosts.model.hub_cache import json_object
from benchbook.hosts.model.shapes import PREFIX
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.terms.errors import ExperimentError
from benchbook.terms.sizes import size_of

Way = tuple[str | int, ...]  # to a value in args or env: ("args", "speculative_config", "model")

_FILES = (
    ("chat_template",),
    ("tool_parser_plugin",),
    ("reasoning_parser_plugin",),
    ("structured_outputs_config", "reasoning_parser_plugin"),
    ("log_config_file",),
    ("logging_config", "pylogging_config_file"),
    ("mm_encoder_fp8_scale_path",),
)
_FOLDERS = (("allowed_local_media_path",),)
_MODELS = (
    ("tokenizer",),
    ("hf_config_path",),
    ("generation_config",),
    ("spec_model",),
    ("speculative_config", "model"),
    ("speculative_config", "tokenizer"),
)
_CONFIG = ("config.json", "params.json")
_HELD = {
    "hf_config_path": _CONFIG,
    "spec_model": _CONFIG,
    "model": _CONFIG,
    "generation_config": ("generation_config.json",),
}
_NO_ADAPTER = {
    "lora_modules": "names no adapter: write name=path, or {name: ..., path: ...}",
    "default_mm_loras": "names no adapter: write the path of one, or its id",
}
_REVISIONS = {"tokenizer": "tokenizer_revision", "hf_config_path": "revision"}
_ENV_FILES = ("VLLM_LOGGING_CONFIG_PATH", "VLLM_NCCL_SO_PATH", "VLLM_CUDART_SO_PATH")
_ENV_FOLDERS = ("VLLM_TUNED_CONFIG_FOLDER", "VLLM_RPC_BASE_PATH")
_ADAPTER, _MAX_RANK = "adapter_config.json", 16  # of an adapter: its config, and vLLM's own limit to its rank
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w-]*", re.ASCII)  # what everybody calls by half of its id: gpt2
_NO_MODEL = (
    "auto",
    "vllm",
    "ngram",
    "[ngram]",
    "ngram_gpu",
    "suffix",
    "mtp",
    "extract_hidden_states",
)  # words in a model's place
_TEMPLATES = "transformers_utils/chat_templates"  # of vLLM: what a bare name may mean


@dataclass(frozen=True)
class HubModel:
    """A model of the hub that an arg names."""

    way: Way
    hub_id: str
    revision: str | None


def missing(
    args: Mapping[str, Any], env: Mapping[str, str], beside: Path, python: Python = HERE
) -> Iterator[tuple[Way, str]]:
    """Yield what is named and not here, and what to do; relative paths are the server's, from the current folder.

    `beside` is the folder of the experiment file, where people think that they are looked for.
    """
    for way in _FILES:
        text = _at(args, way)
        if text and not os.path.isfile(text) and not _is_template(way, text, python):
            yield ("args", *way), f"there is no file {_named(text, beside)}"
    for way in _FOLDERS:
        text = _at(args, way)
        if text and not os.path.isdir(text):
            yield ("args", *way), f"there is no folder {_named(text, beside)}"
    for way, text in _models(args):
        if (text in EMBEDDED or text.startswith(PREFIX)) and not os.path.exists(text):
            yield way, f"is benchbook's own model in model: alone; vLLM wants its folder here, {_own_folder(text)}"
        elif _is_path(text) and not os.path.exists(text):
            yield way, f"there is no file or folder {_named(text, beside)}"
        elif problem := _no_model(str(way[-1]), text):
            yield way, problem
        elif os.path.isdir(text) and (names := _HELD.get(str(way[-1]))) and not _holds(text, names):
            yield way, f"the folder {text} has no {' or '.join(names)}"
    for way, item in _adapters(args):
        if not _adapter_path(item, is_named=way[1] == "lora_modules"):
            yield way, _NO_ADAPTER[str(way[1])]
    for name in (*_ENV_FILES, *_ENV_FOLDERS):
        if env.get(name) and not os.path.exists(env[name]):
            yield ("env", name), f"there is no file or folder {_named(env[name], beside)}"
    for text in re.split(r"[:\s]+", env.get("LD_PRELOAD", "")):
        if "/" in text and not os.path.isfile(text):
            yield ("env", "LD_PRELOAD"), f"there is no file {text}, which would be left out without a word"


def unfit_adapters(args: Mapping[str, Any]) -> Iterator[tuple[Way, str]]:
    """Yield each adapter of this machine that vLLM would not load, and why."""
    most = size_of(str(args.get("max_lora_rank"))) or _MAX_RANK
    for way, item in _adapters(args):
        folder = _adapter_path(item, is_named=way[1] == "lora_modules")
        if not os.path.isdir(folder):
            continue
        config = json_object(Path(folder, _ADAPTER))
        rank = (config or {}).get("r")
        if config is None:
            yield way, f"the folder {folder} has no {_ADAPTER}"
        elif isinstance(rank, int) and rank > most:
            yield way, f"has rank {rank}, and max_lora_rank is {most}"


def adapter_names(args: Mapping[str, Any]) -> list[str]:
    """Return the names under which a launch serves adapters of its model."""
    named = (_named_adapter(item) for way, item in _adapters(args) if way[1] == "lora_modules")
    return [name for name, path in named if name and path]


def hub_models(args: Mapping[str, Any]) -> Iterator[HubModel]:
    """Yield each model of the hub that is named beside the launch's own."""
    for way, text in _models(args):
        is_half = way[1:] in _MODELS and text not in (*_NO_MODEL, *EMBEDDED) and _HUB_NAME.fullmatch(text)
        if (is_half or _HUB_ID.fullmatch(text)) and not os.path.exists(text):
            name = str(way[-1])
            revision = _at(args, ("speculative_config", "revision")) if "speculative_config" in way else None
            yield HubModel(way, text, revision or _at(args, (_REVISIONS.get(name, ""),)) or None)


def _models(args: Mapping[str, Any]) -> Iterator[tuple[Way, str]]:
    """Yield each path or hub id of a tokenizer, a config, a draft model or an adapter, with the way to it."""
    for way in _MODELS:
        if text := _at(args, way):
            yield ("args", *way), text
    for way, item in _adapters(args):
        if text := _adapter_path(item, is_named=way[1] == "lora_modules"):
            yield way, text


def _adapters(args: Mapping[str, Any]) -> Iterator[tuple[Way, Any]]:
    """Yield each adapter as it is written, with the way to it."""
    served, by_kind = args.get("lora_modules", []), args.get("default_mm_loras")
    for step, item in enumerate(served if isinstance(served, list) else [served]):
        yield ("args", "lora_modules", *([step] if isinstance(served, list) else [])), item
    for kind, item in by_kind.items() if isinstance(by_kind, Mapping) else ():
        yield ("args", "default_mm_loras", kind), item


def _adapter_path(item: Any, is_named: bool) -> str:
    """Return the path in 'name=path', {"name": ..., "path": ...} or the same as JSON; '' where vLLM would find none.

    As vLLM does, and with most other paths does not, it expands ~.
    """
    if is_named:
        name, item = _named_adapter(item)
        item = item if name else ""
    return os.path.expanduser(item) if isinstance(item, str) else ""


def _named_adapter(item: Any) -> tuple[str, str]:
    """Return name and path in 'name=path', {"name": ..., "path": ...} or the same as JSON; '' for what is not there."""
    if isinstance(item, str):
        name, is_pair, path = item.partition("=")
        if is_pair and "," not in item:
            return name, path
        try:
            item = json.loads(item)
        except ValueError:
            return "", ""
    found = [item.get(key) for key in ("name", "path")] if isinstance(item, Mapping) else []
    name, path = (text if isinstance(text, str) else "" for text in found or ("", ""))
    return name, path


def _at(args: Mapping[str, Any], way: Way) -> str:
    """Return the text at the end of a way, '' where none is; a number is the text that a command line has of it."""
    value: Any = args
    for step in way:
        value = value.get(step) if isinstance(value, Mapping) else None
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _own_folder(name: str) -> str:
    with contextlib.suppress(ExperimentError):  # of a shape that there is not
        return planned_path(name)
    return "and there is no such shape"


def _holds(folder: str, names: Iterable[str]) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in names)


def _is_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.count("/") > 1 and "://" not in text


def _no_model(name: str, text: str) -> str:
    """Return why a text is no model's, of this machine or of the hub, and what to write; '' where it may be one."""
    is_id = _HUB_ID.fullmatch(text) or _HUB_NAME.fullmatch(text) or text in _NO_MODEL
    if is_id or "://" in text or os.path.exists(text):
        return ""
    model, mark, revision = text.partition("@")
    if mark and _HUB_ID.fullmatch(model):
        return (
            f"has a revision behind an @: write {model}, and {_REVISIONS.get(name, 'revision')}: {revision} beside it"
        )
    return "is neither a folder here nor a hub id such as organisation/name"


def _is_template(way: Way, text: str, python: Python) -> bool:
    """Return whether a chat_template is the template itself, or the name of one that vLLM has."""
    if way != ("chat_template",) or any(sign in text for sign in "{}\n"):
        return way == ("chat_template",)
    package = python.folder_of("vllm")
    return package is not None and os.path.isfile(package / _TEMPLATES / text)


def _named(text: str, beside: Path) -> str:
    """Return the path with where it was looked for, and what people mean by such a one."""
    if text.startswith("~"):
        return f"{text}: ~ is not expanded here, write the path out"
    if os.path.isabs(text):
        return text
    there = (beside / text).absolute()
    return f"{text} in {Path.cwd()}" + (f"; did you mean {there}?" if os.path.exists(there) else "")
