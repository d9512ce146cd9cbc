"""What an offline case costs beyond its measuring: `vllm bench` commands in a loop against one loaded engine.

    python lib/proofs/overhead_offline.py             # 4 latency and 2 throughput cases, both ways: about 8 minutes

Each case is run both ways in turn, without warm-up, so that all of its measured time is in its result file. Overhead
of a case = wall - measured. The engine's own start is paid once for all cases and shown by itself.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.vllm.command import private_environment
from benchbook.measure.argv import Target, latency_argv, throughput_argv
from benchbook.plan.workloads import LatencyWorkload, ThroughputWorkload
from pairs import ENGINE_ARGS, ENV, print_table, proof_parser, run_case, write_output

WAYS = ("command line", "engine")
LIMIT_RATIO = 0.03  # of the command line's overhead, for each further case
CASES: list[LatencyWorkload | ThroughputWorkload] = [
    *(
        LatencyWorkload(
            input_len_tokens=inputs, output_len_tokens=outputs, batch_size=batch_size, num_iters=10, num_iters_warmup=0
        )
        for batch_size in (1, 8)
        for inputs, outputs in ((128, 64), (512, 32))
    ),
    *(
        ThroughputWorkload(input_len_tokens=128, output_len_tokens=64, num_prompts=num_prompts, num_warmup_prompts=0)
        for num_prompts in (64, 200)
    ),
]


def case_argv(case: LatencyWorkload | ThroughputWorkload, model_path: str, raw_path: Path) -> list[str]:
    """Return what follows `vllm bench` for `case`."""
    if isinstance(case, LatencyWorkload):
        return latency_argv(case, Target(model=model_path, engine_args=ENGINE_ARGS, raw_path=raw_path))
    return throughput_argv(case, Target(model=model_path, engine_args=ENGINE_ARGS, seed=0, raw_path=raw_path))


def measured_s(raw: Mapping[str, Any]) -> float:
    """Return the seconds that a result file accounts for."""
    return sum(raw["latencies"]) if "latencies" in raw else raw["elapsed_time"]


def measure(folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """Run every case both ways; return the engine's start (s) and a row a case."""
    rows = []
    env = {**private_environment(needs_download=False), **ENV}
    with VllmEngine("tiny", args=ENGINE_ARGS, env=ENV, log_dir=folder) as engine:
        for case in CASES:
            row: dict[str, Any] = {"case": case.axes_text()}
            for way, socket_path in zip(WAYS, (None, engine.socket_path), strict=True):
                argv = case_argv(case, engine.model_files.path, folder / "raw.json")
                raw, wall_s = run_case(argv, folder / "raw.json", socket_path=socket_path, env=env)
                row[way] = {"wall_s": wall_s, "measured_s": measured_s(raw), "overhead_s": wall_s - measured_s(raw)}
            rows.append(row)
            print(f"{row['case']}: done", flush=True)
        return engine.ready_s, rows


def main() -> int:
    """Measure, print, write; 1 when a further case costs more than the limit."""
    parser = proof_parser(__doc__, "overhead_offline")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchbook-offline-") as folder:
        ready_s, rows = measure(Path(folder))
    print_table(
        ("case", "command line s", "of it measured", "engine s", "of it measured", "overhead ratio"),
        [
            (
                row["case"],
                *(f"{row[way][key]:.2f}" for way in WAYS for key in ("wall_s", "measured_s")),
                f"{row['engine']['overhead_s'] / row['command line']['overhead_s']:.4f}",
            )
            for row in rows
        ],
    )
    overhead_s = {way: statistics.fmean(row[way]["overhead_s"] for row in rows) for way in WAYS}
    wall_s = {way: sum(row[way]["wall_s"] for row in rows) for way in WAYS}
    ratio = overhead_s["engine"] / overhead_s["command line"]
    print(
        f"\noverhead a case: {overhead_s['engine']:.2f} s against {overhead_s['command line']:.2f} s, "
        f"ratio {ratio:.4f} (limit {LIMIT_RATIO})"
    )
    faster = wall_s["command line"] / (ready_s + wall_s["engine"])
    print(
        f"total wall: {ready_s:.1f} s engine start + {wall_s['engine']:.1f} s, "
        f"against {wall_s['command line']:.1f} s: {faster:.1f} times faster"
    )
    write_output(
        options.output,
        {"engine_start_s": ready_s, "rows": rows, "overhead_s": overhead_s, "wall_s": wall_s, "overhead_ratio": ratio},
    )
    return 0 if ratio <= LIMIT_RATIO else 1


if __name__ == "__main__":
    raise SystemExit(main())
