"""What the start notebook calls: lists of experiments and runs, and a run that goes on without the notebook."""

import html
import json
import os
import re
import subprocess
import sys
import time

import pytest
from benchbook import project, start
from benchbook.project import notebooks_dir
from benchbook.records.header import RunState
from benchbook.records.store import Store
from benchbook.report import markup
from benchbook.report.board.cell import watch
from benchbook.report.board.command import ask
from benchbook.terms.errors import ExperimentError
from report_runs import make_run
from sweeps import FAKE_PACKAGE, SMALL_SWEEP, wait_nothing_left, write_fake_sweep

pytestmark = pytest.mark.integration


@pytest.fixture
def shown(monkeypatch):
    """Return what cells display, as text without markup."""
    texts = []
    monkeypatch.setattr(markup, "show", lambda content: texts.append(html.unescape(re.sub("<[^>]*>", " ", content))))
    return texts


def test_experiments_and_runs_are_listed_and_without_any_it_is_said_how_to_make_one(tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    start.show_experiments()
    assert all(path.stem in shown[0] for path in (project.ROOT / "experiments").glob("*.yaml"))
    assert "How do latency and throughput trade off" in shown[0]
    start.show_runs()
    watch("")
    assert all("no runs under" in text and "results" in text for text in shown[1:])
    make_run(tmp_path / "results")
    start.show_runs()
    watch("")
    assert (
        "quickstart/20261123-201500" in shown[3]
        and "finished" in shown[3]
        and "4 min 40 s".replace(" ", "\N{NO-BREAK SPACE}") in shown[3]
    )
    assert "output tok/s" in shown[4] and "VALID" in shown[4]


def test_no_name_starts_nothing_and_a_wrong_one_names_the_nearest(tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    assert start.start_run("") == "" and "nothing was started" in shown[0]
    with pytest.raises(ExperimentError, match="no experiment 'quikstart'; did you mean 'quickstart'"):
        start.start_run("quikstart")
    (tmp_path / "bad.yaml").write_text("question: Why?\nlaunchs: {}\n")
    assert start.start_run(str(tmp_path / "bad.yaml")) == ""
    assert "It ended with exit code 2" in shown[1] and "did you mean 'launches'" in shown[1]
    assert not list((tmp_path / "results").iterdir()), "nothing is left of it"


OF_A_KERNEL = {
    "FORCE_COLOR": "1",
    "CLICOLOR": "1",
    "CLICOLOR_FORCE": "1",
    "TERM": "xterm-color",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "JPY_PARENT_PID": "1",
}
ASKED = "from benchbook.terminal import console; import os; print(console().is_interactive, *os.environ)"


def test_what_a_kernel_starts_draws_no_board_into_its_log(monkeypatch):
    for name, value in OF_A_KERNEL.items():
        monkeypatch.setenv(name, value)
    asked = [sys.executable, "-c", ASKED]
    is_drawn, *names = subprocess.run(asked, env=start._environment(), capture_output=True, text=True).stdout.split()
    assert is_drawn == "False" and "PATH" in names and set(OF_A_KERNEL) & set(names) == {"TERM"}


STARTING = "from benchbook import start_run; print('started', start_run({file!r})); import os; os.kill(os.getpid(), 9)"


def test_a_run_that_is_started_outlives_the_kernel_and_can_be_asked_to_stop(tmp_path, monkeypatch, shown):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    path = os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")]))
    env = {
        **os.environ,
        **OF_A_KERNEL,
        "BENCHBOOK_TEST": str(tmp_path),
        "BENCHBOOK_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": path,
    }
    kernel = subprocess.run(
        [sys.executable, "-c", STARTING.format(file=file)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    name = re.search(r"started (machinery/\S+)", kernel.stdout)[1]
    store = Store(tmp_path / "results" / name)
    assert kernel.returncode == -9 and store.header().state is RunState.RUNNING
    monkeypatch.chdir(tmp_path)
    assert start.start_run(str(tmp_path / file)) == name and "is being measured already" in shown[0]
    ask(store.run_dir, stop=True)
    deadline = time.monotonic() + 120
    while store.header().state is RunState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert wait_nothing_left(tmp_path) == []
    assert store.header().state is RunState.INTERRUPTED
    said = (store.run_dir / "run.log").read_text()
    assert "Stopped between two repeats, as asked." in said and "\x1b" not in said
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["machinery"]


def test_the_start_notebook_run_top_to_bottom_starts_nothing(tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "results")
    notebook = json.loads((notebooks_dir() / "00_start.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(shown) == 4 and "nothing was started" in shown[2] and "VALID" in shown[3] and names["started"] == ""
