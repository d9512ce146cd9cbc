"""Warm kernels: each is a new one to its notebook, none outlives what it belongs to, and without any it works as ever."""

import ast
import datetime
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import light_kernels
import nbformat
import papermill.engines
import pytest
from benchbook.hosts.process import processes
from benchbook.hosts.process.scratch import scratch_dir
from benchbook.notebooks.execute import execute
from benchbook.notebooks.kernels import source as kernels_module
from benchbook.notebooks.kernels.processes import FORK_LIMIT_S, AheadKernel, ForkedKernel
from benchbook.notebooks.kernels.source import (
    WarmKernels,
    connection_file,
    kernel_ahead,
    kernel_source,
    make_ready,
    warm_kernels,
)
from benchbook.terms.errors import Cause, HostStartError
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

END_LIMIT_S = 10.0


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Return a worker that has imported what notebooks need."""
    with WarmKernels(tmp_path_factory.mktemp("kernels")) as worker:
        yield worker


@pytest.fixture
def warm(worker, monkeypatch):
    """Let `execute` use the worker, as inside of `warm_kernels`."""
    monkeypatch.setattr(kernels_module, "_source", worker)
    return worker


def kernel_files():
    """Return the names of the kernels' files in this process's folder, where tests of other files may have left some."""
    return {path.name for path in scratch_dir().iterdir() if path.name.startswith("kernel-")}


@pytest.fixture
def kernel_files_before():
    return kernel_files()


def run(folder, *sources, env=None, **parameters):
    """Execute a notebook of these cells and return what each of them displayed."""
    cells = [nbformat.v4.new_code_cell("x: int = 1", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), folder / "in.ipynb")
    execute(folder / "in.ipynb", folder / "out.ipynb", parameters, env=env)
    done = nbformat.read(folder / "out.ipynb", 4).cells[-len(sources) :]
    return [output.data["text/plain"] for cell in done for output in cell.outputs if "data" in output]


def children_of(worker):
    stats = {pid: processes.read_stat(pid) for pid in worker.tree_pids()}  # None: it ended in the meantime
    return [pid for pid, stat in stats.items() if stat and stat.parent_pid == worker.pid]


def has_forked(worker):
    """Return whether a kernel is there, once the worker has imported what notebooks need."""
    return processes.wait_gone(lambda: [] if children_of(worker) else [worker.pid], FORK_LIMIT_S)


def test_a_forked_kernel_has_what_notebooks_need_before_its_first_cell(tmp_path, warm):
    asked = (
        "import sys; [name for name in ('pandas', 'matplotlib', 'psutil', 'benchbook.measure.serve')"
        " if name not in sys.modules]"
    )
    assert run(tmp_path, asked) == ["[]"]
    assert (
        "vllm"
        not in run(
            tmp_path, "[name for name in sys.modules if name in ('vllm', 'torch')]".replace("sys", "__import__('sys')")
        )[0]
    )


def test_a_forked_kernel_has_its_own_parameters_folder_and_environment(tmp_path, warm, monkeypatch):
    monkeypatch.setenv("OF_THE_RUNNER", "now")
    seen = run(tmp_path, "import os; (x, os.getcwd(), os.environ.get('OF_THE_CASE'), os.environ.get('OF_THE_RUNNER'))",
               env={"OF_THE_CASE": "1"}, x=7)  # fmt: skip
    assert [ast.literal_eval(shown) for shown in seen] == [(7, str(tmp_path), "1", "now")]  # a long one is wrapped
    assert run(tmp_path, "import os; os.environ.get('OF_THE_CASE')") == []  # None is not displayed


def test_an_executed_notebook_does_not_tell_where_it_lay(tmp_path, warm):
    run(tmp_path, "1")
    assert str(tmp_path) not in (tmp_path / "out.ipynb").read_text()
    with pytest.raises(PapermillExecutionError):
        run(tmp_path, "1 / 0")
    noted = nbformat.read(tmp_path / "out.ipynb", 4).metadata.papermill
    assert (noted.input_path, noted.output_path) == ("in.ipynb", "out.ipynb")


def test_while_a_cell_runs_its_notebook_tells_on_disk_which_and_what_came_before(tmp_path, warm):
    states = (
        "import json; [(cell['metadata']['papermill']['status'], len(cell['outputs']))"
        " for cell in json.load(open('out.ipynb'))['cells'][-3:]]"
    )
    assert run(tmp_path, "2 + 2", states, "None") == ["4", "[('completed', 1), ('running', 0), ('pending', 0)]"]


def test_what_one_kernel_does_to_its_libraries_does_not_reach_the_next(tmp_path, warm):
    run(tmp_path, "import json, matplotlib; json.left = 'over'; matplotlib.rcParams['font.size'] = 99; 1")
    assert run(
        tmp_path, "import json, matplotlib; (hasattr(json, 'left'), matplotlib.rcParams['font.size'] == 99)"
    ) == ["(False, False)"]


def test_kernels_do_not_draw_the_same_random_numbers(tmp_path, warm):
    draw = "import random, numpy; (random.random(), numpy.random.randint(10**9))"
    assert run(tmp_path, draw) != run(tmp_path, draw)


def test_a_figure_is_shown_as_in_any_kernel(tmp_path, warm):
    run(tmp_path, "import matplotlib.pyplot as plt; plt.plot([1, 2]); None")
    (shown,) = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
    assert "image/png" in shown.data


def test_a_kernel_that_is_killed_is_a_dead_kernel_and_the_next_one_lives(tmp_path, warm):
    with pytest.raises(DeadKernelError):
        run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(tmp_path, "1 + 1") == ["2"]


def test_the_files_of_a_kernel_lie_in_the_folder_of_its_owner_and_none_is_left(tmp_path, warm, kernel_files_before):
    seen = run(tmp_path, "import os; from ipykernel import get_connection_file; get_connection_file()")
    assert Path(ast.literal_eval(seen[0])).parent == scratch_dir()
    assert kernel_files() == kernel_files_before


def test_no_kernel_is_left_when_its_notebook_is_done(tmp_path, warm):
    run(tmp_path, "1")
    assert processes.wait_gone(lambda: children_of(warm), END_LIMIT_S)


def kernel_argv(tmp_path):
    """Write a connection file and return the command of its kernel."""
    connection_file = tmp_path / "connection.json"
    connection = {"transport": "ipc", "ip": str(tmp_path / "ipc"), "key": "k", "signature_scheme": "hmac-sha256"}
    ports = {
        f"{name}_port": number for number, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), start=1)
    }
    connection_file.write_text(json.dumps({**connection, **ports}))
    return ["python", "-m", "ipykernel_launcher", "-f", str(connection_file)]


def kernel(worker, tmp_path):
    forked = ForkedKernel(worker.socket_path, kernel_argv(tmp_path), dict(os.environ), str(tmp_path))
    return forked.begin(dict(os.environ), str(tmp_path))


def test_a_kernel_ends_with_the_connection_of_who_asked_for_it(tmp_path, worker):
    forked = kernel(worker, tmp_path)
    assert forked.poll() is None and children_of(worker) == [forked.pid]
    forked.close()
    assert processes.wait_gone(lambda: children_of(worker), END_LIMIT_S)


def test_the_exit_code_of_a_kernel_is_known_and_its_signals_spare_the_worker(tmp_path, worker):
    forked = kernel(worker, tmp_path)
    os.killpg(forked.pid, signal.SIGKILL)
    assert forked.wait(END_LIMIT_S) == -signal.SIGKILL == forked.poll()
    forked.kill()  # of what has ended does nothing
    assert worker.is_alive()


def test_waiting_for_a_kernel_that_runs_on_ends_at_its_limit(tmp_path, worker):
    forked = kernel(worker, tmp_path)
    with pytest.raises(TimeoutError, match="runs on"):
        forked.wait(0.05)
    forked.kill()
    assert forked.wait(END_LIMIT_S) == -signal.SIGKILL


@pytest.fixture
def light(monkeypatch):
    """Let workers import next to nothing, which takes them a tenth of the time."""
    path = [str(Path(light_kernels.__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    monkeypatch.setattr(WarmKernels, "program", light_kernels.__name__)


def test_kernels_end_with_their_worker(tmp_path, light):
    with WarmKernels(tmp_path) as worker:
        forked = kernel(worker, tmp_path)
        worker.stop()
        assert forked.wait(END_LIMIT_S) == -signal.SIGKILL
        assert not processes.is_alive(forked.pid, getattr(processes.read_stat(forked.pid), "start_ticks", None))


def test_a_worker_is_started_again_from_whatever_folder_with_its_log_where_it_was(tmp_path, light, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with WarmKernels("logs") as worker:
        os.kill(worker.pid, signal.SIGKILL)
        monkeypatch.chdir("/")
        worker.ensure()
        assert worker.is_alive() and worker.log_path == tmp_path / "logs" / "kernels.log"


def test_the_next_notebook_finds_the_kernel_that_got_ready_and_the_one_after_it_a_new_one(
    tmp_path, warm, monkeypatch, kernel_files_before
):
    asked = "import os; (os.getpid(), os.getcwd(), os.environ.get('OF_THE_CASE'), os.environ.get('OF_THE_RUNNER'), x)"
    make_ready()
    assert has_forked(warm), "before it is wanted"
    make_ready()
    (pid,) = children_of(warm)
    monkeypatch.setenv("OF_THE_RUNNER", "set since")
    first, second = (run(tmp_path, asked, env={"OF_THE_CASE": str(number)}, x=number) for number in (5, 6))
    assert ast.literal_eval(first[0]) == (pid, str(tmp_path), "5", "set since", 5)
    assert ast.literal_eval(second[0])[0] != pid and ast.literal_eval(second[0])[1:] == (
        str(tmp_path),
        "6",
        "set since",
        6,
    )
    assert processes.wait_gone(lambda: children_of(warm), END_LIMIT_S)
    assert kernel_files() == kernel_files_before


def test_a_kernel_that_died_while_it_was_ready_is_replaced(tmp_path, warm, kernel_files_before):
    make_ready()
    assert has_forked(warm)
    (pid,) = children_of(warm)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_gone(lambda: children_of(warm), END_LIMIT_S)
    assert run(tmp_path, "import os; os.getpid() != " + str(pid)) == ["True"]
    assert kernel_files() == kernel_files_before


def test_kernels_that_got_ready_do_not_draw_the_same_random_numbers(tmp_path, warm):
    draw, drawn = "import random, numpy; (random.random(), numpy.random.randint(10**9))", set()
    for _ in range(3):
        make_ready()
        drawn |= set(run(tmp_path, draw))
    assert len(drawn) == 3


def test_the_connection_file_of_a_kernel_that_is_ready_is_closed_to_others(tmp_path, warm):
    make_ready()
    assert connection_file().stat().st_mode & 0o777 == 0o600
    run(tmp_path, "1")
    assert not connection_file().exists(), "the next kernel is not there yet"


def test_a_kernel_that_nobody_took_ends_with_the_worker(tmp_path, light):
    with warm_kernels(tmp_path):
        worker = kernel_source()
        worker.ensure()
        make_ready()
        assert has_forked(worker)
        pids = children_of(worker)
    assert processes.wait_gone(lambda: [pid for pid in pids if processes.read_stat(pid)], END_LIMIT_S)


def test_nothing_gets_ready_where_no_kernels_are_forked():
    make_ready()
    with kernel_ahead([]):
        make_ready()
        assert not connection_file().exists()


def test_nobody_waits_for_the_worker_before_a_kernel_is_wanted(tmp_path, light):
    with warm_kernels(tmp_path):
        worker = kernel_source()
        assert worker.is_alive() and worker.ready_s is None
        pid = worker.pid
        assert run(tmp_path, "import os; os.getppid()") == [str(pid)]


def test_what_a_worker_has_forked_is_gone_with_it_at_once(tmp_path, light):
    with warm_kernels(tmp_path):
        worker = kernel_source()
        forked = worker.become(kernel_argv(tmp_path), dict(os.environ), str(tmp_path))
    assert forked.wait(END_LIMIT_S) == -signal.SIGKILL
    assert not worker.is_alive() and not Path(worker.socket_path).exists()


def test_a_sweeps_cells_are_not_among_those_of_a_persons_own_history(tmp_path, warm, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert run(tmp_path, "get_ipython().history_manager.enabled") == ["False"]
    assert not list((tmp_path / "ipython").rglob("history.sqlite"))


@pytest.mark.parametrize("is_guardian", [False, True])
def test_a_worker_that_has_died_is_started_again_for_the_next_kernel(tmp_path, light, is_guardian):
    with warm_kernels(tmp_path, ["sched"]):
        worker, asked = kernel_source(), "import os, sys; ('sched' in sys.modules, os.getppid())"
        before = ast.literal_eval(run(tmp_path, asked)[0])
        os.kill(worker.process.guardian_pid if is_guardian else worker.pid, signal.SIGKILL)
        assert processes.wait_gone(worker.is_alive, END_LIMIT_S)
        after = ast.literal_eval(run(tmp_path, asked)[0])
    assert before[0] and after[0] and before[1] != after[1]


def test_where_no_worker_can_be_had_each_kernel_is_a_process_of_its_own_that_ends_with_us(tmp_path, monkeypatch):
    def killed(self):
        raise HostStartError("killed", Cause("killed_by_signal", "by SIGKILL", ""))

    monkeypatch.setattr(WarmKernels, "start", killed)
    with warm_kernels(tmp_path):
        command = "from pathlib import Path; import os; (Path('/proc/self/cmdline').read_text(), os.getppid())"
        words, parent = ast.literal_eval(run(tmp_path, command)[0])
    assert "benchbook.notebooks.kernels.ahead_main" in words and parent == os.getpid()


def test_a_kernel_started_ahead_has_imported_what_was_asked_and_is_gone_afterwards(tmp_path):
    asked = "import os, sys; ('sched' in sys.modules, os.getpid())"
    with kernel_ahead(["sched"]):
        (shown,) = run(tmp_path, asked)
    is_imported, pid = ast.literal_eval(shown)
    assert is_imported and processes.read_stat(pid) is None
    assert run(tmp_path, asked)[0].startswith("(False")


def test_only_the_first_notebook_gets_the_kernel_started_ahead(tmp_path):
    with kernel_ahead([]):
        first, second = (run(tmp_path, "import os; os.getpid()", "x", x=number) for number in (5, 6))
    assert (first[1], second[1]) == ("5", "6") and first[0] != second[0]


def test_a_kernel_started_ahead_takes_on_the_folder_and_environment_of_its_notebook(tmp_path):
    with kernel_ahead([]):
        (shown,) = run(tmp_path, "import os; (os.getcwd(), os.environ['OF_THE_CASE'])", env={"OF_THE_CASE": "1"})
    assert ast.literal_eval(shown) == (str(tmp_path), "1")


def test_what_cannot_be_imported_ahead_is_left_to_the_notebook(tmp_path):
    with kernel_ahead(["there_is_no_such_module"]):
        assert run(tmp_path, "1 + 1") == ["2"]


def test_a_kernel_started_ahead_that_has_died_is_replaced(tmp_path):
    with kernel_ahead([]):
        ahead = kernel_source()
        ahead.kill()
        ahead.wait(END_LIMIT_S)
        assert run(tmp_path, "1 + 1") == ["2"]


def test_a_kernel_started_ahead_that_nobody_wants_ends_by_itself():
    kernel = AheadKernel([])
    kernel.stdin.close()  # as the end of its parent does
    assert kernel.wait(END_LIMIT_S) == 0


@pytest.fixture
def adopting():
    """Let orphans become children of this process, as they become those of `systemd --user`, and not of process 1."""
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
    yield
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 0)


@pytest.mark.parametrize("age_s", [0.0, 3.0])  # while it imports, and as a kernel
def test_a_kernel_started_ahead_ends_when_its_parent_was_killed(tmp_path, adopting, age_s):
    script = (
        "import os, time; from benchbook.notebooks.kernels.source import AheadKernel\n"
        f"kernel = AheadKernel([]).become({kernel_argv(tmp_path)!r}, dict(os.environ), {str(tmp_path)!r})\n"
        "print(kernel.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(age_s)
        assert processes.read_stat(pid).parent_pid == parent.pid
        parent.kill()
    assert processes.wait_gone(lambda: [pid] if os.waitpid(pid, os.WNOHANG) == (0, 0) else [], END_LIMIT_S)


def test_where_kernels_are_forked_none_is_started_ahead(tmp_path):
    with warm_kernels(tmp_path), kernel_ahead([]):
        assert isinstance(kernel_source(), WarmKernels)
    assert kernel_source() is None


def test_a_notebook_tells_on_disk_how_far_it_has_come_while_it_is_executed_and_is_for_reading_in_the_end(
    tmp_path, warm
):
    asked = (
        "import nbformat; notebook = nbformat.read('out.ipynb', 4); nbformat.validate(notebook);"
        " [cell.metadata.papermill['status'] for cell in notebook.cells], notebook.cells[1].outputs[0]['data']"
    )
    _, seen, _ = run(tmp_path, "'naïve \\ud800'", asked, "2 + 2")
    states, data = ast.literal_eval(seen)
    assert states == ["completed", "completed", "running", "pending"]
    assert data["text/plain"] == "'naïve \\ud800'"
    assert (tmp_path / "out.ipynb").read_text().startswith('{\n "cells": [\n  {\n')


def test_nothing_is_saved_while_a_cell_is_executed_however_long_that_takes(tmp_path, warm, monkeypatch):
    clock = itertools.count()

    def a_minute_later(manager):
        return datetime.datetime.fromtimestamp(60.0 * next(clock), datetime.timezone.utc)

    monkeypatch.setattr(papermill.engines.NotebookExecutionManager, "now", a_minute_later)
    timed = "import os, time; saved = lambda: os.stat('out.ipynb').st_mtime_ns; before = saved()"
    told = "print('first', flush=True); time.sleep(0.2); print('then', flush=True); time.sleep(0.2); saved() == before"
    assert run(tmp_path, f"{timed}; {told}") == ["True"]


def test_output_reaches_its_own_cell_and_none_is_lost(tmp_path, warm):
    sources = [f"print('first {number}'); print('then {number}', flush=True); {number}" for number in range(20)]
    assert run(tmp_path, *sources) == [str(number) for number in range(20)]
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells[-20:]
    printed = ["".join(output.text for output in cell.outputs if output.output_type == "stream") for cell in cells]
    assert printed == [f"first {number}\nthen {number}\n" for number in range(20)]
