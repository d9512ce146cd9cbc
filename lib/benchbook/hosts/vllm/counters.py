"""What vLLM counts and what it logs while it serves, by the neutral names: the one place that has vLLM's own."""

from __future__ import annotations

import re

from benchbook.hosts.face import Counters

COUNTERS = Counters(
    names={
        "running": "vllm:num_requests_running",
        "waiting": "vllm:num_requests_waiting",
        "kv_use_ratio": "vllm:kv_cache_usage_perc",
        "preemptions": "vllm:num_preemptions_total",
        "prefix_cache_queries": "vllm:prefix_cache_queries_total",
        "prefix_cache_hits": "vllm:prefix_cache_hits_total",
        "prompt_tokens": "vllm:prompt_tokens_total",
        "generation_tokens": "vllm:generation_tokens_total",
        "estimated_flops_per_gpu": "vllm:estimated_flops_per_gpu_total",
        "estimated_read_bytes_per_gpu": "vllm:estimated_read_bytes_per_gpu_total",
        "estimated_write_bytes_per_gpu": "vllm:estimated_write_bytes_per_gpu_total",
    },
    sums={
        "queue_s": "vllm:request_queue_time_seconds_sum",
        "queued": "vllm:request_queue_time_seconds_count",
        "prefill_s": "vllm:request_prefill_time_seconds_sum",
        "prefilled": "vllm:request_prefill_time_seconds_count",
        "decode_s": "vllm:request_decode_time_seconds_sum",
        "decoded": "vllm:request_decode_time_seconds_count",
    },
    ended="vllm:request_success_total",
    reason_label="finished_reason",
    engine_label="engine",
    caching=("vllm:cache_config_info", "enable_prefix_caching"),
    block_label="block_size",
)
# What vLLM, PyTorch and the makers of kernels log when they compile, build, load or tune one.
COMPILE_LINE = re.compile(
    r"during inference:|Starting torch\.compile|torch\.compile took|Compiling a graph|Capturing .*(?:graph|model)"
    r"|Graph capturing|[Aa]utotun(?:e|ing)(?![ _]cache| because)|Compile and warming up model|Dynamo bytecode transform"
    r"|JIT kernel warmup|hit config\.(?:recompile|cache_size)_limit|Recompiling function"
    r"|AUTOTUNE (?:\w+\(|benchmarking)|oading JIT ops|start build \[|[Dd]eep_?G(?:EMM|emm)\S* (?:warmup|JIT)|Running NVCC|begins to compile kernel"
)
KV_USAGE = re.compile(r"KV cache usage: ([\d.]+)%")
