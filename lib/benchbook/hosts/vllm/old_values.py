"""Values that flags, options and variables of vLLM took in 0.8 or later and do not take any more in 0.33.

Read off the released sources; `lib/vllm_names.py` finds what the next release adds to this.
"""

from __future__ import annotations

from benchbook.hosts.vllm.renaming import OldValue

_ATTENTION = (
    "attention_backend",
    "attention_config.backend",
    "speculative_config.attention_backend",
    "mm_encoder_attn_backend",
)
_QUANTIZATION = ("quantization", "speculative_config.quantization")
_ON_CUDA = "FLASH_ATTN, FLASHINFER or TRITON_ATTN instead"
_ON_ROCM = "ROCM_ATTN, ROCM_AITER_FA or TRITON_ATTN instead"
_ALL2ALL = "allgather_reducescatter"
_CHECKPOINTS = "checkpoints of this kind are not read any more"


def _attention(old: str, since: str, new: str | None, reason: str) -> OldValue:
    return OldValue(_ATTENTION, old, since, new, reason)


def _of_v1(name: str, since: str = "0.11.0") -> OldValue:
    return _attention(f"{name}_VLLM_V1", since, name, f"V1 is the only engine: it is {name} now")


def _no_quantization(old: str, since: str, reason: str = _CHECKPOINTS, new: str | None = None) -> OldValue:
    return OldValue(_QUANTIZATION, old, since, new, reason)


VALUES = (
    # Backends of attention.
    *map(_of_v1, ("FLASH_ATTN", "FLASHINFER", "FLASHMLA", "TRITON_ATTN", "TRITON_MLA", "ROCM_AITER_MLA")),
    _of_v1("CUTLASS_MLA", "0.10.1"),
    _attention("TORCH_SDPA_VLLM_V1", "0.11.0", "CPU_ATTN", "on a CPU it is CPU_ATTN now"),
    _attention("XFORMERS_VLLM_V1", "0.11.0", None, _ON_CUDA),
    _attention("PALLAS_VLLM_V1", "0.11.0", None, "TPUs are a plugin of their own"),
    _attention("XFORMERS", "0.12.0", None, _ON_CUDA),
    _attention("PALLAS", "0.14.0", None, "TPUs are a plugin of their own"),
    _attention("IPEX", "0.16.0", None, "FLASH_ATTN or TRITON_ATTN on Intel's GPUs, CPU_ATTN on a CPU"),
    _attention("TREE_ATTN", "0.21.0", None, f"trees of tokens are gone: {_ON_CUDA}"),
    _attention("ROCM_FLASH", "0.11.1", None, f"the engine V0's: {_ON_ROCM}"),
    _attention("DUAL_CHUNK_FLASH_ATTN", "0.11.1", None, f"the engine V0's: {_ON_CUDA}"),
    _attention("DIFFERENTIAL_FLASH_ATTN", "0.11.1", None, f"the engine V0's: {_ON_CUDA}"),
    _attention("BLOCK_SPARSE_FLASH_ATTN", "0.10.0", None, f"the engine V0's: {_ON_CUDA}"),
    _attention("HPU_ATTN", "0.10.0", None, "Gaudi is a plugin of its own"),
    _attention("OPENVINO", "0.8.5", None, "OpenVINO is a plugin of its own"),
    # Quantisation and loading.
    _no_quantization("nvfp4", "0.9.0", "it is modelopt_fp4 now", "modelopt_fp4"),
    _no_quantization("auto-round", "0.15.0", "it is inc now", "inc"),
    _no_quantization("cpu_gptq", "0.14.0", "gptq is right on a CPU too", "gptq"),
    _no_quantization("cpu_awq", "0.23.0", "awq is right on a CPU too", "awq"),
    _no_quantization("aqlm", "0.10.1"),
    _no_quantization("marlin", "0.10.2"),
    _no_quantization("qqq", "0.10.2"),
    _no_quantization("neuron_quant", "0.10.2", "Neuron is a plugin of its own"),
    _no_quantization("tpu_int8", "0.14.0", "TPUs are a plugin of their own"),
    _no_quantization("deepspeedfp", "0.15.0", "fp8_per_tensor quantises while it loads"),
    _no_quantization("hqq", "0.15.0"),
    _no_quantization("rtn", "0.15.0", "int8_per_channel_weight_only quantises while it loads"),
    _no_quantization("bitblas", "0.16.0"),
    _no_quantization("gptq_bitblas", "0.16.0", "gptq reads the same checkpoints"),
    _no_quantization("gptq_marlin_24", "0.16.0"),
    _no_quantization("ipex", "0.16.0", "awq and gptq read the same checkpoints"),
    _no_quantization("ptpc_fp8", "0.19.0", "fp8_per_channel quantises while it loads"),
    _no_quantization("petit_nvfp4", "0.20.0"),
    _no_quantization("gguf", "0.24.0", "GGUF files are read by the plugin vllm-gguf-plugin alone"),
    _no_quantization("bitsandbytes", "0.28.0", "fp8_per_channel quantises while it loads"),
    OldValue(("load_format",), "gguf", "0.24.0", None, "GGUF files are read by the plugin vllm-gguf-plugin alone"),
    OldValue(("load_format",), "bitsandbytes", "0.28.0", None, "leave it out, and name another quantization"),
    # Others.
    OldValue(("tokenizer_mode",), "custom", "0.12.0", None, "register the tokenizer under a name of its own"),
    OldValue(("tokenizer_mode",), "fastokens", "0.22.0", None, "set VLLM_USE_FASTOKENS to 1 instead"),
    OldValue(("tokenizer_mode",), "slow", "0.31.0", "hf", "hf takes whichever tokenizer the model has"),
    OldValue(("all2all_backend",), "pplx", "0.17.0", _ALL2ALL, f"vLLM takes {_ALL2ALL} in its place"),
    OldValue(("all2all_backend",), "naive", "0.17.0", _ALL2ALL, f"vLLM takes {_ALL2ALL} in its place"),
    OldValue(("all2all_backend",), "mori", "0.23.0", None, "mori_high_throughput or mori_low_latency instead"),
    OldValue(("convert",), "reward", "0.16.0", None, "leave it out: runner: pooling is enough"),
    OldValue(("convert",), "mm_encoder_only", "0.16.0", None, "such a server answers no text: leave it out"),
    OldValue(("prefix_caching_hash_algo",), "builtin", "0.10.2", "sha256", "sha256 is the default"),
    OldValue(("prefix_caching_hash_algo",), "sha256_cbor_64bit", "0.10.2", "sha256_cbor", "it is sha256_cbor now"),
    OldValue(("mamba_cache_mode",), "all", "0.32.0", None, "align or none instead"),
    OldValue(
        ("moe_backend", "kernel_config.moe_backend"), "flashinfer_moe_ep_mega_cutedsl", "0.32.0", None,
        "flashinfer_moe_ep_cutedsl or flashinfer_moe_ep_mega_deep_gemm instead",
    ),
    OldValue(
        ("kv_transfer_config.kv_connector",), "LMCacheConnector", "0.11.0", "LMCacheConnectorV1",
        "it was the engine V0's, and is LMCacheConnectorV1 now",
    ),
    OldValue(
        ("kv_transfer_config.kv_connector",), "SharedStorageConnector", "0.13.0", "ExampleConnector",
        "it is ExampleConnector now",
    ),
    OldValue(
        ("ec_transfer_config.ec_connector",), "ECSharedStorageConnector", "0.13.0", "ECExampleConnector",
        "it is ECExampleConnector now",
    ),
    OldValue(
        ("kv_transfer_config.kv_connector",), "P2pNcclConnector", "0.24.0", None,
        "NixlConnector or MooncakeConnector instead",
    ),
    OldValue(
        ("kv_transfer_config.kv_connector",), "PyNcclConnector", "0.11.0", None,
        "it was the engine V0's: NixlConnector or MooncakeConnector instead",
    ),
    OldValue(("speculative_config.rejection_sample_method",), "strict", "0.21.0", None, "standard instead"),
    OldValue(
        ("speculative_config.rejection_sample_method",), "probabilistic", "0.21.0", "standard",
        "standard is probabilistic sampling",
    ),
    OldValue(
        ("speculative_config.draft_sample_method",), "gumbel", "0.22.0", "probabilistic", "it is probabilistic now",
    ),
    OldValue(("speculative_config.method", "spec_method"), "medusa", "0.33.0", None, "eagle3 or a draft model instead"),
    OldValue(
        ("speculative_config.method", "spec_method"), "mlp_speculator", "0.33.0", None,
        "eagle3 or a draft model instead",
    ),
    OldValue(("tool_call_parser",), "minimax", "0.24.0", None, "only minimax_m2 and minimax_m3 are left"),
    OldValue(("VLLM_FLOAT32_MATMUL_PRECISION",), "ieee", "0.14.0", "highest", "it is highest now"),
    OldValue(("VLLM_FLOAT32_MATMUL_PRECISION",), "tf32", "0.14.0", "high", "it is high now"),
)  # fmt: skip
