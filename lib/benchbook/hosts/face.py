"""The face of an engine: what the rest of benchbook asks of the one wing of hosts/ that knows it, such as vllm/.

An engine's server takes OpenAI's requests at /v1/completions, lists its models at /v1/models, and is measured by vLLM's
own client. Everything else about it stands in its `Engine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # door.py imports this inside of vLLM's server
    from benchbook.hosts.process.pythons import Python
    from benchbook.terms.errors import Cause

KEY_VARIABLE = "BENCHBOOK_API_KEY"  # in which a server that we start gets the key that it has to ask for
KEY_PLACE = "{api_key}"  # in a command line: the key stands there in the started process alone, in no record or list
GAUGES = ("running", "waiting", "kv_use_ratio")  # of the neutral names: what rises and falls; all others only grow
ENDED = "requests_ended"  # requests that ended; where the reason is told, "requests_ended_by_length" and its like

OnProgress = Callable[[float, str], None]  # seconds since the start, what it does


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What an engine calls its counters on its Prometheus page; records, samples and checks have the neutral names.

    Counts are summed over the engines behind a server, a share ("_ratio") is that of the fullest.
    """

    path: str = "/metrics"
    names: Mapping[str, str]  # by the neutral name; an engine may lack any
    sums: Mapping[str, str] = field(
        default_factory=dict
    )  # more of them, read before and after alone: times, and of how many
    ended: str = ""  # requests that ended, for each reason
    reason_label: str = ""
    engine_label: str = ""  # which tells apart the engines behind one server
    caching: tuple[str, str] = (
        "",
        "",
    )  # the line, and its label, that tell whether there is a prefix cache: True, False
    block_label: str = ""  # of the same line, which tells how many tokens a block of it has


@dataclass(frozen=True, kw_only=True)
class StartupFacts:
    """Facts of one start. Phases ending in `_s` without a decimal come from log stamps, which have whole seconds."""

    imports_s: float | None = None  # process start to the first log line
    config_s: float | None = None  # first log line to the engine's: argument checks, model config, engine's imports
    engine_init_s: float | None = None  # the engine's first line to loading: worker's imports, distributed set-up
    weights_s: float | None = None
    warm_up_s: float | None = None  # profile, KV cache, compile, graph capture; the next two are parts of it
    compile_s: float | None = None
    graph_capture_s: float | None = None
    api_s: float | None = None  # engine ready to API up
    weights_gib: float | None = None
    kv_cache_gib: float | None = None
    kv_cache_tokens: int | None = None
    graphs_gib: float | None = None
    graph_sizes: tuple[int, ...] | None = None  # tokens in the steps that have a CUDA graph; (): none has
    max_concurrency_at_max_len: float | None = None
    max_model_len: int | None = None
    dtype: str | None = None
    quantization: str | None = None
    attention_backend: str | None = None
    moe_backend: str | None = None
    vllm_version: str | None = None
    compile_cache: str | None = None  # whether compiled code was there before: "warm", "cold", "in part", "off"
    triton_compiled: int | None = None  # kernels that Triton had to compile; 0: its cache was warm
    taken_over: str | None = None  # from an earlier start, by its ways; None: all was made anew, compiled code aside
    proven_equal: str | None = None  # the proof that such starts give the same numbers here


def local_time(utc: str | None) -> datetime | None:
    """Return a noted time as the stamps of a log are: local, without a zone."""
    return datetime.fromisoformat(utc).astimezone().replace(tzinfo=None) if utc else None


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may use a server of this engine that we start: only who has the key in KEY_VARIABLE."""

    users_key: str  # the variable of the user's own key, for a server that others can reach
    open_paths: Sequence[str]  # answered without a key
    not_for_others: Mapping[str, str] = field(default_factory=dict)  # variables and args with which it is for us alone
    why_open: str  # the hint where a server answers without its key
    asked: str = (
        "/is-there-a-door"  # what is asked without the key; no endpoint: a door answers before anybody says 404
    )
    has_key: bool = True  # False: it asks nobody for a key, and `why_open` says why
    is_partial: Callable[[Mapping[str, str]], bool] = lambda env: False  # by this environment, a part alone is guarded


@dataclass(frozen=True, kw_only=True)
class Log:
    """How an engine's log is read; each pattern is looked for in a line."""

    startup_facts: Callable[[str, datetime | None, float | None, Mapping[str, str] | None], StartupFacts]
    startup_phase: Callable[[str], str]  # what a start is doing, in words
    telling: re.Pattern[str]  # begins what it says of itself; a log without such a line is silent
    compiling: re.Pattern[str]  # something is compiled, tuned or captured
    kv_usage: re.Pattern[str]  # group 1: how full the KV cache is (%)
    is_read: bool = True  # False: nobody here knows what its lines mean


@dataclass(frozen=True, kw_only=True)
class Causes:
    """Why a host failed, by its log: codes of terms/errors.py with evidence and a hint."""

    ended: Callable[[str, int | None], Cause]  # by the exit code, negative for a signal
    unhealthy: Callable[[str, str], Cause]  # its process runs; with what was seen from outside
    late: Callable[[str, float], Cause]  # after so many seconds


@dataclass(frozen=True, kw_only=True)
class CacheReset:
    """How the prefix cache is emptied: a POST that answers {"success": true} once it is."""

    path: str
    is_offered: Callable[[Mapping[str, str]], bool]  # by a server with this environment
    hint: str  # what to set in a launch, so that it is


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One serving engine: its command, readiness, identity, counters, log, causes and settings."""

    name: str  # as an experiment's `engine:` has it
    title: str  # as sentences have it
    package: str | None  # whose installed version a server of ours must tell; None: nobody knows
    python: Python | None = None  # the environment that it runs in; None: that of this process
    needs: Sequence[str] = ()  # the modules that its Python must have; none of a program that is not Python's
    unproven: str = ""  # of an engine that we have never run: what stands behind its face
    # command: (model, args, port, host, served names, program) → argv; raises ExperimentError for what cannot be said
    program: Sequence[str]
    command: Callable[[str, Mapping[str, object], int, str, Sequence[str], Sequence[str]], list[str]]
    added_words: Callable[[Mapping[str, object]], Sequence[str]] = lambda args: ()  # of ours, behind the command
    # environment: (needs the hub, args) → what every server of ours gets
    environment: Callable[[bool, Mapping[str, object]], Mapping[str, str]] = lambda needs_hub, args: {}
    inherited: Callable[[], Mapping[str, str]] = dict  # what configures it from this process's own environment
    access: Access
    # readiness and identity; 200 is healthy, 503 dead
    health_path: str = "/health"
    ready_path: str = ""  # what a start waits for, where that is more than being healthy
    version_path: str = "/version"
    version_key: str = "version"  # in the JSON object there
    takes_name: bool = True  # it can be served under a name of ours, the proof that it is the one that was started
    shares_port: bool = True  # it can bind a port that we hold until it listens
    headers: Mapping[str, str] = field(default_factory=dict)  # of each request: what its server must be told
    container: str = ""  # the program in whose container it runs, where our processes do not show who holds the port
    counters: Counters
    log: Log
    causes: Causes
    cache_reset: CacheReset | None = None
    # settings: (name, why) of each arg or variable that a launch cannot have; of vLLM, launch_check.py asks its tables
    refusals: Callable[[Mapping[str, Any], Mapping[str, str]], Iterable[tuple[str, str]]] = lambda args, env: ()
    unknown_variables: Callable[[Iterable[str]], list[str]] = lambda names: []  # named as its own, and not known to it
    # which experts steps of a model read: known from before, by (files, args); counted, by (files, args, env, folder)
    known_routing: Callable[..., dict[str, Any] | None] = lambda *_: None
    routing: Callable[..., dict[str, Any] | None] = lambda *_: None
