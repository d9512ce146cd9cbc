"""A soak: very many cases in one run on the scripted server; what the runner and its helpers take must stay level.

    python lib/tests/integration/soak.py --cases 500        # some ten minutes

After each case the memory, open files and threads of the runner, of the kernels' worker and of the client are noted, and
how long the case took. Exits with 1 where one of them is higher at the end than from case 50 on. Interrupted with Ctrl-C
it prints what the cases until then say.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from storm import by_role
from sweeps import ALL_MEASURED, benchbook, write_fake_sweep

SOAK = """
question: Does it stay level?
model: {{model}}
launches: {{{{fake: {{{{args: {{{{max_model_len: 4096}}}}{{more}}}}}}}}}}
benchmarks:
  - serve: {{{{max_concurrency: 1, lengths: {lengths}, num_prompts: 2}}}}
repeats: 1
again: 0
"""
ROLES = ("runner", "kernels", "client")
LEVEL = {"memory_mb": 1.05, "seconds": 1.15}  # at the end at most, times the beginning
COUNTED = {"files": 2, "threads": 2}  # more at the end at most: some come and go, what each case leaves behind adds up


@dataclass(frozen=True)
class Sample:
    """What one process takes after a case, and how long that case took (s)."""

    role: str
    case: int
    memory_mb: float
    files: int
    threads: int
    seconds: float


def soak(folder: Path, num_cases: int) -> tuple[list[Sample], list[str]]:
    """Run so many cases in `folder`; return what was noted after each, and what was wrong with the run's end."""
    lengths = [[8 + number % 50, 4 + number // 50] for number in range(num_cases)]
    file = write_fake_sweep(folder, template=SOAK.format(lengths=lengths))
    process = benchbook(folder, "run", file, fake=True)
    samples, helpers, began_s = [], {}, time.monotonic()
    try:
        for line in process.stdout:
            if not (done := re.search(rf"\[ *(\d+)/{num_cases}\]", line)):
                continue
            now_s = time.monotonic()
            helpers = helpers or {role: each[0] for role, each in by_role(folder).items() if role in ROLES}
            samples += [_sample(role, int(done[1]), each, now_s - began_s) for role, each in helpers.items()]
            began_s = time.monotonic()
    except KeyboardInterrupt:
        process.terminate()
        return samples, []
    if process.wait() not in ALL_MEASURED or samples[-1].case != num_cases:
        return samples, [f"the run ended with {process.returncode} after {samples[-1].case} cases; see {folder}"]
    return samples, []


def _sample(role: str, case: int, process: psutil.Process, seconds: float) -> Sample:
    with process.oneshot():
        memory_mb = process.memory_info().rss / 2**20
        return Sample(role, case, memory_mb, process.num_fds(), process.num_threads(), seconds)


def not_level(samples: Sequence[Sample], first: int) -> list[str]:
    """Return what is higher in the last fifth of the cases than in the fifth that begins with case `first`.

    The very last case counts for neither: what writes the report is made ready beside it.
    """
    faults, last = [], max(sample.case for sample in samples)
    for role in ROLES:
        own = [sample for sample in samples if sample.role == role and first <= sample.case < last]
        fifth = max(3, len(own) // 5)
        for what in (*LEVEL, *COUNTED):
            typical = min if what in COUNTED else statistics.median
            begin, end = (typical([getattr(each, what) for each in part]) for part in (own[:fifth], own[-fifth:]))
            if end > (begin + COUNTED[what] if what in COUNTED else begin * LEVEL[what]):
                faults.append(f"{role}: {what} {begin:.2f} at first, {end:.2f} at the end")
    return faults


def table(samples: Sequence[Sample], cases: Sequence[int]) -> str:
    """Return what was noted after these cases, a line each; seconds are the median of the 20 cases until then."""
    lines = []
    for case in cases:
        for role in ROLES:
            recent = [each for each in samples if each.role == role and case - 20 < each.case <= case]
            last, seconds = recent[-1], statistics.median(each.seconds for each in recent)
            lines.append(
                f"case {case:>4}  {role:<8} {last.memory_mb:7.1f} MB {last.files:4} files {last.threads:3} threads"
                f" {seconds:6.2f} s a case"
            )
    return "\n".join(lines)


def main() -> int:
    """Run as many cases as asked, print what they took; 1 when something is not level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    samples, faults = soak(Path(tempfile.mkdtemp(prefix="soak-")), options.cases)
    last = samples[-1].case
    print(table(samples, sorted({min(50, last), *range(100, last, 100), last})))
    faults += not_level(samples, first=50)
    print("\n".join(f"FAULT {fault}" for fault in faults) or "level")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
