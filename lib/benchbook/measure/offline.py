"""Offline measurement: vLLM's own `bench latency` and `bench throughput`, on an engine of their own or on a loaded one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchbook.hosts.command import inherited_environment, private_environment
from benchbook.hosts.models import resolve_model
from benchbook.measure.commands import PREFIX_CACHING, latency_argv, offline_args, throughput_argv
from benchbook.measure.conditions import Watched
from benchbook.measure.hardware import model_config, peaks_before_start
from benchbook.measure.jobs import WARM, BenchRun, run_bench
from benchbook.measure.recording import Recording
from benchbook.measure.serve import LIMIT_S, benchmark_failed
from benchbook.plan.workloads import LatencyWorkload, ThroughputWorkload
from benchbook.records.files import read_json
from benchbook.records.record import PrefixCache, Warmup
from benchbook.records.store import Saved
from benchbook.redaction import redacted_env

# `bench throughput` prints the output-only rate and the token counts, and saves neither.
_PRINTED = {
    "output_throughput_tok_s": (re.compile(r"Throughput: .*?([\d.]+) output tokens/s"), float),
    "total_input_tokens": (re.compile(r"Total num prompt tokens:\s+(\d+)"), int),
    "total_output_tokens": (re.compile(r"Total num output tokens:\s+(\d+)"), int),
}


def bench_latency(
    workload: LatencyWorkload,
    model: str = "tiny",
    *,
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    record_path: str | Path = "",
    seed: int = 0,
    case: Mapping[str, Any] | None = None,
    engine_socket: str = "",
    limit_s: float = LIMIT_S,
) -> Saved:
    """Time `workload` batch by batch with `vllm bench latency`; write and return the record. Seconds per batch.

    `seed` fixes the prompts on a loaded engine only: the command line takes none, and the record's seed is then None.
    """

    def argv(model_path: str, raw_path: Path) -> list[str]:
        return latency_argv(workload, model_path=model_path, engine_args=args or {}, raw_path=raw_path)

    def facts(run: BenchRun) -> dict[str, Any]:
        drawn_with = seed if run.way == WARM else None
        num_prompts = workload.num_iters_warmup * workload.batch_size
        return {"seed": drawn_with, "warmup": Warmup(num_prompts=num_prompts, seed=drawn_with)}

    return _measure(workload, model, argv, facts, args, env, record_path, seed, case, engine_socket, limit_s)


def bench_throughput(
    workload: ThroughputWorkload,
    model: str = "tiny",
    *,
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    record_path: str | Path = "",
    seed: int = 0,
    case: Mapping[str, Any] | None = None,
    engine_socket: str = "",
    warmed_by: str = "",
    limit_s: float = LIMIT_S,
) -> Saved:
    """Give an engine all prompts of `workload` at once with `vllm bench throughput`; write and return the record.

    `warmed_by` names the measurement that warmed this loaded engine up for the same load; then no warm-up is sent.
    """

    def argv(model_path: str, raw_path: Path) -> list[str]:
        return throughput_argv(
            workload,
            model_path=model_path,
            engine_args=args or {},
            seed=seed,
            raw_path=raw_path,
            is_warm=bool(warmed_by),
        )

    def facts(run: BenchRun) -> dict[str, Any]:
        # By the command line the engine was another one, which nobody had warmed up.
        num_prompts = 0 if warmed_by else workload.warmup_prompts
        return {
            "seed": seed,
            "warmup": Warmup(
                num_prompts=num_prompts,
                seed=seed + 1 if num_prompts else None,
                warmed_by=warmed_by if run.way == WARM else "",
            ),
        }

    return _measure(workload, model, argv, facts, args, env, record_path, seed, case, engine_socket, limit_s)


def _measure(
    workload: LatencyWorkload | ThroughputWorkload,
    model: str,
    make_argv: Callable[[str, Path], list[str]],
    facts_of: Callable[[BenchRun], dict[str, Any]],
    args: Mapping[str, Any] | None,
    env: Mapping[str, Any] | None,
    record_path: str | Path,
    seed: int,
    case: Mapping[str, Any] | None,
    engine_socket: str,
    limit_s: float,
) -> Saved:
    with Recording(workload, record_path, case) as recording:
        files = resolve_model(model)
        argv = make_argv(files.path, recording.raw_path)
        recording.argv = ["vllm", "bench", *argv]
        env_overrides = {name: str(value) for name, value in (env or {}).items()}
        # A loaded engine's peaks came with its case: probing beside it would disturb it, and measure its own load.
        hardware = {} if engine_socket else {"peaks": peaks_before_start(files.path, env_overrides)}
        with Watched(None, engine_socket) as watched:
            run = run_bench(
                argv,
                socket_path=engine_socket or None,
                env={**private_environment(files.needs_download), **env_overrides},
                on_line=print,
                log_path=recording.log_path,
                limit_s=limit_s,
                seed=seed,
            )
        if run.exit_code != 0:
            raise benchmark_failed(f"vllm bench {workload.benchmark}", run, recording.log_path)
        raw = {
            **read_json(recording.raw_path),
            "printed": printed_figures(recording.log_path.read_text(errors="replace")),
        }
        host = {
            "kind": "engine",
            "model": files.name,
            "random_weights": files.random_weights,
            "env": redacted_env({**inherited_environment(), **env_overrides}),
            "argv": argv,
            "model_config": model_config(files.path),
            "telemetry": watched.telemetry(recording, {}),
            **hardware,
        }
        # A loaded engine empties its cache after each job and vouches for it; see hosts/engine_worker.py.
        prefix_cache = PrefixCache(
            is_on=bool(offline_args(args or {})[PREFIX_CACHING]), emptied="reset" if run.way == WARM else "new process"
        )
        return recording.finish(
            raw,
            host=host,
            conditions=watched.conditions(recording.log_path, {}),
            way=run.way,
            way_reason=run.reason,
            prefix_cache=prefix_cache,
            **facts_of(run),
        )


def printed_figures(log_text: str) -> dict[str, float | int]:
    """Return what `bench throughput` printed and did not save: output tok/s (2 decimals), input and output tokens."""
    found = {}
    for key, (pattern, kind) in _PRINTED.items():
        matches = pattern.findall(log_text)
        if matches:
            found[key] = kind(matches[-1])
    return found
