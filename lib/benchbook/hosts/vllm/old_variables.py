"""Variables that vLLM had in 0.8 or later, that are gone or asked by nothing in 0.33, and what says the same today.

Read off the released sources; `lib/vllm_names.py` finds what the next release adds to this.
"""

from __future__ import annotations

from typing import Any

from benchbook.hosts.vllm.renaming import (
    Refused,
    Settings,
    Translation,
    chosen,
    converted,
    left_out,
    only,
    refused,
    renamed,
    switch,
    switched,
)

_V0 = "the engine V0's, which is gone"
_OPENVINO = "OpenVINO is a plugin of its own now"
_TPU = "TPUs are a plugin of their own now"
_HPU = "Gaudi is a plugin of its own now"
_RAY_GRAPH = "Ray's compiled graphs are not used any more"
_SCALES = "key and value scales come from the checkpoint, or are 1.0"
_MOE = "name moe_backend: flashinfer_trtllm (low latency) or flashinfer_cutlass (throughput)"
_NO_FLASHINFER = (
    "FlashInfer cannot be forbidden for experts: name the moe_backend that is wanted, such as cutlass or triton"
)
_MXFP8 = {"quantization_config": {"moe": {"activation": "mxfp8"}}}
_PROFILER = "profiler_config"
_ATTENTION = "attention_config"
_PREFILL = f"{_ATTENTION}.mla_prefill_backend"
_TRANSFER = "kv_transfer_config.kv_connector_extra_config"
_USE_UNIFIED, _UNIFIED = "VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION", "ROCM_AITER_UNIFIED_ATTN"
_OFF, _ON = "0|false|False", "1|true|True"
_WHERE_IT_FITS = "the kernel is used where it fits"


def _moe(value: Any, launch: Settings) -> Settings:
    """FlashInfer's experts: which of its kernels, another setting says; without one, vLLM took the first that fitted."""
    if not switch("VLLM_USE_FLASHINFER_MOE", value):
        raise Refused(f"gone since 0.24: {_NO_FLASHINFER}")
    if str(launch.get("moe_backend", "")).startswith("flashinfer_"):
        return {}
    raise Refused(f"gone since 0.24: it left the choice among FlashInfer's kernels to vLLM; {_MOE}")


def _whole(text: str) -> int:
    return int(text)


def _text(text: str) -> str:
    return text


def _flash_attention(text: str) -> int:
    if text not in ("2", "3", "4"):
        raise Refused(f"must be 2, 3 or 4: it is {_ATTENTION}.flash_attn_version now")
    return int(text)


def _flag(old: str, since: str, new: str) -> Translation:
    """Return the entry of a variable that was 0 or 1 and is true or false under `new`."""
    return converted(old, since, new, lambda text: switch(old, text))


VARIABLES = (
    # Engines.
    only("VLLM_USE_V1", "0.11.1", _ON, "V1 is the only engine", "the engine V0 is gone since 0.11; only V1 is left"),
    left_out("VLLM_V0_USE_OUTLINES_CACHE", "0.11.1", f"the cache was {_V0}"),
    left_out("VLLM_RPC_TIMEOUT", "0.23.0", "nothing waits by it any more"),
    left_out("VLLM_ENGINE_ITERATION_TIMEOUT_S", "0.32.0", f"what it limited was {_V0}"),
    left_out("VLLM_LOGITS_PROCESSOR_THREADS", "0.11.1", f"such threads were {_V0}"),
    left_out("VLLM_NO_DEPRECATION_WARNING", "0.10.1", "nothing asks it"),
    left_out("VLLM_DISABLE_PAD_FOR_CUDAGRAPH", "0.11.1", "batches are padded to a graph's size, or run without one"),
    left_out("VLLM_SLEEP_WHEN_IDLE", "0.18.0", "idle workers sleep by themselves"),
    left_out("VLLM_FLAT_LOGPROBS", "0.12.0", "each request says so by itself"),
    left_out("VLLM_GPT_OSS_USE_CONTAINER_TOOL", "0.11.0", "see VLLM_GPT_OSS_SYSTEM_TOOL_MCP_LABELS"),
    renamed("GPT_OSS_SYSTEM_TOOL_MCP_LABELS", "0.11.1", "VLLM_GPT_OSS_SYSTEM_TOOL_MCP_LABELS"),
    _flag("VLLM_DISABLE_NCCL_FOR_DP_SYNCHRONIZATION", "0.11.1", "disable_nccl_for_dp_synchronization"),
    converted("VLLM_PREFIX_CACHE_RETENTION_INTERVAL", "0.30.0", "prefix_cache_retention_interval", _whole),
    # Ray.
    only("VLLM_USE_RAY_COMPILED_DAG", "0.11.1", "1", "it is how Ray is used", "the way without compiled graphs is gone"),
    only("VLLM_USE_RAY_SPMD_WORKER", "0.11.1", "1", "it is how Ray is used", "the way with a driver worker is gone"),
    left_out("VLLM_USE_RAY_COMPILED_DAG_NCCL_CHANNEL", "0.8.5", "see VLLM_USE_RAY_COMPILED_DAG_CHANNEL_TYPE"),
    left_out("VLLM_USE_RAY_COMPILED_DAG_CHANNEL_TYPE", "0.33.0", _RAY_GRAPH),
    left_out("VLLM_USE_RAY_COMPILED_DAG_OVERLAP_COMM", "0.33.0", _RAY_GRAPH),
    left_out("VLLM_USE_RAY_WRAPPED_PP_COMM", "0.33.0", _RAY_GRAPH),
    only("VLLM_USE_RAY_V2_EXECUTOR_BACKEND", "0.33.0", "1", "it is the only one", _RAY_GRAPH),
    # Attention.
    renamed("VLLM_ATTENTION_BACKEND", "0.15.0", "attention_backend", "ignored in silence; it is attention_backend now"),
    converted(
        "VLLM_FLASH_ATTN_VERSION", "0.15.0", f"{_ATTENTION}.flash_attn_version", _flash_attention,
        f"ignored in silence; it is {_ATTENTION}.flash_attn_version now",
    ),
    converted(
        "VLLM_FLASH_ATTN_MAX_NUM_SPLITS_FOR_CUDA_GRAPH", "0.15.0",
        f"{_ATTENTION}.flash_attn_max_num_splits_for_cuda_graph", _whole,
    ),
    _flag("VLLM_USE_TRTLLM_ATTENTION", "0.15.0", f"{_ATTENTION}.use_trtllm_attention"),
    renamed("VLLM_USE_TRTLLM_DECODE_ATTENTION", "0.10.1", "VLLM_USE_TRTLLM_ATTENTION", until="0.15.0"),
    _flag("VLLM_USE_TRTLLM_DECODE_ATTENTION", "0.15.0", f"{_ATTENTION}.use_trtllm_attention"),
    renamed("VLLM_USE_TRTLLM_CONTEXT_ATTENTION", "0.10.1", "VLLM_USE_TRTLLM_ATTENTION", until="0.15.0"),
    _flag("VLLM_USE_TRTLLM_CONTEXT_ATTENTION", "0.15.0", f"{_ATTENTION}.use_trtllm_attention"),
    _flag("VLLM_FLASHINFER_DISABLE_Q_QUANTIZATION", "0.15.0", f"{_ATTENTION}.disable_flashinfer_q_quantization"),
    only(
        "VLLM_USE_CUDNN_PREFILL", "0.15.0", _OFF, "cuDNN's prefill is gone",
        f"cuDNN's prefill is gone: {_PREFILL} may be FLASH_ATTN, FLASHINFER or TRTLLM_RAGGED",
    ),
    switched(
        "VLLM_USE_TRTLLM_RAGGED_DEEPSEEK_PREFILL", "0.15.0", {f"{_ATTENTION}.use_trtllm_ragged_deepseek_prefill": True},
        until="0.21.0",
    ),
    switched("VLLM_USE_TRTLLM_RAGGED_DEEPSEEK_PREFILL", "0.21.0", {_PREFILL: "TRTLLM_RAGGED"}),
    switched(
        "VLLM_DISABLE_FLASHINFER_PREFILL", "0.15.0", {f"{_ATTENTION}.disable_flashinfer_prefill": True}, until="0.21.0"
    ),
    switched("VLLM_DISABLE_FLASHINFER_PREFILL", "0.21.0", {_PREFILL: "FLASH_ATTN"}),
    switched(
        "VLLM_V1_USE_PREFILL_DECODE_ATTENTION", "0.15.0", {"attention_backend": "ROCM_ATTN"},
        "the backend is named instead",
    ),
    left_out("VLLM_USE_TRITON_FLASH_ATTN", "0.11.1", f"the kernel that it chose was {_V0}"),
    left_out("VLLM_FLASHINFER_FORCE_TENSOR_CORES", "0.10.2", "FlashInfer chooses by itself"),
    renamed("VLLM_TRITON_ATTN_USE_TD", "0.29.0", "VLLM_TRITON_USE_TD"),
    # Experts and quantised layers. FlashInfer's kernel comes before what only asks for FlashInfer.
    chosen(
        "VLLM_FLASHINFER_MOE_BACKEND", "0.24.0",
        {"latency": {"moe_backend": "flashinfer_trtllm"}, "throughput": {"moe_backend": "flashinfer_cutlass"},
         "masked_gemm": {"moe_backend": "flashinfer_cutedsl"}},
        "it is moe_backend now",
    ),
    Translation("VLLM_USE_FLASHINFER_MOE_FP4", "0.24.0", _moe, "gone since 0.24: moe_backend says it"),
    Translation("VLLM_USE_FLASHINFER_MOE_FP8", "0.24.0", _moe, "gone since 0.24: moe_backend says it"),
    Translation("VLLM_USE_FLASHINFER_MOE_FP16", "0.24.0", _moe, "gone since 0.24: moe_backend says it"),
    Translation("VLLM_USE_FLASHINFER_MOE_MXFP4_BF16", "0.24.0", _moe, "gone since 0.24: moe_backend says it"),
    renamed(  # of the images for gpt-oss
        "VLLM_USE_FLASHINFER_MXFP4_BF16_MOE", "0.10.1", "VLLM_USE_FLASHINFER_MOE_MXFP4_BF16", until="0.24.0",
    ),
    Translation("VLLM_USE_FLASHINFER_MXFP4_BF16_MOE", "0.24.0", _moe, "gone since 0.24: moe_backend says it"),
    renamed("VLLM_USE_FLASHINFER_MXFP4_MOE", "0.10.1", "VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", until="0.24.0"),
    switched("VLLM_USE_FLASHINFER_MXFP4_MOE", "0.24.0", {"moe_backend": "flashinfer_trtllm", **_MXFP8}),
    switched("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", "0.24.0", {"moe_backend": "flashinfer_trtllm", **_MXFP8}),
    switched("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS", "0.24.0", {"moe_backend": "flashinfer_cutlass", **_MXFP8}),
    switched("VLLM_MXFP4_USE_MARLIN", "0.24.0", {"moe_backend": "marlin"}),
    only(
        "VLLM_TEST_FORCE_FP8_MARLIN", "0.29.0", _OFF, "Marlin is named by linear_backend and moe_backend",
        "name linear_backend: marlin, and moe_backend: marlin for a model with experts",
    ),
    converted(
        "VLLM_NVFP4_GEMM_BACKEND", "0.24.0", "linear_backend", lambda text: text.replace("-", "_"),
    ),
    switched("VLLM_USE_TRTLLM_FP4_GEMM", "0.11.1", {"VLLM_NVFP4_GEMM_BACKEND": "flashinfer-trtllm"}, until="0.24.0"),
    switched("VLLM_USE_TRTLLM_FP4_GEMM", "0.24.0", {"linear_backend": "flashinfer_trtllm"}),
    switched("VLLM_USE_FBGEMM", "0.24.0", {"linear_backend": "fbgemm"}),
    switched("VLLM_USE_NVFP4_CT_EMULATIONS", "0.24.0", {"linear_backend": "emulation"}),
    converted("VLLM_ALL2ALL_BACKEND", "0.16.0", "all2all_backend", _text),
    left_out("VLLM_FUSED_MOE_CHUNK_SIZE", "0.18.0", "experts are not computed in chunks any more"),
    left_out("VLLM_ENABLE_FUSED_MOE_ACTIVATION_CHUNKING", "0.18.0", "experts are not computed in chunks any more"),
    left_out("VLLM_MOE_DP_CHUNK_SIZE", "0.20.0", "experts are not computed in chunks any more"),
    left_out("VLLM_ENABLE_MOE_DP_CHUNK", "0.20.0", "experts are not computed in chunks any more"),
    left_out("VLLM_ENABLE_MOE_ALIGN_BLOCK_SIZE_TRITON", "0.9.2", "there is one way left"),
    left_out("VLLM_NIXL_EP_MAX_NUM_RANKS", "0.30.0", "the number of ranks is known"),
    left_out("VLLM_QUARK_EMU_MEM_OPT", "0.10.0", "weights are dequantised as they are used"),
    switched("VLLM_SKIP_DEEP_GEMM_WARMUP", "0.11.1", {"VLLM_DEEP_GEMM_WARMUP": "skip"}),
    switched("VLLM_USE_DEEP_GEMM_E8M0_HOPPER", "0.11.1", {"VLLM_USE_DEEP_GEMM_E8M0": "1"}),
    refused(
        "VLLM_FLASHINFER_ALLREDUCE_FUSION_THRESHOLDS_MB", "0.26.0",
        "write compilation_config.pass_config.fi_allreduce_fusion_max_size_mb, one number of MB",
    ),
    # ROCm.
    renamed(
        "VLLM_USE_AITER_UNIFIED_ATTENTION", "0.11.1", "VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION", until="0.19.0",
    ),
    switched(
        "VLLM_USE_AITER_UNIFIED_ATTENTION", "0.19.0", {"attention_backend": "ROCM_AITER_UNIFIED_ATTN"},
        "it was VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION, which nothing asks since 0.19: the backend is named instead",
    ),
    Translation(
        _USE_UNIFIED, "0.19.0",
        lambda value, _: {"attention_backend": _UNIFIED} if switch(_USE_UNIFIED, value) else {},
        "still read, but nothing asks it since 0.19: the backend is named instead",
    ),
    only(
        "VLLM_ROCM_CUSTOM_PAGED_ATTN", "0.19.0", _ON, "the backend ROCM_ATTN always uses its own kernel",
        "the backend ROCM_ATTN always uses its own kernel: name another attention_backend",
    ),
    left_out("VLLM_ROCM_USE_AITER_PAGED_ATTN", "0.26.0", f"the kernel that it chose was {_V0}"),
    renamed("VLLM_ROCM_USE_TRITON_ROPE", "0.11.1", "VLLM_ROCM_USE_AITER_TRITON_ROPE"),
    switched("VLLM_ROCM_USE_AITER_MOE_SITUV2_A8W4", "0.31.0", {"VLLM_ROCM_USE_AITER_MOE_SITUV2": "a8w4"}),
    only(
        "VLLM_ROCM_AITER_MLA_DCP_VERIFY", "0.33.0", "auto", "the kernel follows from the shape",
        "the kernel follows from the shape and cannot be named",
    ),
    only("VLLM_ROCM_MONO_DECODE", "0.33.0", _ON, _WHERE_IT_FITS, f"cannot be turned off: {_WHERE_IT_FITS}"),
    only("VLLM_ROCM_USE_AITER_FP4_ASM_GEMM", "0.33.0", _ON, _WHERE_IT_FITS, f"cannot be turned off: {_WHERE_IT_FITS}"),
    refused("VLLM_ROCM_AITER_MEGA_MOE_FUSE_SHARED_EXPERTS", "0.33.0", "vLLM decides by itself: leave it out"),
    # Models of one kind.
    renamed("VLLM_KIMI_K3_GEMM_RS", "0.31.0", "VLLM_ENABLE_GEMM_RS"),
    _flag("VLLM_PLE_CPU_OFFLOAD", "0.31.0", "engram_config.cpu_offload"),
    # Images and sounds.
    converted("VLLM_MM_INPUT_CACHE_GIB", "0.13.0", "mm_processor_cache_gb", float),
    converted("VLLM_MM_HASHER_ALGORITHM", "0.30.0", "mm_hasher_algorithm", str.lower),
    # KV transfer.
    left_out("VLLM_NIXL_ABORT_REQUEST_TIMEOUT", "0.22.0", "the connector renews a lease: see kv_lease_duration in kv_connector_extra_config"),
    renamed("VLLM_MORIIO_CONNECTOR_READ_MODE", "0.23.0", f"{_TRANSFER}.read_mode"),
    converted("VLLM_MORIIO_QP_PER_TRANSFER", "0.23.0", f"{_TRANSFER}.qp_per_transfer", _whole),
    converted("VLLM_MORIIO_POST_BATCH_SIZE", "0.23.0", f"{_TRANSFER}.post_batch_size", _whole),
    converted("VLLM_MORIIO_NUM_WORKERS", "0.23.0", f"{_TRANSFER}.num_workers", _whole),
    # Profiling.
    Translation(
        "VLLM_TORCH_PROFILER_DIR", "0.16.0",
        lambda value, _: {f"{_PROFILER}.profiler": "torch", f"{_PROFILER}.torch_profiler_dir": value},
        f"gone since 0.16: it is {_PROFILER}.torch_profiler_dir now",
    ),
    switched("VLLM_TORCH_CUDA_PROFILE", "0.16.0", {f"{_PROFILER}.profiler": "cuda"}),
    _flag("VLLM_TORCH_PROFILER_RECORD_SHAPES", "0.16.0", f"{_PROFILER}.torch_profiler_record_shapes"),
    _flag("VLLM_TORCH_PROFILER_WITH_PROFILE_MEMORY", "0.16.0", f"{_PROFILER}.torch_profiler_with_memory"),
    _flag("VLLM_TORCH_PROFILER_WITH_STACK", "0.16.0", f"{_PROFILER}.torch_profiler_with_stack"),
    _flag("VLLM_TORCH_PROFILER_WITH_FLOPS", "0.16.0", f"{_PROFILER}.torch_profiler_with_flops"),
    _flag("VLLM_TORCH_PROFILER_USE_GZIP", "0.16.0", f"{_PROFILER}.torch_profiler_use_gzip"),
    _flag("VLLM_TORCH_PROFILER_DUMP_CUDA_TIME_TOTAL", "0.16.0", f"{_PROFILER}.torch_profiler_dump_cuda_time_total"),
    _flag("VLLM_TORCH_PROFILER_DISABLE_ASYNC_LLM", "0.16.0", f"{_PROFILER}.ignore_frontend"),
    converted("VLLM_PROFILER_DELAY_ITERS", "0.16.0", f"{_PROFILER}.delay_iterations", _whole),
    converted("VLLM_PROFILER_MAX_ITERS", "0.16.0", f"{_PROFILER}.max_iterations", _whole),
    # Processors and accelerators.
    left_out("VLLM_CPU_MOE_PREPACK", "0.12.0", "experts are packed wherever it helps"),
    left_out("VLLM_CPU_SGL_KERNEL", "0.28.0", "those kernels are used where they fit"),
    left_out("VLLM_XPU_ENABLE_XPU_GRAPH", "0.31.0", "graphs are captured unless enforce_eager is set"),
    left_out("K_SCALE_CONSTANT", "0.28.0", _SCALES),
    left_out("Q_SCALE_CONSTANT", "0.28.0", _SCALES),
    left_out("V_SCALE_CONSTANT", "0.28.0", _SCALES),
    left_out("VLLM_TPU_BUCKET_PADDING_GAP", "0.26.0", _TPU),
    left_out("VLLM_TPU_MOST_MODEL_LEN", "0.26.0", _TPU),
    left_out("VLLM_HPU_USE_DELAYED_SAMPLING", "0.10.0", _HPU),
    left_out("VLLM_USE_HPU_CONTIGUOUS_CACHE_FETCH", "0.10.0", _HPU),
    left_out("VLLM_OPENVINO_DEVICE", "0.8.5", _OPENVINO),
    left_out("VLLM_OPENVINO_KVCACHE_SPACE", "0.8.5", _OPENVINO),
    left_out("VLLM_OPENVINO_CPU_KV_CACHE_PRECISION", "0.8.5", _OPENVINO),
    left_out("VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS", "0.8.5", _OPENVINO),
    # vLLM's own tests.
    left_out("VLLM_TEST_STANDALONE_COMPILE", "0.9.1", "a switch of vLLM's own tests"),
    left_out("VLLM_TEST_DYNAMO_FULLGRAPH_CAPTURE", "0.11.0", "a switch of vLLM's own tests"),
    left_out("VLLM_TEST_USE_PRECOMPILED_NIGHTLY_WHEEL", "0.13.0", "a switch of vLLM's own builds"),
    left_out("VLLM_CI_USE_S3", "0.26.0", "a switch of vLLM's own tests"),
)  # fmt: skip
