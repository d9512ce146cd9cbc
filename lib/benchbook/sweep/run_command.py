"""The command by which a run is started, or goes on, as it is shown to people and noted in run.json."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from benchbook import project

RESULTS = Path("results")  # where the command line keeps runs unless it is told otherwise


def run_command(
    file: Path,
    results_dir: Path,
    only: Sequence[str] = (),
    share_gpu: bool = False,
    yes: bool = False,
    sets: Sequence[str] = (),
    on: Path | None = None,
) -> str:
    """Return the command that measures `file`, or goes on with its newest run: it says again what was asked for."""
    options = [] if results_dir == RESULTS else [f"--results={results_dir}"]
    options += [f"--set={told}" for told in sets] + [f"--only={pattern}" for pattern in only]
    options += ["--share-gpu"] * share_gpu + ["--yes"] * yes + ([f"--on={project.named(on)}"] if on else [])
    return shlex.join(["benchbook", "run", project.named(file), *options])
