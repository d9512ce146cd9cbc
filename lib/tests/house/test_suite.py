"""The suite itself: samples are samples, the longest files are known, no two files have one name, and nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import rows as rows_module
from benchbook.hosts.process import processes
from conftest import IN_ONE_PROCESS, LONGEST
from ender import VARIABLE, marked
from rows import rows

FILES = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]


@pytest.mark.parametrize(
    ("every", "quick", "sample"),
    [
        (range(10), 3, [0, 3, 6]),
        ("abcd", "db", ["b", "d"]),
        (({"a": 1}, {}), [{}], [{}]),
        ([("a", 1), ("b", 2)], [("b", 2)], [("b", 2)]),
    ],
)
@pytest.mark.parametrize("is_full", [False, True])
def test_a_sample_is_of_the_rows_and_in_their_order_and_a_full_run_has_all(monkeypatch, every, quick, sample, is_full):
    every = list(every)
    monkeypatch.setattr(rows_module, "IS_FULL", is_full)
    assert rows(every, quick) == (every if is_full else sample)


def test_what_is_no_row_is_no_sample():
    with pytest.raises(AssertionError, match="a sample of something else"):
        rows("abc", "x")


def test_the_longest_files_are_there_and_no_two_files_have_one_name():
    assert {*LONGEST, *(name for files in IN_ONE_PROCESS for name in files)} <= set(FILES)
    assert [name for name, number in Counter(FILES).items() if number > 1] == []


# As a process of tests: it starts a host that is to be kept, and tells its mark.
TESTS = """
import os, sys, time
from benchbook.hosts.process.guardian import spawn
from ender import VARIABLE, ended_with_us
os.environ.update(ended_with_us())
spawn([sys.executable, "-S", "-c", "import time; time.sleep(600)"], log_path=sys.argv[1], name="kept", kind="server", keep=True)
print(os.environ[VARIABLE], flush=True)
if sys.argv[2] == "killed": time.sleep(600)
"""


@pytest.mark.parametrize("how", ["killed", "over"])
def test_a_kept_host_of_tests_ends_with_their_process(tmp_path, state_dir, how):
    here = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-c", TESTS, str(tmp_path / "log"), how]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        mark = process.stdout.readline().strip()
        assert mark and mark != os.environ[VARIABLE]
        assert how == "over" or len(marked(mark)) >= 2, "the guardian and its host"
        if how == "killed":
            process.send_signal(signal.SIGKILL)
    assert processes.wait_gone(lambda: [each.pid for each in marked(mark)], 60.0)
