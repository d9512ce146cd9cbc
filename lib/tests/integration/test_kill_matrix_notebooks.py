"""Every way to end a notebook that holds a server, in every state of that server: nothing is left alive.

A sample, against the fake vllm; `make test-full` runs all rows against both (half an hour). That the real one does not
outlive its owner shows test_kill_matrix.py.
"""

import json
import os
import pty
import signal
import subprocess
import time

import nbformat
import pytest
from rows import IS_FULL, rows
from sweeps import (
    ARGS,
    ENV,
    FAKE_PACKAGE,
    PAPERMILL,
    SMALL_SWEEP,
    benchbook,
    marked_processes,
    read_until,
    wait_nothing_left,
    write_fake_sweep,
)

pytestmark = pytest.mark.integration

SETUP = """
import threading, time
from pathlib import Path
from benchbook import ServeWorkload, VllmServer, bench_serve
server = VllmServer({model!r}, args=%s, env={env!r})
server.start()
""" % repr(ARGS)
BENCH = """
workload = ServeWorkload(input_len_tokens=32, output_len_tokens=2000, num_prompts=8, max_concurrency=2, num_warmup_prompts=0)
threading.Thread(target=bench_serve, args=(server, workload), kwargs={"record_path": "record.json"}, daemon=True).start()
deadline = time.monotonic() + 60
while "generation_tokens_total" not in server.metrics_text() or not server.metrics_text().split("vllm:num_requests_running{")[1].split()[1] > "0":
    assert time.monotonic() < deadline
    time.sleep(0.2)
"""
REACHED = 'Path("reached").touch()\n'
STATES = {
    "starting": SETUP + REACHED,
    "ready": SETUP + "server.wait_ready()\n" + REACHED,
    "benchmark": SETUP + "server.wait_ready()\n" + BENCH + REACHED,
}
FAKE_ENV = {
    "starting": '{"ready_after_s": 60, "helpers": 2}',
    "ready": '{"helpers": 2}',
    "benchmark": '{"itl_s": [0.05], "helpers": 2}',
}
ENDINGS = (
    "normal end",
    "cell raises",
    "Ctrl-C",
    "SIGTERM papermill",
    "SIGKILL papermill",
    "SIGKILL kernel",
    "SIGKILL guardian",
    "close terminal",
)
SAMPLE = {("starting", "SIGKILL kernel"), ("ready", "normal end"), *(("benchmark", each) for each in ENDINGS[1:])}
REACH_LIMIT_S = 120


def write_notebook(folder, state, ending, is_fake):
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    env = {"FAKE_VLLM": FAKE_ENV[state]} if is_fake else ENV
    last = {"normal end": "'done'", "cell raises": "raise ValueError('scripted')"}.get(ending, "time.sleep(600)")
    source = STATES[state].replace("{model!r}", repr(str(model) if is_fake else "tiny")).replace("{env!r}", repr(env))
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell(last)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "in.ipynb")


def start_papermill(folder, is_fake, terminal=None):
    env = {**os.environ, "BENCHBOOK_TEST": str(folder), "BENCHBOOK_STATE_DIR": str(folder / "state")}
    if is_fake:
        env["PYTHONPATH"] = str(FAKE_PACKAGE)
    stream = terminal if terminal is not None else subprocess.DEVNULL
    # A new session with the terminal as its own: closing the terminal then hangs up on papermill, as for a person.
    controlling = (
        (lambda: __import__("fcntl").ioctl(terminal, __import__("termios").TIOCSCTTY, 0))
        if terminal is not None
        else None
    )
    return subprocess.Popen(
        [*PAPERMILL, "in.ipynb", "out.ipynb", "-k", "python3"],
        cwd=folder,
        env=env,
        stdin=stream,
        stdout=stream,
        stderr=stream,
        start_new_session=True,
        preexec_fn=controlling,
    )


def wait_reached(folder, process):
    deadline = time.monotonic() + REACH_LIMIT_S
    while not (folder / "reached").exists():
        assert process.poll() is None and time.monotonic() < deadline, "the state was not reached"
        time.sleep(0.1)


def kill_all(folder, words):
    found = [each for each in marked_processes(folder) if words in " ".join(each.cmdline())]
    assert found
    for each in found:
        each.kill()


def end(folder, process, ending, terminal):
    """Make the ending happen; what ends by itself has begun to."""
    if ending == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    elif ending == "SIGTERM papermill":
        process.terminate()
    elif ending == "SIGKILL papermill":
        process.kill()
    elif ending == "SIGKILL kernel":
        kill_all(folder, "ipykernel_launcher")
    elif ending == "SIGKILL guardian":
        kill_all(folder, "guardian_main")
        process.kill()
        time.sleep(0.5)
        benchbook(folder, "ps").communicate(timeout=60)
    elif ending == "close terminal":
        os.close(terminal)


def cases():
    """Yield every ending, most of them of a benchmark; or all there are in every state, on the real vLLM too."""
    for state in STATES:
        for ending in ENDINGS:
            if IS_FULL or (state, ending) in SAMPLE:
                yield "fake", state, ending
            if IS_FULL:
                yield "real", state, ending


@pytest.mark.parametrize(("vllm", "state", "ending"), list(cases()))
def test_nothing_is_left_alive(vllm, state, ending, tmp_path):
    is_fake = vllm == "fake"
    write_notebook(tmp_path, state, ending, is_fake)
    ours, theirs = pty.openpty() if ending == "close terminal" else (None, None)
    process = start_papermill(tmp_path, is_fake, theirs)
    if theirs is not None:
        os.close(theirs)
    wait_reached(tmp_path, process)
    if ending not in ("normal end", "cell raises"):  # those have begun to end already
        assert len(marked_processes(tmp_path)) >= 4, "papermill, kernel, guardian and server are there"
    end(tmp_path, process, ending, ours)
    assert wait_nothing_left(tmp_path) == []
    process.wait(timeout=30)


RUNNER_STATES = {
    "starting": lambda line: "… starting the server" in line,
    "ready": lambda line: "is ready after" in line,
    "benchmark": lambda line: "… fake,serve" in line,
}
REAL_LAUNCH = f"{json.dumps(ARGS)}, env: {json.dumps(ENV)}"


@pytest.mark.parametrize("state", rows(RUNNER_STATES, quick=["starting"]))
@pytest.mark.parametrize("vllm", ["fake", "real"] if IS_FULL else ["fake"])
def test_a_killed_runner_leaves_nothing_alive(vllm, state, tmp_path):
    long_answers = SMALL_SWEEP.replace("[[16, 8]], num_prompts: 2 per", "[[16, 1000]], num_prompts: 4 per")
    file = write_fake_sweep(tmp_path, template=long_answers)
    if vllm == "real":
        text = (tmp_path / file).read_text().replace(str(tmp_path / "model"), "tiny")
        (tmp_path / file).write_text(text.replace("{max_model_len: 4096}", REAL_LAUNCH))
    process = benchbook(tmp_path, "run", file, fake=vllm == "fake")
    read_until(process, RUNNER_STATES[state])
    time.sleep(3.0 if state == "benchmark" else 1.0)  # into the state: a kernel starts before it sends anything
    process.kill()
    process.communicate()
    assert wait_nothing_left(tmp_path) == []
