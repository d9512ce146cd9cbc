"""Flags and config options that vLLM had in 0.8 or later and has no longer in 0.33, and what says the same today.

Read off the released sources; `lib/vllm_names.py` finds what the next release adds to this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchbook.hosts.vllm import rope
from benchbook.hosts.vllm.renaming import (
    CONFIG,
    Refused,
    Settings,
    Translation,
    chosen,
    left_out,
    only,
    refused,
    renamed,
    switch,
    switched,
)

_V0 = "the engine V0's, which is gone"
_POOL = "each process has its own tokenizer"
_PROMPT_ADAPTER = "prompt adapters are gone: train a LoRA adapter and name it in lora_modules"
_SPEC = "speculative_config"
_GUIDED = "structured_outputs_config"
_GUIDED_OPTIONS: Mapping[str, Settings] = {
    "disable-any-whitespace": {f"{_GUIDED}.disable_any_whitespace": True},
    "no-additional-properties": {f"{_GUIDED}.disable_additional_properties": True},
    "no-fallback": {},  # a backend that is named is never replaced by another
}
_PASSES = "compilation_config.pass_config"
_BY_RAY = "write distributed_executor_backend: ray, or leave it out where all GPUs are in this machine"
_NO_CASCADE = "attention in cascades is gone, and the flag without effect"
_SHARDS = "neither sequence parallelism nor overlapped GEMMs are a compiler's pass any more"


def _speculative_model(value: Any, _: Settings) -> Settings:
    return {f"{_SPEC}.method": "ngram"} if value == "[ngram]" else {f"{_SPEC}.model": value}


def _logging(value: Any, _: Settings) -> Settings:
    return {} if switch("disable_log_requests", value) else {"enable_log_requests": True}


def _capture_sizes(value: Any, _: Settings) -> Settings:
    """One number was the largest size, with the steps below it; several were the sizes themselves."""
    sizes = value if isinstance(value, list) else str(value).split()  # as a command line has several words
    if len(sizes) > 1:
        return {"cudagraph_capture_sizes": [_number(size) for size in sizes]}
    return {"max_cudagraph_capture_size": _number(sizes[0])} if sizes else {}


def _number(size: Any) -> Any:
    """Return the whole number of a text, and what is none as it is: its new name's own check tells of it."""
    return int(size) if str(size).isdecimal() else size


def _inverse(value: Any, _: Settings) -> Settings:
    try:
        return {"pooler_config.logit_sigma": 1 / float(value)}
    except (ValueError, TypeError, ZeroDivisionError):
        raise Refused("gone since 0.23: pooler_config.logit_sigma is its inverse") from None


def _guided_backend(value: Any, _: Settings) -> Settings:
    """Until 0.10 options stood behind the backend's name: xgrammar:disable-any-whitespace,no-fallback."""
    backend, _, options = value.partition(":") if isinstance(value, str) else (value, "", "")
    new: Settings = {f"{_GUIDED}.backend": backend}
    for option in filter(None, options.split(",")):
        if option.strip() not in _GUIDED_OPTIONS:
            raise Refused(f"{option} is no option of a backend: {', '.join(_GUIDED_OPTIONS)}")
        new = {**new, **_GUIDED_OPTIONS[option.strip()]}
    return new


def _rope_scaling(value: Any, launch: Settings) -> Settings:
    asked = _mapping_of(value)
    if asked is None:
        raise Refused("gone since 0.11.1: write the mapping as rope_parameters in hf_overrides")
    theta = {rope.THETA: launch[rope.THETA]} if rope.THETA in launch else {}
    raise Refused(f"gone since 0.11.1: write {rope.scaled_text({**asked, **theta}, launch.get(CONFIG))}")


def _rope_theta(value: Any, launch: Settings) -> Settings:
    raise Refused(f"gone since 0.11.1: write {rope.theta_text(value, launch.get(CONFIG))}")


def _mapping_of(value: Any) -> Settings | None:
    """Return a mapping, or that of a text in JSON; None for anything else."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


_TASK = "set runner: pooling, and convert: embed or classify where the model needs it"

FLAGS = (
    Translation(
        "tensor_parallel", "0.0.0", lambda value, _: {"tensor_parallel_size": value},
        "never a flag of its own: the command line completes --tensor-parallel to --tensor-parallel-size",
    ),
    # Those that 0.8 did not have any more.
    only("worker_use_ray", "0.8.0", "false|0", "Ray is used where it is asked for", _BY_RAY),
    only("engine_use_ray", "0.8.0", "false|0", "the engine has a process of its own", _BY_RAY),
    left_out("max_context_len_to_capture", "0.8.0", "graphs are captured by batch size: see cudagraph_capture_sizes"),
    refused("quantization_param_path", "0.8.0", "scales of the KV cache come from the checkpoint, or are 1.0"),
    renamed("chat_template_text_format", "0.8.0", "chat_template_content_format"),
    left_out("intial_incremental_detokenization_offset", "0.8.3", "no tokenizer needs it any more"),
    # Still taken, but heeded by nothing.
    Translation(
        "max_parallel_loading_workers", "0.8.0", lambda value, _: {},
        "still taken, but vLLM does not heed it: each rank loads its weights by itself",
    ),
    only("disable_cascade_attn", "0.32.0", "true|1", _NO_CASCADE, f"{_NO_CASCADE}: leave it out"),
    # Speculation: one mapping since 0.8.3.
    Translation("speculative_model", "0.8.5", _speculative_model, "gone since 0.8.5: it is speculative_config now"),
    renamed("num_speculative_tokens", "0.8.5", f"{_SPEC}.num_speculative_tokens"),
    renamed("speculative_draft_tensor_parallel_size", "0.8.5", f"{_SPEC}.draft_tensor_parallel_size"),
    renamed("speculative_max_model_len", "0.8.5", f"{_SPEC}.max_model_len"),
    renamed("speculative_model_quantization", "0.8.5", f"{_SPEC}.quantization"),
    renamed("ngram_prompt_lookup_max", "0.8.5", f"{_SPEC}.prompt_lookup_max"),
    renamed("ngram_prompt_lookup_min", "0.8.5", f"{_SPEC}.prompt_lookup_min"),
    refused("speculative_disable_by_batch_size", "0.8.5", f"see {_SPEC}.num_speculative_tokens_per_batch_size"),
    left_out("speculative_disable_mqa_scorer", "0.8.5", f"the scorer was {_V0}"),
    left_out("disable_logprobs_during_spec_decoding", "0.8.5", f"it was {_V0}"),
    only(
        "spec_decoding_acceptance_method", "0.8.5", "rejection_sampler", "rejection sampling is the only way",
        f"the typical sampler was {_V0}; see {_SPEC}.rejection_sample_method",
    ),
    left_out("typical_acceptance_sampler_posterior_alpha", "0.8.5", f"the typical sampler was {_V0}"),
    left_out("typical_acceptance_sampler_posterior_threshold", "0.8.5", f"the typical sampler was {_V0}"),
    # What the engine V0 had.
    left_out("use_v2_block_manager", "0.10.0", "the block manager that it chose was the only one since 0.7"),
    only(
        "num_scheduler_steps", "0.10.1", "1", "one step a scheduling is the only way",
        f"several steps a scheduling were {_V0}; V1 has async_scheduling instead",
    ),
    left_out("multi_step_stream_outputs", "0.10.1", f"several steps a scheduling were {_V0}"),
    left_out("disable_async_output_proc", "0.11.0", f"what it turned off was {_V0}"),
    left_out("max_seq_len_to_capture", "0.11.0", "graphs are captured by batch size: see cudagraph_capture_sizes"),
    only(
        "preemption_mode", "0.11.0", "recompute", "V1 computes preempted requests again",
        f"swapping was {_V0}; V1 computes preempted requests again",
    ),
    only("scheduler_delay_factor", "0.11.0", "0|0.0", "no delay is the only way", f"delaying prompts was {_V0}"),
    left_out("num_lookahead_slots", "0.12.0", "it follows from the speculative tokens"),
    left_out("swap_space", "0.18.0", "only the engine V0 swapped; V1 computes preempted requests again"),
    left_out("disable_frontend_multiprocessing", "0.19.0", "V1 never asked it"),
    # Tokenizers and adapters.
    left_out("tokenizer_pool_size", "0.10.0", _POOL),
    left_out("tokenizer_pool_type", "0.10.0", _POOL),
    left_out("tokenizer_pool_extra_config", "0.10.0", _POOL),
    only("enable_prompt_adapter", "0.10.2", "false|0", "there are none", _PROMPT_ADAPTER),
    refused("prompt_adapters", "0.10.0", _PROMPT_ADAPTER),
    left_out("max_prompt_adapters", "0.10.0", "prompt adapters are gone"),
    left_out("max_prompt_adapter_token", "0.10.0", "prompt adapters are gone"),
    refused("qlora_adapter_name_or_path", "0.10.0", "name the adapter in lora_modules"),
    refused("long_lora_scaling_factors", "0.10.0", "LongLoRA is gone: see rope_parameters in hf_overrides"),
    only("enable_lora_bias", "0.11.1", "false|0", "biases are not applied", "biases of LoRA adapters are not applied"),
    left_out("lora_extra_vocab_size", "0.12.0", "adapters cannot add tokens any more"),
    # Answers.
    left_out("enable_reasoning", "0.10.0", "reasoning_parser alone turns it on"),
    left_out("expand_tools_even_if_tool_choice_none", "0.10.0", "it is so: see exclude_tools_when_tool_choice_none"),
    Translation(
        "guided_decoding_backend", "0.11.0", _guided_backend,
        "gone since 0.11: it is structured_outputs_config.backend now, and its options stand beside it",
    ),
    renamed("guided_decoding_disable_any_whitespace", "0.11.0", "structured_outputs_config.disable_any_whitespace"),
    renamed(
        "guided_decoding_disable_additional_properties", "0.11.0",
        "structured_outputs_config.disable_additional_properties",
    ),
    left_out("guided_decoding_disable_fallback", "0.11.0", "a backend that is named is never replaced by another"),
    refused("logits_processor_pattern", "0.17.0", "name the processors in logits_processors"),
    left_out("use_gpu_for_pooling_score", "0.18.0", "see enable_flash_late_interaction, which is on"),
    Translation(
        "disable_log_requests", "0.17.0", _logging,
        "gone since 0.17: requests are not logged unless enable_log_requests is set",
    ),
    # The model.
    left_out("device", "0.10.0", "the build of vLLM that is installed decides"),
    refused("override_neuron_config", "0.10.2", "Neuron is a plugin now, which reads additional_config"),
    Translation("rope_scaling", "0.11.1", _rope_scaling, "it is rope_parameters in hf_overrides now"),
    Translation("rope_theta", "0.11.1", _rope_theta, "it is in rope_parameters in hf_overrides now"),
    renamed("override_pooler_config", "0.12.0", "pooler_config"),
    chosen(
        "task", "0.13.0",
        {"auto": {}, "generate": {}, "embed": {"runner": "pooling", "convert": "embed"},
         "embedding": {"runner": "pooling", "convert": "embed"},
         "classify": {"runner": "pooling", "convert": "classify"},
         "score": {"runner": "pooling", "convert": "classify"}, "reward": {"runner": "pooling"},
         "draft": {"runner": "draft"}},
        f"generating is the default; for others {_TASK}",
    ),
    switched("disable_mm_preprocessor_cache", "0.13.0", {"mm_processor_cache_gb": 0}),
    switched("enable_multimodal_encoder_data_parallel", "0.13.0", {"mm_encoder_tp_mode": "data"}),
    only(
        "calculate_kv_scales", "0.28.0", "false|0", "scales come from the checkpoint, or are 1.0",
        "scales come from the checkpoint, or are 1.0; kv_cache_dtype: fp8_per_token_head computes them",
    ),
    refused("override_attention_dtype", "0.28.0", "only ROCm asked it; attention has the model's dtype"),
    # Scheduling, graphs, experts.
    Translation(
        "cuda_graph_sizes", "0.13.0", _capture_sizes,
        "gone since 0.13: one number is max_cudagraph_capture_size now, several are cudagraph_capture_sizes",
    ),
    renamed("eplb_window_size", "0.12.0", "eplb_config.window_size"),
    renamed("eplb_step_interval", "0.12.0", "eplb_config.step_interval"),
    renamed("eplb_log_balancedness", "0.12.0", "eplb_config.log_balancedness"),
    renamed("num_redundant_experts", "0.12.0", "eplb_config.num_redundant_experts"),
    only("max_num_partial_prefills", "0.27.0", "1", "one is the only way", f"several prefills at once were {_V0}"),
    only("max_long_partial_prefills", "0.27.0", "1", "one is the only way", f"several prefills at once were {_V0}"),
    left_out("enable_bf16x3_router_gemm", "0.30.0", "vLLM uses that kernel where it fits"),
    renamed("enable_mamba_fine_grained_prefix_cache", "0.31.0", "enable_mamba_shared_prefix_checkpoint"),
)  # fmt: skip

OPTIONS = (
    # compilation_config
    switched(
        "compilation_config.full_cuda_graph", "0.11.1", {"compilation_config.cudagraph_mode": "FULL"},
        "replaced by cudagraph_mode, where true is FULL and false PIECEWISE",
        off={"compilation_config.cudagraph_mode": "PIECEWISE"},
    ),
    switched(
        "compilation_config.use_cudagraph", "0.11.1", {}, "replaced by cudagraph_mode, where false is NONE",
        off={"compilation_config.cudagraph_mode": "NONE"},
    ),
    switched(
        "compilation_config.use_inductor", "0.12.0", {}, "the backend is named, and inductor is the default",
        off={"compilation_config.backend": "eager"},
    ),
    renamed("compilation_config.level", "0.18.0", "compilation_config.mode"),
    renamed("compilation_config.compile_ranges_split_points", "0.18.0", "compilation_config.compile_ranges_endpoints"),
    renamed(
        "compilation_config.encoder_cudagraph_max_images_per_batch", "0.20.0",
        "compilation_config.encoder_cudagraph_max_vision_items_per_batch",
    ),
    # …and its passes
    left_out(f"{_PASSES}.dump_graph_stages", "0.10.0", "graphs are dumped by compilation_config.debug_dump_path"),
    left_out(f"{_PASSES}.dump_graph_dir", "0.10.0", "graphs are dumped by compilation_config.debug_dump_path"),
    refused(f"{_PASSES}.fi_allreduce_fusion_max_token_num", "0.11.1", "fi_allreduce_fusion_max_size_mb is in MB"),
    Translation(
        f"{_PASSES}.enable_fusion", "0.13.0",
        lambda value, _: {f"{_PASSES}.fuse_norm_quant": value, f"{_PASSES}.fuse_act_quant": value},
        "gone since 0.13: it is fuse_norm_quant and fuse_act_quant now",
    ),
    renamed(f"{_PASSES}.enable_attn_fusion", "0.13.0", f"{_PASSES}.fuse_attn_quant"),
    renamed(f"{_PASSES}.enable_noop", "0.13.0", f"{_PASSES}.eliminate_noops"),
    renamed(f"{_PASSES}.enable_fi_allreduce_fusion", "0.13.0", f"{_PASSES}.fuse_allreduce_rms"),
    renamed(f"{_PASSES}.enable_sequence_parallelism", "0.13.0", f"{_PASSES}.enable_sp", until="0.32.0"),
    renamed(f"{_PASSES}.enable_async_tp", "0.13.0", f"{_PASSES}.fuse_gemm_comms", until="0.32.0"),
    only(f"{_PASSES}.enable_sequence_parallelism", "0.32.0", "false", _SHARDS, _SHARDS),
    only(f"{_PASSES}.enable_async_tp", "0.32.0", "false", _SHARDS, _SHARDS),
    only(f"{_PASSES}.enable_sp", "0.32.0", "false", _SHARDS, _SHARDS),
    only(f"{_PASSES}.fuse_gemm_comms", "0.32.0", "false", _SHARDS, _SHARDS),
    left_out(f"{_PASSES}.sp_min_token_num", "0.32.0", _SHARDS),
    left_out(f"{_PASSES}.fuse_minimax_qk_norm", "0.24.0", "it is applied wherever it can be"),
    # speculative_config
    only(
        f"{_SPEC}.acceptance_method", "0.10.0", "rejection_sampler", "rejection sampling is the only way",
        f"the typical sampler was {_V0}; see {_SPEC}.rejection_sample_method",
    ),
    left_out(f"{_SPEC}.posterior_alpha", "0.10.0", f"the typical sampler was {_V0}"),
    left_out(f"{_SPEC}.posterior_threshold", "0.10.0", f"the typical sampler was {_V0}"),
    left_out(f"{_SPEC}.disable_mqa_scorer", "0.10.0", f"the scorer was {_V0}"),
    left_out(f"{_SPEC}.disable_logprobs", "0.11.1", f"it was {_V0}"),
    left_out(f"{_SPEC}.disable_log_stats", "0.11.1", "disable_log_stats speaks for both"),
    left_out(f"{_SPEC}.enable_chunked_prefill", "0.11.1", "enable_chunked_prefill speaks for both"),
    refused(f"{_SPEC}.disable_by_batch_size", "0.17.0", "see num_speculative_tokens_per_batch_size beside it"),
    refused(f"{_SPEC}.synthetic_acceptance_rate", "0.20.0", "write synthetic_acceptance_rates, one for each position"),
    refused(f"{_SPEC}.speculative_token_tree", "0.21.0", "trees of tokens are gone: give num_speculative_tokens"),
    # attention_config
    refused(
        "attention_config.use_cudnn_prefill", "0.22.0",
        "cuDNN's prefill is gone: attention_config.mla_prefill_backend may be FLASH_ATTN, FLASHINFER or TRTLLM_RAGGED",
    ),
    switched(
        "attention_config.use_trtllm_ragged_deepseek_prefill", "0.22.0",
        {"attention_config.mla_prefill_backend": "TRTLLM_RAGGED"},
    ),
    switched(
        "attention_config.disable_flashinfer_prefill", "0.22.0",
        {"attention_config.mla_prefill_backend": "FLASH_ATTN"},
    ),
    switched(
        "attention_config.use_prefill_decode_attention", "0.29.0", {"attention_backend": "ROCM_ATTN"},
        "the backend is named instead",
    ),
    switched("attention_config.use_fp4_indexer_cache", "0.30.0", {"attention_config.indexer_kv_dtype": "mxfp4"}),
    # pooler_config
    renamed("pooler_config.normalize", "0.16.0", "pooler_config.use_activation"),
    renamed("pooler_config.softmax", "0.16.0", "pooler_config.use_activation"),
    renamed("pooler_config.activation", "0.16.0", "pooler_config.use_activation"),
    renamed("pooler_config.logit_bias", "0.23.0", "pooler_config.logit_mean"),
    Translation("pooler_config.logit_scale", "0.23.0", _inverse, "gone since 0.23: logit_sigma is its inverse"),
    # transfers, structured outputs, kernels
    left_out("kv_transfer_config.kv_rank", "0.32.0", "no connector asked it any more"),
    left_out("kv_transfer_config.kv_parallel_size", "0.32.0", "no connector asked it any more"),
    left_out("kv_transfer_config.kv_ip", "0.32.0", "no connector asked it any more"),
    left_out("kv_transfer_config.kv_buffer_size", "0.32.0", "no connector asked it any more"),
    left_out("ec_transfer_config.ec_rank", "0.32.0", "no connector asked it any more"),
    left_out("ec_transfer_config.ec_parallel_size", "0.32.0", "no connector asked it any more"),
    left_out("structured_outputs_config.disable_fallback", "0.18.0", "a backend that is named is never replaced"),
    left_out("kernel_config.enable_bf16x3_router_gemm", "0.30.0", "vLLM uses that kernel where it fits"),
)  # fmt: skip
