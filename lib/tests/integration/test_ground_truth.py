"""Ground truth: what a scripted server does is what notebook, record, table and HTML report, digit for digit.

The client is vLLM's own, the server is scripted. Where time is real the script is met within a few milliseconds; from the
raw file on, every number must be the same number.
"""

import functools
import html
import json
import statistics

import fake_vllm
import pytest
from benchbook.hosts.server import VllmServer
from benchbook.notebooks.comparison import execute_comparison
from benchbook.plan.experiment import load_experiment
from benchbook.records.files import read_json
from benchbook.records.header import RunState
from benchbook.records.record import Verdict
from benchbook.records.store import Store
from benchbook.report.html import render_report
from benchbook.report.run import load_run
from benchbook.sweep import hosts
from benchbook.sweep.executors import Local
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.runner import Runner
from benchbook.terms.metrics import values_from_raw
from benchbook.terms.wording import number_text, plus_minus_text
from test_runner import Listener

pytestmark = pytest.mark.integration

TTFT_MS, ITL_MS, INPUT, OUTPUT, CAP, PROMPTS = 60.0, 12.0, 32, 16, 4, 40
LATE_MS = 20.0  # at most, for the machine has other things to do as well
E2EL_MS = TTFT_MS + (OUTPUT - 1) * ITL_MS
STEADY = {"ttft_s": [TTFT_MS / 1000], "itl_s": [ITL_MS / 1000]}
JIT_LINE = "Triton kernel JIT compilation during inference: _fwd_kernel. This causes a latency spike"
FAULTY = {
    **STEADY,
    "cached_share": 0.64,
    "preempt_every": 10,
    "finish_reason": "stop",
    "word_step": 2,
    # 32 fixed prompts and 4 to warm up come first
    "stall_at_request": 60,
    "stall_s": 0.3,
    "stall_log": JIT_LINE,
}
EXPERIMENT = """
question: Is what comes out what was scripted?
model: tiny
launches:
  steady: {{args: {{max_model_len: 4096}}, env: {{FAKE_VLLM: '{steady}'}}}}
  faulty: {{args: {{max_model_len: 4096}}, env: {{FAKE_VLLM: '{faulty}'}}}}
benchmarks:
  - serve: {{max_concurrency: 4, lengths: [[32, 16]], num_prompts: 40}}
repeats: 2
again: 0
"""


@pytest.fixture(scope="module")
def measured(vllms_client, kernels, tmp_path_factory):
    """Return (run folder, state, the run as a report reads it, the HTML) of one sweep over both scripts."""
    folder = tmp_path_factory.mktemp("truth")
    path = folder / "truth.yaml"
    path.write_text(EXPERIMENT.format(steady=json.dumps(STEADY), faulty=json.dumps(FAULTY)))
    plan = RunPlan.of(load_experiment(path))
    store = Store.create(folder / "results", "truth")
    scripted = functools.partial(VllmServer, program=fake_vllm.PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts, "WarmClient", lambda **_: vllms_client)  # one for all starts: importing vLLM takes seconds
        patch.setattr(vllms_client, "stop", lambda: None)
        executor = Local(hosts.host_opener(compares_launches=True, make_server=scripted))
        state = Runner(plan, store, Listener(), "benchbook run truth.yaml", executor).execute()
    render_report(execute_comparison(store.run_dir), store.report_path)
    return store.run_dir, state, load_run(store.run_dir), html.unescape(store.report_path.read_text())


@pytest.fixture
def steady(measured):
    return [record for record in measured[2].records if record.identity.launch == "steady"]


@pytest.fixture
def faulty(measured):
    return [record for record in measured[2].records if record.identity.launch == "faulty"]


def raw_of(run, record):
    return read_json(run.run_dir / run.repeat_path(record, "raw.json"))


def test_the_sweep_ended_well(measured):
    assert measured[1] == RunState.FINISHED and len(measured[2].records) == 4


def test_times_are_those_of_the_script(steady):
    for record in steady:
        values = record.values
        assert TTFT_MS <= values["median_ttft_ms"] <= TTFT_MS + LATE_MS
        assert values["median_tpot_ms"] == pytest.approx(ITL_MS, rel=0.05)
        assert values["mean_itl_ms"] == pytest.approx(ITL_MS, rel=0.05)
        assert E2EL_MS <= values["median_e2el_ms"] <= E2EL_MS + LATE_MS
        assert values["output_throughput_tok_s"] == pytest.approx(CAP * OUTPUT / E2EL_MS * 1000, rel=0.15)


def test_counts_are_those_of_the_script_exactly(steady):
    for record in steady:
        assert record.values["completed"] == PROMPTS and record.values["failed"] == 0
        assert record.values["total_input_tokens"] == PROMPTS * INPUT
        assert record.values["total_output_tokens"] == PROMPTS * OUTPUT
        counters = record.host.counters
        assert counters["prompt_tokens"] == PROMPTS * INPUT
        assert counters["generation_tokens"] == PROMPTS * OUTPUT
        assert counters["requests_ended_by_length"] == PROMPTS


def test_the_record_is_the_raw_file_to_the_digit(measured):
    for record in measured[2].records:
        assert dict(record.values) == values_from_raw("serve", raw_of(measured[2], record), record.host.counters)


def test_the_table_is_the_record_to_the_digit(measured):
    table = measured[2].table
    for row, record in zip(table.to_dict("records"), measured[2].records, strict=True):
        assert (row["verdict"], row["case_id"]) == (record.verdict.value, record.identity.case_id)
        for key, value in record.values.items():
            assert value is None or row[key] == value


def test_the_notebook_shows_the_verdict_first_and_the_records_numbers(measured):
    run = measured[2]
    for record in run.records:
        cells = read_json(run.run_dir / run.repeat_path(record, "executed.ipynb"))["cells"]
        shown = [
            html.unescape("".join(output["data"].get("text/html", "")))
            for cell in cells
            for output in cell.get("outputs", [])
            if "data" in output
        ]
        verdict = next(index for index, text in enumerate(shown) if "Verdict" in text)
        numbers = next(index for index, text in enumerate(shown) if "median TTFT (ms)" in text)
        assert verdict < numbers
        for key in ("output_throughput_tok_s", "median_ttft_ms", "median_tpot_ms", "total_output_tokens"):
            assert number_text(record.values[key]) in shown[numbers]


def test_the_report_shows_mean_and_spread_of_the_records(measured, steady):
    for key in ("output_throughput_tok_s", "median_ttft_ms", "median_tpot_ms", "mean_e2el_ms"):
        values = [record.values[key] for record in steady]
        shown = plus_minus_text(statistics.fmean(values), statistics.stdev(values))
        assert shown in measured[3].replace("\N{NO-BREAK SPACE}", " ")
    assert "4 measured, 0 failed, 0 missing" in measured[3]


def test_a_sound_script_is_accused_of_nothing(steady):
    # What others do on this machine meanwhile is no fault of the script.
    busy = {"machine_busy", "client_saturated", "repeats_disagree", "stream_bunched", "speed_shifted", "server_stalled"}
    for record in steady:
        assert {why.code for why in record.reasons if why.severity != "note"} <= busy
        assert {why.code for why in record.reasons if why.severity == "note"} <= {
            "random_weights",
            "percentile_not_earned",
            "start_burst",
            "host_restarted",  # launches that are compared start anew in each round
        }


def test_every_scripted_fault_is_named_with_its_figure(measured, faulty):
    first = {why.code: why.evidence for why in faulty[0].reasons}
    assert first["cache_warm"].startswith("819 of 1,280 prompt tokens (64.0%) came from the prefix cache")
    assert "4 preemptions" in first["preempted"]
    assert "40 by stop" in first["finish_not_length"]
    assert "0% of 32 greedy answers" in first["outputs_differ"]
    compiled = [record for record in faulty if any(why.code == "compiled_while_measuring" for why in record.reasons)]
    assert len(compiled) == len(faulty) and JIT_LINE in str(compiled[0].conditions.compile_lines)
    for code in ("cache_warm", "preempted", "finish_not_length", "outputs_differ", "compiled_while_measuring"):
        assert code in measured[3]
    assert {record.verdict for record in faulty} == {Verdict.SUSPECT}


def test_the_client_was_watched(steady):
    for record in steady:
        client = record.conditions.client
        assert 0 < client.cpu_cores < 1
        assert client.ceiling_chunks_per_s > client.chunks_per_s > 0
        assert client.chunks_per_s == pytest.approx(PROMPTS * OUTPUT / record.values["duration_s"], rel=0.1)
        assert None not in dict(record.conditions.machine).values()
