"""Flags, variables and options that vLLM has renamed or removed, and what says the same to a later version.

A version is the first one that does not know the old name any more, read off the released sources from 0.10 to 0.32.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NEWEST_CHECKED = "0.32.0"  # taken for the version where no vLLM is installed

ARG, VARIABLE, OPTION = "args", "env", "compilation_config"

Settings = Mapping[str, Mapping[str, Any]]  # {"args": {...}, "env": {...}, "compilation_config": {...}}


class Refused(Exception):
    """What the old name asked for cannot be had from this vLLM; the text says why, `kind` and `old` what."""

    kind = old = ""


@dataclass(frozen=True)
class Translation:
    """One old name: until when it was known, what to set instead for a value, and why."""

    kind: str  # ARG, VARIABLE or OPTION
    old: str
    unknown_since: str  # the first version without it
    becomes: Callable[[Any], Settings]  # raises Refused
    reason: str
    until: str | None = None  # the first version for which another entry holds


@dataclass(frozen=True)
class Change:
    """One translation as it was applied."""

    kind: str
    old: str
    value: Any
    new: Settings
    reason: str

    def __str__(self) -> str:
        parts = [
            f"{name}={value}" if kind == VARIABLE else f"{kind}.{name}: {_shown(value)}"
            for kind, names in self.new.items()
            for name, value in names.items()
        ]
        return f"{_shown(self.value)} → {', '.join(parts) or 'left out'}; {self.reason}"


def translate(args: Mapping[str, Any], env: Mapping[str, str], version: str) -> tuple[dict, dict, list[Change]]:
    """Return `args` and `env` as this version of vLLM wants them, and what was changed; may raise Refused.

    What replaces an old name never overrides what the launch says under the new one: that is Refused too.
    """
    args, env = dict(args), dict(env)
    options = args.get(OPTION)
    places = {ARG: args, VARIABLE: env, OPTION: dict(options) if isinstance(options, Mapping) else {}}
    changes = []
    for entry in TABLE:
        if not _holds(entry, version):
            continue
        dotted = f"{OPTION}.{entry.old}"
        if entry.kind == OPTION and dotted in args:  # --compilation-config.full_cuda_graph, the flag's other spelling
            places[OPTION][entry.old] = args.pop(dotted)
        if entry.old in places[entry.kind]:
            value = places[entry.kind].pop(entry.old)
            changes.append(_applied(entry, value, places))
    if any(OPTION in (change.kind, *change.new) for change in changes):
        args.pop(OPTION, None)
        args |= {OPTION: places[OPTION]} if places[OPTION] else {}
    return args, env, changes


def old_args(version: str) -> set[str]:
    """Return the names of args that this version of vLLM does not know any more and that are translated."""
    return {entry.old for entry in TABLE if entry.kind == ARG and _holds(entry, version)}


def _applied(entry: Translation, value: Any, places: Mapping[str, dict]) -> Change:
    try:
        new = entry.becomes(value)
        for kind, names in new.items():
            for name, wanted in names.items():
                there = places[kind].setdefault(name, wanted)
                if there != wanted:
                    raise Refused(f"now means {kind}.{name}: {_shown(wanted)}, but the launch says {_shown(there)}")
    except Refused as refusal:
        refusal.kind, refusal.old = entry.kind, entry.old
        raise
    return Change(entry.kind, entry.old, value, new, entry.reason)


def _holds(entry: Translation, version: str) -> bool:
    number = version_number(version)
    ended = entry.until is not None and number >= version_number(entry.until)
    return number >= version_number(entry.unknown_since) and not ended


def version_number(version: str) -> tuple[int, ...]:
    """Return (0, 32, 0) of '0.32.0+cpu' or '0.32.0rc1'."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def _shown(value: Any) -> str:
    return {"True": "true", "False": "false"}.get(repr(value), str(value))


def _is_on(value: Any) -> bool:
    return str(value).strip().lower() in ("1", "true", "yes", "on")


def _renamed(kind: str, name: str) -> Callable[[Any], Settings]:
    return lambda value: {kind: {name: value}}


def _if_on(kind: str, name: str, setting: Any) -> Callable[[Any], Settings]:
    return lambda value: {kind: {name: setting}} if _is_on(value) else {}


def _left_out(value: Any) -> Settings:
    return {}


def _logging(value: Any) -> Settings:
    return {} if _is_on(value) else {ARG: {"enable_log_requests": True}}


def _full_graphs(value: Any) -> Settings:
    return {OPTION: {"cudagraph_mode": "FULL" if _is_on(value) else "PIECEWISE"}}


def _graphs(value: Any) -> Settings:
    return {} if _is_on(value) else {OPTION: {"cudagraph_mode": "NONE"}}


def _v1(value: Any) -> Settings:
    if not _is_on(value):
        raise Refused("the engine V0 is gone since 0.11; only V1 is left")
    return {}


def _task(value: Any) -> Settings:
    if value not in ("auto", "generate"):
        raise Refused("gone since 0.13: set args.runner: pooling, and args.convert where the model needs it")
    return {}


def _steps(value: Any) -> Settings:
    if value != 1:
        raise Refused("several steps a scheduling were the engine V0's; V1 has async_scheduling instead")
    return {}


def _flash_attention(value: Any) -> Settings:
    if str(value) not in ("2", "3", "4"):
        raise Refused("must be 2, 3 or 4")
    return {ARG: {"attention_config": {"flash_attn_version": int(value)}}}


def _paged_kernel(value: Any) -> Settings:
    if not _is_on(value):
        raise Refused("gone since 0.19, where ROCM_ATTN always uses its own kernel: name another attention_backend")
    return {}


TABLE = (
    Translation(
        ARG, "tensor_parallel", "0.0.0", _renamed(ARG, "tensor_parallel_size"),
        "never a flag of its own: the command line completes --tensor-parallel to --tensor-parallel-size",
    ),
    Translation(
        ARG, "disable_log_requests", "0.17.0", _logging,
        "gone since 0.17: requests are not logged unless enable_log_requests is set",
    ),
    Translation(
        OPTION, "full_cuda_graph", "0.11.1", _full_graphs,
        "gone since 0.11.1: replaced by cudagraph_mode, where true is FULL and false PIECEWISE",
    ),
    Translation(
        OPTION, "use_cudagraph", "0.11.1", _graphs,
        "gone since 0.11.1: replaced by cudagraph_mode, where false is NONE",
    ),
    Translation(OPTION, "level", "0.18.0", _renamed(OPTION, "mode"), "gone since 0.18: renamed to mode"),
    Translation(
        ARG, "cuda_graph_sizes", "0.13.0", _renamed(ARG, "cudagraph_capture_sizes"),
        "gone since 0.13: renamed to cudagraph_capture_sizes",
    ),
    Translation(
        ARG, "swap_space", "0.18.0", _left_out,
        "gone since 0.18: only the engine V0 swapped; V1 computes preempted requests again",
    ),
    Translation(ARG, "task", "0.13.0", _task, "gone since 0.13: generating is the default"),
    Translation(ARG, "num_scheduler_steps", "0.10.2", _steps, "gone with the engine V0; one step is the default"),
    Translation(VARIABLE, "VLLM_USE_V1", "0.11.1", _v1, "gone since 0.11.1: V1 is the only engine"),
    Translation(
        VARIABLE, "VLLM_USE_AITER_UNIFIED_ATTENTION", "0.11.1",
        _renamed(VARIABLE, "VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION"),
        "renamed in 0.11.1 to VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION", until="0.19.0",
    ),
    Translation(
        VARIABLE, "VLLM_USE_AITER_UNIFIED_ATTENTION", "0.19.0",
        _if_on(ARG, "attention_backend", "ROCM_AITER_UNIFIED_ATTN"),
        "renamed in 0.11.1 to VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION, which nothing asks since 0.19: "
        "the backend is named instead",
    ),
    Translation(
        VARIABLE, "VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION", "0.19.0",
        _if_on(ARG, "attention_backend", "ROCM_AITER_UNIFIED_ATTN"),
        "still read, but nothing asks it since 0.19: the backend is named instead",
    ),
    Translation(
        VARIABLE, "VLLM_V1_USE_PREFILL_DECODE_ATTENTION", "0.15.0", _if_on(ARG, "attention_backend", "ROCM_ATTN"),
        "gone since 0.15: the backend is named instead",
    ),
    Translation(
        VARIABLE, "VLLM_ATTENTION_BACKEND", "0.15.0", _renamed(ARG, "attention_backend"),
        "gone since 0.15 and ignored in silence: it is the flag attention_backend now",
    ),
    Translation(
        VARIABLE, "VLLM_FLASH_ATTN_VERSION", "0.15.0", _flash_attention,
        "gone since 0.15 and ignored in silence: it is an option of attention_config now",
    ),
    Translation(
        VARIABLE, "VLLM_ROCM_CUSTOM_PAGED_ATTN", "0.19.0", _paged_kernel,
        "gone since 0.19: the backend ROCM_ATTN always uses its own kernel",
    ),
    Translation(
        VARIABLE, "VLLM_USE_TRITON_FLASH_ATTN", "0.11.2", _left_out, "gone since 0.11: it chose a kernel of the engine V0",
    ),
    Translation(
        VARIABLE, "VLLM_MXFP4_USE_MARLIN", "0.24.0", _if_on(ARG, "moe_backend", "marlin"),
        "gone since 0.24: it is the flag moe_backend now",
    ),
)  # fmt: skip
