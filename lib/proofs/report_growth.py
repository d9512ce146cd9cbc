"""How table and report grow with the number of records: seconds, peak memory, size of the HTML.

    python lib/proofs/report_growth.py            # 100, 1,000 and 10,000 records
    python lib/proofs/report_growth.py --sizes 100 --json

The records are synthetic input, made for this timing in a temporary folder: as long as real ones, with values from a
formula. Each step runs in a process of its own, and once more for its memory: that of the process, its kernel and a fork of
that, sampled, which stops them each time: the sum of their proportional sets, in which what several share counts once. CPU
seconds tell a slow program from a busy machine.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from synthetic import make_run

SIZES = (100, 1_000, 10_000)
STEPS = ("table", "report")
LIMITS = {"seconds": 10.0, "peak_memory_gib": 1.0, "html_mib": 10.0}  # for table and report of 10,000 records together
_SAMPLE_S = 0.2  # a sample walks /proc: fifty a second take a tenth of a core from what they watch


def main() -> int:
    """Measure every size, print a line each and how the seconds grow; exit 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    options = parser.parse_args()
    results = [measure(size) for size in options.sizes]
    print(json.dumps({"results": results, "limits": LIMITS}, indent=2) if options.json else report_text(results))
    return 0 if all(result[name] <= limit for result in results for name, limit in LIMITS.items()) else 1


def measure(num_records: int) -> dict[str, Any]:
    """Return seconds and peak memory (GiB) of each step on `num_records` records, and the HTML's size (MiB)."""
    with tempfile.TemporaryDirectory(prefix="benchbook-scale-") as folder:
        run_dir = make_run(Path(folder), num_records)
        steps = {step: run_step(step, run_dir) for step in STEPS}
        html_bytes = (run_dir / "report.html").stat().st_size
    return {
        "num_records": num_records,
        "steps": steps,
        "seconds": sum(step["seconds"] for step in steps.values()),
        "peak_memory_gib": max(step["peak_memory_gib"] for step in steps.values()),
        "html_mib": html_bytes / 2**20,
    }


def run_step(step: str, run_dir: Path) -> dict[str, float]:
    """Run `benchbook STEP` on a run; return its seconds, CPU seconds and peak memory (GiB), children included."""
    argv = [sys.executable, "-m", "benchbook", step, str(run_dir)]
    started_s, cpu_before_s = time.monotonic(), _children_cpu_s()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
    seconds, cpu_s, peak_bytes = time.monotonic() - started_s, _children_cpu_s() - cpu_before_s, 0
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _tree_bytes(process.pid))
            time.sleep(_SAMPLE_S)
    if done.returncode or process.returncode:
        raise SystemExit(f"the step {step!r} ended with code {done.returncode or process.returncode}")
    return {"seconds": seconds, "cpu_s": cpu_s, "peak_memory_gib": peak_bytes / 2**30}


def report_text(results: Sequence[dict[str, Any]]) -> str:
    """Return a line a size, and by which power of the number of records the seconds grow from size to size."""
    lines = [
        f"{'records':>8} {'table s':>8} {'report s':>9} {'CPU s':>7} {'peak GiB':>9} {'HTML MiB':>9} {'growth':>7}"
    ]
    for index, result in enumerate(results):
        table, report = (result["steps"][step] for step in STEPS)
        lines.append(
            f"{result['num_records']:>8,} {table['seconds']:>8.2f} {report['seconds']:>9.2f} "
            f"{table['cpu_s'] + report['cpu_s']:>7.2f} {result['peak_memory_gib']:>9.2f} {result['html_mib']:>9.2f} "
            f"{_growth_text(results[index - 1], result) if index else '':>7}"
        )
    if len(results) > 1:
        lines.append(_costs_text(results[0], results[-1]))
    limits = ", ".join(f"{name} {limit:g}" for name, limit in LIMITS.items())
    return "\n".join([*lines, f"growth: seconds rise with records to this power; 1 is linear. Limits: {limits}."])


def _costs_text(smallest: dict[str, Any], largest: dict[str, Any]) -> str:
    """Tell the report's fixed cost apart from that of one more record, by the line through both runs."""
    few, many = smallest["num_records"], largest["num_records"]
    few_s, many_s = (result["steps"]["report"]["seconds"] for result in (smallest, largest))
    one_more_s = (many_s - few_s) / (many - few)
    return f"report: {few_s - few * one_more_s:.2f} s once, and {one_more_s * 1000:.2f} ms for each record more"


def _growth_text(before: dict[str, Any], after: dict[str, Any]) -> str:
    return f"{math.log(after['seconds'] / before['seconds'], after['num_records'] / before['num_records']):.2f}"


def _children_cpu_s() -> float:
    """Return the CPU seconds of all ended children and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree_bytes(pid: int) -> int:
    """Return the bytes that a process and its descendants take, what they share once, without those that end."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
    return total


if __name__ == "__main__":
    raise SystemExit(main())
