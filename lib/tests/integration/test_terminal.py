"""The command line as a person meets it: on a terminal."""

import os
import sys

import pytest
from sweeps import ALL_MEASURED, FAKE_PACKAGE, SMALL_SWEEP, wait_nothing_left, write_fake_sweep
from terminal import CTRL_C, on_terminal

pytestmark = pytest.mark.integration


def benchbook_on_terminal(folder, *words, columns=80):
    env = {
        **os.environ,
        "BENCHBOOK_TEST": str(folder),
        "BENCHBOOK_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")])),
    }
    return on_terminal([sys.executable, "-m", "benchbook", *words], cwd=folder, columns=columns, env=env)


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_a_run_on_a_terminal_goes_to_its_end_and_names_its_report(tmp_path, columns):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    with benchbook_on_terminal(tmp_path, "run", file, columns=columns) as terminal:
        text = terminal.read_to_end(limit_s=120)
    assert "Traceback" not in text
    assert "to go" in text and "Report   results/machinery/" in text
    assert terminal.process.returncode in ALL_MEASURED
    assert wait_nothing_left(tmp_path) == []


def test_ctrl_c_typed_at_a_terminal_ends_the_run_with_130_and_says_how_to_continue(tmp_path):
    file = write_fake_sweep(tmp_path)
    with benchbook_on_terminal(tmp_path, "run", file) as terminal:
        terminal.read_until(lambda text: "[ 2/24]" in text)
        terminal.press(CTRL_C)
        text = terminal.read_to_end()
    assert terminal.process.returncode == 130
    assert f"to continue: benchbook run {file}" in text and "Traceback" not in text
    assert wait_nothing_left(tmp_path) == []
