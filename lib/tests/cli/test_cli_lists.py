"""`benchbook list`, `ps`, `rm`, `--version`, `-h` and completion, as people and programs meet them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from benchbook.cli import app
from benchbook.listing import aligned, markdown
from report_runs import make_run
from rich.cells import cell_len
from terminal import CTRL_C, on_terminal
from typer.testing import CliRunner

QUESTION = "How do latency and throughput trade off as concurrency grows?"  # that of make_run
PROGRAM = [sys.executable, "-m", "benchbook"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a current folder with two runs under results/, one in a folder of another name than its id."""
    run_dir = make_run(tmp_path / "results", benchmarks=("first_request",))
    copied = tmp_path / "results" / "reference" / "a_run_with_quite_a_long_name_of_its_own"
    copied.parent.mkdir()
    os.rename(make_run(tmp_path / "other", benchmarks=("first_request",)), copied)
    (run_dir.parent / "latest").symlink_to(run_dir.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHBOOK_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


NAMES = ("quickstart/20261123-201500", "reference/a_run_with_quite_a_long_name_of_its_own")


def output(*words: str, **env: str) -> str:
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("columns", [40, 80, 100, 160])
def test_no_name_is_broken_on_a_terminal_of_any_width_and_the_question_is_cut(folder, columns):
    with on_terminal([*PROGRAM, "list"], cwd=folder, columns=columns) as terminal:
        lines = terminal.read_to_end().splitlines()
    assert len(lines) == 3
    for name in NAMES:
        assert any(line.startswith(name + " ") for line in lines)
    assert any(QUESTION in line for line in lines) == (columns == 160)
    assert columns < 100 or all(cell_len(line) <= columns for line in lines)


def test_nothing_is_cut_when_piped(folder):
    assert all(line.endswith(QUESTION) for line in output("list").splitlines()[1:])


def test_every_listed_name_is_taken_by_other_commands(folder):
    names = [row["run"] for row in json.loads(output("list", "--format", "json"))]
    assert sorted(names) == sorted(NAMES)
    for name in names:
        assert output("table", name, "--format", "csv").startswith("verdict,")


def test_a_program_gets_numbers_and_whole_texts(folder):
    (row, _) = json.loads(output("list", "--format", "json"))
    assert (row["measured"], row["planned"], row["wall_s"], row["question"]) == (2, 2, 280.4, QUESTION)
    (line, _) = csv.DictReader(io.StringIO(output("list", "--format", "csv")))
    assert line["run"] == row["run"] and line["question"] == QUESTION


def test_a_person_reads_how_long_a_run_took(folder):
    assert "4 min 40 s" in output("list")


def test_without_a_live_host_programs_get_an_empty_list(folder):
    assert json.loads(output("ps", "--format", "json")) == [] and output("ps") == "No host of benchbook is alive.\n"


def test_a_run_is_deleted_after_a_yes_on_a_terminal_and_kept_after_a_no_or_ctrl_c(folder):
    run_dir = folder / "results" / NAMES[0]
    for answer, is_left, code in ((b"n\n", True, 0), (CTRL_C, True, 130), (b"y\n", False, 0)):
        with on_terminal([*PROGRAM, "rm", "quickstart"], cwd=folder) as terminal:
            terminal.read_until(lambda text: "[y/N]" in text)
            # A Ctrl-C between the question and the reading of its answer waits in Python for the next key.
            while psutil.Process(terminal.process.pid).status() != psutil.STATUS_SLEEPING:
                time.sleep(0.01)
            terminal.press(answer)
            terminal.read_to_end()
        assert run_dir.exists() == is_left and terminal.process.returncode == code


def test_where_nobody_can_be_asked_deleting_wants_yes(folder):
    refused = subprocess.run([*PROGRAM, "rm", NAMES[0]], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert refused.returncode == 2 and "--yes" in refused.stderr and (folder / "results" / NAMES[0]).exists()
    output("rm", NAMES[0], "--yes")
    assert not (folder / "results" / NAMES[0]).exists()


def test_a_run_outside_the_results_is_never_deleted(folder):
    outside = make_run(folder / "elsewhere", benchmarks=("first_request",))
    (folder / "results" / "linked").mkdir()
    (folder / "results" / "linked" / "run").symlink_to(outside)
    for name in (str(outside), "linked/run"):
        refused = subprocess.run([*PROGRAM, "rm", name, "--yes"], capture_output=True, text=True)
        assert refused.returncode == 2 and "only runs there are deleted" in refused.stderr and outside.exists()


def test_the_version_names_benchbook_vllm_and_python():
    assert [line.split()[0] for line in output("--version").splitlines()] == ["benchbook", "vllm", "python"]


@pytest.mark.parametrize(
    "command", ["", *(command.name or command.callback.__name__ for command in app.registered_commands)]
)
def test_every_command_has_a_short_help(command):
    assert "Usage:" in CliRunner().invoke(app, [*filter(None, [command]), "-h"], catch_exceptions=False).output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell):
    assert "complete" in output("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").lower()


def test_commands_and_runs_are_completed(folder):
    asked = "from benchbook.cli import app; app(prog_name='benchbook')"
    env = {"_BENCHBOOK_COMPLETE": "complete_bash", "COMP_WORDS": "benchbook table q", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env={**os.environ, **env})
    assert done.stdout.split() == [NAMES[0]]
    env |= {"COMP_WORDS": "benchbook pl", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env={**os.environ, **env})
    assert done.stdout.split() == ["plan"]


def test_only_the_column_that_may_be_cut_is_cut_and_never_below_a_word():
    rows = [("an_id_that_is_long", "1", "a sentence about it")]
    for width in range(5, 60):
        line = aligned(("id", "n", "question"), rows, width, right=(1,), may_cut=2).splitlines()[1]
        assert line.startswith("an_id_that_is_long  1  a sentence")
        assert cell_len(line) <= max(width, 18 + 2 + 1 + 2 + 12)


def test_wide_characters_keep_the_columns_aligned():
    lines = aligned(("a", "b"), [("日本", "x"), ("é", "y")]).splitlines()
    assert [cell_len(line) for line in lines] == [7, 7, 7]


def test_markdown_escapes_its_own_separator():
    assert markdown(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x\\|y z |\n"
