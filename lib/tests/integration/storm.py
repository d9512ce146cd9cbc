"""Storms: sweeps whose processes are killed at random, by role, and what must hold all the same.

    python lib/tests/integration/storm.py --kills 100 --seed 1           # one process at a time, the scripted server
    python lib/tests/integration/storm.py --kills 20 --real              # the real vLLM
    python lib/tests/integration/storm.py --kills 16 --instant           # runner and guardians in one instant
    python lib/tests/integration/storm.py --kills 20 --placed            # two blocks at once

Each command is given again until its run is whole. What was measured before a kill is there after it, byte for byte; each
planned repeat is measured once; 15 s after a runner's end nothing of it is alive; and after the next command there is
nothing of it in the temporary folder. Exits with 1 where any of that does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from benchbook.records.record import Record
from benchbook.records.record_file import read_record
from benchbook.records.store import RUN_FILE, Store
from benchbook.terms.errors import StoreError
from sweeps import (
    ALL_MEASURED,
    ARGS,
    ENV,
    FAKE_SWEEP,
    SMALL_SWEEP_OF_BOTH,
    benchbook,
    marked_processes,
    wait_nothing_left,
    write_fake_sweep,
)

RUN_LIMIT_S = 600.0
SCRIPT = '{"itl_s": [0.01], "helpers": 1}'  # of the scripted server: it is slow enough to be killed in a benchmark
PLACED = "repeats: {{starts: 2}}\nplace: {{at_once: 2}}"
MAX_RUNS_IN_A_ROW = 4  # without a kill, until one is whole

REAL_SWEEP = """
question: Does the real machinery hold?
model: {model}
launches: {{real: {{args: {args}, env: {env}}}}}
benchmarks:
  - first_request: {{max_tokens: 8}}
  - serve: {{max_concurrency: [1, 2], lengths: [[64, 32]], num_prompts: 10 per concurrency}}
  - latency: {{batch_size: 1, lengths: [[64, 16]], num_iters: 10, num_iters_warmup: 2}}
  - throughput: {{num_prompts: 16, lengths: [[64, 16]]}}
repeats: 2
again: 0
"""

# What a process is by words of its command line, and by those of its parent's where a worker forks its likes.
_ROLES = (
    ("benchbook.hosts.process.heir", "heir", ""),
    ("benchbook.hosts.process.guardian_main", "guardian", ""),
    ("benchbook.measure.client.main", "client", "benchmark"),
    ("benchbook.notebooks.kernels.fork_main", "kernels", "kernel"),
    ("benchbook.hosts.vllm.engine_worker", "engine", "engine's child"),
    ("benchbook.notebooks.kernels.ahead_main", "kernel", ""),
    ("-m benchbook run", "runner", ""),
    ("multiprocessing.spawn", "place", ""),
    ("multiprocessing.resource_tracker", "tracker of places", ""),
    ("VLLM::", "engine core or worker", ""),
    (" serve ", "server", ""),
)


def role_of(process: psutil.Process) -> str:
    """Return what a process of a sweep is there for."""
    words = " ".join(process.cmdline())
    for word, role, forked in _ROLES:
        if word in words:
            parent = process.parent()
            return forked if forked and parent and word in " ".join(parent.cmdline()) else role
    return "other"


def by_role(folder: Path) -> dict[str, list[psutil.Process]]:
    """Return the living processes of the sweep in `folder`; guardians are told apart by what they guard."""
    kinds = {}
    for path in (folder / "state" / "hosts").glob("*.json"):
        try:
            entry = json.loads(path.read_text())
            kinds[entry["guardian_pid"]] = entry["kind"]
        except (OSError, ValueError):
            continue  # gone, or being written
    found: dict[str, list[psutil.Process]] = {}
    for process in marked_processes(folder):
        try:
            role = role_of(process)
        except psutil.Error:
            continue  # it has ended
        if role == "guardian":
            role = f"guardian of {kinds.get(process.pid, 'what starts')}"
        found.setdefault(role, []).append(process)
    return found


def measured(folder: Path) -> dict[Path, bytes]:
    """Return the content of each record of a number, of final attempts, by its path."""
    found = {}
    for path in _record_files(folder):
        try:
            if ",attempt=" not in path.parent.name and read_record(path).is_measured:
                found[path] = path.read_bytes()
        except (StoreError, OSError):
            continue  # one under way when its writer was killed; that it is redone is seen at the end
    return found


def _record_files(folder: Path) -> Iterator[Path]:
    # Not by way of latest/, which moves on to the next run.
    for run in folder.glob("results/*/*"):
        if not run.is_symlink():
            yield from run.glob("cases/*/repeat=*/record.json")


@dataclass
class Storm:
    """One storm over the sweep in `folder`, and what was seen."""

    folder: Path
    file: str
    is_fake: bool
    chance: random.Random
    every_s: tuple[float, float]  # between two kills
    temporary: Path  # the sweep's own temporary folder, short enough for sockets
    kills: Counter[str] = field(default_factory=Counter)  # by role
    runs: Counter[int] = field(default_factory=Counter)  # by exit code
    whole_runs: int = 0
    failed_attempts: int = 0
    left: list[str] = field(default_factory=list)  # alive 15 s after a runner's end
    lost: list[Path] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    doubted: int = 0  # records of the repeat under way whose kernel was killed after it had saved them: they say so
    twice: list[str] = field(default_factory=list)  # measured more than once
    not_whole: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)  # in the temporary folder, after the next command
    tracebacks: list[str] = field(default_factory=list)
    slowest_end_s: float = 0.0
    _kept: dict[Path, bytes] = field(default_factory=dict)

    def blow(self, num_kills: int, instants: int) -> None:
        """Kill so often, the first `instants` times runner and guardians in one instant, and go on until the last run is whole.

        Interrupted, what was seen until then is there.
        """
        try:
            self._blow(num_kills, instants)
        except KeyboardInterrupt:
            self._compare()
            self.left += [f"{each.pid} {' '.join(each.cmdline())}" for each in wait_nothing_left(self.folder)]
            self.not_whole.append("interrupted")

    def _blow(self, num_kills: int, instants: int) -> None:
        calm = 0
        while True:
            before = self.num_kills
            code = self._run(num_kills, instants)
            is_whole = code in ALL_MEASURED
            self.whole_runs += is_whole
            if is_whole and self.num_kills >= num_kills:
                return self._look_at_the_end()
            calm = 0 if is_whole or self.num_kills > before else calm + 1
            if calm >= MAX_RUNS_IN_A_ROW:
                raise SystemExit(f"exit code {code} again and again, without a kill; see {self.folder}")

    def _run(self, num_kills: int, instants: int) -> int:
        """Give the command, kill while it runs, and return its exit code."""
        log = self.folder / "storm.log"
        began = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            process = self._command("run", self.file, stdout=out)
        deadline = time.monotonic() + RUN_LIMIT_S
        try:
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    process.wait(self.chance.uniform(*self.every_s))
                except subprocess.TimeoutExpired:
                    if self.num_kills < num_kills:
                        self._kill(in_one_instant=self.num_kills < instants)
            if process.poll() is None:
                raise SystemExit(f"a run hangs: {self.folder}")
        finally:
            process.terminate()  # where this storm itself is ended
            process.wait(60)
        ended_s = time.monotonic()
        self.left += [f"{each.pid} {' '.join(each.cmdline())}" for each in wait_nothing_left(self.folder)]
        self.slowest_end_s = max(self.slowest_end_s, time.monotonic() - ended_s)
        text = log.read_bytes()[began:].decode(errors="replace")
        self.tracebacks += [line for line in text.splitlines() if line.startswith("Traceback")]
        self.failed_attempts += text.count("once more")
        self._compare()
        self.runs[process.returncode] += 1
        return process.returncode

    def _command(self, *words: str, stdout: object = subprocess.DEVNULL) -> subprocess.Popen:
        return benchbook(self.folder, *words, fake=self.is_fake, stdout=stdout, TMPDIR=str(self.temporary))

    def _kill(self, *, in_one_instant: bool) -> None:
        found = by_role(self.folder)
        if in_one_instant:
            if not any(role.startswith("guardian") for role in found) or "runner" not in found:
                return  # too early, or over
            doomed = {role: found[role] for role in found if role == "runner" or role.startswith("guardian")}
            role = "runner and " + ", ".join(sorted(role for role in doomed if role != "runner"))
        else:
            if not found:
                return
            least = min(self.kills[role] for role in found)  # of those that are there, one that was least often killed
            role = self.chance.choice(sorted(role for role in found if self.kills[role] == least))
            doomed = {role: [self.chance.choice(found[role])]}
        self._compare()  # what was there before it
        processes = [process for each in doomed.values() for process in each]
        self.chance.shuffle(processes)
        num_killed = 0
        for process in processes:
            try:
                process.send_signal(signal.SIGKILL)  # psutil looks whether it still is the same process
                num_killed += 1
            except psutil.Error:
                continue  # it has just ended
        if num_killed:
            self.kills[role] += 1

    def _compare(self) -> None:
        """Note what of the records that were there is lost or changed, and what there is now."""
        now = measured(self.folder)
        for path, content in self._kept.items():
            if path not in now:
                self.lost.append(path)
            elif now[path] != content:
                if _is_doubted(Record.model_validate_json(content), Record.model_validate_json(now[path])):
                    self.doubted += 1
                else:
                    self.changed.append(path)
        self._kept = now

    def _look_at_the_end(self) -> None:
        """Note what is twice or missing in the runs, and what is left after one more command."""
        for run in sorted(path.parent for path in self.folder.glob(f"results/*/*/{RUN_FILE}")):
            if run.is_symlink():
                continue
            store = Store(run)
            records = store.records()
            repeats = Counter((record.identity.case_id, record.identity.repeat) for record in records)
            planned = sum(row.repeats for row in store.header().plan)
            if len(repeats) != planned or not all(record.is_measured for record in records):
                self.not_whole.append(f"{run.name}: {len(repeats)} of {planned}")
            for path in run.glob("cases/*/repeat=*,attempt=*/record.json"):
                try:
                    repeats[read_record(path).identity.case_id, read_record(path).identity.repeat] += read_record(
                        path
                    ).is_measured
                except StoreError:
                    continue
            self.twice += [
                f"{run.name}: {case_id} repeat {repeat}" for (case_id, repeat), n in repeats.items() if n > 1
            ]
            self.litter += [str(path) for path in run.rglob("*.tmp")]
        self._command("ps").wait(60)
        ours = [path for pattern in ("benchbook-*", "*.json*") for path in self.temporary.glob(pattern)]
        self.litter += [str(path) for path in ours + list((self.folder / "state" / "hosts").iterdir())]

    @property
    def num_kills(self) -> int:
        """Return how often was killed."""
        return sum(self.kills.values())

    @property
    def faults(self) -> list[str]:
        """Return what does not hold, each kind with its number."""
        kinds = ("left", "lost", "changed", "twice", "not_whole", "litter", "tracebacks")
        return [
            f"{kind}: {len(getattr(self, kind))}, {getattr(self, kind)[:3]}" for kind in kinds if getattr(self, kind)
        ]

    def report(self) -> str:
        """Return the figures, one line a kind."""
        lines = [
            f"kills        {self.num_kills}: "
            + ", ".join(f"{role} {number}" for role, number in self.kills.most_common()),
            f"runs         {sum(self.runs.values())}, by exit code {dict(sorted(self.runs.items()))}; {self.whole_runs} whole",
            f"attempts     {self.failed_attempts} failed and were made once more",
            f"records      {len(self._kept)}; lost {len(self.lost)}, changed {len(self.changed)}, twice {len(self.twice)}; "
            f"{self.doubted} of a killed kernel say that it was",
            f"left alive   {len(self.left)} after 15 s; the slowest end took {self.slowest_end_s:.1f} s",
            f"left on disk {len(self.litter)}",
            f"tracebacks   {len(self.tracebacks)}",
        ]
        return "\n".join([*lines, *(f"FAULT {fault}" for fault in self.faults)])


def _is_doubted(before: Record, after: Record) -> bool:
    """Return whether the only change is that the runner has noted the end of the notebook."""
    reasons = {reason.code for reason in after.reasons} - {reason.code for reason in before.reasons}
    same = {"reasons": (), "verdict": after.verdict}
    return reasons == {"notebook_raised"} and before.model_copy(update=same) == after.model_copy(update=same)


def storm(
    folder: Path,
    *,
    num_kills: int,
    seed: int,
    is_fake: bool = True,
    is_small: bool = False,
    instants: int = 0,
    script: str = SCRIPT,
    is_placed: bool = False,
) -> Storm:
    """Make the experiment in `folder`, and kill, the first `instants` times all at once; `script` is the scripted server's.

    Placed, two blocks run at once.
    """
    if is_fake:
        template = SMALL_SWEEP_OF_BOTH if is_small else FAKE_SWEEP
        template = template.replace("repeats: 2", PLACED) if is_placed else template
        file = write_fake_sweep(folder, more=f", env: {{FAKE_VLLM: '{script}'}}", template=template)
    else:
        file = "machinery.yaml"
        (folder / file).write_text(REAL_SWEEP.format(model="tiny", args=json.dumps(ARGS), env=json.dumps(ENV)))
    every_s = (0.3, 12.0 if instants else 5.0) if is_fake else (2.0, 40.0 if instants else 25.0)
    with tempfile.TemporaryDirectory(prefix="storm-") as temporary:
        found = Storm(folder, file, is_fake, random.Random(seed), every_s, Path(temporary))
        found._compare()  # with what an earlier storm has left
        found.blow(num_kills, instants)
    return found


def main() -> int:
    """Kill as asked, print the figures; 1 when something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="the real vLLM instead of the scripted server")
    parser.add_argument("--instant", action="store_true", help="each kill is of the runner and all guardians at once")
    parser.add_argument("--folder", type=Path, help="go on with the runs that an interrupted storm has left there")
    parser.add_argument("--small", action="store_true", help="a sweep of six repeats instead of 24")
    parser.add_argument("--placed", action="store_true", help="two blocks at once, each at a place of its own")
    parser.add_argument("--script", default=SCRIPT, help="what the scripted server does")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="storm-"))
    print(f"in {folder}, seed {options.seed}", flush=True)
    found = storm(
        folder,
        num_kills=options.kills,
        seed=options.seed,
        is_fake=not options.real,
        is_small=options.small,
        instants=options.kills * options.instant,
        script=options.script,
        is_placed=options.placed,
    )
    print(found.report())
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
