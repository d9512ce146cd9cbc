"""The notebooks in a kernel of their own, cell by cell as a person runs them, on the scripted vllm."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import fake_vllm
import nbformat
import pytest
from benchbook.hosts.process import processes, registry
from benchbook.measure.client.tasks import WARM
from benchbook.notebooks.kernels.manager import OwnKernelManager
from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.project import notebooks_dir
from benchbook.records.record_file import read_record
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rows import rows

FAKE_PACKAGE = Path(__file__).parents[1] / "fake_package"
SMALL = "num_prompts, max_concurrency, input_len_tokens, output_len_tokens = 4, 2, 8, 4"
WORKLOAD, OPEN, BENCH, VERDICT = "ServeWorkload(\n", "open_server(\n", "saved = bench_serve", "verdict_table(saved)"


class Notebook:
    """A committed notebook in a running kernel: its cells by a word that stands in them, and what they put out."""

    def __init__(self, client: NotebookClient) -> None:
        self.client = client
        self._index = len(client.nb.cells)

    def run(self, *words: str) -> str:
        """Run the code cells that hold each of `words`, and return the plain text of the last one's outputs."""
        text = ""
        for word in words:
            index, cell = next(
                (index, cell)
                for index, cell in enumerate(self.client.nb.cells)
                if cell.cell_type == "code" and word in cell.source
            )
            text = self._execute(cell, index)
        return text

    def type(self, source: str) -> str:
        """Run a line that a person types."""
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells.append(cell)
        return self._execute(cell, len(self.client.nb.cells) - 1)

    def fails(self, *words: str) -> str:
        """Run cells of which the last must raise, and return what it says."""
        with pytest.raises(CellExecutionError) as error:
            self.run(*words)
        return f"{error.value.ename}: {error.value.evalue}"

    def _execute(self, cell: nbformat.NotebookNode, index: int) -> str:
        self.client.execute_cell(cell, index)
        texts = [output.get("text") or output.get("data", {}) for output in cell.outputs]
        return "\n".join(text if isinstance(text, str) else "".join(text.values()) for text in texts)


@pytest.fixture(scope="module", autouse=True)
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have all kernels forked from one process that knows the fake vllm: importing takes each a second or two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE_PACKAGE), os.environ.get("PYTHONPATH", "")]))
        with warm_kernels(tmp_path_factory.mktemp("kernels")):
            yield


@pytest.fixture
def opened(fake_model: str, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Return a function that opens a notebook in a kernel with a fake vllm whose parameters cell has run."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE_PACKAGE), os.environ.get("PYTHONPATH", "")]))
    clients = []

    def open_notebook(name: str, **script: object) -> Notebook:
        notebook = nbformat.read(notebooks_dir() / name, as_version=4)
        client = NotebookClient(
            notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        client.kernel_manager_class = OwnKernelManager
        manager = client.create_kernel_manager()
        client.start_new_kernel()
        client.start_new_kernel_client()
        clients.append((client, manager))
        opened = Notebook(client)
        opened.run("launch: str", "from benchbook import")
        env = {**fake_vllm.scripted(**script)}
        opened.type(f"model, launch, engine_env, record_path = {fake_model!r}, 'default', {env!r}, 'out/record.json'")
        return opened

    yield open_notebook
    for client, _ in clients:
        client._cleanup_kernel()
    # A kernel that takes its time to end is killed, and then its servers' guardians end them.
    assert processes.wait_gone(registry.live_hosts, registry.END_LIMIT_S)


def test_a_start_is_one_line_that_ends_with_how_long_it_took(opened):
    notebook = opened("01_launch_server.ipynb", ready_after_s=0.5)
    text = notebook.run("open_server(")
    assert "ready after" in text and "<VllmServer 'model' at http://127.0.0.1:" in text
    assert len(text.splitlines()) <= 3


def sends_all(notebook: Notebook) -> bool:
    """Return whether all of notebook 02's ways to ask a server are answered."""
    notebook.run("open_server(", "FirstRequestWorkload(prompt", "requests.post(", "saved = first_request(")
    is_measured = notebook.type("saved.record.is_measured") == "True"
    return is_measured and bool(notebook.run("OpenAI(", "client.completions.create("))


@pytest.mark.parametrize("scheme", rows(["http", "https", "socks5", "socks"], quick=["http", "socks5"]))
def test_what_a_person_sends_from_a_notebook_goes_past_the_proxy_of_the_shell(opened, proxy, monkeypatch, scheme):
    for name, value in proxy.variables(scheme).items():
        monkeypatch.setenv(name, value)
    assert sends_all(opened("02_first_request.ipynb")) and proxy.asked == []


def test_so_does_what_is_sent_to_an_address_that_no_shell_excepts(opened, fake_server, proxy):
    server = fake_server({"host": "127.0.0.2"})
    server.start()
    server.wait_ready()
    notebook = opened("02_first_request.ipynb")
    notebook.type(f"base_url, model, engine_env = {server.base_url!r}, '', {{}}")
    assert sends_all(notebook) and proxy.asked == []


def test_a_parameter_that_there_is_not_is_refused_before_anything_starts(opened):
    notebook = opened("03_bench_serve.ipynb")
    notebook.type("# Parameters\nmax_concurency = 9\n")  # as papermill injects it
    assert "unknown parameter 'max_concurency'; did you mean 'max_concurrency'?" in notebook.fails(OPEN)
    assert registry.live_hosts() == []


def test_a_second_measurement_waits_for_nothing_and_stale_cells_are_refused(opened, tmp_path):
    notebook = opened("03_bench_serve.ipynb")
    notebook.type(SMALL)
    first = notebook.run(WORKLOAD, OPEN, BENCH)
    assert "warm-up with 4 other prompts" in first and "bench.log" in first
    assert "VALID" in notebook.run(VERDICT) or "SUSPECT" in notebook.run(VERDICT)

    notebook.type("num_prompts = 6")
    said = "num_prompts is 6 now, but `{}` was made with 4: run that cell again"
    assert said.format("workload") in notebook.fails(BENCH)
    assert said.format("saved") in notebook.fails(VERDICT)
    second = notebook.run(WORKLOAD, BENCH)
    assert "warm-up" not in second, "the server is warm, and it is the same server"
    record = read_record(tmp_path / "out" / "record.json")
    assert record.way == WARM and record.warmup.warmed_by == "by hand: out" and record.workload["num_prompts"] == 6

    notebook.type("engine_args = {'max_model_len': 2048}")
    assert "engine_args is {'max_model_len': 2048} now, but `server` was made with {}" in notebook.fails(BENCH)
    notebook.run(OPEN, BENCH)
    assert "max_model_len" in str(read_record(tmp_path / "out" / "record.json").host.argv).replace("-", "_")


def test_an_interrupted_measurement_is_one_line_and_server_and_client_live_on(opened):
    notebook = opened("03_bench_serve.ipynb", itl_s=[0.05])
    notebook.type(SMALL.replace("8, 4", "8, 4000") + "; num_warmup_prompts = 0")
    notebook.run(WORKLOAD, OPEN)
    client = notebook.type("from benchbook.measure.own import own_client; own_client().pid")
    kernel = int(notebook.type("import os; os.getpid()"))
    threading.Timer(4.0, os.kill, (kernel, signal.SIGINT)).start()
    assert "Interrupted: vllm bench serve was ended; what was started for it lives on" in notebook.fails(BENCH)
    assert "the last measurement did not end" in notebook.fails(VERDICT)
    notebook.type("output_len_tokens = 4")
    assert "bench.log" in notebook.run(WORKLOAD, BENCH)
    assert notebook.type("own_client().pid") == client


def test_a_client_that_has_died_is_another_one_and_without_a_server_there_is_no_result_to_read(opened):
    notebook = opened("03_bench_serve.ipynb")
    notebook.type(SMALL)
    notebook.run(WORKLOAD, OPEN)
    notebook.type("import os, signal; from benchbook.measure.own import own_client; client = own_client()")
    notebook.type("import time; before = client.pid; os.kill(before, signal.SIGKILL)")
    notebook.type("while client.is_alive(): time.sleep(0.05)")  # its guardian tells, on a busy machine a little later
    assert "bench.log" in notebook.run(BENCH)
    assert notebook.type("client.pid != before, client is own_client()") == "(True, True)"
    notebook.run(VERDICT)
    notebook.type("server.stop()")
    assert "HostDiedError" in notebook.fails(BENCH)
    assert "there is no result: the last measurement did not end" in notebook.fails(VERDICT)


def run_line(*command: str) -> str:
    """Run what the notebook says and return what it puts out."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_01_starts_the_others_take_by_its_address_alone(opened):
    first = opened("01_launch_server.ipynb")
    first.run("open_server(")
    address = first.type("server.base_url").strip("'")
    lines = first.run("client_lines(server)")
    key = first.type("server.api_key").strip("'")
    assert f"{address}/v1/completions" in lines and "benchbook key" in lines and key not in lines
    curl, python = (unescape(block) for block in re.findall("<pre>(.*?)</pre>", lines, re.DOTALL))
    assert "choices" in run_line("bash", "-c", curl)
    assert re.search(r"w\d+ w\d+", run_line(sys.executable, "-c", python))
    second = opened("02_first_request.ipynb")
    second.type(f"base_url, model, max_tokens, engine_env = {address.removeprefix('http://')!r}, '', 4, {{}}")
    second.run("open_server(", "FirstRequestWorkload(")
    assert "the weights are random" not in second.run("first_request(server", "answer_table(saved)")
