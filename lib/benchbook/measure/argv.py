"""The official benchmark commands, as lists: what `vllm bench` is given for a workload. Pure functions.

Traps are closed here. `bench throughput --dataset-name random --input-len 128` measures 1024 tokens: only
`--random-input-len` counts. `bench serve` leaves E2EL out unless `--percentile-metrics` names it; its `--num-warmups`
and its check for readiness would send the first measured prompt ahead, so neither is used. Where a launch does not say,
`bench latency` switches prefix caching off and `bench throughput` leaves it to vLLM: see `offline_args`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbook.hosts.vllm.command import flags, monitor_words
from benchbook.plan.workloads import LatencyWorkload, ServeWorkload, ThroughputWorkload

PERCENTILES = "90,95,99"
_GOODPUT_KEYS = {"slo_ttft_ms": "ttft", "slo_tpot_ms": "tpot", "slo_e2el_ms": "e2el"}


def serve_argv(
    workload: ServeWorkload,
    *,
    base_url: str,
    model_name: str,
    served_name: str,
    tokenizer_words: Sequence[str],
    seed: int,
    raw_path: Path,
) -> list[str]:
    """Return the arguments after `vllm bench` that offer `workload` to a server and save the detailed result.

    `tokenizer_words` say by which tokenizer prompts are cut, see hosts/vllm/tokenizers.py.
    """
    argv = [
        "serve",
        "--backend",
        "openai",
        "--base-url",
        base_url,
        "--endpoint",
        "/v1/completions",
        "--model",
        model_name,
        "--served-model-name",
        served_name,
        *tokenizer_words,
        *_random_lengths(workload.input_len_tokens, workload.output_len_tokens),
        "--random-range-ratio",
        str(workload.range_ratio),
        "--num-prompts",
        str(workload.num_prompts),
        "--seed",
        str(seed),
        "--temperature",
        str(workload.temperature),
        "--burstiness",
        str(workload.burstiness),
        "--percentile-metrics",
        "ttft,tpot,itl,e2el",
        "--metric-percentiles",
        PERCENTILES,
        "--ready-check-timeout-sec",
        "0",
        "--save-result",
        "--save-detailed",
        "--result-dir",
        str(raw_path.parent),
        "--result-filename",
        raw_path.name,
    ]
    if workload.max_concurrency is not None:
        argv += ["--max-concurrency", str(workload.max_concurrency)]
    if workload.request_rate_rps is not None:
        argv += ["--request-rate", str(workload.request_rate_rps)]
    limits = [
        f"{name}:{getattr(workload, key):g}"
        for key, name in _GOODPUT_KEYS.items()
        if getattr(workload, key) is not None
    ]
    return argv + (["--goodput", *limits] if limits else [])


PREFIX_CACHING = "enable_prefix_caching"


def offline_args(engine_args: Mapping[str, object]) -> dict[str, object]:
    """Return the engine arguments of the offline benchmarks: those of the launch, and prefix caching off unless named.

    That is what `bench latency` needs, which gives the same prompts again and again, and both must ask for the same
    engine to share one. Random prompts have nothing in common, so throughput loses nothing by it.
    """
    return {PREFIX_CACHING: False, **engine_args}


def offline_remark(engine_args: Mapping[str, object]) -> str | None:
    """Return what a reader must know of prefix caching in the offline benchmarks of a launch; None when it is off."""
    if PREFIX_CACHING not in engine_args:
        return f"{PREFIX_CACHING} is not set: the offline benchmarks run with it off, the server by vLLM's own choice"
    if engine_args[PREFIX_CACHING]:
        return f"{PREFIX_CACHING} is on: bench latency repeats its prompts, so it times cached prefills"
    return None


def latency_argv(
    workload: LatencyWorkload, *, model_path: str, engine_args: Mapping[str, object], raw_path: Path
) -> list[str]:
    """Return the arguments after `vllm bench` that time one batch at a time on an engine of its own."""
    return [
        "latency",
        "--model",
        model_path,
        "--input-len",
        str(workload.input_len_tokens),
        "--output-len",
        str(workload.output_len_tokens),
        "--batch-size",
        str(workload.batch_size),
        "--num-iters",
        str(workload.num_iters),
        "--num-iters-warmup",
        str(workload.num_iters_warmup),
        "--output-json",
        str(raw_path),
        *flags(offline_args(engine_args)),
        *monitor_words(engine_args),
    ]


def throughput_argv(
    workload: ThroughputWorkload,
    *,
    model_path: str,
    engine_args: Mapping[str, object],
    seed: int,
    raw_path: Path,
    is_warm: bool = False,
) -> list[str]:
    """Return the arguments after `vllm bench` that give an engine all prompts at once, warmed up unless `is_warm`."""
    return [
        "throughput",
        "--model",
        model_path,
        *_random_lengths(workload.input_len_tokens, workload.output_len_tokens),
        "--num-prompts",
        str(workload.num_prompts),
        "--num-warmups",
        str(0 if is_warm else workload.warmup_prompts),
        "--seed",
        str(seed),
        "--output-json",
        str(raw_path),
        *flags(offline_args(engine_args)),
        *monitor_words(engine_args),
    ]


def _random_lengths(input_len_tokens: int, output_len_tokens: int) -> list[str]:
    return [
        "--dataset-name",
        "random",
        "--random-input-len",
        str(input_len_tokens),
        "--random-output-len",
        str(output_len_tokens),
    ]
