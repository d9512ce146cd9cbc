"""The config.json of a few models, as far as limits read it, and records made for them."""

from __future__ import annotations

from typing import Any

from benchbook.records.described import described
from benchbook.records.host import HostFacts
from benchbook.records.record import Outcome, Record, Verdict

TINY = {
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "intermediate_size": 512,
    "vocab_size": 16384,
    "tie_word_embeddings": True,
}
GPT_OSS_120B = {
    "model_type": "gpt_oss",
    "dtype": "bfloat16",
    "hidden_size": 2880,
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2880,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
    "sliding_window": 128,
    "vocab_size": 201088,
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
    },
}
LLAMA_8B = {
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}
H200 = {"bandwidth_gb_s": 4800.0, "tflops": {"bfloat16": 989.4, "fp8": 1978.9}, "source": "data sheet"}
CPU = {"bandwidth_gb_s": 57.8, "tflops": {"bfloat16": 1.67}, "source": "measured before the start (CPU, 2 threads)"}


def host(config: dict[str, Any] = GPT_OSS_120B, peaks: dict[str, Any] = H200, argv: str = "", **more: Any) -> HostFacts:
    """Return a record's host block."""
    return HostFacts(config=config, peaks=peaks, argv=["vllm", "serve", "m", *argv.split()], **more)


def served(
    in_flight: int | None,
    itl_ms: float = 5.3,
    tok_s: float = 1356.0,
    lengths: tuple[int, int] = (4096, 1024),
    rate: float | None = None,
    **block,
) -> Record:
    """Return a serve record with these results, `block` for its host."""
    workload = {
        "input_len_tokens": lengths[0],
        "output_len_tokens": lengths[1],
        "max_concurrency": in_flight,
        "num_prompts": 80,
        "request_rate_rps": rate,
    }
    # TPOT holds other requests' prefills besides the steps.
    steps_ms = {"median_itl_ms": itl_ms, "median_tpot_ms": itl_ms * 1.02}
    values = {**steps_ms, "median_ttft_ms": 467.0, "output_throughput_tok_s": tok_s, "completed": 80}
    return make("serve", workload, {**values, "total_output_tokens": 80 * lengths[1]}, host(**block))


def make(benchmark: str, workload: dict, values: dict, block: HostFacts) -> Record:
    """Return a measured record."""
    return Record(
        benchmark=benchmark,
        workload=workload,
        **described(benchmark, workload)._asdict(),
        outcome=Outcome.MEASURED,
        values=values,
        verdict=Verdict.VALID,
        started_utc="2026-11-23T20:15:00+00:00",
        ended_utc="2026-11-23T20:15:09+00:00",
        started_monotonic_s=1.0,
        ended_monotonic_s=10.0,
        raw_file="raw.json",
        host=block,
    )
