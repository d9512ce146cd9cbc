"""What a board costs: one serving case with `benchbook watch` on a run of a hundred cases beside it, and without, in pairs.

    python lib/proofs/cost_of_board.py             # 20 pairs on one server: 6 to 12 minutes
    python lib/proofs/cost_of_board.py --pairs 0   # only the processor time of the board, half a minute; starts no server

The board is drawn on a terminal of its own, of a run that is being measured: its records lie there, and it looks for more.
The order within a pair alternates. Exits with 1 when the board takes more than 0.5 % of the machine's processors, or when
the 95 % interval of throughput or TPOT neither lies within ±0.5 % nor contains 1.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from benchbook.hosts.server import VllmServer
from benchbook.measure.client.warm import WarmClient
from benchbook.measure.serve import bench_serve
from benchbook.plan.experiment import load_experiment
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.handover import Handover
from benchbook.records.header import RunState
from benchbook.records.now import Now, write_now
from benchbook.records.store import Store
from cost_of_watching import JUDGED, METRICS
from pairs import equality_of, of_a_launch, print_ratios, proof_parser, write_output
from synthetic import make_run

TOLERANCE = 0.005
NUM_RECORDS = 500  # of a hundred cases
ALONE_S = 20.0  # for so long a board is looked at that has nothing beside it
ROWS, COLUMNS = 50, 160


class Board:
    """`benchbook watch` of `run_dir` on a terminal of its own, as a context manager; `shares` are of one processor."""

    def __init__(self, run_dir: Path) -> None:
        self._words = [sys.executable, "-m", "benchbook", "watch", str(run_dir)]
        self.shares: list[float] = []

    def __enter__(self) -> Board:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color"}
        self._process = subprocess.Popen(self._words, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        os.read(self._master, 1)  # it is drawn
        threading.Thread(target=self._drain, daemon=True).start()
        time.sleep(1.0)
        self._began = time.monotonic(), self._cpu_s()
        return self

    def __exit__(self, *_: object) -> None:
        began_s, cpu_s = self._began
        self.shares.append((self._cpu_s() - cpu_s) / (time.monotonic() - began_s))
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._master)

    def _cpu_s(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(self._master, 65536):
                pass


@contextlib.contextmanager
def run_under_way(folder: Path) -> Iterator[Path]:
    """Inside, the synthetic run in the yielded folder is one that this process measures."""
    run_dir = make_run(folder, NUM_RECORDS)
    store = Store(run_dir)
    store.write_header(store.header().model_copy(update={"state": RunState.RUNNING}))
    began_s = time.time()
    write_now(run_dir, Now(pid=os.getpid(), began_s=began_s, since_s=began_s, what="a repeat that takes its time"))
    with store.locked():
        yield run_dir


def measure(
    board: Board, experiment: Path, num_pairs: int, concurrency: int, folder: Path
) -> Iterator[dict[str, Mapping[str, Any]]]:
    """Give one {'board': raw result, 'none': raw result} a pair; the first pair only warms up."""
    launch = load_experiment(experiment).launches[0]
    workload = ServeWorkload(
        input_len_tokens=128, output_len_tokens=64, max_concurrency=concurrency, num_prompts=30 * concurrency
    )
    server = VllmServer(launch.model.path_or_id, args=launch.args, env=launch.env, log_dir=folder)
    with WarmClient(log_dir=folder / "client") as client, server:

        def raw(seed: int, beside: contextlib.AbstractContextManager[object]) -> Mapping[str, Any]:
            path = folder / f"record-{seed}" / "record.json"
            repeat = Handover(client_socket=client.socket_path, warmed_by="the first pair")
            with beside, contextlib.redirect_stdout(io.StringIO()):  # vLLM's own progress
                return bench_serve(server, workload, seed=seed, record_path=path, repeat=repeat).raw()

        for seed in range(num_pairs + 1):
            ways = {"board": board, "none": contextlib.nullcontext()}
            pair = {name: raw(seed, ways[name]) for name in sorted(ways, reverse=seed % 2 == 0)}
            print(f"pair {seed} of {num_pairs}", flush=True)
            if seed:
                yield pair


def main() -> int:
    """Measure, print one line a metric and the board's processor time, write both; 1 when it costs more than it may."""
    parser = of_a_launch(proof_parser(__doc__, "cost_of_board"))
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args()
    pairs: list[dict[str, Mapping[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="benchbook-board-") as folder, run_under_way(Path(folder)) as run_dir:
        board = Board(run_dir)
        with board:
            time.sleep(ALONE_S)
        with contextlib.suppress(KeyboardInterrupt):
            pairs.extend(
                measure(board, options.experiment, options.pairs, options.concurrency, Path(folder))
                if options.pairs
                else ()
            )
    share = max(board.shares) / (os.cpu_count() or 1)
    print(
        f"the board took at most {100 * share:.2f} % of the machine's processors, as watched {len(board.shares)} times"
    )
    ratios = {
        metric: equality_of(*([pair[way][metric] for pair in pairs] for way in ("board", "none")))
        for metric in (METRICS if len(pairs) > 1 else ())
    }
    if ratios:
        print_ratios(ratios, "with a board / without", TOLERANCE)
    found = {metric: asdict(ratio) for metric, ratio in ratios.items()}
    write_output(options.output, {"processor_share": share, "ratios": found})
    are_equal = all(ratios[metric].is_equal(TOLERANCE) for metric in JUDGED if ratios)
    return 0 if share <= TOLERANCE and are_equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
