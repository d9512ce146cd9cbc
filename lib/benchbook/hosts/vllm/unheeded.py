"""What a launch says that vLLM does not heed, because of something else that the launch says: vLLM only logs it.

Read off vLLM's own warnings; names and values that no launch can have any more stand in `old_args` and its like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchbook.hosts.vllm.renaming import is_on, ways

Said = Mapping[str, Any]  # args, options of configs by their ways ('compilation_config.mode') and variables


@dataclass(frozen=True)
class Unheeded:
    """Some names, when they are not heeded, and why."""

    names: tuple[str, ...]
    when: Callable[[Said], bool]
    why: str


def unheeded(args: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each name of `args` (full ones), of their options and of `env` that vLLM does not heed, and why."""
    said = {**dict(ways(args)), **env}
    for entry in _TABLE:
        for name in entry.names:
            if name in said and entry.when(said):
                yield name, f"is not heeded: {entry.why}"


def _is(name: str, value: str) -> Callable[[Said], bool]:
    return lambda said: str(said.get(name)).lower() == value


def _number(said: Said, name: str) -> float:
    text = str(said.get(name, 0))
    return float(text) if text.replace(".", "", 1).isdecimal() else 0.0


_UVA = ("cpu_offload_gb", "cpu_offload_params")
_PREFETCH = ("offload_group_size", "offload_num_in_group", "offload_prefetch_step", "offload_params")
_GRAPHS = ("cudagraph_capture_sizes", "max_cudagraph_capture_size")
_COMPILED = ("mode", "cudagraph_mode", *_GRAPHS)
_TABLE = (
    Unheeded(
        (*_GRAPHS, *(f"compilation_config.{name}" for name in _COMPILED)),
        lambda said: is_on(said.get("enforce_eager")),
        "enforce_eager neither compiles nor captures graphs",
    ),
    Unheeded(
        ("device_ids",),
        _is("distributed_executor_backend", "ray"),
        "Ray's executor chooses GPUs by its placement groups",
    ),
    Unheeded(_PREFETCH, _is("offload_backend", "uva"), "offload_backend is uva"),
    Unheeded(_UVA, _is("offload_backend", "prefetch"), "offload_backend is prefetch"),
    Unheeded(
        _UVA,
        lambda said: said.get("offload_backend", "auto") == "auto" and _number(said, "offload_group_size") > 0,
        "with offload_group_size vLLM prefetches, unless offload_backend is uva",
    ),
    Unheeded(
        ("cp_kv_cache_interleave_size",),
        lambda said: _number(said, "dcp_kv_cache_interleave_size") > 1,
        "dcp_kv_cache_interleave_size stands in its place",
    ),
    Unheeded(
        ("compilation_config.debug_dump_path",),
        lambda said: "VLLM_DEBUG_DUMP_PATH" in said,
        "VLLM_DEBUG_DUMP_PATH stands in its place",
    ),
    Unheeded(
        ("VLLM_WORKER_MULTIPROC_METHOD",),
        lambda said: said["VLLM_WORKER_MULTIPROC_METHOD"] == "fork" and is_on(said.get("numa_bind")),
        "numa_bind starts workers by spawn",
    ),
    Unheeded(
        ("VLLM_RAY_DP_PACK_STRATEGY", "VLLM_RAY_DP_PLACEMENT_NODE_IPS"),
        lambda said: said.get("data_parallel_backend") != "ray",
        "only data_parallel_backend: ray asks it",
    ),
    Unheeded(
        ("VLLM_USE_V2_MODEL_RUNNER",),
        lambda said: not is_on(said["VLLM_USE_V2_MODEL_RUNNER"]) and "watermark_config" in said,
        "watermarks need the model runner V2",
    ),
    Unheeded(("HOST_IP",), lambda said: "VLLM_HOST_IP" not in said, "vLLM asks VLLM_HOST_IP"),
)
