"""Are the numbers of the warm path those of the bare command line? One case both ways, interleaved, in pairs.

    python lib/proofs/equal_numbers.py            # 10 pairs each of client, serve, latency and throughput: about an hour
    python lib/proofs/equal_numbers.py --pairs 3 --only latency

The order within a pair alternates, so that a drift of the machine touches both ways alike. Offline, the engine is
loaded anew after two pairs: a process can be lucky with its place in memory for as long as it lives, and the command
line draws its luck anew each time.
"client" is serve against a scripted server of steady pace: what differs between the two ways is the client, and the
processes of a real server are three for the two cores of a small machine, where they hand tokens on in heaps.
Exits with 1 when the interval of a metric neither contains 1 nor lies within ±2 %.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.server import VllmServer
from benchbook.hosts.vllm.command import VLLM_PROGRAM, private_environment
from benchbook.measure.argv import Target, latency_argv, serve_argv, throughput_argv
from benchbook.measure.client.warm import WarmClient
from benchbook.plan.workloads import LatencyWorkload, ServeWorkload, ThroughputWorkload
from pairs import ENGINE_ARGS, ENV, equality_of, print_ratios, proof_parser, run_case, write_output

MODEL = "tiny"
PAIRS_PER_LOAD = 2  # offline
SERVE = ServeWorkload(input_len_tokens=128, output_len_tokens=64, max_concurrency=1, num_prompts=60)
CLIENT = ServeWorkload(input_len_tokens=128, output_len_tokens=64, max_concurrency=4, num_prompts=120)
SCRIPTED_PROGRAM = (sys.executable, str(Path(__file__).parents[1] / "tests" / "fake_vllm.py"))
SCRIPT = {"FAKE_VLLM": json.dumps({"ttft_s": [0.02], "itl_s": [0.004]})}
LATENCY = LatencyWorkload(input_len_tokens=128, output_len_tokens=64, batch_size=8, num_iters=20, num_iters_warmup=5)
THROUGHPUT = ThroughputWorkload(input_len_tokens=128, output_len_tokens=64, num_prompts=200)

SERVE_METRICS = (
    "request_throughput",
    "output_throughput",
    "mean_ttft_ms",
    "median_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "median_tpot_ms",
    "p99_tpot_ms",
    "mean_itl_ms",
    "mean_e2el_ms",
    "p99_e2el_ms",
)
THROUGHPUT_METRICS = ("requests_per_second", "tokens_per_second")

Argv = Callable[[Path, int], list[str]]  # from the result's path and the seed
Open = Callable[[Path], Any]  # a context manager that gives (warm socket, the case's argv, its environment)


def open_online(workload: ServeWorkload, env: Mapping[str, str], program: Sequence[str] = VLLM_PROGRAM) -> Open:
    """Return what gives a client beside a running server; both ways measure that server."""

    @contextmanager
    def opened(folder: Path) -> Iterator[tuple[str, Argv, Mapping[str, str]]]:
        server = VllmServer(MODEL, args=ENGINE_ARGS, env=env, log_dir=folder, program=program)
        with WarmClient(log_dir=folder) as client, server:

            def argv(raw_path: Path, seed: int) -> list[str]:
                return serve_argv(
                    workload,
                    Target(
                        base_url=server.base_url,
                        model=server.model_files.path,
                        served_name=server.served_name,
                        tokenizer_words=["--tokenizer", server.model_files.path],
                        seed=seed,
                        raw_path=raw_path,
                    ),
                )

            yield client.socket_path, argv, {"OPENAI_API_KEY": server.api_key}

    return opened


def open_offline(make_argv: Callable[..., list[str]]) -> Open:
    """Return what gives a loaded engine; the command line loads its own beside it, which rests meanwhile."""

    @contextmanager
    def opened(folder: Path) -> Iterator[tuple[str, Argv, Mapping[str, str]]]:
        with VllmEngine(MODEL, args=ENGINE_ARGS, env=ENV, log_dir=folder) as engine:

            def argv(raw_path: Path, seed: int) -> list[str]:
                return make_argv(engine.model_files.path, raw_path, seed)

            yield engine.socket_path, argv, {**private_environment(needs_download=False), **ENV}

    return opened


def latency(model_path: str, raw_path: Path, seed: int) -> list[str]:
    """Return the latency case; `bench latency` takes no seed for its prompts."""
    return latency_argv(LATENCY, Target(model=model_path, engine_args=ENGINE_ARGS, raw_path=raw_path))


def throughput(model_path: str, raw_path: Path, seed: int) -> list[str]:
    """Return the throughput case with prompts of this seed."""
    return throughput_argv(THROUGHPUT, Target(model=model_path, engine_args=ENGINE_ARGS, seed=seed, raw_path=raw_path))


def latency_values(raw: Mapping[str, Any]) -> dict[str, float]:
    """Return the headline metrics of a latency result (s)."""
    return {"avg_latency": raw["avg_latency"]} | {f"p{rank}_latency": raw["percentiles"][rank] for rank in ("50", "90")}


def picked(names: Sequence[str]) -> Callable[[Mapping[str, Any]], dict[str, float]]:
    """Return what takes the metrics `names` out of a result."""
    return lambda raw: {name: raw[name] for name in names}


BENCHMARKS: dict[str, tuple[Open, Callable[[Mapping[str, Any]], dict[str, float]], int | None]] = {
    "client": (open_online(CLIENT, SCRIPT, SCRIPTED_PROGRAM), picked(SERVE_METRICS), None),
    "serve": (open_online(SERVE, ENV), picked(SERVE_METRICS), None),
    "latency": (open_offline(latency), latency_values, PAIRS_PER_LOAD),
    "throughput": (open_offline(throughput), picked(THROUGHPUT_METRICS), PAIRS_PER_LOAD),
}


def measure(benchmark: str, num_pairs: int, folder: Path) -> list[dict[str, dict[str, float]]]:
    """Return one {'warm': values, 'command line': values} a pair."""
    opened, values_of, pairs_per_load = BENCHMARKS[benchmark]
    pairs: list[dict[str, dict[str, float]]] = []
    while len(pairs) < num_pairs:
        with opened(folder) as (socket_path, argv, env):
            first_path = folder / "first.json"  # the first use of a host belongs to neither way
            run_case(argv(first_path, 10_000 + len(pairs)), first_path, socket_path=socket_path, env=env)
            for _ in range(min(pairs_per_load or num_pairs, num_pairs - len(pairs))):
                pair: dict[str, dict[str, float]] = {}
                for way in sorted(("warm", "command line"), reverse=len(pairs) % 2 == 0):
                    raw_path = folder / f"{way.split()[0]}-{len(pairs)}.json"
                    warm_socket = socket_path if way == "warm" else None
                    raw, _ = run_case(argv(raw_path, len(pairs)), raw_path, socket_path=warm_socket, env=env)
                    pair[way] = values_of(raw)
                pairs.append(pair)
                print(f"{benchmark}: pair {len(pairs)} of {num_pairs}", flush=True)
    return pairs


def main() -> int:
    """Measure, print one line a metric, write the pairs and their ratios; 1 when a metric is biased."""
    parser = proof_parser(__doc__, "equal_numbers")
    parser.add_argument("--pairs", type=int, default=10, help="pairs a benchmark (at least 2)")
    parser.add_argument("--only", choices=BENCHMARKS, nargs="+", default=list(BENCHMARKS), help="which benchmarks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchbook-equality-") as folder:
        measured = {name: measure(name, options.pairs, Path(folder)) for name in options.only}
    ratios = {
        f"{benchmark} {metric}": equality_of(
            *([pair[way][metric] for pair in pairs] for way in ("warm", "command line"))
        )
        for benchmark, pairs in measured.items()
        for metric in pairs[0]["warm"]
    }
    print_ratios(ratios, "warm / command line")
    summary = [{"metric": what, **asdict(ratio), "is_equal": ratio.is_equal()} for what, ratio in ratios.items()]
    write_output(options.output, {"pairs": measured, "ratios": summary})
    return 0 if all(ratio.is_equal() for ratio in ratios.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
