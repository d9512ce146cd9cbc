"""Online measurement: vLLM's own `bench serve` against a server that is already there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchbook.errors import Cause, MeasureError
from benchbook.hosts.scrape import counter_delta, parse_metrics
from benchbook.hosts.telemetry import Sampler
from benchbook.hosts.watch import StallWatch
from benchbook.measure.commands import serve_argv
from benchbook.measure.jobs import BenchRun, run_bench
from benchbook.measure.recording import Recording
from benchbook.measure.servers import AnyServer, host_facts, model_card, silence_is_death
from benchbook.measure.telemetry import keep_telemetry
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.files import read_json
from benchbook.records.fingerprint import digest
from benchbook.records.store import Saved

LIMIT_S = 3600.0
STALL_LIMIT_S = 120.0
WARMUP_SEED_OFFSET = 1_000_003  # a seed that no repeat uses: the warm-up's prompts are not the measured ones
_COUNTERS = (
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:num_preemptions_total",
    "vllm:request_success_total",
    "vllm:estimated_flops_per_gpu_total",
    "vllm:estimated_read_bytes_per_gpu_total",
    "vllm:estimated_write_bytes_per_gpu_total",
)


def bench_serve(
    server: AnyServer,
    workload: ServeWorkload,
    *,
    record_path: str | Path = "",
    seed: int = 0,
    case: Mapping[str, Any] | None = None,
    client_socket: str = "",
    limit_s: float = LIMIT_S,
    stall_limit_s: float = STALL_LIMIT_S,
) -> Saved:
    """Offer `workload` to `server` with `vllm bench serve`, write `record_path` and vLLM's raw.json beside it, return the record.

    The warm-up is the same official code with other prompts, as many as are in flight later. Raises MeasureError when
    the benchmark ends without a result, takes longer than `limit_s`, or no token moves for `stall_limit_s`.
    """
    with Recording(workload, record_path, case) as recording, silence_is_death(server):
        server.check_alive()
        _warm_up(server, workload, recording, seed, client_socket, limit_s, stall_limit_s)
        argv = _argv(server, workload, seed, recording.raw_path)
        recording.argv = ["vllm", "bench", *argv]
        before = parse_metrics(server.metrics_text())
        with Sampler(server.base_url, api_key=server.api_key) as sampler:
            run = _run(server, argv, recording.log_path, client_socket, limit_s, stall_limit_s)
        delta = counter_delta(before, parse_metrics(server.metrics_text()))
        raw = read_json(recording.raw_path)
        counters = {name: value for name, value in delta.items() if name.startswith(_COUNTERS)}
        return recording.finish(
            raw,
            host={**host_facts(server), "counters": counters, "telemetry": keep_telemetry(recording, sampler, raw)},
            way=run.way,
            seed=seed,
            request_set_sha256=_request_set(server, workload, seed, raw),
        )


def _argv(server: AnyServer, workload: ServeWorkload, seed: int, raw_path: Path) -> list[str]:
    card = model_card(server)
    return serve_argv(
        workload,
        base_url=server.base_url,
        model_name=card["name"],
        served_name=server.served_name,
        tokenizer=card["root"],
        seed=seed,
        raw_path=raw_path,
    )


def _warm_up(
    server: AnyServer,
    workload: ServeWorkload,
    recording: Recording,
    seed: int,
    client_socket: str,
    limit_s: float,
    stall_limit_s: float,
) -> None:
    """Send prompts of the measured lengths at the measured concurrency; what they took is not looked at."""
    if workload.warmup_prompts == 0:
        return
    print(f"Warm-up: {workload.warmup_prompts} other prompts of the same lengths.")
    warmup = workload.model_copy(
        update={
            "num_prompts": workload.warmup_prompts,
            "request_rate_rps": None,
            "max_concurrency": workload.max_concurrency or workload.warmup_prompts,
        }
    )
    raw_path = recording.raw_path.with_name("warmup.json")
    argv = _argv(server, warmup, (seed + WARMUP_SEED_OFFSET) % 2**31, raw_path)
    _run(server, argv, recording.log_path.with_name("warmup.log"), client_socket, limit_s, stall_limit_s, on_line=None)
    raw_path.unlink(missing_ok=True)


def _run(
    server: AnyServer,
    argv: list[str],
    log_path: Path,
    client_socket: str,
    limit_s: float,
    stall_limit_s: float,
    on_line: Callable[[str], object] | None = print,
) -> BenchRun:
    """Run the benchmark with an eye on the server; a non-zero exit or a stall is a MeasureError."""
    with StallWatch(server, stall_limit_s) as watch:
        run = run_bench(
            argv,
            socket_path=client_socket or None,
            env=_client_env(server),
            on_line=on_line,
            log_path=log_path,
            limit_s=limit_s,
            cancel=watch.event,
        )
    if watch.cause is not None:
        raise MeasureError(f"the server stopped answering during the benchmark: {watch.cause}", watch.cause)
    server.check_alive()  # vLLM's client ends with exit code 0 when its server is gone and every request has failed
    if run.exit_code != 0:
        raise benchmark_failed("vllm bench serve", run, log_path)
    return run


def benchmark_failed(what: str, run: BenchRun, log_path: Path) -> MeasureError:
    """Return the error of an official benchmark that ended without a result, with its own last words."""
    lines = [line for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    evidence = next(
        (line for line in reversed(lines) if "Error" in line or "error" in line), lines[-1] if lines else "no output"
    )
    cause = Cause("benchmark_failed", evidence.strip()[:500], f"see {log_path.name} beside the record")
    return MeasureError(f"{what} ended with exit code {run.exit_code}: {cause.evidence}", cause)


def _client_env(server: AnyServer) -> dict[str, str]:
    """Return what is added to the client's environment: the key for this server and no other."""
    return {"OPENAI_API_KEY": server.api_key or "EMPTY"}


def _request_set(server: AnyServer, workload: ServeWorkload, seed: int, raw: Mapping[str, Any]) -> str:
    """Return a hash of what determines the prompts: vLLM's random data set of this version, tokenizer, lengths and seed."""
    return digest(
        {
            "dataset": "random",
            "vllm": server.version,
            "tokenizer": model_card(server)["root"],
            "seed": seed,
            "lengths": [workload.input_len_tokens, workload.output_len_tokens, workload.range_ratio],
            "input_lens": raw.get("input_lens"),
            "num_prompts": workload.num_prompts,
        }
    )
