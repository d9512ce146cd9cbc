"""Launches that vLLM refuses at its start though each of their values alone will do, and twins that it takes.

test_contradictions.py shows what is told of them; integration/test_refused_by_vllm.py that vLLM itself sees them so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192, "rope_theta": 10_000}
LINEAR = {"rope_type": "linear", "factor": 2.0}
NGRAM = {"method": "ngram", "num_speculative_tokens": 4}
BOTH = {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}
ROOM = {"kv_connector_extra_config": {"cpu_bytes_to_use": 1 << 30}}


@dataclass(frozen=True)
class Pair:
    """A refused launch of the tiny model, the name where it is told, and its twin; None where none starts on a CPU."""

    name: str
    args: dict[str, Any]
    twin: dict[str, Any] | None
    env: dict[str, str] = field(default_factory=dict)  # of the refused one
    twin_env: dict[str, str] = field(default_factory=dict)
    model: str = "tiny"
    is_late: bool = False  # vLLM's configs say nothing of it: its workers end at their start


PAIRS = (
    # What stands beside another.
    Pair("max_num_active_seqs", {"max_num_active_seqs": 9, "max_num_seqs": 8},
         {"max_num_active_seqs": 8, "max_num_seqs": 8}),
    Pair("max_num_active_seqs", {"max_num_active_seqs": 65, "max_num_batched_tokens": 64},
         {"max_num_active_seqs": 64, "max_num_batched_tokens": 64}),
    Pair("max_num_batched_tokens", {"max_num_batched_tokens": 32, "max_num_seqs": 64},
         {"max_num_batched_tokens": 64, "max_num_seqs": 64}),
    Pair("max_num_batched_tokens",
         {"max_num_batched_tokens": "1k", "max_model_len": "1K", "enable_chunked_prefill": False},
         {"max_num_batched_tokens": "1k", "max_model_len": "1K"}),
    Pair("long_prefill_token_threshold", {"long_prefill_token_threshold": 2048, "max_model_len": 1024},
         {"long_prefill_token_threshold": 1024, "max_model_len": 1024}),
    Pair("attention_backend", {"attention_backend": "CPU_ATTN", "attention_config": {"backend": "CPU_ATTN"}},
         {"attention_backend": "CPU_ATTN", "attention_config": {"use_trtllm_attention": False}}),
    Pair("cudagraph_capture_sizes",
         {"cudagraph_capture_sizes": [1], "compilation_config": {"cudagraph_capture_sizes": [1]}},
         {"cudagraph_capture_sizes": [1], "compilation_config": {"mode": 3}}),
    Pair("spec_tokens", {"spec_tokens": 3, "speculative_config": NGRAM},
         {"spec_tokens": 3, "speculative_config": {"method": "ngram"}}),
    Pair("enable_auto_tool_choice", {"enable_auto_tool_choice": True},
         {"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}),
    Pair("enable_log_outputs", {"enable_log_outputs": True}, {"enable_log_outputs": True, "enable_log_requests": True}),
    Pair("enable_eplb", {"enable_eplb": True, "tensor_parallel_size": 2}, None, model="tiny-moe"),
    Pair("enable_elastic_ep", {"enable_elastic_ep": True}, {"enable_elastic_ep": False}),
    Pair("eplb_config.num_redundant_experts", {"eplb_config": {"num_redundant_experts": 2}},
         {"eplb_config": {"num_redundant_experts": 0}}),
    Pair("numa_bind_nodes", {"numa_bind_nodes": [0]}, {"numa_bind_nodes": [0], "numa_bind": True}),
    Pair("numa_bind_cpus", {"numa_bind_cpus": ["0-1"]}, {"numa_bind_cpus": ["0-1"], "numa_bind": True}),
    Pair("collect_detailed_traces", {"collect_detailed_traces": ["model"]}, None),
    Pair("kv_transfer_config.kv_connector", {"kv_transfer_config": {"kv_connector": "OffloadingConnector"}},
         {"kv_transfer_config": {**BOTH, **ROOM}}),
    Pair("kv_transfer_config.kv_connector", {"kv_transfer_config": BOTH}, {"kv_transfer_config": {**BOTH, **ROOM}},
         is_late=True),
    Pair("kv_transfer_config.kv_connector",
         {"kv_transfer_config": {**BOTH, "kv_connector_extra_config": {"cpu_bytes_to_use": 0}}},
         {"kv_transfer_config": BOTH, "kv_offloading_size": 4}, is_late=True),
    Pair("kv_transfer_config.kv_connector",
         {"kv_transfer_config": {**BOTH, "kv_connector_extra_config": {"spec_name": "TieringOffloadingSpec"}}},
         {"kv_transfer_config": {**BOTH, "kv_connector_extra_config": {"spec_name": "MySpec"}}}, is_late=True),
    Pair("data_parallel_hybrid_lb", {"data_parallel_hybrid_lb": True},
         {"data_parallel_hybrid_lb": True, "data_parallel_size": 2, "data_parallel_size_local": 2}),
    Pair("max_cpu_loras", {"enable_lora": True, "max_loras": 4, "max_cpu_loras": 2},
         {"enable_lora": True, "max_loras": 4, "max_cpu_loras": 4}),
    Pair("enable_per_request_metrics", {"enable_per_request_metrics": True, "disable_log_stats": True},
         {"enable_per_request_metrics": True}),
    Pair("ray_workers_use_nsight", {"ray_workers_use_nsight": True}, {"ray_workers_use_nsight": False}),
    Pair("structured_outputs_config.disable_any_whitespace",
         {"structured_outputs_config": {"backend": "outlines", "disable_any_whitespace": True}},
         {"structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True}}),
    Pair("structured_outputs_config.disable_additional_properties",
         {"structured_outputs_config": {"backend": "xgrammar", "disable_additional_properties": True}},
         {"structured_outputs_config": {"backend": "guidance", "disable_additional_properties": True}}),
    Pair("dbo_decode_token_threshold", {"enable_dbo": True, "dbo_decode_token_threshold": 1},
         {"dbo_decode_token_threshold": 1}),
    Pair("profiler_config.profiler", {"profiler_config": {"profiler": "torch"}},
         {"profiler_config": {"profiler": "torch", "torch_profiler_dir": "/tmp/traces"}}),
    Pair("seed", {"seed": -1}, {"seed": 0}, is_late=True),
    Pair("seed", {"seed": 2**32}, {"seed": 2**32 - 1}, is_late=True),
    Pair("VLLM_DP_SIZE", {}, {}, env={"VLLM_DP_SIZE": "2"}, twin_env={"VLLM_DP_SIZE": "1"}),
    # Speculation.
    Pair("speculative_config.prompt_lookup_min",
         {"speculative_config": {**NGRAM, "prompt_lookup_min": 5, "prompt_lookup_max": 2}},
         {"speculative_config": {**NGRAM, "prompt_lookup_min": 2, "prompt_lookup_max": 5}}),
    Pair("async_scheduling", {"speculative_config": NGRAM, "async_scheduling": True},
         {"speculative_config": NGRAM, "async_scheduling": False}),
    Pair("max_num_batched_tokens",
         {"speculative_config": NGRAM, "enable_lora": True, "max_num_seqs": 16, "max_num_batched_tokens": 79},
         {"speculative_config": NGRAM, "enable_lora": True, "max_num_seqs": 16, "max_num_batched_tokens": 80}),
    # A connector and its role.
    Pair("kv_transfer_config.kv_role", {"kv_transfer_config": {"kv_role": "kv_both"}},
         {"kv_transfer_config": {**BOTH, **ROOM}}),
    Pair("kv_transfer_config", {"kv_transfer_config": {}}, None),
    Pair("kv_transfer_config", {"kv_transfer_config": {"kv_port": 14579}}, None),
    Pair("watermark_config", {"watermark_config": {}}, None),
    Pair("profiler_config.torch_profiler_dir", {"profiler_config": {"torch_profiler_dir": "/tmp/traces"}},
         {"profiler_config": {"profiler": "torch", "torch_profiler_dir": "/tmp/traces"}}),
    Pair("profiler_config.proton_profiler_dir",
         {"profiler_config": {"profiler": "cuda", "proton_profiler_dir": "/tmp/traces"}},
         {"profiler_config": {"profiler": "cuda"}}),
    Pair("profiler_config.profiler", {"profiler_config": {"profiler": "proton"}}, None),
    Pair("profiler_config.proton_hook", {"profiler_config": {"proton_hook": "triton"}}, {"profiler_config": {}}),
    Pair("profiler_config.proton_mode", {"profiler_config": {"profiler": "cuda", "proton_mode": "pcsampling"}}, None),
    Pair("ubatch_size", {"ubatch_size": 2}, {"ubatch_size": 1}),
    Pair("enable_fault_tolerance", {"enable_fault_tolerance": True}, {"enable_fault_tolerance": False}),
    Pair("enable_mamba_cache_stochastic_rounding", {"enable_mamba_cache_stochastic_rounding": True}, None),
    Pair("mamba_ssu_algorithm", {"mamba_ssu_algorithm": "auto"}, {"mamba_backend": "triton"}),
    Pair("grpc_port", {"grpc_port": 5000}, None),
    Pair("show_hidden_metrics_for_version", {"show_hidden_metrics_for_version": "1,2"},
         {"show_hidden_metrics_for_version": "0.31.0rc1"}),
    Pair("show_hidden_metrics_for_version", {"show_hidden_metrics_for_version": "auto"},
         {"show_hidden_metrics_for_version": "0.31"}),
    Pair("offload_backend", {"offload_backend": "prefetch"}, {"offload_backend": "uva"}),
    Pair("offload_group_size", {"offload_group_size": 2, "offload_num_in_group": 3},
         {"offload_group_size": 3, "offload_num_in_group": 3}),
    Pair("ec_transfer_config.ec_connector", {"ec_transfer_config": {"ec_connector": "ECExampleConnector"}},
         {"ec_transfer_config": {"ec_role": "ec_producer"}}),
    # Sizes of the compiler's.
    Pair("compilation_config.compile_sizes", {"compilation_config": {"compile_sizes": [1, "two"]}},
         {"compilation_config": {"compile_sizes": [1, "cudagraph_capture_sizes"]}}, is_late=True),
    # Operations of the compiler's: all or none, once, and others with a sign.
    Pair("compilation_config.custom_ops", {"compilation_config": {"custom_ops": ["nonee"]}},
         {"compilation_config": {"custom_ops": ["none"]}}),
    Pair("compilation_config.custom_ops", {"compilation_config": {"custom_ops": ["all", "none"]}},
         {"compilation_config": {"custom_ops": ["all", "-silu_and_mul"]}}),
    Pair("compilation_config.custom_ops", {"compilation_config": {"custom_ops": ["rms_norm"]}},
         {"compilation_config": {"custom_ops": ["+rms_norm"]}}),
    Pair("compilation_config.custom_ops", {"compilation_config": {"custom_ops": ["+rms_norm", "-rms_norm"]}},
         {"compilation_config": {"custom_ops": ["+rms_norm", "-silu_and_mul"]}}),
)  # fmt: skip

LONG = {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
MISFITS = (
    # Ranks that fit no model.
    Pair("decode_context_parallel_size", {"decode_context_parallel_size": 2},
         {"decode_context_parallel_size": 2, "tensor_parallel_size": 8}),
    Pair("decode_context_parallel_size", {"tensor_parallel_size": 8, "decode_context_parallel_size": 3}, None),
    Pair("decode_context_parallel_size",
         {"prefill_context_parallel_size": 2, "decode_context_parallel_size": 3}, None),
    Pair("data_parallel_size_local", {"data_parallel_size": 2, "data_parallel_size_local": 3},
         {"data_parallel_size": 2, "data_parallel_size_local": 2}),
    Pair("data_parallel_external_lb", {"data_parallel_external_lb": True}, {"data_parallel_external_lb": False}),
    Pair("data_parallel_rank", {"data_parallel_rank": 0}, {"data_parallel_size": 2, "data_parallel_size_local": 2}),
    Pair("data_parallel_rank", {"data_parallel_rank": 0, "data_parallel_size": 1}, None),
    # Speculation that lacks something; of a method of its own family the model may bring the rest.
    Pair("speculative_config.method", {"speculative_config": {"method": "ngram"}}, {"speculative_config": NGRAM}),
    Pair("speculative_config.num_speculative_tokens", {"speculative_config": {"num_speculative_tokens": 3}},
         {"speculative_config": {**NGRAM, "prompt_lookup_max": 4}}),
    Pair("speculative_config.method", {"speculative_config": {**NGRAM, "method": "eagle3"}}, None),
    Pair("per_request_spec_decode_metrics", {"per_request_spec_decode_metrics": "summary"},
         {"per_request_spec_decode_metrics": "none"}),
    Pair("speculative_config.method", {"speculative_config": {"method": "eagle", "num_speculative_tokens": 1}}, None),
    Pair("spec_tokens", {"spec_tokens": 3}, {"spec_tokens": 3, "spec_method": "ngram"}),
    Pair("speculative_config", {"speculative_config": {}}, None),
    Pair("speculative_config.method", {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}}, None),
    Pair("speculative_config.method", {"speculative_config": {"method": "deepseek_mtp", "num_speculative_tokens": 2}},
         {"speculative_config": NGRAM}),
    Pair("spec_method", {"spec_method": "mtp", "spec_tokens": 1}, {"spec_method": "ngram", "spec_tokens": 1}),
    # 8 heads, 4 KV heads, 4 layers, 8192 positions, no experts.
    Pair("tensor_parallel_size", {"tensor_parallel_size": 3}, {"tensor_parallel_size": 2}),
    Pair("tensor_parallel_size", {"tensor_parallel_size": 16}, {"tensor_parallel_size": 8}),
    Pair("tensor_parallel_size", {"tensor_parallel_size": 8}, {"tensor_parallel_size": 4}, model="tiny-moe"),
    Pair("decode_context_parallel_size", {"tensor_parallel_size": 4, "decode_context_parallel_size": 2}, None),
    Pair("enable_eplb", {"enable_eplb": True, "enable_expert_parallel": True}, None, model="tiny-moe"),
    Pair("enable_expert_parallel", {"enable_expert_parallel": True}, {"enable_expert_parallel": False}),
    Pair("max_model_len", {"max_model_len": "1M"}, {"max_model_len": "1M"}, twin_env=LONG),
    Pair("max_model_len", {"max_model_len": 8193}, {"max_model_len": "8K"}),
    # Of what the launch makes of the model's config.json.
    Pair("max_model_len", {"max_model_len": 8192, "hf_overrides": {"max_position_embeddings": 4096}},
         {"max_model_len": 4096, "hf_overrides": {"max_position_embeddings": 4096}}),
    Pair("max_model_len", {"max_model_len": "32K", "hf_overrides": {"num_hidden_layers": 2}},
         {"max_model_len": "32K", "hf_overrides": {"max_position_embeddings": 32768}}),
    Pair("max_model_len", {"max_model_len": "16K", "hf_overrides": {"rope_parameters": YARN}},
         {"max_model_len": "16K", "hf_overrides": {"rope_parameters": YARN, "max_position_embeddings": 32768}}),
    Pair("max_model_len", {"max_model_len": "32K", "hf_overrides": {"rope_parameters": {**YARN, **LINEAR}}},
         {"max_model_len": "16K", "hf_overrides": {"rope_parameters": {**YARN, **LINEAR}}}),
    Pair("pipeline_parallel_size", {"pipeline_parallel_size": 3, "hf_overrides": {"num_hidden_layers": 2}},
         {"pipeline_parallel_size": 2, "hf_overrides": {"num_hidden_layers": 2}}, is_late=True),
    Pair("max_num_batched_tokens", {"max_num_batched_tokens": 4096, "enable_chunked_prefill": False},
         {"max_num_batched_tokens": 4096, "enable_chunked_prefill": False, "max_model_len": 4096}),
    Pair("long_prefill_token_threshold", {"long_prefill_token_threshold": 10_000},
         {"long_prefill_token_threshold": 8000}),
    Pair("pipeline_parallel_size", {"pipeline_parallel_size": 5}, {"pipeline_parallel_size": 4}, is_late=True),
    Pair("VLLM_PP_LAYER_PARTITION", {"pipeline_parallel_size": 2}, {"pipeline_parallel_size": 2},
         env={"VLLM_PP_LAYER_PARTITION": "1,2"}, twin_env={"VLLM_PP_LAYER_PARTITION": "1,3"}, is_late=True),
    Pair("VLLM_PP_LAYER_PARTITION", {"pipeline_parallel_size": 2}, {},
         env={"VLLM_PP_LAYER_PARTITION": "1,1,2"}, twin_env={"VLLM_PP_LAYER_PARTITION": "4"}, is_late=True),
)  # fmt: skip
