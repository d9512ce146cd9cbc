"""A repeat that is disturbed from outside, through a whole sweep on a scripted server: the later try is in the means."""

import json

import pytest
from benchbook.judge.outside import again_sentence
from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.records.header import RunState
from benchbook.records.record_file import read_record
from benchbook.report.run import load_run
from benchbook.sweep.session import prepare_run
from rows import rows
from sweeps import FAKE_PACKAGE
from test_faults import Quiet, write_fault_file

pytestmark = pytest.mark.integration

# Beside a machine that others use, a try may be disturbed by them as well: the budget is wide, and what is looked for is
# the compilation, which comes once.
CODE, TRIES = "compiled_while_measuring", "again: 6"
STALL_S = 3.0
FIXED_PROMPTS = 8  # which the server of a single launch answers first


@pytest.mark.parametrize("at_request", rows([FIXED_PROMPTS + 2, FIXED_PROMPTS + 5], quick=1))
def test_a_repeat_in_which_the_server_compiled_is_measured_again_and_is_in_no_mean(tmp_path, monkeypatch, at_request):
    monkeypatch.setenv("BENCHBOOK_TEST", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(FAKE_PACKAGE))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    script = {"stall_at_request": at_request, "stall_s": STALL_S, "stall_log": "Capturing CUDA graphs (decode): 50%"}
    file = write_fault_file(tmp_path, json.dumps(script))
    text = file.read_text().replace("repeats: 1\nagain: 0", f"repeats: 2\n{TRIES}").replace("stall_s: 2", "stall_s: 20")
    file.write_text(text.replace("benchmark_s: 8", "benchmark_s: 60").replace("ready_s: 3", "ready_s: 30"))
    runner = prepare_run(file, tmp_path / "results", new=True, share_gpu=False, command="", listener=Quiet())
    runner.executor.look = lambda *_: ""
    with warm_kernels(tmp_path):
        assert runner.execute() == RunState.FINISHED
    run = load_run(runner.store.run_dir)
    first, second = sorted(run.records, key=lambda record: record.identity.repeat)
    (path,) = runner.store.run_dir.glob("cases/*/repeat=0,attempt=1/record.json")
    replaced = read_record(path)
    assert CODE in [reason.code for reason in replaced.reasons] and replaced.values["duration_s"] > STALL_S
    assert CODE in first.identity.disturbed[0] and CODE not in [reason.code for reason in first.reasons]
    assert replaced.request_set_sha256 != first.request_set_sha256, "the fake server does not say that it has no cache"
    mean_s = run.cases["duration_s_mean"].item()
    assert mean_s == pytest.approx((first.values["duration_s"] + second.values["duration_s"]) / 2) and mean_s < STALL_S
    assert again_sentence(run.records) and (path.parent / "raw.json").is_file()
