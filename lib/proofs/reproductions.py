"""Does `benchbook reproduce` tell an equal repetition from one of which something was changed? With the real vLLM.

    python lib/proofs/reproductions.py                                  # ten equal and ten changed: about ten minutes
    python lib/proofs/reproductions.py --python /opt/vllm-0.31/bin/python    # with another vLLM among the changes
    python lib/proofs/reproductions.py --equal 1 --only flag slow

One small run is measured, and made again from copies of its folder: as it is, and with one thing changed each. An equal
one must agree in all its numbers, with nothing that is not as it was; of a changed one the change must be named, and
where it is one of speed, numbers must differ, also where nobody could name it. Exits with 1 where any is told otherwise.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchbook.hosts.model.files import resolve_model
from benchbook.plan.requests import ENDING
from benchbook.records.frozen import read_frozen, read_header, write_frozen
from benchbook.terms.exit_codes import FAILED, NO_ANSWER, OK
from pairs import print_table, proof_parser, write_output

NAME, MODEL = "repeated", "model"
FILE = """question: Is it the same again?
model: {path: MODEL}
launches:
  a:
    args: {enforce_eager: true, dtype: float32, max_model_len: 1024, max_num_seqs: 4, gpu_memory_utilization: 0.3,
           enable_prefix_caching: false, distributed_executor_backend: uni}
    env: {VLLM_CPU_KVCACHE_SPACE: 1, VLLM_ENABLE_V1_MULTIPROCESSING: 0, OMP_NUM_THREADS: 1}
requests:
  words: {lengths: [64, 32], text: "corpus:words"}
benchmarks:
  - serve: {requests: words, max_concurrency: 4, num_prompts: 40}
repeats: 4
again: 0
"""
SAME = "All that the run's folder tells is here as it was there"
RUNS_S, STOPPED_S = 0.03, 0.06  # of a server that is slowed down
LIMIT_S = 900.0


@dataclass(frozen=True)
class Place:
    """Where a copy of the run is made again."""

    results: Path
    run_dir: Path

    def edit(self, old: str, new: str) -> None:
        """Put `new` in the place of `old` in the run's experiment file."""
        path = self.run_dir / "experiment.yaml"
        text = path.read_text()
        if old not in text:
            raise SystemExit(f"{old!r} is not in {path}")
        path.write_text(text.replace(old, new, 1))


Plant = Callable[[Place], AbstractContextManager[Mapping[str, str]]]  # inside, it is changed; variables of the command


@dataclass(frozen=True)
class Change:
    """What is changed, which sentence must name it, and how the command may end."""

    plant: Plant
    said: str  # a pattern
    codes: tuple[int, ...] = (OK, FAILED, NO_ANSWER)


def edited(old: str, new: str) -> Plant:
    """Return the change of the experiment file."""

    @contextlib.contextmanager
    def plant(place: Place) -> Iterator[Mapping[str, str]]:
        place.edit(old, new)
        yield {}

    return plant


@contextlib.contextmanager
def other_shell(place: Place) -> Iterator[Mapping[str, str]]:
    """Have the server inherit a variable that it did not have."""
    yield {"VLLM_LOG_STATS_INTERVAL": "7"}


@contextlib.contextmanager
def other_weights(place: Place) -> Iterator[Mapping[str, str]]:
    """Change a weight of the model: of the same file the last byte."""
    weights = next(place.results.parent.joinpath(MODEL).glob("*.safetensors"))
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        yield {}
    finally:
        weights.write_bytes(before)


@contextlib.contextmanager
def other_requests(place: Place) -> Iterator[Mapping[str, str]]:
    """Swap the answers' places of the folder's requests: other bytes, as many of them."""
    path = place.run_dir / "requests" / f"words{ENDING}"
    write_frozen(path, read_header(path), list(read_frozen(path))[::-1])
    yield {}


@contextlib.contextmanager
def one_processor(place: Place) -> Iterator[Mapping[str, str]]:
    """Leave the command, and what it starts, one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield {}
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def slowed(place: Place) -> Iterator[Mapping[str, str]]:
    """Stop the server again and again while it is measured, which nobody can know."""
    ended = threading.Event()

    def slow() -> None:
        while not ended.wait(RUNS_S):
            here = [path for path in place.results.glob(f"{NAME}/*/cases/*/*") if place.run_dir not in path.parents]
            pids = _servers(place.results.parent / MODEL) if here else []
            try:
                _signal(pids, signal.SIGSTOP)
                ended.wait(STOPPED_S)
            finally:
                _signal(pids, signal.SIGCONT)

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        yield {}
    finally:
        ended.set()
        thread.join()


def _servers(model: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if "serve" in words and str(model) in words:
                found.append(int(path.parent.name))
    return found


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def changes(python: str) -> dict[str, Change]:
    """Return all changes by name; another vLLM is among them where `python` is that of its environment."""
    found = {
        "flag": Change(edited("max_num_seqs: 4", "max_num_seqs: 1"), r"max_num_seqs 1 \(as it was measured: 4", (FAILED,)),
        "switch": Change(edited("caching: false", "caching: true"), r"enable_prefix_caching true"),
        "variable": Change(edited("KVCACHE_SPACE: 1", "KVCACHE_SPACE: 2"), r'VLLM_CPU_KVCACHE_SPACE 2 \(as it was measured: 1'),
        "shell": Change(other_shell, r"variable VLLM_LOG_STATS_INTERVAL of the shell: not set there, 7 here"),
        "weights": Change(other_weights, r"other files of the model"),
        "requests": Change(other_requests, r"the requests 'words' of the folder are not .*other requests were sent here"),
        "seed": Change(edited("repeats: 4", "repeats: 4\nseed: 7"), r"seed 0 there, 7 in .*other requests were sent here"),
        "load": Change(edited("num_prompts: 40", "num_prompts: 44"), r"no longer asks it: a,serve", (NO_ANSWER,)),
        "processors": Change(one_processor, r"cpu cores: \d+ there, 1 here"),
        "slow": Change(slowed, rf"{SAME}.*differs by", (FAILED,)),
    }  # fmt: skip
    if python:
        its = edited("  a:\n", f"  a:\n    python: {python}\n")
        found["vllm"] = Change(its, r"vllm \S+ there, \S+ here under launch 'a'")
    return found


def command(words: Sequence[str], results: Path, more: Mapping[str, str]) -> tuple[int, str]:
    """Run `benchbook *words`; return its exit code and all that it printed, in one line."""
    argv = [sys.executable, "-m", "benchbook", *words, "--results", str(results)]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **more}, timeout=LIMIT_S)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def measured(folder: Path) -> Path:
    """Measure the run that is made again, and return its folder."""
    shutil.copytree(resolve_model("tiny").path, folder / MODEL)
    file = folder / f"{NAME}.yaml"
    file.write_text(FILE.replace("MODEL", str(folder / MODEL)))
    code, said = command(["run", str(file)], folder / "results", {})
    found = sorted(folder.glob(f"results/{NAME}/*/run.json"))
    if code not in (OK, FAILED, NO_ANSWER) or not found:
        raise SystemExit(f"the run to make again ended with {code}: {said}")
    return found[0].parent


def again(run_dir: Path, folder: Path, change: Change) -> tuple[bool, int, str, float]:
    """Make a copy of the run again with something changed: was it told as it must be, exit code, what was said, how long (s)."""
    began_s = time.monotonic()
    results = folder / f"results-{time.time_ns()}"
    place = Place(results, results / NAME / run_dir.name)
    shutil.copytree(run_dir, place.run_dir)
    with change.plant(place) as more:
        code, said = command(["reproduce", NAME], results, more)
    is_told = code in change.codes and re.search(change.said, said) is not None
    return is_told, code, said, time.monotonic() - began_s


def main(words: Sequence[str] | None = None) -> int:
    """Measure one run, make it again as often as asked, print a line for each, and write what each said."""
    parser = proof_parser(__doc__, "reproductions")
    parser.add_argument("--equal", type=int, default=10, help="how many with nothing changed")
    parser.add_argument("--python", default="", help="the interpreter of an environment with another vLLM")
    parser.add_argument("--only", nargs="*", choices=[*changes("x")], help="these changes alone")
    options = parser.parse_args(words)
    planned = {f"equal {number}": Change(_nothing, SAME, (OK,)) for number in range(1, options.equal + 1)}
    chosen = changes(options.python)
    planned |= {name: chosen[name] for name in (chosen if options.only is None else options.only)}
    rows, told = [], {}
    with tempfile.TemporaryDirectory(prefix="benchbook-again-") as name:
        run_dir = measured(Path(name))
        for what, change in planned.items():
            is_told, code, said, took_s = again(run_dir, Path(name), change)
            rows.append((what, str(code), f"{took_s:.0f} s", "yes" if is_told else "NO"))
            told[what] = {"exit_code": code, "as_it_must_be": is_told, "said": said}
            print("  ".join(rows[-1]), flush=True)
    print_table(("made again", "exit code", "took", "told as it must be"), rows)
    wrong = [what for what, found in told.items() if not found["as_it_must_be"]]
    for what in wrong:
        print(f"\n{what}: {told[what]['said']}")
    print(f"\n{len(told) - len(wrong)} of {len(told)} are told as they must be")
    write_output(options.output, {"told": told})
    return 1 if wrong else 0


@contextlib.contextmanager
def _nothing(place: Place) -> Iterator[Mapping[str, str]]:
    yield {}


if __name__ == "__main__":
    raise SystemExit(main())
