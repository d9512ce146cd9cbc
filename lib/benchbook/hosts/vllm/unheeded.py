"""What a launch says that vLLM does not heed, because of something else that the launch says, or by how it is built.

Read off vLLM's own warnings, and off what its platforms set in silence; names and values that no launch can have any
more stand in `old_args` and its like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchbook.hosts.vllm.renaming import is_on
from benchbook.hosts.vllm.said import Said

CPU, GPU = "cpu", "gpu"  # builds of vLLM


@dataclass(frozen=True)
class Unheeded:
    """Some names, when they are not heeded, and why."""

    names: tuple[str, ...]
    when: Callable[[Said], bool]
    why: str
    build: str = ""  # of vLLM; '' for any


def unheeded(args: Mapping[str, Any], env: Mapping[str, str], build: str = "") -> Iterator[tuple[str, str]]:
    """Yield each name of `args` (full ones), of their options and of `env` that vLLM does not heed, and why.

    `build` is CPU or GPU, '' where that is not known.
    """
    said = Said(args, env)
    for entry in _TABLE:
        for name in entry.names:
            if entry.build in ("", build) and name in said and entry.when(said):
                yield name, f"is not heeded: {entry.why}"


def _is(name: str, *values: str) -> Callable[[Said], bool]:
    return lambda said: str(said[name]).lower() in values


def _has(name: str) -> Callable[[Said], bool]:
    return lambda said: said.has(name)


def _lacks(name: str) -> Callable[[Said], bool]:
    return lambda said: not said.has(name)


def _differs(name: str, other: str) -> Callable[[Said], bool]:
    """Return whether the second of two names is said, and is not the same as the first."""
    return lambda said: said[other] not in (None, "auto", said[name])


def _always(_: Said) -> bool:
    return True


_UVA = ("cpu_offload_gb", "cpu_offload_params")
_PREFETCH = ("offload_group_size", "offload_num_in_group", "offload_prefetch_step", "offload_params")
_GRAPHS = ("cudagraph_capture_sizes", "max_cudagraph_capture_size")
_COMPILED = ("mode", "cudagraph_mode", *_GRAPHS)
_LORA = (
    "max_loras",
    "max_lora_rank",
    "max_cpu_loras",
    "fully_sharded_loras",
    "lora_dtype",
    "lora_target_modules",
    "specialize_active_lora",
)
_DBO = ("dbo_decode_token_threshold", "dbo_prefill_token_threshold")
_EXECUTOR, _MULTIPROCESSING = "distributed_executor_backend", "VLLM_ENABLE_V1_MULTIPROCESSING"
_OVER = "{} stands in its place"
_OF_CPU = ("CPU_", "AMX_", "AUTO", "CUSTOM")  # how the names of backends begin that run there
_ON_CPU = "vLLM's build for CPUs"
_TABLE = (
    Unheeded(
        (*_GRAPHS, *(f"compilation_config.{name}" for name in _COMPILED)),
        _has("enforce_eager"),
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
        lambda said: said["offload_backend"] in (None, "auto") and said.number("offload_group_size", 0) > 0,
        "with offload_group_size vLLM prefetches, unless offload_backend is uva",
    ),
    Unheeded(
        ("cp_kv_cache_interleave_size",),
        lambda said: said.number("dcp_kv_cache_interleave_size", 0) > 1,
        "dcp_kv_cache_interleave_size stands in its place",
    ),
    Unheeded(
        ("compilation_config.debug_dump_path",),
        lambda said: "VLLM_DEBUG_DUMP_PATH" in said,
        "VLLM_DEBUG_DUMP_PATH stands in its place",
    ),
    Unheeded(
        ("VLLM_WORKER_MULTIPROC_METHOD",),
        lambda said: said["VLLM_WORKER_MULTIPROC_METHOD"] == "fork" and said.has("numa_bind"),
        "numa_bind starts workers by spawn",
    ),
    Unheeded(
        ("VLLM_RAY_DP_PACK_STRATEGY", "VLLM_RAY_DP_PLACEMENT_NODE_IPS"),
        lambda said: said["data_parallel_backend"] != "ray",
        "only data_parallel_backend: ray asks it",
    ),
    Unheeded(
        ("VLLM_USE_V2_MODEL_RUNNER",),
        lambda said: not is_on(said["VLLM_USE_V2_MODEL_RUNNER"]) and "watermark_config" in said,
        "watermarks need the model runner V2",
    ),
    Unheeded(("HOST_IP",), lambda said: "VLLM_HOST_IP" not in said, "vLLM asks VLLM_HOST_IP"),
    # Settings of what is not switched on.
    Unheeded(_LORA, _lacks("enable_lora"), "enable_lora is not set"),
    Unheeded(("eplb_config",), _lacks("enable_eplb"), "enable_eplb is not set"),
    Unheeded(_DBO, _lacks("enable_dbo"), "enable_dbo is not set"),
    Unheeded(("expert_placement_strategy",), _lacks("enable_expert_parallel"), "enable_expert_parallel is not set"),
    Unheeded(("kv_offloading_backend",), _lacks("kv_offloading_size"), "kv_offloading_size is not set"),
    Unheeded(
        ("prefix_caching_hash_algo",), lambda said: said.is_off("enable_prefix_caching"),
        "enable_prefix_caching is off",
    ),
    # Flags that stand for an option of a config, and over it.
    Unheeded(
        ("kernel_config.moe_backend",), _differs("kernel_config.moe_backend", "moe_backend"),
        _OVER.format("moe_backend"),
    ),
    Unheeded(
        ("kernel_config.linear_backend",), _differs("kernel_config.linear_backend", "linear_backend"),
        _OVER.format("linear_backend"),
    ),
    Unheeded(
        ("structured_outputs_config.reasoning_parser",),
        _differs("structured_outputs_config.reasoning_parser", "reasoning_parser"),
        _OVER.format("reasoning_parser"),
    ),
    Unheeded(("gpu_memory_utilization",), _has("kv_cache_memory_bytes"), _OVER.format("kv_cache_memory_bytes")),
    # What a build for CPUs sets by itself, and what no other build asks.
    Unheeded(("async_scheduling",), _has("async_scheduling"), f"{_ON_CPU} schedules by itself", CPU),
    Unheeded(
        ("attention_backend", "attention_config.backend"),
        lambda said: not str(said["attention_backend"] or said["attention_config.backend"]).upper().startswith(_OF_CPU),
        f"{_ON_CPU} has backends of its own", CPU,
    ),
    Unheeded(("enable_dbo",), _has("enable_dbo"), f"{_ON_CPU} has no batches that overlap", CPU),
    Unheeded(
        (*_GRAPHS, *(f"compilation_config.{name}" for name in (*_GRAPHS, "cudagraph_mode"))),
        lambda said: not said.has("enforce_eager"),
        f"{_ON_CPU} captures no graphs", CPU,
    ),
    Unheeded(
        ("compilation_config.mode", "compilation_config.backend"),
        lambda said: not said.has("enforce_eager") and _is("compilation_config.mode", "3", "vllm_compile")(said),
        f"{_ON_CPU} compiles by mode 2 and inductor where 3 is asked for", CPU,
    ),
    Unheeded(
        ("distributed_executor_backend",),
        lambda said: said[_EXECUTOR] == "uni" and not said.is_off(_MULTIPROCESSING),
        f"{_ON_CPU} takes mp in its place", CPU,
    ),
    Unheeded(
        ("VLLM_WORKER_MULTIPROC_METHOD",),
        lambda said: said["VLLM_WORKER_MULTIPROC_METHOD"] == "fork" and not said.has("numa_bind"),
        f"{_ON_CPU} starts workers by spawn", CPU,
    ),
    Unheeded(
        ("TORCHINDUCTOR_COMPILE_THREADS", "TORCHINDUCTOR_CPP_DYNAMIC_THREADS", "NUMEXPR_MAX_THREADS"), _always,
        f"{_ON_CPU} sets it by itself", CPU,
    ),
    Unheeded(
        ("OMP_NUM_THREADS",),
        lambda said: not said.is_off(_MULTIPROCESSING) and said["VLLM_CPU_OMP_THREADS_BIND"] != "nobind",
        f"{_ON_CPU} gives a worker a thread a core, unless VLLM_CPU_OMP_THREADS_BIND is nobind", CPU,
    ),
    Unheeded(("VLLM_ENABLE_STARTUP_PLAN",), _always, f"{_ON_CPU} profiles no memory of a GPU", CPU),
    Unheeded(
        ("kv_cache_memory_bytes",),
        lambda said: bool(said["VLLM_CPU_KVCACHE_SPACE"]),
        _OVER.format("VLLM_CPU_KVCACHE_SPACE"), CPU,
    ),
    Unheeded(
        ("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_NUM_OF_RESERVED_CPU"), _always,
        "only a build for CPUs asks it", GPU,
    ),
)  # fmt: skip
