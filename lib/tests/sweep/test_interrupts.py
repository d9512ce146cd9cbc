"""The first stop signal unwinds, the second ends at once, one that is ignored stays ignored."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import benchbook
import pytest

PROGRAM = """
import signal, sys, time
from benchbook.sweep.interrupts import interrupt_on_stop_signals
interrupt_on_stop_signals()
try:
    print("ready", flush=True)
    time.sleep(20)
except KeyboardInterrupt:
    print("unwinding", flush=True)
    time.sleep(float(sys.argv[1]))
    print("done", flush=True)
"""


def test_next_to_nothing_is_imported_before_stop_signals_are_caught():
    script = (
        "import sys; sys.path.append(sys.argv[1]); there = set(sys.modules)\n"  # -S: no .pth file tells where it is
        "import benchbook.__main__, signal, benchbook.measure\n"
        "print(*sorted(set(sys.modules) - there))"
    )
    command = [sys.executable, "-S", "-c", script, Path(benchbook.__file__).parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "benchbook.__main__" in done.stdout.split()
    assert not {"typing", "re", "contextlib", "pathlib", "json", "typer"} & {*done.stdout.split()}


HALTED = """
import sys, time
from benchbook.sweep.interrupts import told_of_halts, was_halted_since
with told_of_halts(lambda: None, lambda halted_s: None):
    began_s = time.monotonic()
    print("ready", was_halted_since(began_s), flush=True)
    sys.stdin.readline()
    print(was_halted_since(began_s), was_halted_since(time.monotonic()), flush=True)
"""


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGTSTP"])
def test_a_process_that_was_halted_and_continued_knows_it(name):
    # In a group of its own: a group that nobody outside of it controls, as a job under nohup, is not halted by SIGTSTP.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "process_group": 0}
    process = subprocess.Popen([sys.executable, "-c", HALTED], text=True, **pipes)
    assert process.stdout.readline() == "ready False\n"
    process.send_signal(getattr(signal, name))
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        time.sleep(0.01)
    process.send_signal(signal.SIGCONT)
    assert process.communicate("\n", timeout=10)[0] == "True False\n"


def started(unwinding_s, preexec_fn=None):
    argv = [sys.executable, "-c", PROGRAM, str(unwinding_s)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, preexec_fn=preexec_fn)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_lets_everything_unwind(name):
    process = started(0)
    process.send_signal(getattr(signal, name))
    assert process.communicate(timeout=10)[0] == "unwinding\ndone\n" and process.returncode == 0


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_second_signal_ends_at_once(second):
    process = started(20)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "unwinding\n"
    process.send_signal(getattr(signal, second))
    assert process.communicate(timeout=10)[0] == "" and process.returncode == 130


def test_a_hang_up_that_nohup_ignores_stays_ignored():
    process = started(0, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[0] == "unwinding\ndone\n"
