"""Run folders for the tests of the report, made of synthetic records: nothing in them was measured."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbook.records.described import described
from benchbook.records.files import write_json
from benchbook.records.fingerprint import case_key, digest
from benchbook.records.record import Failure, Identity, Outcome, Reason, Record, Verdict, verdict_of
from benchbook.records.runs import RUN_FILE
from benchbook.records.store import Store
from benchbook.records.upgrade import HEADER_FORMAT

LENGTHS = ((128, 64), (512, 64))
QUESTION = "How do latency and throughput trade off as concurrency grows?"
_LAUNCH_SPEED = {"eager": 1.0, "compiled": 1.35}
_MACHINE = {
    "cpu": "Synthetic CPU @ 2.0 GHz",
    "cpu_cores": 2,
    "memory_gib": 23.4,
    "gpus": [],
    "kernel": "6.1.0",
    "python": "3.11.9",
    "open_files_limit": 1024,
}
_PACKAGES = {"vllm": "0.32.0+cpu", "torch": "2.13.0+cpu", "transformers": "5.19.0", "papermill": "2.7.0"}

READY = "2026-11-23T20:14:00+00:00"  # when the only start of a run's host was ready, unless a test says otherwise

Change = Callable[[Record], Record | None]  # None: this repeat is missing
Vary = Callable[[str, dict[str, Any]], Iterable[dict[str, Any]]]  # of a benchmark and its workload


def make_run(
    folder: Path,
    *,
    launches: tuple[str, ...] = ("eager",),
    concurrencies: tuple[int, ...] = (1, 2, 4, 8),
    rates: tuple[float, ...] = (),
    benchmarks: tuple[str, ...] = ("first_request", "serve", "latency", "throughput"),
    repeats: int = 2,
    vary: Vary = lambda benchmark, workload: (workload,),
    change: Change = lambda record: record,
    **header: Any,
) -> Path:
    """Write a whole run folder and return it; `change` may replace or drop each record, `header` adds to run.json.

    `vary` gives the workloads that are asked in place of each: a record of another than its case's is not read.
    `rates` (req/s) add open loops: a server of launch "eager" answers about 10 requests a second, see _open_values.
    """
    run_dir = folder / "quickstart" / "20261123-201500"
    run_dir.mkdir(parents=True)
    store, plan, draw = Store(run_dir), [], random.Random(0)
    for launch in launches:
        for benchmark, workload in _varied(vary, _workloads(benchmarks, concurrencies, rates)):
            case_id = ",".join(
                [launch, benchmark, *(f"{key}={value}" for key, value in workload.items() if key != "prompt")]
            )
            fingerprint = digest([launch, benchmark, workload])
            key = case_key(case_id, fingerprint)
            plan.append(
                {
                    "case_id": case_id,
                    "case_key": key,
                    "fingerprint": fingerprint,
                    "launch": launch,
                    "benchmark": benchmark,
                    "workload": workload,
                    "repeats": repeats,
                }
            )
            for repeat in range(repeats):
                identity = Identity(
                    experiment="quickstart",
                    run_id=run_dir.name,
                    launch=launch,
                    case_id=case_id,
                    fingerprint=fingerprint,
                    repeat=repeat,
                )
                record = change(make_record(identity, benchmark, workload, draw.gauss(1.0, 0.02)))
                if record:
                    store.save(key, record)
                    (store.repeat_dir(key, repeat) / "executed.ipynb").write_text("{}")
    write_json(run_dir / RUN_FILE, make_header(launches, plan, repeats) | header)
    return run_dir


def make_record(identity: Identity, benchmark: str, workload: Mapping[str, Any], factor: float = 1.0) -> Record:
    """Return a measured VALID record whose values follow a simple saturation curve, times `factor`."""
    reasons = (Reason(code="random_weights", severity="note", evidence="model 'tiny' has random weights"),)
    values = _VALUES[benchmark](workload, factor * _LAUNCH_SPEED.get(identity.launch, 1.0))
    return Record(
        identity=identity,
        benchmark=benchmark,
        workload=dict(workload),
        **described(benchmark, workload)._asdict(),
        outcome=Outcome.MEASURED,
        values=values,
        verdict=verdict_of(reasons),
        reasons=reasons,
        started_utc="2026-11-23T20:15:00+00:00",
        ended_utc="2026-11-23T20:15:09+00:00",
        started_monotonic_s=1.0,
        ended_monotonic_s=10.0,
        argv=("vllm", "bench", benchmark, "--seed", "0"),
        way="warm",
        seed=0,
        raw_file="raw.json",
        host={
            "kind": "server",
            "engine": "vLLM",
            "model": "tiny",
            "random_weights": True,
            "version": "0.32.0",
            "kv_cache_tokens": 16384,
            "ready_utc": READY,
        },
        provenance={"machine": _MACHINE, "packages": _PACKAGES},
    )


def failed(record: Record, evidence: str = "torch.OutOfMemoryError: out of memory", log_tail: str = "") -> Record:
    """Return `record` as one whose host never became ready."""
    failure = Failure(
        code="out_of_memory",
        evidence=evidence,
        hint="lower gpu_memory_utilization or max_model_len",
        log_tail=log_tail or "INFO loading weights\nERROR torch.OutOfMemoryError: out of memory",
    )
    return record.model_copy(
        update={
            "outcome": Outcome.HOST_FAILED,
            "failure": failure,
            "values": {},
            "verdict": Verdict.INVALID,
            "reasons": (),
        }
    )


def judged(record: Record, severity: str, code: str, evidence: str) -> Record:
    """Return `record` with one more reason and the verdict that follows."""
    reasons = (*record.reasons, Reason(code=code, severity=severity, evidence=evidence))
    return record.model_copy(update={"reasons": reasons, "verdict": verdict_of(reasons)})


def make_header(launches: tuple[str, ...], plan: list[dict[str, Any]], repeats: int) -> dict[str, Any]:
    """Return a run.json."""
    described = {
        name: {
            "model": {
                "ref": "tiny",
                "name": "tiny",
                "path": "models/tiny",
                "random_weights": True,
                "content_sha256": "0" * 64,
            },
            "args": {"enforce_eager": name == "eager", "max_model_len": 4096, "enable_prefix_caching": False},
            "env": {"VLLM_CPU_KVCACHE_SPACE": "1"},
            "hosts": [
                {
                    "kind": kind,
                    "started_utc": "2026-11-23T20:15:00+00:00",
                    "ready_s": ready_s,
                    "argv": ["vllm", "serve", "models/tiny", "--host", "127.0.0.1", "--enforce-eager"],
                    "facts": {"phases_s": {"imports": 14.2}, "weights_gib": 0.02, "kv_cache_tokens": 16384},
                }
                for kind, ready_s in (("server", 27.1), ("engine", 24.8))
            ],
        }
        for name in launches
    }
    return {
        "schema_version": HEADER_FORMAT,
        "experiment": "quickstart",
        "run_id": "20261123-201500",
        "question": QUESTION,
        "command": "benchbook run experiments/quickstart.yaml",
        "state": "finished",
        "started_utc": "2026-11-23T20:15:00+00:00",
        "ended_utc": "2026-11-23T20:19:40+00:00",
        "wall_s": 280.4,
        "repeats": repeats,
        "seed": 0,
        "slo": {},
        "launches": described,
        "plan": plan,
        "provenance": {
            "git": {"commit": "0123456789abcdef" * 2, "dirty": False},
            "packages": _PACKAGES,
            "machine": _MACHINE,
        },
    }


def _varied(vary: Vary, workloads: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((benchmark, varied) for benchmark, workload in workloads for varied in vary(benchmark, workload))


def _workloads(
    benchmarks: tuple[str, ...], concurrencies: tuple[int, ...], rates: tuple[float, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if "first_request" in benchmarks:
        yield "first_request", {"prompt": "The future of AI is", "max_tokens": 100, "temperature": 0.0}
    if "serve" in benchmarks:
        loads = [*((cap, None) for cap in concurrencies), *((None, rate) for rate in rates)]
        for concurrency, rate in loads:  # as in a real plan, the axis that is named last varies fastest
            for inputs, outputs in LENGTHS:
                yield (
                    "serve",
                    {
                        "input_len_tokens": inputs,
                        "output_len_tokens": outputs,
                        "max_concurrency": concurrency,
                        "num_prompts": 10 * concurrency if concurrency else 100,
                        "request_rate_rps": rate,
                        "burstiness": 1.0,
                        "temperature": 0.0,
                        "range_ratio": 0.0,
                    },
                )
    if "latency" in benchmarks:
        for batch_size in (1, 8):
            yield (
                "latency",
                {
                    "input_len_tokens": 128,
                    "output_len_tokens": 64,
                    "batch_size": batch_size,
                    "num_iters": 30,
                    "num_iters_warmup": 10,
                },
            )
    if "throughput" in benchmarks:
        yield "throughput", {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 64}


def _serve_values(workload: Mapping[str, Any], factor: float) -> dict[str, float | int | None]:
    cap, inputs, outputs = (workload[key] for key in ("max_concurrency", "input_len_tokens", "output_len_tokens"))
    tpot_ms = (2.6 + 0.28 * (cap or 4)) / factor
    ttft_ms = (9.0 + inputs * 0.03) * (1 + 0.35 * ((cap or 1) - 1)) / factor
    if cap:
        e2el_ms = ttft_ms + tpot_ms * (outputs - 1)
        output_tok_s = cap * outputs / e2el_ms * 1000
    else:
        wait_ms, answered_rps = _open_values(workload, factor, ttft_ms + tpot_ms * (outputs - 1))
        ttft_ms += wait_ms
        e2el_ms = ttft_ms + tpot_ms * (outputs - 1)
        output_tok_s = answered_rps * outputs
    values: dict[str, float | int | None] = {
        "request_throughput_rps": output_tok_s / outputs,
        "output_throughput_tok_s": output_tok_s,
        "total_throughput_tok_s": output_tok_s * (inputs + outputs) / outputs,
        "request_goodput_rps": None,
        "duration_s": workload["num_prompts"] * outputs / output_tok_s,
        "completed": workload["num_prompts"],
        "failed": 0,
        "total_input_tokens": workload["num_prompts"] * inputs,
        "total_output_tokens": workload["num_prompts"] * outputs,
    }
    for kind, middle in (("ttft", ttft_ms), ("tpot", tpot_ms), ("itl", tpot_ms), ("e2el", e2el_ms)):
        for statistic, times in (("mean", 1.02), ("median", 1.0), ("p90", 1.2), ("p95", 1.3), ("p99", 1.6)):
            values[f"{statistic}_{kind}_ms"] = middle * times
        values[f"std_{kind}_ms"] = middle * 0.1
    return values


def _open_values(workload: Mapping[str, Any], factor: float, alone_ms: float) -> tuple[float, float]:
    """Return (wait in ms, answered req/s) of an open loop: a queue that grows without end beyond 10 req/s."""
    rate, number, capacity_rps = workload["request_rate_rps"], workload["num_prompts"], 10.0 * factor
    if rate < capacity_rps:
        return alone_ms * 0.1 * rate / (capacity_rps - rate), number / (number / rate + alone_ms / 1000)
    answered_rps = number / (number / capacity_rps + alone_ms / 1000)  # the last one still has its own latency
    return 1000 * number * (1 / capacity_rps - 1 / rate) / 2, answered_rps


def _latency_values(workload: Mapping[str, Any], factor: float) -> dict[str, float | int | None]:
    average_s = (0.150 + 0.012 * workload["batch_size"]) / factor
    percentiles = {f"p{p}_batch_latency_s": average_s * (0.9 + p / 500) for p in (10, 25, 50, 75, 90, 99)}
    return {"avg_batch_latency_s": average_s, **percentiles}


def _throughput_values(workload: Mapping[str, Any], factor: float) -> dict[str, float | int | None]:
    prompts, rate = workload["num_prompts"], 1480.0 * factor
    return {
        "request_throughput_rps": rate / workload["output_len_tokens"],
        "output_throughput_tok_s": rate,
        "total_throughput_tok_s": rate * 3,
        "duration_s": prompts * workload["output_len_tokens"] / rate,
        "completed": prompts,
        "total_input_tokens": prompts * workload["input_len_tokens"],
        "total_output_tokens": prompts * workload["output_len_tokens"],
    }


def _first_request_values(workload: Mapping[str, Any], factor: float) -> dict[str, float | int | None]:
    return {
        "ttft_ms": 13.1 / factor,
        "e2el_ms": 280.0 / factor,
        "total_input_tokens": 5,
        "total_output_tokens": math.floor(workload["max_tokens"]),
    }


_VALUES = {
    "serve": _serve_values,
    "latency": _latency_values,
    "throughput": _throughput_values,
    "first_request": _first_request_values,
}
