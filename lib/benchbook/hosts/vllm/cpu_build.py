"""What vLLM's build for CPUs does not start with, though others do: what it lacks, and more than its own batch holds.

Read off vLLM's platform for CPUs and its defaults for a batch (get_batch_defaults in vllm/engine/arg_utils.py).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.overrides import COMMON_TYPES
from benchbook.hosts.vllm.renaming import is_on
from benchbook.hosts.vllm.said import Said

_BUILD, _V2 = "vLLM's build for CPUs", "VLLM_USE_V2_MODEL_RUNNER"
_LACKED = ("enable_sleep_mode", "enable_eplb", "enable_cumem_allocator")
_OF_V2 = (
    *("prefill_context_parallel_size", "enable_batch_sharded_sampling", "enable_trace_replay"),
    *("enable_return_routed_experts", "return_sampling_mask", "watermark_config.key"),
)
_TOKENS, _SEQUENCES = {False: 2048, True: 4096}, {False: 128, True: 256}  # of a rank; by: without a server
_CHUNKING = ("x86_64", "aarch64", "arm64")  # elsewhere a prompt is taken whole, and a batch is as large as that
Told = Iterator[tuple[str, str]]


def lacking(
    args: Mapping[str, Any],
    env: Mapping[str, str],
    config: Mapping[str, Any] | None,
    offline: bool,
    python: Python = HERE,
) -> Told:
    """Yield each name of `args` (full ones) or of `env` that a build for CPUs does not start with, and why.

    `config` is the model's config.json, None while that is not known; `offline` means an engine without a server.
    """
    said = Said(args, env)
    for name in _LACKED:
        if said.has(name):
            yield name, f"is nothing that {_BUILD} has"
    if said["load_format"] == "ipc_cache":
        yield (
            "load_format",
            f"ipc_cache maps weights that `vllm preload` holds on GPUs, and is nothing that {_BUILD} has",
        )
    if is_on(said[_V2]) and not python.has_module("triton"):
        yield _V2, "needs Triton, which is not installed here"
    asked = [name for name in _OF_V2 if said.has(name)]
    for name in () if is_on(said[_V2]) else asked:
        if name != "prefill_context_parallel_size" or said.ranks("prefill_context") != [1]:
            yield name, f"needs the model runner V2, which {_BUILD} does not take by itself"
    has_defaults = (config or {}).get("model_type") in COMMON_TYPES and platform.machine() in _CHUNKING
    if has_defaults and not said.is_off("enable_chunked_prefill") and said.ranks("data") == [1]:
        yield from _batch(said, offline)


def _batch(said: Said, offline: bool) -> Told:
    """Yield a number of sequences that is more than what vLLM takes by itself for what bounds it."""
    tensor, stages = said.ranks("tensor", "pipeline")
    ranks = tensor * stages * (2 if said["performance_mode"] == "throughput" else 1)
    sequences, tokens = said.number("max_num_seqs"), said.number("max_num_batched_tokens")
    by_itself = f"which {_BUILD} sets to {{}} by itself"
    if sequences and not tokens and sequences > (most := _TOKENS[offline] * ranks):
        yield "max_num_seqs", f"cannot be more than max_num_batched_tokens, {by_itself.format(most)}"
    most = min(_SEQUENCES[offline] * ranks, tokens or _TOKENS[offline] * ranks)
    if not sequences and (said.number("max_num_active_seqs") or 0) > most:
        yield "max_num_active_seqs", f"cannot be more than max_num_seqs, {by_itself.format(most)}"
