"""The commands of the README and of the pages, executed as they stand, in the checkout."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from benchbook.terms import exit_codes
from sweeps import wait_nothing_left
from terminal import CTRL_C, on_terminal

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
NOT_HERE = {
    "make quickstart": "has a test of its own above",
    "make test": "this test is part of it",
    "make lab": "opens JupyterLab and stays; see the test of its own below",
}
LIMIT_S = 900


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    """Return the lines after '$ ' in the console blocks of the README and the pages, in order, each once."""
    blocks = [block for page in PAGES for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return list(dict.fromkeys(line.removeprefix("$ ") for line in lines))


def environment(marker):
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": search, "BENCHBOOK_TEST": marker, "BENCHBOOK_VENV": sys.prefix}


def quickstart_on_terminal(marker):
    """Return `make quickstart` typed at a terminal of 80 columns."""
    return on_terminal(["make", "quickstart"], cwd=ROOT, env=environment(marker))


def test_ctrl_c_in_the_middle_of_make_quickstart_leaves_nothing_alive(tmp_path):
    """It comes first: the next `make quickstart` continues this run."""
    with quickstart_on_terminal(str(tmp_path)) as terminal:
        terminal.read_until(lambda text: "is ready after" in text, limit_s=LIMIT_S)
        time.sleep(1)
        terminal.press(CTRL_C)
        terminal.read_to_end()
    text = " ".join(line.strip() for line in terminal.lines())
    assert "to continue: " + shlex.join(["benchbook", "run", "experiments/quickstart.yaml"]) in text
    assert "Traceback" not in text and f"Error {exit_codes.INTERRUPTED}" in text
    assert wait_nothing_left(tmp_path) == []


def test_make_quickstart_ends_as_its_summary_says_and_leaves_nothing_alive(tmp_path):
    """A quiet machine answers the question. One that runs other tests meanwhile may not; then the run says so."""
    with quickstart_on_terminal(str(tmp_path)) as terminal:
        text = terminal.read_to_end(limit_s=LIMIT_S)
    shown = " ".join(line.strip() for line in terminal.lines())
    assert "Traceback" not in text
    assert re.search(r"Verdicts .* of 24 repeats .*Answer .*Report +results/quickstart/\S+/report.html", shown)
    error = re.search(r"make(?:\[\d+\])?: .* Error (\d+)", shown)
    if error:
        assert terminal.process.returncode and int(error[1]) == exit_codes.NO_ANSWER, shown
        assert f"Exit code {exit_codes.NO_ANSWER}: " in shown and "This run cannot answer: " in shown
    else:
        assert terminal.process.returncode == exit_codes.OK, shown
        assert "Exit code" not in shown and "This run cannot answer: " not in shown
    assert wait_nothing_left(tmp_path) == []


@pytest.mark.parametrize("command", [command for command in commands() if command not in NOT_HERE])
def test_a_command_of_the_readme_or_a_page_works_and_leaves_nothing_alive(command, tmp_path):
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment(str(tmp_path)), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert wait_nothing_left(tmp_path) == []


def test_the_two_commands_of_the_readme_are_there():
    assert {"make quickstart", "make test", "make lab"} <= set(commands())


def answers(url, limit_s=30.0):
    """Return the status of `url` as soon as somebody listens; Jupyter prints its address a moment earlier."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=limit_s) as answer:
                return answer.status
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_make_lab_opens_jupyterlab_on_this_machine_only(tmp_path):
    process = subprocess.Popen(
        ["make", "lab"],
        cwd=ROOT,
        env=environment(str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        url = next(
            match[0] for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+/\S*token=\S+", line))
        )
        assert answers(url) == 200
        port = int(re.search(r":(\d+)/", url)[1])
        listening = [
            each.laddr.ip
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
        assert set(listening) == {"127.0.0.1"}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
    assert wait_nothing_left(tmp_path) == []
