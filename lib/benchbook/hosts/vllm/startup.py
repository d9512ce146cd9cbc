"""What a server's log tells of its start: seconds by phase, memory, backends. None where the log does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from benchbook.hosts.face import StartupFacts
from benchbook.hosts.vllm.taken_over import proof_of, taken_over
from benchbook.hosts.vllm.warm_caches import compile_cache, triton_compiled

_DAY_S, _STAMP_S = 86400, 1.0  # a stamp has whole seconds
_STAMP = re.compile(r"\b(?:INFO|WARNING|ERROR) (\d\d-\d\d \d\d:\d\d:\d\d)")
_SHARDS = re.compile(r"checkpoint shards: +(\d+%)")
# What a start does, in order, and the words of the log with which each begins.
_PHASES = (
    ("importing vLLM", ""),
    ("reading the model's configuration", "non-default args|Resolved architecture"),
    ("starting the engine", "Initializing a V1 LLM engine"),
    ("loading weights", "Starting to load model"),
    ("measuring memory", "Model loading took|Loading weights took"),
    ("compiling", "for vLLM's torch.compile|Dynamo bytecode|Compiling a graph|torch.compile takes"),
    ("laying out the KV cache and warming up", "KV cache size: "),
    ("capturing CUDA graphs", "Capturing CUDA graph"),
    ("opening its port", r"init engine \(profile"),
)


def startup_facts(
    log_text: str,
    started: datetime | None = None,
    ready_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> StartupFacts:
    """Return what `log_text` tells of a start; with several workers, what the first one said.

    `started` is when the process was started, in local time as the log's stamps are. `ready_s` is how long the start took,
    where that is known: what stamps tell beyond it, or backwards, is a clock that was set meanwhile, and no phase. `env`
    is what was added to this process's environment for it.
    """
    most_s = _DAY_S / 2 if ready_s is None else ready_s + _STAMP_S
    engine, loading = "Initializing a V1 LLM engine", "Starting to load model"
    warmed, serving = "init engine (profile, create kv cache", "Starting vLLM server on"
    version = _word(r"Initializing a V1 LLM engine \(v([^)]+)\)", log_text)
    reused = taken_over(log_text)
    checkpoint_gib = _number(r"Checkpoint size: ([\d.]+) GiB", log_text)
    return StartupFacts(
        imports_s=_seconds(started.replace(microsecond=0), _stamp_of(log_text, ""), most_s) if started else None,
        config_s=_between(log_text, "", engine, most_s),
        engine_init_s=_between(log_text, engine, loading, most_s),
        weights_s=_number(r"Model loading took [\d.]+ GiB(?: memory)? and ([\d.]+) seconds", log_text)
        or _number(r"Loading weights took ([\d.]+) seconds", log_text),
        warm_up_s=_number(r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s", log_text),
        compile_s=_number(r"torch\.compile (?:took|takes) ([\d.]+) s in total", log_text),
        graph_capture_s=_number(r"Graph capturing finished in ([\d.]+) secs", log_text),
        api_s=_between(log_text, warmed, serving, most_s),
        weights_gib=_number(r"Model loading took ([\d.]+) GiB", log_text) or checkpoint_gib,
        kv_cache_gib=_number(r"Available KV cache memory: ([\d.]+) GiB", log_text)
        or _number(r"(?:Explicitly|Auto) set \(([\d.]+)/[\d.]+\) GiB for KV cache", log_text),
        kv_cache_tokens=_count(r"KV cache size: ([\d,]+) tokens", log_text),
        graph_sizes=_graph_sizes(log_text),
        graphs_gib=_number(r"Graph capturing finished in [\d.]+ secs, took ([\d.]+) GiB", log_text),
        max_concurrency_at_max_len=_number(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x", log_text),
        max_model_len=_count(r"max_seq_len=(\d+)", log_text),
        dtype=_word(r"\bdtype=torch\.(\w+)", log_text),
        quantization=_not_none(_word(r"\bquantization=([\w-]+)", log_text)),
        attention_backend=_attention_backend(log_text),
        moe_backend=_word(r"Using '?([\w.-]+)'? (?:[\w-]+ )?MoE backend", log_text),
        vllm_version=version,
        compile_cache=compile_cache(log_text),
        triton_compiled=triton_compiled(log_text, env or {}, started.timestamp()) if started else None,
        taken_over=reused,
        proven_equal=proof_of(reused, version) if reused else None,
    )


def startup_phase(log_text: str) -> str:
    """Return what a start is doing, in words, by its log so far: 'loading weights (50%)'."""
    phase = next(name for name, words in reversed(_PHASES) if re.search(words, log_text))
    shards = _SHARDS.findall(log_text)
    return f"{phase} ({shards[-1]})" if shards and phase == "loading weights" else phase


def _graph_sizes(log_text: str) -> tuple[int, ...] | None:
    """Return the sizes of steps with a CUDA graph, rising; () where the mode is NONE, None where the log does not say."""
    mode = _word(r"'cudagraph_mode': <CUDAGraphMode\.(\w+)", log_text)
    sizes = _word(r"'cudagraph_capture_sizes': \[([\d, ]*)\]", log_text)
    if mode is None or sizes is None:
        return None
    return () if mode == "NONE" else tuple(sorted(int(size) for size in re.findall(r"\d+", sizes)))


def _attention_backend(log_text: str) -> str | None:
    name = _word(r"Using (\w+)(?: attention)? backend (?:out of potential backends|\(selected via)", log_text)
    version = _word(r"Using FlashAttention version (\d)", log_text)
    return f"{name} (version {version})" if name and version else name


def _between(log_text: str, first: str, second: str, most_s: float) -> float | None:
    """Return the seconds between the stamped lines that hold `first` and `second`."""
    return _seconds(_stamp_of(log_text, first), _stamp_of(log_text, second), most_s)


def _seconds(begin: datetime | None, end: datetime | None, most_s: float) -> float | None:
    """Return the time (s) from `begin` to `end`; None where one is not known, or it cannot have been so long."""
    if begin is None or end is None:
        return None
    # Stamps have no year: the remainder by a day is right over midnight and New Year too. Backwards, it is nearly a day.
    seconds = (end - begin).total_seconds() % _DAY_S
    return seconds if seconds <= most_s else None


def _stamp_of(log_text: str, phrase: str) -> datetime | None:
    for line in log_text.splitlines():
        if phrase in line and (stamp := _STAMP.search(line)):
            return datetime.strptime(f"2000-{stamp[1]}", "%Y-%m-%d %H:%M:%S")
    return None


def _word(pattern: str, log_text: str) -> str | None:
    found = re.search(pattern, log_text)
    return found[1] if found else None


def _number(pattern: str, log_text: str) -> float | None:
    word = _word(pattern, log_text)
    return float(word) if word else None


def _count(pattern: str, log_text: str) -> int | None:
    word = _word(pattern, log_text)
    return int(word.replace(",", "")) if word else None


def _not_none(word: str | None) -> str | None:
    return None if word == "None" else word
