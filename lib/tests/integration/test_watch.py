"""A sweep watched from another process: on a terminal and through a pipe; closed, opened again, and asked to stop."""

import os
import re
import signal
import subprocess
import sys

import pytest
from benchbook.records.store import Store
from benchbook.terms.exit_codes import INTERRUPTED, OK
from sweeps import benchbook, read_until, wait_nothing_left, write_fake_sweep
from terminal import CTRL_C, on_terminal

pytestmark = pytest.mark.integration

SLOW = """, env: {FAKE_VLLM: '{"itl_s": [0.1]}'}"""  # so that the sweep outlasts who watches it, on any machine


def test_a_sweep_is_watched_from_elsewhere_closed_opened_again_and_stopped_and_nothing_of_it_is_lost(tmp_path):
    file = write_fake_sweep(tmp_path, more=SLOW)
    sweep = benchbook(tmp_path, "run", file, fake=True)
    read_until(sweep, lambda line: line.strip().startswith("[ 1/24]"))
    words = [sys.executable, "-m", "benchbook", "watch"]
    with on_terminal(words, cwd=tmp_path, env={"BENCHBOOK_TEST": str(tmp_path)}) as terminal:
        terminal.read_until(lambda text: "▶" in text and " to go" in text and "serve," in text)
        assert terminal.widest() <= 80
        terminal.press(CTRL_C)
        text = " ".join(re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", terminal.read_to_end()).split())
    assert terminal.process.returncode == OK and "the run goes on" in text and "Traceback" not in text
    assert sweep.poll() is None

    lines = benchbook(tmp_path, "watch", "machinery")
    read_until(lines, lambda line: line.startswith("… "))
    asked = benchbook(tmp_path, "watch", "machinery", "--skip", "throughput", "--stop")
    told = asked.communicate(timeout=60)[0]
    assert asked.returncode == OK, told
    assert "nothing more is measured of fake,throughput" in told and f"to go on: benchbook run {file}" in told
    said = sweep.communicate(timeout=120)[0]
    assert sweep.returncode == INTERRUPTED
    assert "Stopped between two repeats, as asked." in said and f"to continue: benchbook run {file}" in said
    watched = lines.communicate(timeout=60)[0]
    assert lines.returncode == OK
    assert re.search(r"\[ *\d+/24\] ", watched) and watched.rstrip().endswith(f"to go on: benchbook run {file}")
    store = Store.open("machinery", tmp_path / "results")
    assert store.header().state == "interrupted" and 1 <= store.count_measured() < 24
    assert not list(store.run_dir.glob("cases/*throughput*"))
    assert all(record.is_measured for record in store.records()), "the repeat under way was measured to its end"
    assert wait_nothing_left(tmp_path) == []

    refused = benchbook(tmp_path, "watch", "machinery", "--again", "throughput")
    assert "nobody measures it; to go on: benchbook run" in refused.communicate(timeout=60)[0]
    assert refused.returncode == 2


def test_the_board_of_a_run_whose_runner_is_killed_says_so_and_ends(tmp_path):
    file = write_fake_sweep(tmp_path, more=SLOW)
    sweep = benchbook(tmp_path, "run", file, fake=True)
    read_until(sweep, lambda line: line.strip().startswith("[ 1/24]"))
    words = [sys.executable, "-m", "benchbook", "watch", "machinery"]
    with on_terminal(words, cwd=tmp_path, env={"BENCHBOOK_TEST": str(tmp_path)}) as terminal:
        terminal.read_until(lambda text: " to go" in text)
        os.kill(sweep.pid, signal.SIGKILL)
        text = terminal.read_to_end()
    assert terminal.process.returncode == OK and "interrupted" in text and "Traceback" not in text
    sweep.communicate(timeout=60)
    assert wait_nothing_left(tmp_path) == []
    once = subprocess.run([*words, "--results", "results"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert once.returncode == OK and "machinery/" in once.stdout and "to go on: benchbook run" in once.stdout
