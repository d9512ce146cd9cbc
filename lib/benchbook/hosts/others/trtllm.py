"""TensorRT-LLM, by its sources (1.2): `trtllm-serve`. It was never run by us."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchbook.hosts.face import Counters, Engine
from benchbook.hosts.others import flags, plain
from benchbook.hosts.others.causes import CAUSES

_OURS = {"model": flags.MODEL, "grpc": "makes a server that speaks gRPC, and the benchmark asks by HTTP"}


def _command(
    model: str, args: Mapping[str, object], port: int, host: str, names: Sequence[str], program: Sequence[str]
) -> list[str]:
    return [*program, model, "--host", host, "--port", str(port), *flags.words_of(args, joint="_")]


TRTLLM = Engine(
    name="trtllm",
    title="TensorRT-LLM",
    package=None,  # of whose environment it is, its program does not say
    unproven="written by TensorRT-LLM's sources of version 1.2, and tested on a scripted server alone",
    program=("trtllm-serve",),
    command=_command,
    environment=lambda needs_hub, args: {} if needs_hub else {"HF_HUB_OFFLINE": "1"},
    access=plain.no_key("it knows none"),
    takes_name=False,  # it is served under the name of its folder
    shares_port=False,
    ready_path="/health_generate",
    counters=Counters(  # there with return_perf_metrics: true in its extra_llm_api_options
        path="/prometheus/metrics",
        names={
            "running": "trtllm_num_requests_running",
            "waiting": "trtllm_num_requests_waiting",
            "kv_use_ratio": "trtllm_kv_cache_utilization",
            "prompt_tokens": "trtllm_prompt_tokens_total",
            "generation_tokens": "trtllm_generation_tokens_total",
        },
        sums={
            "queue_s": "trtllm_request_queue_time_seconds_sum",
            "queued": "trtllm_request_queue_time_seconds_count",
            "prefill_s": "trtllm_request_prefill_time_seconds_sum",
            "prefilled": "trtllm_request_prefill_time_seconds_count",
            "decode_s": "trtllm_request_decode_time_seconds_sum",
            "decoded": "trtllm_request_decode_time_seconds_count",
        },
        ended="trtllm_request_success_total",
        reason_label="finished_reason",
    ),
    log=plain.log(
        telling=re.compile(r"\[TRT-LLM\]|\[TensorRT-LLM\]"),
        compiling=re.compile(r"[Aa]utotun(?:e|ing)|Run(?:ning)? .*warmup|Capturing .*graph|torch\.compile"),
    ),
    causes=CAUSES,
    refusals=lambda args, env: flags.refused_of(_OURS, args),
)
