"""The official benchmark commands, as lists: what `vllm bench` is given for a workload. Pure functions.

Traps are closed here. `bench throughput --dataset-name random --input-len 128` measures 1024 tokens: only
`--random-input-len` counts. `bench serve` leaves E2EL out unless `--percentile-metrics` names it; its `--num-warmups`
and its check for readiness would send the first measured prompt ahead, so neither is used. Where a launch does not say,
`bench latency` switches prefix caching off and `bench throughput` leaves it to vLLM: see `offline_args`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.command import flags, monitor_words
from benchbook.plan.workload import Workload
from benchbook.plan.workloads import FirstRequestWorkload, LatencyWorkload, ServeWorkload, ThroughputWorkload
from benchbook.terms.benchmarks import FIRST_REQUEST, LATENCY, SERVE, THROUGHPUT

PERCENTILES = "90,95,99"
_GOODPUT_KEYS = {"slo_ttft_ms": "ttft", "slo_tpot_ms": "tpot", "slo_e2el_ms": "e2el"}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """How the requests of a set are sent, in vLLM's words."""

    words: Sequence[str]  # that name them, and how many
    endpoint: str
    ends_by: str
    sampling: Mapping[str, float]

    @property
    def how_answered(self) -> list[str]:
        """Return the words for what is asked of each answer; what they do not say is the server's choice."""
        ends = ["--ignore-eos"] if self.ends_by == "length" else []
        return [*ends, *(word for name, value in self.sampling.items() for word in (_flag(name), f"{value:g}"))]


_ENDPOINTS = {"completions": ("openai", "/v1/completions"), "chat": ("openai-chat", "/v1/chat/completions")}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is measured, as a command must name it; a server's and an engine's command each leave out some."""

    model: str  # its path, or the name of a server's own
    raw_path: Path  # where the result goes
    seed: int = 0  # of the prompts
    base_url: str = ""
    served_name: str = ""
    tokenizer_words: Sequence[str] = ()  # by which tokenizer a client cuts prompts, see hosts/vllm/tokenizers.py
    engine_args: Mapping[str, object] = field(default_factory=dict)  # of the launch
    python: Python = HERE  # whose vLLM an engine is of
    is_warm: bool = False  # its host was warmed up for this load
    sent: Sent | None = None  # of a workload that has a set
    trusts_all: bool = False  # whoever answers by TLS is believed


Words = Callable[[Any, Target], list[str]]  # of a workload and what it is measured on


def serve_argv(workload: ServeWorkload, target: Target) -> list[str]:
    """Return the arguments after `vllm bench` that offer `workload` to a server and save the detailed result."""
    backend, endpoint = _ENDPOINTS[target.sent.endpoint if target.sent else "completions"]
    argv = [
        SERVE.name,
        "--backend",
        backend,
        "--base-url",
        target.base_url,
        "--endpoint",
        endpoint,
        "--model",
        target.model,
        "--served-model-name",
        target.served_name,
        *target.tokenizer_words,
        *(target.sent.words if target.sent else _random_tokens(workload)),
        "--seed",
        str(target.seed),
        *(target.sent.how_answered if target.sent else ["--temperature", str(workload.temperature)]),
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
        str(target.raw_path.parent),
        "--result-filename",
        target.raw_path.name,
    ]
    if workload.max_concurrency is not None:
        argv += ["--max-concurrency", str(workload.max_concurrency)]
    if ramp := workload.ramp:
        argv += ["--ramp-up-strategy", ramp.strategy]
        argv += ["--ramp-up-start-rps", str(ramp.start_rps), "--ramp-up-end-rps", str(ramp.end_rps)]
    elif workload.request_rate_rps is not None:
        argv += ["--request-rate", str(workload.load.rate_rps if workload.share else workload.request_rate_rps)]
    if target.trusts_all:
        argv.append("--insecure")
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
    engine to share one. Random prompts have nothing in common, so throughput loses nothing by it; a set whose prompts
    begin alike does, and is told.
    """
    return {PREFIX_CACHING: False, **engine_args}


def offline_remark(engine_args: Mapping[str, object], workloads: Sequence[Workload]) -> str | None:
    """Return what a reader must know of prefix caching in a launch's offline benchmarks; None where there is nothing."""
    if engine_args.get(PREFIX_CACHING):
        repeats = any(work.benchmark == LATENCY.name for work in workloads)
        times = f"{PREFIX_CACHING} is on: bench latency repeats its prompts, so it times cached prefills"
        return times if repeats else None
    shared = any(work.asked.shares_prefix for work in workloads)
    computed = "; what prompts of a set have in common is computed for each of them" if shared else ""
    if PREFIX_CACHING in engine_args:
        return f"{PREFIX_CACHING} is off{computed}" if shared else None
    own = "the offline benchmarks run with it off, the server by vLLM's own choice"
    return f"{PREFIX_CACHING} is not set: {own}{computed}" if workloads else None


def latency_argv(workload: LatencyWorkload, target: Target) -> list[str]:
    """Return the arguments after `vllm bench` that time one batch at a time on an engine of its own."""
    return [
        LATENCY.name,
        "--model",
        target.model,
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
        str(target.raw_path),
        *flags(offline_args(target.engine_args), target.python),
        *monitor_words(target.engine_args, target.python),
    ]


def throughput_argv(workload: ThroughputWorkload, target: Target) -> list[str]:
    """Return the arguments after `vllm bench` that give an engine all prompts at once, warmed up unless it is warm."""
    return [
        THROUGHPUT.name,
        "--model",
        target.model,
        *(target.sent.words if target.sent else _random_lengths(workload.input_len_tokens, workload.output_len_tokens)),
        "--num-prompts",
        str(workload.num_prompts),
        "--num-warmups",
        str(0 if target.is_warm else workload.warmup_prompts),
        "--seed",
        str(target.seed),
        "--output-json",
        str(target.raw_path),
        *flags(offline_args(target.engine_args), target.python),
        *monitor_words(target.engine_args, target.python),
    ]


def request_words(workload: FirstRequestWorkload, target: Target) -> list[str]:
    """Return the one request as it is sent: vLLM has no command for it."""
    return ["POST", f"{target.base_url}/v1/completions", workload.model_dump_json()]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _random_tokens(workload: ServeWorkload) -> list[str]:
    return [
        *_random_lengths(workload.input_len_tokens, workload.output_len_tokens),
        "--random-range-ratio",
        str(workload.range_ratio),
        "--num-prompts",
        str(workload.num_prompts),
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


def _bench(argv_of: Words) -> Words:
    return lambda workload, target: ["vllm", "bench", *argv_of(workload, target)]


# What anybody can type to measure the same, by benchmark: `benchbook plan --commands` shows it.
COMMANDS: dict[str, Words] = {
    SERVE.name: _bench(serve_argv),
    LATENCY.name: _bench(latency_argv),
    THROUGHPUT.name: _bench(throughput_argv),
    FIRST_REQUEST.name: request_words,
}
