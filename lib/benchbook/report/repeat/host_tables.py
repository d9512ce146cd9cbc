"""A server, read: who it is, where its start went, and how other clients reach it; each a call for a notebook cell."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchbook.report import markup

PROMPT = "The future of AI is"
# What a start did, in its order, by the fields of StartupFacts; an indented one is part of the one before.
PHASES = {
    "imports_s": "before the log's first line: imports of vLLM and torch",
    "config_s": "arguments, the model's configuration, the engine's imports",
    "engine_init_s": "engine and worker",
    "weights_s": "loading weights",
    "warm_up_s": "memory, KV cache, warm-up",
    "compile_s": "– of it compiling",
    "graph_capture_s": "– of it capturing CUDA graphs",
    "api_s": "opening the port",
}
FACTS = {
    "weights_gib": ("Weights", "{:.3g} GiB"),
    "kv_cache_gib": ("KV cache", "{:.3g} GiB"),
    "kv_cache_tokens": ("KV cache holds", "{:,} tokens"),
    "max_concurrency_at_max_len": ("Requests of full length at once", "{:.3g}"),
    "graphs_gib": ("CUDA graphs", "{:.3g} GiB"),
    "graph_sizes": ("Steps with a CUDA graph, in tokens", "{}"),
    "max_model_len": ("Longest request", "{:,} tokens"),
    "dtype": ("Data type", "{}"),
    "quantization": ("Quantization", "{}"),
    "attention_backend": ("Backend of attention", "{}"),
    "moe_backend": ("Backend of the experts", "{}"),
    "vllm_version": ("vLLM", "{}"),
    "compile_cache": ("Cache of compiled code", "{}"),
    "triton_compiled": ("Kernels that Triton compiled", "{:,}"),
    "taken_over": ("Taken over from an earlier start", "{}"),
    "proven_equal": ("Such starts give the same numbers here", "{}"),
}


def server_table(server: Any) -> None:
    """Display who the server is: address, model, version, process, log and, where we started it, the exact command."""
    rows = [
        ("Address", server.base_url),
        ("Served as", ", ".join(card.id for card in server.served_models()) or "it does not list its models"),
        (server.engine.title, server.version or "not told"),
    ]
    if hasattr(server, "ready_s"):
        rows += [
            *([("Python", server.engine.python.shown)] if server.engine.python and server.engine.python.shown else []),
            ("Ready after", f"{server.ready_s:.1f} s"),
            ("Process", server.pid),
            ("Log", server.log_path),
            ("Environment", " ".join(f"{name}={value}" for name, value in server.env_overrides.items())),
            ("Command", shlex.join(server.argv)),
        ]
    markup.show(markup.facts(rows))


def startup_table(server: Any) -> None:
    """Display what the log told of a start: seconds by phase, then memory and backends, as far as it says."""
    if not hasattr(server, "facts"):
        markup.show(markup.paragraphs(["This server was started elsewhere; its log is not ours to read."]))
        return
    facts = server.facts
    phases = {name: getattr(facts, name) for name in PHASES}
    rows = [(PHASES[name], f"{seconds:.1f}") for name, seconds in phases.items() if seconds is not None]
    told_s = sum(seconds or 0.0 for name, seconds in phases.items() if not PHASES[name].startswith("–"))
    rest_s = max(0.0, server.ready_s - told_s)
    rows += [("what the log does not tell, and its rounding", f"{rest_s:.1f}")]
    rows += [("until it answered", f"{server.ready_s:.1f}")]
    markup.show(markup.table(["Where the start went", "s"], rows, numeric=(1,)))
    known = [(label, form, getattr(facts, name)) for name, (label, form) in FACTS.items()]
    markup.show(markup.facts((label, form.format(value)) for label, form, value in known if value is not None))


def client_lines(server: Any) -> None:
    """Display a line for curl and some for the `openai` client that reach the server as they stand, without its key."""
    body = json.dumps({"model": server.served_name, "prompt": PROMPT, "max_tokens": 16})
    key = f"$({_program()} key {urlsplit(server.base_url).port})" if server.is_ours else "$OPENAI_API_KEY"
    curl = (
        f"curl -s {server.base_url}/v1/completions "
        f'-H "Authorization: Bearer {key}" -H "Content-Type: application/json" -d {shlex.quote(body)}'
    )
    lines = [
        "from benchbook import attach",
        "from openai import OpenAI",
        "",
        f'server = attach("{server.base_url}")  # finds the name, and the key of a server of yours',
        'client = OpenAI(base_url=f"{server.base_url}/v1", api_key=server.api_key or "EMPTY")',
        f"answer = client.completions.create(model=server.served_name, prompt={PROMPT!r}, max_tokens=16)",
        "print(answer.choices[0].text)",
    ]
    markup.show(markup.join([markup.element("pre", curl), markup.element("pre", "\n".join(lines))]))


def _program() -> str:
    """Return how a terminal calls benchbook whose path does not have it."""
    beside = Path(sys.executable).with_name("benchbook")
    return shlex.quote(str(beside)) if beside.is_file() else "benchbook"
