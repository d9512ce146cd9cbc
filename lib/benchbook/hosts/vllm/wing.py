"""vLLM, as the rest of benchbook sees it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial

from benchbook.hosts.face import Access, CacheReset, Causes, Engine, Log
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm import causes, command
from benchbook.hosts.vllm.counters import COMPILE_LINE, COUNTERS, KV_USAGE
from benchbook.hosts.vllm.door import OPEN
from benchbook.hosts.vllm.flags import unknown_variables
from benchbook.hosts.vllm.routing import known_routing, routing_of
from benchbook.hosts.vllm.startup import startup_facts, startup_phase

# The last of a command line: vLLM puts the last outermost.
DOOR_WORDS = ("--middleware", "benchbook.hosts.vllm.door.Door")
_DEV_MODE, _RUST = "VLLM_SERVER_DEV_MODE", "VLLM_USE_RUST_FRONTEND"
# Longer than vLLM's client keeps an idle connection (60 s; vLLM's own 5 s are shorter): where the server closes one just
# as it is used again, that request fails, which happens at low rates only.
_KEPT_OPEN = {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "90"}


def _environment(needs_hub: bool, args: Mapping[str, object]) -> Mapping[str, str]:
    return {**_KEPT_OPEN, **command.private_environment(needs_hub, args)}


def _has_rust_front_end(env: Mapping[str, str]) -> bool:
    return {**os.environ, **env}.get(_RUST, "0").lower() not in ("", "0", "false", "none")


_ACCESS = Access(
    users_key="VLLM_API_KEY",
    open_paths=OPEN,
    not_for_others={
        _DEV_MODE: "its endpoints run what they are sent",
        _RUST: "that front end takes no middleware, so endpoints besides /v1 have no key",
        "grpc_port": "gRPC has no key",
    },
    why_open="this vLLM has no door for the key: it takes no --middleware",
    is_partial=_has_rust_front_end,
)
_LOG = Log(
    startup_facts=startup_facts,
    startup_phase=startup_phase,
    telling=re.compile(r"\bINFO \d\d-\d\d \d\d:"),
    compiling=COMPILE_LINE,
    kv_usage=KV_USAGE,
)
_CACHE_RESET = CacheReset(
    path="/reset_prefix_cache",
    is_offered=lambda env: env.get(_DEV_MODE, "0") not in ("", "0"),
    hint=f"set {_DEV_MODE}: 1 in the launch's env, or leave the reset out",
)


def vllm_in(python: Python) -> Engine:
    """Return vLLM as it is installed for `python`: its program, flags and variables are those of that environment."""

    def added_words(args: Mapping[str, object]) -> Sequence[str]:
        return (*command.monitor_words(args, python), *DOOR_WORDS)

    return Engine(
        name="vllm",
        title="vLLM",
        package="vllm",
        python=python,
        program=command.vllm_program(python),
        command=partial(command.serve_command, python=python),
        added_words=added_words,
        environment=_environment,
        inherited=partial(command.inherited_environment, python),
        access=_ACCESS,
        counters=COUNTERS,
        log=_LOG,
        causes=Causes(
            ended=partial(causes.classify, python=python),
            unhealthy=partial(causes.classify_unhealthy, python=python),
            late=partial(causes.hung, python=python),
        ),
        cache_reset=_CACHE_RESET,
        unknown_variables=partial(unknown_variables, python=python),
        known_routing=known_routing,
        routing=routing_of,
    )


VLLM = vllm_in(HERE)
