"""The project's own experiments are found from any folder, by the name that they have in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook import project
from benchbook.plan.experiment import load_experiment
from benchbook.sweep.planned_commands import print_commands
from benchbook.sweep.run_command import run_command
from benchbook.terms.errors import ExperimentError
from rich.console import Console

EXPERIMENTS = sorted((project.ROOT / "experiments").glob("*.yaml"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_of_the_project_is_found_from_another_folder(elsewhere, path):
    name = Path("experiments", path.name)
    assert project.found(name) == path and project.named(path) == str(name)
    assert run_command(project.found(name), Path("results")) == f"benchbook run {name}"


@pytest.mark.parametrize("name", ["experiments/quickstart.yaml", "mine.yaml", "../mine.yaml"])
def test_a_file_that_is_here_comes_first(elsewhere, name):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("mine")
    assert project.found(Path(name)) == Path(name)
    assert project.named(Path(name)) == name
    if name.startswith("experiments/"):
        own = project.ROOT / name
        assert project.named(own) == str(own), "its short name means another file here"


@pytest.mark.parametrize("name", ["experiments/no-such.yaml", "/nowhere/x.yaml", "experiments", "a\0b.yaml"])
def test_what_is_nowhere_stays_what_was_asked_for(elsewhere, name):
    assert project.found(Path(name)) == Path(name)


def test_a_slip_is_told_with_the_projects_own_name(elsewhere):
    with pytest.raises(ExperimentError, match="did you mean 'experiments/quickstart.yaml'"):
        load_experiment(Path("experiments/quikstart.yaml"))


def test_plan_shows_an_experiment_of_the_project_from_another_folder(elsewhere):
    env = {**os.environ, "PYTHONPATH": str(project.ROOT / "lib")}
    command = [sys.executable, "-m", "benchbook", "plan", "experiments/tuned.yaml"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "To run it: benchbook run experiments/tuned.yaml" in done.stdout


@pytest.mark.parametrize("shape", ["gpt-oss-20b", "gpt-oss-120b", "llama-3.1-8b"])
def test_a_command_for_a_model_that_the_first_run_makes_says_so(elsewhere, monkeypatch, capsys, shape):
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(elsewhere / "cache"))
    text = "question: q\nmodel: {shape: %s}\nlaunches:\n  a: {}\nbenchmarks:\n  - first_request: {}\n" % shape
    (elsewhere / "x.yaml").write_text(text)
    experiment = load_experiment(elsewhere / "x.yaml")
    print_commands(Console(width=500), experiment, experiment.planned_rounds())
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "is made by the first `run`" in line]
    folder = Path(line.split()[0])
    assert str(folder) in said.replace(line, "")
    folder.mkdir(parents=True)
    print_commands(Console(width=500), experiment, experiment.planned_rounds())
    assert "is made by the first" not in capsys.readouterr().out
