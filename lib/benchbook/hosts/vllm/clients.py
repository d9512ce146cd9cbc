"""vLLM's two clients behind `vllm bench serve`: the one in Python, and from 0.29 on one in Rust, which its wheels for GPUs hold.

Which one runs, a variable decides. A shell's is handed on to no process of ours (hosts/process/shell.py), so the first one
runs; a launch asks for the second one by its own `env`. What ran is read off its result: the one in Rust writes no `queue_times`, begins
`start_times` at 0, has the date in UTC, and adds `steady_state`, `max_model_len` and `input_throughput`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from benchbook.hosts.vllm.renaming import is_on
from benchbook.terms.metrics import request_latencies_s

Client = Literal["python", "rust"]
ASKED, PROGRAM = "VLLM_USE_RUST_BENCH", "VLLM_RUST_FRONTEND_PATH"
_OF_RUST_ALONE = ("steady_state", "max_model_len", "input_throughput")


def asked_client(env: Mapping[str, str]) -> Client:
    """Return the client that a launch with this `env` asks for."""
    return "rust" if is_on(env.get(ASKED, "")) else "python"


def pinned(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which the client that `env` asks for runs; the one in Python runs without any."""
    if asked_client(env) == "python":
        return {}  # the warm client takes no task that brings variables of vLLM's
    return {ASKED: "1", **({PROGRAM: env[PROGRAM]} if PROGRAM in env else {})}


def rust_program(env: Mapping[str, str]) -> Path | None:
    """Return the program of the client in Rust, which `env` may name; None where there is none."""
    named = env.get(PROGRAM, "auto")
    if named.lower() not in ("auto", "1", "true"):
        found = Path(named)
    else:
        package = importlib.util.find_spec("vllm")
        if package is None or not package.submodule_search_locations:
            return None
        found = Path(next(iter(package.submodule_search_locations)), "vllm-rs")
    return found if os.access(found, os.X_OK) and found.is_file() else None


def missing_client(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variable by which `env` asks for a client that is not here, and why."""
    if asked_client(env) == "rust" and rust_program(env) is None:
        where = f"no program at {PROGRAM}" if PROGRAM in env else "no vllm-rs beside it"
        yield ASKED, f"asks for vLLM's client in Rust, which the installed vLLM does not hold ({where})"


def client_of(raw: Mapping[str, Any]) -> Client:
    """Return which client wrote a result."""
    is_rusts = "queue_times" not in raw and any(key in raw for key in _OF_RUST_ALONE)
    return "rust" if is_rusts else "python"


def behind_ours_s(raw: Mapping[str, Any], ended_s: float) -> float:
    """Return how far (s) the clock of a result's `start_times` is behind ours, by which its client ended at `ended_s`.

    That of the client in Python is ours. The one in Rust begins at 0, and ends with its last answer or soon after.
    """
    starts, latencies_s = raw.get("start_times") or [], request_latencies_s(raw)
    if client_of(raw) == "python" or not starts or not latencies_s:
        return 0.0
    return ended_s - max(start + latency for start, latency in zip(starts, latencies_s))
