"""What an online case costs beyond its measuring: `vllm bench sweep serve` against `benchbook run`, the same 8 cases.

    python lib/proofs/overhead_online.py              # 2 rounds of both, alternating: about 12 minutes

Overhead a case = (wall - server start - sum of the measured durations) / cases, for the whole command: imports,
kernels, notebooks and report included. One repeat a case and no warm-up on either side; same server flags.
Of ours it is told apart what one more case costs, and what a run costs once, of it the report.
"""

from __future__ import annotations

import json
import shlex
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from benchbook.hosts.model.files import resolve_model
from benchbook.hosts.process.guardian import spawn
from benchbook.hosts.vllm.command import flags, private_environment
from benchbook.terms.exit_codes import NO_ANSWER, OK
from pairs import ENGINE_ARGS, ENV, LIMIT_S, print_table, proof_parser, write_output

LIMIT_RATIO = 0.12
CONCURRENCIES = (1, 2, 4, 8)
LENGTHS = ((128, 64), (512, 32))
PROMPTS_PER_CONCURRENCY = 10
NUM_CASES = len(CONCURRENCIES) * len(LENGTHS)
VLLM = str(Path(sys.executable).with_name("vllm"))  # the sweep resets caches only for a command of this name


def measure_peer(folder: Path) -> dict[str, float]:
    """Run vLLM's own sweep and return where its wall time went (s)."""
    model = resolve_model("tiny").path
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = ["--host", "127.0.0.1", "--port", port]
    cases = [
        {
            "max_concurrency": cap,
            "num_prompts": PROMPTS_PER_CONCURRENCY * cap,
            "random_input_len": inputs,
            "random_output_len": outputs,
        }
        for cap in CONCURRENCIES
        for inputs, outputs in LENGTHS
    ]
    (folder / "cases.json").write_text(json.dumps(cases))
    serve = [VLLM, "serve", model, *address, *flags(ENGINE_ARGS)]
    bench = [
        VLLM,
        "bench",
        "serve",
        *address,
        "--backend",
        "openai",
        "--model",
        model,
        "--dataset-name",
        "random",
        "--temperature",
        "0",
    ]
    argv = [
        VLLM,
        "bench",
        "sweep",
        "serve",
        "--serve-cmd",
        shlex.join(serve),
        "--bench-cmd",
        shlex.join(bench),
        "--bench-params",
        str(folder / "cases.json"),
        "--num-runs",
        "1",
        "--output-dir",
        str(folder / "sweep"),
    ]
    wall_s, seen_at_s = run_timed(argv, folder / "peer.log", marks=("[BEGIN SERVER]", "[BEGIN BENCHMARK]"))
    start_s = seen_at_s["[BEGIN BENCHMARK]"] - seen_at_s["[BEGIN SERVER]"]
    return split_wall(wall_s, start_s, (folder / "sweep").rglob("run=0.json"))


def measure_ours(folder: Path) -> dict[str, float]:
    """Run the same cases with benchbook and return where its wall time went (s)."""
    serve = {
        "max_concurrency": list(CONCURRENCIES),
        "lengths": [list(pair) for pair in LENGTHS],
        "num_prompts": f"{PROMPTS_PER_CONCURRENCY} per concurrency",
        "num_warmup_prompts": 0,
    }
    experiment = {
        "question": "What does a case cost beyond its measuring?",
        "model": {"path": "tiny"},
        "repeats": 1,
        "again": 0,
        "launches": {"eager": {"args": ENGINE_ARGS, "env": ENV}},
        "benchmarks": [{"serve": serve}],
    }
    file = folder / "online.yaml"
    file.write_text(yaml.safe_dump(experiment))
    argv = [sys.executable, "-m", "benchbook", "run", str(file), "--results", str(folder / "results"), "--new"]
    wall_s, _ = run_timed(argv, folder / "ours.log", marks=())
    (run_dir,) = (folder / "results").glob("online/2*")
    cases = list(run_dir.glob("cases/*/*"))
    start_s = json.loads((cases[0] / "record.json").read_text())["host"]["ready_s"]
    split = split_wall(wall_s, start_s, (case / "raw.json" for case in cases))
    return split | split_ours(split, json.loads((run_dir / "run.json").read_text()), run_dir / "report.html")


def split_ours(split: dict[str, float], header: dict[str, Any], report: Path) -> dict[str, float]:
    """Return what one more case costs beyond its measuring, what a run costs once, and the report's part of that (s)."""
    jobs = header["wall_s_by_job"]
    repeats_s = [wall_s for job, walls_s in jobs.items() if not job.startswith("start ") for wall_s in walls_s]
    ended_s = datetime.fromisoformat(header["ended_utc"]).timestamp()
    return {
        "one_more_case_s": (sum(repeats_s) - split["measured_s"]) / NUM_CASES,
        "once_a_run_s": split["wall_s"] - split["server_start_s"] - sum(repeats_s),
        "report_s": report.stat().st_mtime - ended_s,
    }


def run_timed(argv: Sequence[str], log_path: Path, marks: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Run `argv`; return its wall time and when each of `marks` was first seen in its log, in s from the start."""
    started_s, seen_at_s = time.monotonic(), {}
    env = {**private_environment(needs_download=False), **ENV, "PYTHONUNBUFFERED": "1"}
    process = spawn(argv, env=env, log_path=log_path, name=log_path.stem, kind="client")
    try:
        while process.wait(timeout_s=0.05) is None:
            text = log_path.read_text(errors="replace")
            for mark in marks:
                if mark in text:
                    seen_at_s.setdefault(mark, time.monotonic() - started_s)
            if time.monotonic() - started_s > LIMIT_S:
                raise SystemExit(f"{argv[:4]} did not end within {LIMIT_S:g} s")
    finally:
        process.stop()
    if process.poll() not in (OK, NO_ANSWER):
        raise SystemExit(f"exit code {process.poll()}; end of the log:\n{log_path.read_text(errors='replace')[-2000:]}")
    return time.monotonic() - started_s, seen_at_s


def split_wall(wall_s: float, server_start_s: float, raw_paths: Any) -> dict[str, float]:
    """Return wall, start, measured and the overhead of a case (s), from the result files of all cases."""
    durations_s = [json.loads(path.read_text())["duration"] for path in raw_paths]
    if len(durations_s) != NUM_CASES:
        raise SystemExit(f"{len(durations_s)} of {NUM_CASES} cases have a result")
    measured_s = sum(durations_s)
    return {
        "wall_s": wall_s,
        "server_start_s": server_start_s,
        "measured_s": measured_s,
        "overhead_per_case_s": (wall_s - server_start_s - measured_s) / NUM_CASES,
    }


MEASURES = {"vllm sweep": measure_peer, "benchbook": measure_ours}


def main() -> int:
    """Measure both in turn, print a line each and the ratio of their overheads; 1 when it is over the limit."""
    parser = proof_parser(__doc__, "overhead_online")
    parser.add_argument("--rounds", type=int, default=2, help="how often both are run")
    options = parser.parse_args()
    rounds: list[dict[str, dict[str, float]]] = []
    for index in range(options.rounds):
        measured = {}
        for name in sorted(MEASURES, reverse=index % 2 == 0):
            with tempfile.TemporaryDirectory(prefix="benchbook-online-") as folder:
                measured[name] = MEASURES[name](Path(folder))
            print(f"round {index + 1}, {name}: {measured[name]['wall_s']:.1f} s", flush=True)
        rounds.append(measured)
    keys = ("wall_s", "server_start_s", "measured_s", "overhead_per_case_s")
    rows = [
        (f"{index} {name}", *(f"{values[key]:.2f}" for key in keys))
        for index, measured in enumerate(rounds, start=1)
        for name, values in measured.items()
    ]
    print_table(("round", *keys), rows)
    ratios = [measured["benchbook"][keys[-1]] / measured["vllm sweep"][keys[-1]] for measured in rounds]
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"\noverhead a case, ours / theirs, by round: {shown} (limit {LIMIT_RATIO})")
    for index, ours in enumerate((measured["benchbook"] for measured in rounds), start=1):
        print(
            f"ours in round {index}: one more case {ours['one_more_case_s']:.2f} s beyond its measuring; "
            f"once a run {ours['once_a_run_s']:.2f} s, of it the report {ours['report_s']:.2f} s"
        )
    write_output(options.output, {"rounds": rounds, "overhead_ratios": ratios, "num_cases": NUM_CASES})
    return 0 if max(ratios) <= LIMIT_RATIO else 1


if __name__ == "__main__":
    raise SystemExit(main())
