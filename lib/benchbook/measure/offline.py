"""Offline measurement: vLLM's own `bench latency` and `bench throughput`, on an engine of their own or on a loaded one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbook import parameters
from benchbook.hosts.engines import VLLM
from benchbook.hosts.model.files import ModelFiles, resolve_model
from benchbook.hosts.vllm.command import inherited_environment, private_environment
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.measure.argv import PREFIX_CACHING, Target, Words, latency_argv, offline_args, throughput_argv
from benchbook.measure.client.given import Given
from benchbook.measure.client.tasks import WARM, BenchRun, run_bench
from benchbook.measure.engines import OfflineEngine
from benchbook.measure.environments import environment_facts
from benchbook.measure.hardware import model_config, peaks_before_start
from benchbook.measure.live import benchmark
from benchbook.measure.recording import Recording
from benchbook.measure.serve import benchmark_failed
from benchbook.measure.servers import refuse_stale, warmed_by_hand
from benchbook.measure.sets import Sending, sending_of
from benchbook.measure.watched import Watched
from benchbook.plan.workloads import LatencyWorkload, ThroughputWorkload
from benchbook.records.files import read_json
from benchbook.records.handover import Handover, read_handover
from benchbook.records.host import HostFacts
from benchbook.records.record import PrefixCache, Warmup
from benchbook.records.record_file import Saved
from benchbook.terms.redaction import redacted_env

# `bench throughput` prints the output-only rate and the token counts, and saves neither.
_PRINTED = {
    "output_throughput_tok_s": (re.compile(r"Throughput: .*?([\d.]+) output tokens/s"), float),
    "total_input_tokens": (re.compile(r"Total num prompt tokens:\s+(\d+)"), int),
    "total_output_tokens": (re.compile(r"Total num output tokens:\s+(\d+)"), int),
}


def bench_latency(
    engine: OfflineEngine,
    workload: LatencyWorkload,
    *,
    seed: int = 0,
    record_path: str | Path = "",
    repeat: Handover | str = "",
) -> Saved:
    """Time `workload` batch by batch with `vllm bench latency`; write and return the record. Seconds per batch.

    `seed` fixes the prompts on a loaded engine only: the command line takes none, and the record's seed is then None.
    `repeat` is what a sweep says of it.
    """

    def facts(run: BenchRun, warmed_by: str) -> dict[str, Any]:
        drawn_with = seed if run.way == WARM else None
        num_prompts = workload.num_iters_warmup * workload.batch_size
        return {"seed": drawn_with, "warmup": Warmup(num_prompts=num_prompts, seed=drawn_with)}

    return _measure(engine, workload, latency_argv, facts, seed, record_path, read_handover(repeat))


def bench_throughput(
    engine: OfflineEngine,
    workload: ThroughputWorkload,
    *,
    seed: int = 0,
    record_path: str | Path = "",
    repeat: Handover | str = "",
) -> Saved:
    """Give an engine all prompts of `workload` at once with `vllm bench throughput`; write and return the record.

    A loaded engine that was warmed up for the same load gets no warm-up. `repeat` is what a sweep says of it. Requests of a
    set take a loaded engine: MeasureError where there is none, or it cannot be given them; ExperimentError where the set
    is not there, or needs more than prompts.
    """

    def facts(run: BenchRun, warmed_by: str) -> dict[str, Any]:
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

    repeat = read_handover(repeat)
    sending = sending_of(workload, repeat)
    return _measure(engine, sending.workload, throughput_argv, facts, seed, record_path, repeat, sending)


def _measure(
    engine: OfflineEngine,
    workload: LatencyWorkload | ThroughputWorkload,
    argv_of: Words,
    facts_of: Callable[[BenchRun, str], dict[str, Any]],
    seed: int,
    record_path: str | Path,
    repeat: Handover,
    sending: Sending | None = None,
) -> Saved:
    parameters.refuse_stale("workload", workload, workload.model_dump())
    refuse_stale(engine, "engine")
    warmed = warmed_by_hand(engine) if repeat.is_by_hand else {}
    warmed_by = repeat.warmed_by or warmed.get(workload.warm_shape, "")
    with Recording(workload, record_path, repeat) as recording:
        env_overrides = {name: str(value) for name, value in engine.env.items()}
        files = resolve_model(engine.model, engine.args, env_overrides)
        given, sent = (sending.given(recording.raw_path, bool(warmed_by)) if sending else None) or (None, None)
        target = Target(
            model=files.path,
            raw_path=recording.raw_path,
            seed=seed,
            engine_args=engine.args,
            python=vllm_python(engine.python),
            is_warm=bool(warmed_by),
            sent=sent,
        )
        argv = argv_of(workload, target)
        recording.argv = ["vllm", "bench", *argv]
        # A loaded engine's peaks are known before: probing beside it would disturb it, and measure its own load.
        peaks = engine.peaks if engine.socket_path else peaks_before_start(files.path, env_overrides)
        env = {**private_environment(files.needs_download, engine.args), **env_overrides}
        with Watched(None, engine.socket_path) as watched:
            run = _run(recording, argv, engine, env, seed, given)
        printed = printed_figures(recording.log_path.read_text(errors="replace"))
        raw = {**read_json(recording.raw_path), "printed": printed}
        noted = watched.read_given(given, recording.log_path) if given else {}
        watched.read_engine(recording.log_path, len(raw.get("latencies") or [0]), is_loaded=run.way == WARM)
        host = HostFacts.of(
            **_facts_of(engine, files, argv, env_overrides),
            telemetry=watched.telemetry(recording, {}),
            peaks=peaks,
            counters=_cache_counters(engine, noted),
        )
        facts = facts_of(run, warmed_by)
        if given:
            facts |= {"requests": sending.given_for_record, "request_set_sha256": sending.sha256}
        saved = recording.finish(
            raw,
            host=host,
            conditions=watched.conditions(recording.log_path, {}),
            way=run.way,
            way_reason=run.reason,
            prefix_cache=_prefix_cache(engine, run, host.counters),
            **facts,
        )
    _note_warmed(warmed, workload, run, facts["warmup"], saved)
    return saved


def _facts_of(
    engine: OfflineEngine, files: ModelFiles, argv: Sequence[str], env_overrides: Mapping[str, str]
) -> dict[str, Any]:
    """Return what is known of an engine before it measures, as fields of HostFacts."""
    python = vllm_python(engine.python)
    return {
        "kind": "engine",
        "engine": VLLM.title,
        "model": files.name,
        "random_weights": files.random_weights,
        **environment_facts(python),
        "env": redacted_env({**inherited_environment(python), **env_overrides}),
        "argv": argv,
        "config": model_config(files.path, engine.args.get("revision"), env_overrides),
    }


def _note_warmed(
    warmed: dict[str, str], workload: LatencyWorkload | ThroughputWorkload, run: BenchRun, warmup: Warmup, saved: Saved
) -> None:
    """Note by what an engine of a notebook is warm now."""
    if run.way != WARM:
        warmed.clear()  # the loaded engine made room for the command line's, and will be loaded anew
    elif warmup.num_prompts:
        warmed.setdefault(workload.warm_shape, f"by hand: {saved.path.parent.name}")


def _run(
    recording: Recording,
    argv: Sequence[str],
    engine: OfflineEngine,
    env: Mapping[str, str],
    seed: int,
    given: Given | None,
) -> BenchRun:
    """Run the benchmark of `argv`, on the loaded engine where there is one, and return how; raise MeasureError where it failed."""
    name = f"vllm bench {recording.workload.benchmark}"
    with benchmark(name, recording.log_path, is_watched=recording.repeat.is_by_hand) as on_line:
        run = run_bench(
            argv,
            socket_path=engine.socket_path or None,
            python=vllm_python(engine.python),
            env=env,
            on_line=on_line,
            log_path=recording.log_path,
            limit_s=recording.repeat.limit_s,
            seed=seed,
            stretch=given,
        )
    if run.exit_code != 0:
        if given:
            given.notes_path.unlink(missing_ok=True)
        raise benchmark_failed(name, run, recording.log_path)
    return run


def _has_prefix_cache(engine: OfflineEngine) -> bool:
    return bool(offline_args(engine.args)[PREFIX_CACHING])


def _cache_counters(engine: OfflineEngine, noted: Mapping[str, Any]) -> dict[str, float]:
    """Return what was looked up in the prefix cache and found, as an engine told of each request; {} where it did not."""
    if not _has_prefix_cache(engine) or noted.get("hit_tokens") is None:
        return {}
    looked_up = sum(filter(None, noted["counted_tokens"]))
    return {"prefix_cache_queries": looked_up, "prefix_cache_hits": noted["hit_tokens"]}


def _prefix_cache(engine: OfflineEngine, run: BenchRun, counters: Mapping[str, float]) -> PrefixCache:
    """Return whether it was on, and how it was emptied: a loaded engine does so after each task, see engine_worker.py."""
    return PrefixCache(
        is_on=_has_prefix_cache(engine),
        emptied="reset" if run.way == WARM else "new process",
        query_tokens=counters.get("prefix_cache_queries"),
        hit_tokens=counters.get("prefix_cache_hits"),
    )


def printed_figures(log_text: str) -> dict[str, float | int]:
    """Return what `bench throughput` printed and did not save: output tok/s (2 decimals), input and output tokens."""
    found = {}
    for key, (pattern, kind) in _PRINTED.items():
        matches = pattern.findall(log_text)
        if matches:
            found[key] = kind(matches[-1])
    return found
