"""Does a sweep on a cluster take less time, and lose nothing whatever is killed? On the scripted server.

    python lib/proofs/clusters.py slurm --kills 20        # a Slurm, or a Ray, of four nodes on this machine
    python lib/proofs/clusters.py ray --time              # 8 launches at four nodes, against one at a time

Killed are, at random moments: whoever runs the sweep, jobs, what they start. Each
command is given again until its run is whole, and another sweep begun until there were so many kills. What was measured
before a kill is there after it, byte for byte; each repeat is measured once; at the end no process is left. Exits with 1 where any of that does not hold, or when --time finds
more than 0.4 of the serial time.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from benchbook.records.store import Store
from clusters_here import cluster_of, is_installed

FAKE_PACKAGE = Path(__file__).parents[1] / "tests" / "fake_package"
SCRIPT = '{"ttft_s": [0.05], "itl_s": [0.02]}'
EXPERIMENT = """
question: Does it hold on a cluster?
model: {model}
launches: {{{launches}}}
benchmarks:
  - serve: {{max_concurrency: [1, 2], lengths: [[16, {output_len}]], num_prompts: 4}}
repeats: {repeats}
turns: {turns}
again: 0
"""
MOST_OF_SERIAL = 0.4
RUN_LIMIT_S = 900.0
LEFT_S = 20.0
MOST_COMMANDS = 20  # until a sweep is whole
SMALL = {"output_len": 16, "repeats": 4, "turns": "true"}
ALL_MEASURED = (0, 1, 3)
# What is killed, by a part of its command line.
ROLES = ("-m benchbook run", "sweep.cluster.job", " serve ", "guardian_main", "client.main", "fork_main")


def main() -> int:
    """Kill, time, print; return 0 when all holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scheduler", choices=("slurm", "ray"))
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    if not is_installed(options.scheduler):
        raise SystemExit(f"{options.scheduler} is not installed here; see lib/proofs/clusters_here.py")
    with tempfile.TemporaryDirectory() as name, cluster_of(options.scheduler, Path(name, "cluster")) as (env, cluster):
        held = [_storms(Path(name, "storm"), env, cluster, options.kills, options.seed)] if options.kills else []
        held += [_is_faster(Path(name, "time"), env, cluster)] if options.time else []
    return 0 if all(held) else 1


class Sweep:
    """An experiment in a folder of its own, run there until it is whole."""

    def __init__(self, folder: Path, env: dict[str, str], cluster: str, launches: int, **experiment: object) -> None:
        model = folder / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        each = ", ".join(
            f"l{number}: {{args: {{max_model_len: {4096 + number}}}, env: {{FAKE_VLLM: '{SCRIPT}'}}}}"
            for number in range(launches)
        )
        (folder / "x.yaml").write_text(EXPERIMENT.format(model=model, launches=each, **experiment))
        (folder / "cluster.yaml").write_text(cluster)
        search_path = os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")]))
        self.env = {**os.environ, **env, "PYTHONPATH": search_path, "BENCHBOOK_STATE_DIR": str(folder / "state")}
        self.folder = folder

    def start(self, *more: str) -> subprocess.Popen:
        """Begin a command, its output in a file."""
        with (self.folder / "output").open("ab") as output:
            argv = [sys.executable, "-m", "benchbook", "run", "x.yaml", *more]
            return subprocess.Popen(argv, cwd=self.folder, env=self.env, stdout=output, stderr=output)

    def records(self) -> dict[Path, bytes]:
        """Return what is measured, each record by its file."""
        return {path: path.read_bytes() for path in self.folder.glob("results/x/2*/cases/*/repeat=*/record.json")}

    def processes(self) -> Iterator[psutil.Process]:
        """Yield those of this sweep, by their variables."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("BENCHBOOK_STATE_DIR") == self.env["BENCHBOOK_STATE_DIR"]:
                    yield process
            except psutil.Error:
                continue

    def role_of(self, process: psutil.Process) -> str:
        """Return what a process is there for; '' where it is not to be killed."""
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            return ""
        return next((role for role in ROLES if role in line), "")


def _storms(folder: Path, env: dict[str, str], cluster: str, kills: int, seed: int) -> bool:
    """Return whether all holds of as many sweeps as it takes to kill so often: each is given again until it is whole."""
    chance, done, number = random.Random(seed), 0, 0
    while done < kills:
        number += 1
        killed = _storm(Sweep(folder / str(number), env, cluster, 2, **SMALL), chance, kills - done)
        if killed is None:
            return False
        done += killed
    return True


def _storm(sweep: Sweep, chance: random.Random, most: int) -> int | None:
    """Kill at most so often until a sweep is whole; return how often, None where anything is lost, changed or left."""
    done, kept = 0, {}
    for _ in range(MOST_COMMANDS):
        process = sweep.start("--on=cluster.yaml")
        until_s = time.monotonic() + RUN_LIMIT_S
        while process.poll() is None and time.monotonic() < until_s:
            _wait(process, chance.uniform(2, 20) if done < most else 1.0)
            if done < most and process.poll() is None and (role := _kill_one(sweep, chance)):
                done += 1
                print(f"kill: {role}", flush=True)
        now = sweep.records()
        print(f"the command ended with {process.returncode}; {len(now)} records and tries", flush=True)
        if process.returncode is None or (gone := [path for path in kept if not _is_there(path, kept[path], now)]):
            print(f"lost or changed: {gone}" if process.returncode is not None else "it did not end")
            return None
        kept = now
        if process.returncode in ALL_MEASURED:
            return done if _is_whole(sweep, 2 * 2 * 4) else None
    print(f"not whole after {MOST_COMMANDS} commands")
    return None


def _is_there(path: Path, content: bytes, now: dict[Path, bytes]) -> bool:
    """Return whether a record is where it was, byte for byte; one that is not VALID may be an earlier try by now."""
    if now.get(path) == content:
        return True
    tries = path.parent.parent.glob(f"{path.parent.name.partition(',')[0]},attempt=*/{path.name}")
    return b'"VALID"' not in content and content in {now.get(each) for each in tries}


def _is_whole(sweep: Sweep, number: int) -> bool:
    records = Store.open("x", sweep.folder / "results").records()
    measured = {(record.identity.case_id, record.identity.repeat) for record in records if record.is_measured}
    nodes = sorted({record.host.place.node for record in records if record.host.place})
    until_s = time.monotonic() + LEFT_S
    while (left := list(sweep.processes())) and time.monotonic() < until_s:
        time.sleep(0.5)
    print(f"{len(measured)} of {number} repeats measured, {len(records)} records, nodes {nodes}; left: {left}")
    return len(measured) == len(records) == number and not left


def _kill_one(sweep: Sweep, chance: random.Random) -> str:
    """Kill one process, of a role that chance takes first; return the role, '' when there was none."""
    found = [(role, process) for process in sweep.processes() if (role := sweep.role_of(process))]
    if not found:
        return ""
    role = chance.choice(sorted({role for role, _ in found}))
    try:
        chance.choice([process for each, process in found if each == role]).kill()
    except psutil.Error:
        return ""
    return role


def _is_faster(folder: Path, env: dict[str, str], cluster: str) -> bool:
    folder.mkdir()
    took: dict[str, float] = {}
    for name, more in (("one at a time", []), ("on the cluster", ["--on=cluster.yaml"])):
        sweep = Sweep(folder / name.replace(" ", "-"), env, cluster, 8, output_len=128, repeats=1, turns="false")
        began_s = time.monotonic()
        code = sweep.start(*more).wait(RUN_LIMIT_S)
        took[name] = time.monotonic() - began_s
        if code not in ALL_MEASURED or not _is_whole(sweep, 16):
            print((sweep.folder / "output").read_text()[-2000:])
            return False
    serial_s, at_once_s = took.values()
    print(
        f"8 launches: {at_once_s:.1f} s on four nodes, {serial_s:.1f} s one at a time: {at_once_s / serial_s:.2f} of it"
    )
    return at_once_s / serial_s <= MOST_OF_SERIAL


def _wait(process: subprocess.Popen, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


if __name__ == "__main__":
    raise SystemExit(main())
