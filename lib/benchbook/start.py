"""What 00_start.ipynb calls: which experiments and runs there are, and a run that is started apart from the notebook."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchbook import project
from benchbook.lists import RUN_HEADINGS, run_texts
from benchbook.plan.yamlfile import load_document
from benchbook.records.header import RunState
from benchbook.records.now import read_now
from benchbook.records.runs import newest_of, no_runs_text, results_nearby, run_name
from benchbook.records.store import Store
from benchbook.report import markup
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean

LOG = "run.log"  # in a run's folder: what `benchbook run` said, where it was started from a notebook
_LOOK_S = 0.2
_MOST_LINES = 30
# Variables that tie a process to its kernel or server, and by which a kernel has its cells write in colour and draw.
_OF_KERNELS = ("JPY_", "JUPYTER", "FORCE_COLOR", "CLICOLOR", "MPLBACKEND")


def show_experiments() -> None:
    """Display the project's experiments: their names, and what each asks."""
    rows = [(path.stem, _question(path)) for path in sorted((project.ROOT / "experiments").glob("*.yaml"))]
    markup.show(markup.table(["experiment", "question"], rows))


def show_runs() -> None:
    """Display the runs under results/, newest last: state, repeats measured, how long it took, question."""
    results = results_nearby()
    # Jupyter breaks "7 min 20 s" where the question is long.
    rows = [(*row[:3], row[3].replace(" ", "\u00a0"), *row[4:]) for row in run_texts(results)]
    markup.show(markup.table(RUN_HEADINGS, rows, numeric=(2, 3)) or markup.element("p", no_runs_text(results)))


def start_run(experiment: str) -> str:
    """Start `benchbook run` on an experiment, or go on with its unfinished run, and return the run's name once it measures.

    '' starts nothing and returns ''. The run is a process of its own: it goes on when the notebook, its kernel or Jupyter
    end. Where it is refused, what it said is displayed, and '' returned.
    """
    if not experiment:
        markup.show(markup.element("p", "No experiment is named, so nothing was started."))
        return ""
    file, results = _file_of(experiment), results_nearby()
    newest = newest_of(file.stem, results)
    if newest and Store(newest).header().state is RunState.RUNNING:
        name = run_name(newest, results)
        markup.show(markup.element("p", f"{name} is being measured already, and nothing else was started."))
        return name
    results.mkdir(parents=True, exist_ok=True)
    descriptor, log = tempfile.mkstemp(prefix=".starting-", suffix=".log", dir=results)
    words = [sys.executable, "-m", "benchbook", "run", str(file), f"--results={results}"]
    with open(descriptor, "wb") as output:
        process = subprocess.Popen(
            words,
            cwd=results.parent,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while process.poll() is None:
        run_dir = newest_of(file.stem, results)
        if run_dir and (now := read_now(run_dir)) and now.pid == process.pid:
            Path(log).rename(run_dir / LOG)
            name = run_name(run_dir, results)
            markup.show(markup.element("p", f"{name} is being measured; what it says stands in {run_dir / LOG}"))
            return name
        time.sleep(_LOOK_S)
    said = Path(log).read_text(errors="replace").splitlines()[-_MOST_LINES:]
    Path(log).unlink()
    markup.show(
        markup.join(
            [
                markup.element("p", f"It ended with exit code {process.returncode}:"),
                markup.element("pre", "\n".join(said)),
            ]
        )
    )
    return ""


def _environment() -> dict[str, str]:
    """Return the environment of a process that is no kernel's any more, and writes into a file: no board is drawn there."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_OF_KERNELS)}
    return {**own, "TERM": "dumb"}


def _file_of(experiment: str) -> Path:
    """Return the file of an experiment that is given by its name or its path; ExperimentError where there is none."""
    named = project.ROOT / "experiments" / f"{experiment}.yaml"
    for path in (named, Path(experiment), project.found(Path(experiment))):
        if path.is_file():
            return path.resolve()
    names = [path.stem for path in named.parent.glob("*.yaml")]
    hint = did_you_mean(alike(experiment, names)) or f"there are {', '.join(sorted(names))}"
    raise ExperimentError(f"no experiment {experiment!r}; {hint}")


def _question(path: Path) -> str:
    try:
        return " ".join(str(load_document(path).data.get("question", "")).split())
    except ExperimentError as error:
        return str(error)
