"""One repeat: a number that was saved stays, and says so when its notebook raised afterwards."""

import ast

import pytest
from benchbook.measure.recording import Recording
from benchbook.plan.case import Case
from benchbook.plan.experiment import Limits
from benchbook.plan.order import Repeat
from benchbook.plan.workloads import FirstRequestWorkload, LatencyWorkload, ServeWorkload, ThroughputWorkload
from benchbook.records.handover import RECORD_FILE, read_handover
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity, Outcome, Verdict
from benchbook.records.record_file import read_record
from benchbook.sweep import repeat as repeat_module
from benchbook.sweep.repeat import run_repeat
from benchbook.terms.errors import Cause, HostDiedError
from nbclient.exceptions import DeadKernelError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

WORKLOAD = LatencyWorkload(input_len_tokens=128, output_len_tokens=64, batch_size=1)


class Host:
    facts, parameters, plumbing, env, warmed = HostFacts(kind="engine"), {}, {}, {}, {}

    def check_alive(self):
        pass


def run(folder, error=None):
    def execute(notebook, output, parameters, env, between_cells):
        raw = {"latencies": [0.2] * 30, "avg_latency": 0.2}
        Recording(WORKLOAD, folder / RECORD_FILE).finish(raw, host=HostFacts(), way="test")
        if error:
            raise error

    repeat = Repeat(Case("a", WORKLOAD), 0, "engine", 1)
    return run_repeat(repeat, Host(), folder, Identity(), Limits(), execute)


@pytest.mark.parametrize("error", [None, ValueError("the figure could not be drawn")])
def test_a_notebook_that_raises_after_saving_leaves_a_suspect_number(tmp_path, error):
    record = run(tmp_path, error)
    assert record.outcome is Outcome.MEASURED and record.values["avg_batch_latency_s"] == 0.2
    assert ("notebook_raised" in [why.code for why in record.reasons]) is (error is not None)
    assert record.verdict is (Verdict.SUSPECT if error else Verdict.VALID)
    assert read_record(tmp_path / RECORD_FILE) == record


def test_the_precision_that_planned_the_prompts_goes_with_the_repeat(tmp_path):
    told = []

    def execute(notebook, output, parameters, env, between_cells):
        told.append(read_handover(str(tmp_path / parameters["repeat"])))
        Recording(WORKLOAD, tmp_path / RECORD_FILE).finish({"latencies": [0.2], "avg_latency": 0.2}, host=HostFacts())

    case = Case("a", WORKLOAD, precision=(("p99_ttft_ms", 0.1),))
    run_repeat(Repeat(case, 0, "engine", 1), Host(), tmp_path, Identity(), Limits(), execute)
    assert told[0].precision == {"p99_ttft_ms": 0.1} and told[0].record_path == str(tmp_path / RECORD_FILE)


ONLINE = {"base_url": "http://127.0.0.1:8011", "model": "tiny-1234", "reset_prefix_cache": False}
ASKED = (
    FirstRequestWorkload(),
    ServeWorkload(input_len_tokens=128, output_len_tokens=64, num_prompts=80, max_concurrency=4, request_rate_rps=2.5),
    LatencyWorkload(input_len_tokens=128, output_len_tokens=64, batch_size=1),
    ThroughputWorkload(input_len_tokens=128, output_len_tokens=64, num_prompts=64),
)


@pytest.mark.parametrize("workload", ASKED, ids=lambda workload: workload.benchmark)
def test_the_injected_cell_of_a_notebook_is_short_and_tells_what_is_measured_and_no_more(tmp_path, workload):
    cells = []

    class Described(Host):
        facts = HostFacts(
            argv=("/opt/venv/bin/python3", "vllm"), greedy_outputs=tuple(map(str, range(32))), model_config={"a": 1}
        )
        parameters = ONLINE if workload.row.host_kind == "server" else {"model": "tiny"}
        plumbing = {"client_socket": "/run/user/0/client.sock"} if workload.row.host_kind == "server" else {}

    def execute(notebook, output, parameters, env, between_cells):
        shared = parameterize_notebook(load_notebook_node(str(notebook)), parameters)
        cells.extend(cell.source for cell in shared.cells if "injected-parameters" in cell.metadata.tags)

    run_repeat(
        Repeat(Case("a", workload), 0, workload.row.host_kind, 1), Described(), tmp_path, Identity(), Limits(), execute
    )
    (cell,) = cells
    lines = [line for line in cell.splitlines() if not line.startswith("#")]
    assert len(lines) <= 20
    values = [ast.literal_eval(line.partition(" = ")[2]) for line in lines]
    assert all(isinstance(value, str | int | float | None) for value in values), "no list and no dictionary"
    assert not [value for value in values if isinstance(value, str) and "/" in value.removeprefix("http://")]


class DeadHost(Host):
    def check_alive(self):
        raise HostDiedError("the server died", Cause("killed_by_signal", "the host was ended by SIGKILL", "see who"))


def test_a_notebook_that_finds_no_server_any_more_is_a_failure_of_the_server(tmp_path):
    def execute(notebook, output, parameters, env, between_cells):
        raise ValueError("no vLLM server answers")

    for host, outcome, code in (
        (Host(), Outcome.NOTEBOOK_FAILED, "notebook_raised"),
        (DeadHost(), Outcome.HOST_FAILED, "killed_by_signal"),
    ):
        record = run_repeat(Repeat(Case("a", WORKLOAD), 0, "engine", 1), host, tmp_path, Identity(), Limits(), execute)
        assert (record.outcome, record.failure.code) == (outcome, code)


def test_a_key_in_the_text_of_an_exception_reaches_no_record(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "of-the-runner")
    monkeypatch.setattr(Host, "env", {"OPENAI_API_KEY": "of-the-server"})
    record = run(tmp_path, ValueError("401 for of-the-server and of-the-runner"))
    (found,) = [why for why in record.reasons if why.code == "notebook_raised"]
    assert found.evidence == "ValueError: 401 for <redacted> and <redacted>"


def test_a_number_is_read_from_its_file_and_not_from_outputs_that_a_kernel_may_lose(tmp_path):
    record = run(tmp_path)  # whose notebook gave no output at all, and was not even written
    assert record.is_measured and record.values["avg_batch_latency_s"] == 0.2
    assert not (tmp_path / "executed.ipynb").exists()


def test_the_next_kernel_gets_ready_once_the_number_is_there_and_not_before(tmp_path, monkeypatch):
    asked = []

    def execute(notebook, output, parameters, env, between_cells):
        between_cells()
        assert not asked
        Recording(WORKLOAD, tmp_path / RECORD_FILE).finish({"latencies": [0.2], "avg_latency": 0.2}, host=HostFacts())
        between_cells()

    monkeypatch.setattr(repeat_module, "make_ready", lambda: asked.append("a kernel"))
    run_repeat(Repeat(Case("a", WORKLOAD), 0, "engine", 1), Host(), tmp_path, Identity(), Limits(), execute)
    assert asked == ["a kernel"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (None, "kernel_died"),
        (DeadKernelError("Kernel died"), "kernel_died"),
        (ValueError("the file is without a whole record"), "notebook_raised"),
        (RuntimeError("DeadKernelError was seen by a cell"), "notebook_raised"),
    ],
)
def test_that_a_kernel_died_is_told_by_what_happened_and_not_by_the_words_of_a_message(tmp_path, raised, code):
    def execute(notebook, output, parameters, env, between_cells):
        if raised:
            raise raised

    record = run_repeat(Repeat(Case("a", WORKLOAD), 0, "engine", 1), Host(), tmp_path, Identity(), Limits(), execute)
    assert (record.outcome, record.failure.code) == (Outcome.NOTEBOOK_FAILED, code)
    assert ("its process was killed" in record.failure.hint) == (code == "kernel_died")
