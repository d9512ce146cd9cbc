"""SGLang, by its sources (0.5): `python -m sglang.launch_server`. It was never run by us."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from benchbook.hosts.face import Counters, Engine, StartupFacts
from benchbook.hosts.others import flags, plain
from benchbook.hosts.others.causes import CAUSES

_OURS = {"model_path": flags.MODEL, "served_model_name": flags.NAME, "api_key": flags.NO_KEY} | {
    "enable_metrics": "its counters are always asked for"
}
_TOKENS = re.compile(r"max_total_num_tokens=(\d+)")
_DTYPE = re.compile(r"Load weight end\..*\bdtype=torch\.(\w+)")


def _command(
    model: str, args: Mapping[str, object], port: int, host: str, names: Sequence[str], program: Sequence[str]
) -> list[str]:
    served = ["--served-model-name", names[1]] if len(names) > 1 else []
    address = ["--host", host, "--port", str(port)]
    return [*program, "--model-path", model, *address, *served, "--enable-metrics", *flags.words_of(args)]


def _startup(log_text: str, *_: object) -> StartupFacts:
    tokens, dtype = _TOKENS.search(log_text), _DTYPE.search(log_text)
    return StartupFacts(kv_cache_tokens=int(tokens[1]) if tokens else None, dtype=dtype[1] if dtype else None)


SGLANG = Engine(
    name="sglang",
    title="SGLang",
    package="sglang",
    needs=("sglang",),
    unproven="written by SGLang's sources of version 0.5, and tested on a scripted server alone",
    program=(sys.executable, "-P", "-m", "sglang.launch_server"),
    command=_command,
    environment=lambda needs_hub, args: {} if needs_hub else {"HF_HUB_OFFLINE": "1"},
    access=plain.no_key("it takes one on its command line alone, where every user of the machine can read it"),
    ready_path="/health_generate",  # /health answers before a first request has gone through
    version_path="/get_server_info",
    counters=Counters(
        names={
            "running": "sglang:num_running_reqs",
            "waiting": "sglang:num_queue_reqs",
            "kv_use_ratio": "sglang:token_usage",
            "prompt_tokens": "sglang:prompt_tokens_total",
            "generation_tokens": "sglang:generation_tokens_total",
            "prefix_cache_hits": "sglang:cached_tokens_total",
        },
        ended="sglang:num_requests_total",
        engine_label="dp_rank",
    ),
    log=plain.log(
        startup_facts=_startup,
        telling=re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
        compiling=re.compile(r"Capture (?:cuda|piecewise|cpu)|[Aa]utotun(?:e|ing)|Compiling a|JIT compil"),
    ),
    causes=CAUSES,
    refusals=lambda args, env: partial(flags.refused_of, _OURS)(args),
)
