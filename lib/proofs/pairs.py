"""What the benchmarks of this folder share: the settings under test, paired ratios with an interval, output."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.judge.stats import paired_ratio
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.plan.experiment import load_experiment

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
LAUNCH = load_experiment(QUICKSTART).launches[0]
ENGINE_ARGS, ENV = LAUNCH.args, LAUNCH.env
LIMIT_S = 900.0
TOLERANCE = 0.02  # an interval inside 1 ± this counts as equal even where it leaves 1 out


@dataclass(frozen=True)
class Equality:
    """Ours over theirs: the geometric mean over pairs, with its 95 % interval."""

    ratio: float
    low: float
    high: float
    num_pairs: int

    def is_equal(self, tolerance: float = TOLERANCE) -> bool:
        """Return whether there is an interval, and it contains 1 or lies within the tolerance around it."""
        return self.high < math.inf and (
            self.low <= 1.0 <= self.high or 1 - tolerance <= self.low <= self.high <= 1 + tolerance
        )


def proof_parser(page: str, name: str) -> argparse.ArgumentParser:
    """Return the parser of a proof whose help is `page`, its module's own, and which writes results/proofs/NAME.json."""
    parser = argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(f"results/proofs/{name}.json"), help="the JSON to write")
    return parser


def of_a_launch(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return the parser of a proof that measures the launch of a file, by default the quickstart's."""
    parser.add_argument("--experiment", type=Path, default=QUICKSTART, help="the file whose first launch is taken")
    return parser


def equality_of(ours: Sequence[float], theirs: Sequence[float]) -> Equality:
    """Return the ratio of paired measurements; from 0 to infinity where they are too few or too unlike for an interval."""
    ratio = paired_ratio(theirs, ours)
    return Equality(ratio.ratio, *(ratio.interval() or (0.0, math.inf)), len(ours))


def print_ratios(ratios: Mapping[str, Equality], heading: str, tolerance: float = TOLERANCE) -> None:
    """Print one line a metric: the ratio, its 95 % interval, and whether the two are equal."""
    rows = [
        (
            what,
            f"{found.ratio:.4f}",
            f"{found.low:.4f} … {found.high:.4f}",
            "yes" if found.is_equal(tolerance) else "NO",
        )
        for what, found in ratios.items()
    ]
    print_table(("metric", heading, "95 % interval", "equal"), rows)


def run_case(
    argv: Sequence[str],
    raw_path: Path,
    *,
    socket_path: str | None,
    env: Mapping[str, str],
    stretch: Stretch | None = None,
) -> tuple[dict[str, Any], float]:
    """Run one `vllm bench`, by the command line when there is no socket; return its result and its wall time (s).

    With a `stretch`, whose words `argv` has, its requests are sent.
    """
    how = {"on_line": None, "log_path": raw_path.with_suffix(".log"), "limit_s": LIMIT_S, "stretch": stretch}
    run = run_bench(argv, socket_path=socket_path, env=env, **how)
    if run.exit_code != 0 or run.way != (WARM if socket_path else COMMAND_LINE):
        raise SystemExit(f"vllm bench {argv[0]}: {run}; see {raw_path.with_suffix('.log')}")
    return json.loads(raw_path.read_text()), run.wall_s


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        first, *others = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]))


def write_output(path: Path, payload: Mapping[str, Any]) -> None:
    """Write `payload` with what is needed to judge it: version, processors, how busy the machine was."""
    from importlib.metadata import version

    machine = {"cpu_count": os.cpu_count(), "load_average_at_end": os.getloadavg(), "vllm": version("vllm")}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**payload, "machine": machine}, indent=1) + "\n")
    print(f"\nwritten: {path}")
