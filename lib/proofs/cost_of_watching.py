"""What watching costs: one serving case with all that benchbook watches, and without any of it, interleaved in pairs.

    python lib/proofs/cost_of_watching.py             # 20 pairs on one server: 6 to 18 minutes
    python lib/proofs/cost_of_watching.py --experiment experiments/tuned.yaml    # on the first launch of another experiment

With: the server's counters before and after, its metrics four times a second, its health every second, the GPU, other
processes, and the client's event loop ten times a second. Without: vLLM's benchmark code in the same warm client, and
nothing beside it. The order within a pair alternates. Interrupted with Ctrl-C it prints what the pairs until then say.
Exits with 1 when the 95 % interval of throughput or TPOT neither lies within ±1 % nor contains 1.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchbook.hosts.server import VllmServer
from benchbook.hosts.worker import Worker
from benchbook.measure.argv import Target, serve_argv
from benchbook.measure.client.warm import LISTEN_LIMIT_S, WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.plan.experiment import load_experiment
from benchbook.plan.launches import Launch
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from pairs import equality_of, of_a_launch, print_ratios, proof_parser, run_case, write_output

TOLERANCE = 0.01
METRICS = ("output_throughput", "median_tpot_ms", "mean_tpot_ms", "median_ttft_ms")
JUDGED = ("output_throughput", "median_tpot_ms")


def unwatched_client(log_dir: Path) -> Worker:
    """Return a warm client that nothing watches from within."""
    search_path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return Worker(
        "unwatched_client",
        [],
        env={"PYTHONPATH": search_path},
        name="unwatched",
        kind="client",
        log_dir=log_dir,
        ready_timeout_s=LISTEN_LIMIT_S,
    )


def measure(
    launch: Launch, workload: ServeWorkload, num_pairs: int, folder: Path
) -> Iterator[dict[str, Mapping[str, Any]]]:
    """Give one {'watched': raw result, 'unwatched': raw result} a pair; the first pair only warms up."""
    server = VllmServer(launch.model.path_or_id, args=launch.args, env=launch.env, log_dir=folder)
    with WarmClient(log_dir=folder / "watched") as client, unwatched_client(folder / "bare") as bare, server:

        def watched(seed: int) -> Mapping[str, Any]:
            path = folder / f"record-{seed}" / "record.json"
            repeat = Handover(client_socket=client.socket_path, warmed_by="the first pair")
            with contextlib.redirect_stdout(io.StringIO()):  # vLLM's own progress
                return bench_serve(server, workload, seed=seed, record_path=path, repeat=repeat).raw()

        def unwatched(seed: int) -> Mapping[str, Any]:
            path = server.model_files.path
            argv = serve_argv(
                workload,
                Target(
                    base_url=server.base_url,
                    model=path,
                    served_name=server.served_name,
                    tokenizer_words=["--tokenizer", path],
                    seed=seed,
                    raw_path=folder / "raw.json",
                ),
            )
            env = {"OPENAI_API_KEY": server.api_key}
            return run_case(argv, folder / "raw.json", socket_path=bare.socket_path, env=env)[0]

        for seed in range(num_pairs + 1):
            ways = sorted({"watched": watched, "unwatched": unwatched}.items(), reverse=seed % 2 == 0)
            pair = {name: way(seed) for name, way in ways}
            print(f"pair {seed} of {num_pairs}", flush=True)
            if seed:
                yield pair


def main() -> int:
    """Measure, print one line a metric, write the ratios; 1 when watching costs more than the tolerance."""
    parser = of_a_launch(proof_parser(__doc__, "cost_of_watching"))
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args()
    workload = ServeWorkload(
        input_len_tokens=128,
        output_len_tokens=64,
        max_concurrency=options.concurrency,
        num_prompts=30 * options.concurrency,
    )
    launch = load_experiment(options.experiment).launches[0]
    pairs: list[dict[str, Mapping[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="benchbook-watching-") as folder, contextlib.suppress(KeyboardInterrupt):
        for pair in measure(launch, workload, options.pairs, Path(folder)):
            pairs.append(pair)
    if len(pairs) < 2:
        raise SystemExit("interrupted before there were two pairs")
    ratios = {
        metric: equality_of(*([pair[way][metric] for pair in pairs] for way in ("watched", "unwatched")))
        for metric in METRICS
    }
    print_ratios(ratios, "watched / unwatched", TOLERANCE)
    write_output(options.output, {"ratios": {metric: asdict(ratio) for metric, ratio in ratios.items()}})
    return 0 if all(ratios[metric].is_equal(TOLERANCE) for metric in JUDGED) else 1


if __name__ == "__main__":
    raise SystemExit(main())
