"""What vLLM refuses at its start though each value alone will do: args that cannot stand beside each other.

Read off the checks of vLLM's configs and of its command line, of which those are here that other args alone decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.hosts.vllm.misfits import UNCHUNKED
from benchbook.hosts.vllm.renaming import is_on
from benchbook.hosts.vllm.said import Said
from benchbook.terms.likeness import nearest

# One of each pair may stand in a launch: vLLM takes neither in the other's place.
_ONCE = (
    ("attention_backend", "attention_config.backend"),
    ("cudagraph_capture_sizes", "compilation_config.cudagraph_capture_sizes"),
    ("max_cudagraph_capture_size", "compilation_config.max_cudagraph_capture_size"),
    ("enable_flashinfer_autotune", "kernel_config.enable_flashinfer_autotune"),
    ("spec_method", "speculative_config.method"),
    ("spec_model", "speculative_config.model"),
    ("spec_tokens", "speculative_config.num_speculative_tokens"),
)
# The first is refused without the second.
_NEEDED = (
    ("enable_auto_tool_choice", "tool_call_parser"),
    ("enable_log_outputs", "enable_log_requests"),
    ("enable_eplb", "enable_expert_parallel"),
    ("enable_elastic_ep", "enable_eplb"),
    ("eplb_config.num_redundant_experts", "enable_eplb"),
    ("numa_bind_nodes", "numa_bind"),
    ("numa_bind_cpus", "numa_bind"),
    ("collect_detailed_traces", "otlp_traces_endpoint"),
    ("kv_transfer_config.kv_connector", "kv_transfer_config.kv_role"),
    ("kv_transfer_config.kv_role", "kv_transfer_config.kv_connector"),
    ("ec_transfer_config.ec_connector", "ec_transfer_config.ec_role"),
    ("data_parallel_hybrid_lb", "data_parallel_size_local"),
    ("lora_modules", "enable_lora"),
    ("enable_fault_tolerance", "data_parallel_external_lb"),
)
_PROTON = ("profiler_dir", "backend", "mode", "hook", "output_format", "graph_attribution")
_PROFILER, _BACKEND = "profiler_config.profiler", "structured_outputs_config.backend"
# The first is refused unless the second is one of these.
_NEEDED_VALUES = (
    ("ray_workers_use_nsight", "distributed_executor_backend", ("ray",)),
    ("enable_mamba_cache_stochastic_rounding", "mamba_ssm_cache_dtype", ("float16",)),
    ("mamba_ssu_algorithm", "mamba_backend", ("flashinfer",)),
    ("profiler_config.torch_profiler_dir", _PROFILER, ("torch",)),
    *((f"profiler_config.proton_{name}", _PROFILER, ("proton",)) for name in _PROTON),
    ("structured_outputs_config.disable_any_whitespace", _BACKEND, ("xgrammar", "guidance")),
    ("structured_outputs_config.disable_additional_properties", _BACKEND, ("guidance",)),
)
_SPEC, _KV = "speculative_config", "kv_transfer_config"
_KV_EXTRA = f"{_KV}.kv_connector_extra_config"
_METRICS = "show_hidden_metrics_for_version"
_VERSION = re.compile(r"v?[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)?(\+\w+)?")
_OVERLAPPING = ("deepep_low_latency", "deepep_high_throughput", "nixl_ep")  # halves of a batch
_CPU_SPECS = ("CPUOffloadingSpec", "TieringOffloadingSpec")
_UNSCHEDULED = ("ngram", "suffix")
Told = Iterator[tuple[str, str]]


def contradictions(args: Mapping[str, Any], env: Mapping[str, str]) -> Told:
    """Yield each name of `args` (full ones) that cannot stand beside what else the launch says, and why."""
    said = Said(args, env)
    for rule in (
        _given_twice,
        _needing_another,
        _scheduling,
        _speculation,
        _operations,
        _sizes,
        _connectors,
        _overlaps,
        _others,
    ):
        yield from rule(said)


def _given_twice(said: Said) -> Told:
    for one, other in _ONCE:
        if one in said and other in said:
            yield one, f"stands beside {other}: vLLM takes one of them alone"


def _needing_another(said: Said) -> Told:
    for name, other in _NEEDED:
        if said.has(name) and not said.has(other):
            yield name, f"needs {other} as well"
    for name, other, values in _NEEDED_VALUES:
        if said.has(name) and str(said[other]).lower() not in values:
            yield name, f"needs {other.rpartition('.')[2]}: {' or '.join(values)} beside it"
    for kind in ("torch", "proton"):
        if said[_PROFILER] == kind and not said.has(f"profiler_config.{kind}_profiler_dir"):
            yield _PROFILER, f"needs {kind}_profiler_dir beside it"


def _scheduling(said: Said) -> Told:
    seqs, batched, length = map(said.number, ("max_num_seqs", "max_num_batched_tokens", "max_model_len"))
    active, threshold = said.number("max_num_active_seqs"), said.number("long_prefill_token_threshold")
    if active and seqs and active > seqs:
        yield "max_num_active_seqs", f"cannot be more than max_num_seqs, which is {seqs}"
    elif active and batched and active > batched:
        yield "max_num_active_seqs", f"cannot be more than max_num_batched_tokens, which is {batched}"
    if seqs and batched and batched < seqs:
        yield "max_num_batched_tokens", f"cannot be less than max_num_seqs, which is {seqs}"
    if length and batched and batched < length and said.is_off("enable_chunked_prefill"):
        yield "max_num_batched_tokens", f"{UNCHUNKED} max_model_len, which is {length}"
    if length and threshold and threshold > length:
        yield "long_prefill_token_threshold", f"cannot be more than max_model_len, which is {length}"


def _speculation(said: Said) -> Told:
    method = said[f"{_SPEC}.method"] or said["spec_method"]
    if method in _UNSCHEDULED and said.has("async_scheduling"):
        yield "async_scheduling", f"does not go with speculation by {method}: leave it out"
    low, high = (said.number(f"{_SPEC}.prompt_lookup_{end}") for end in ("min", "max"))
    if low and high and low > high:
        yield f"{_SPEC}.prompt_lookup_min", f"cannot be more than prompt_lookup_max, which is {high}"
    seqs, batched = map(said.number, ("max_num_seqs", "max_num_batched_tokens"))
    drafted = said.number(f"{_SPEC}.num_speculative_tokens") or said.number("spec_tokens")
    if said.has("enable_lora") and seqs and batched and drafted and batched < (least := seqs * (drafted + 1)):
        why = f"cannot be less than max_num_seqs times what a step may accept, which is {least}"
        yield "max_num_batched_tokens", f"with enable_lora and speculation, {why}"
    (whole,), drafts = said.ranks("tensor"), said.number(f"{_SPEC}.draft_tensor_parallel_size", 1)
    if drafts not in (1, whole):
        yield f"{_SPEC}.draft_tensor_parallel_size", f"must be 1, or tensor_parallel_size, which is {whole}"


def _operations(said: Said) -> Told:
    name, bases = "compilation_config.custom_ops", ("all", "none")
    listed = said[name] if isinstance(said[name], list) else []
    ops = [op for op in listed if isinstance(op, str)]
    for op in ops:
        if op not in bases and not (op[:1] in ("+", "-") and len(op) > 1):
            near = nearest(op, bases)
            hint = f"did you mean {near}?" if near else f"write +{op} or -{op}"
            yield name, f"has {op!r}, which is neither all nor none and has no + or - before it: {hint}"
    if len([op for op in ops if op in bases]) > 1:
        yield name, "may have one of all and none, once"
    for op in sorted({op[1:] for op in ops if op[:1] == "+"} & {op[1:] for op in ops if op[:1] == "-"}):
        yield name, f"has both +{op} and -{op}: take one out"


def _sizes(said: Said) -> Told:
    name, word = "compilation_config.compile_sizes", "cudagraph_capture_sizes"
    for size in said[name] if isinstance(said[name], list) else []:
        if isinstance(size, str) and size != word:
            yield name, f"has {size!r}, and takes numbers without quotes, and {word}"


def _connectors(said: Said) -> Told:
    has_room = said.has(f"{_KV_EXTRA}.cpu_bytes_to_use") or said.has("kv_offloading_size")
    offloads = said[f"{_KV}.kv_connector"] == "OffloadingConnector" and said.has(f"{_KV}.kv_role")
    if offloads and said[f"{_KV_EXTRA}.spec_name"] in (None, *_CPU_SPECS) and not has_room:
        yield f"{_KV}.kv_connector", "needs cpu_bytes_to_use in kv_connector_extra_config beside it"
    if _KV in said and not said.has(f"{_KV}.kv_connector") and not said.has(f"{_KV}.kv_role"):
        yield _KV, "needs kv_connector and kv_role in it"


def _overlaps(said: Said) -> Told:
    """Yield what is wrong with layers that are fetched ahead, and with halves of batches that overlap."""
    whole, part = said.number("offload_group_size", 0), said.number("offload_num_in_group", 1)
    if (whole or said["offload_backend"] == "prefetch") and part > whole:
        yield "offload_group_size" if whole else "offload_backend", f"needs offload_group_size: at least {part}"
    if said.number("ubatch_size", 1) > 1 and said["all2all_backend"] not in _OVERLAPPING:
        yield "ubatch_size", f"needs all2all_backend: {' or '.join(_OVERLAPPING)}"
    for name in ("dbo_decode_token_threshold", "dbo_prefill_token_threshold"):
        if said.has("enable_dbo") and said.number(name, 2) < 2:
            yield name, "must be at least 2, the number of microbatches"


def _others(said: Said) -> Told:
    seed = str(said["seed"] or 0)
    if seed.removeprefix("-").isdecimal() and not 0 <= int(seed) < 2**32:
        yield "seed", "must be from 0 to 4294967295"
    if said.number("VLLM_DP_SIZE", 1) > 1:
        yield "VLLM_DP_SIZE", "makes one of several ranks, which waits for the others: set data_parallel_size"
    kept, at_once = said.number("max_cpu_loras"), said.number("max_loras", 1)
    if kept and kept < at_once and said.has("enable_lora"):
        yield "max_cpu_loras", f"cannot be less than max_loras, which is {at_once}"
    if said.has("enable_per_request_metrics") and said.has("disable_log_stats"):
        yield "enable_per_request_metrics", "needs what disable_log_stats turns off"
    if "watermark_config" in said and not said.has("watermark_config.key"):
        yield "watermark_config", "needs key in it"
    if "grpc_port" in said and not is_on(said["VLLM_USE_RUST_FRONTEND"]):
        yield "grpc_port", "needs VLLM_USE_RUST_FRONTEND=1"
    if _METRICS in said and not _VERSION.fullmatch(str(said[_METRICS])):
        yield _METRICS, "must be a version such as '0.31'"
    if said.has("enable_elastic_ep") and said.ranks("pipeline") != [1]:
        yield "enable_elastic_ep", "goes with no pipeline_parallel_size"
