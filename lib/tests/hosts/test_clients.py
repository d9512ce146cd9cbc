"""vLLM's two clients: which one a launch asks for, which one ran, and the results of both."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from benchbook.hosts.process.shell import child_environment, left_out
from benchbook.hosts.vllm import clients
from benchbook.hosts.vllm.clients import asked_client, behind_ours_s, client_of, missing_client, pinned, rust_program
from benchbook.judge.evidence import Measured, answers_of
from benchbook.judge.unseen import not_looked
from benchbook.measure.serve import _Bench
from benchbook.records.handover import Handover
from benchbook.terms.asked import Asked, Offered
from benchbook.terms.metrics import values_from_raw

# Written by hand: three requests at 4 a second, the last of which failed; as each client writes them.
SHARED = {
    "duration": 1.25,
    "completed": 2,
    "failed": 1,
    "total_input_tokens": 64,
    "total_output_tokens": 6,
    "request_throughput": 1.6,
    "output_throughput": 4.8,
    "total_token_throughput": 56.0,
    "input_lens": [32, 32, 32],
    "output_lens": [3, 3, 0],
    "ttfts": [0.2, 0.25, 0.0],
    "itls": [[0.1, 0.1], [0.05, 0.05], []],
    "latencies": [0.4, 0.35, 0.0],
    "errors": ["", "", "Connection refused"],
    "mean_ttft_ms": 225.0,
    "median_e2el_ms": 375.0,
    "request_rate": 4.0,
}
PYTHON = {
    **SHARED,
    "date": "20261127-083011",
    "start_times": [5000.5, 5000.75, 5001.0],
    "queue_times": [0.0, 0.01, 0.0],
}
RUST = {
    **SHARED,
    "date": "2026-11-27T07:30:11Z",
    "start_times": [0.0, 0.25, 0.5],
    "steady_state": {"duration": 0.5, "output_throughput": 5.0},
    "max_model_len": 4096,
    "input_throughput": 51.2,
}


def test_a_launch_asks_for_the_second_client_and_every_client_is_told_which_it_is():
    for env, client in (({}, "python"), ({clients.ASKED: "0"}, "python"), ({clients.ASKED: "1"}, "rust")):
        assert asked_client(env) == client
        assert pinned(env) == ({clients.ASKED: "1"} if client == "rust" else {})
    named = {clients.ASKED: "1", clients.PROGRAM: "/opt/vllm-rs"}
    assert pinned(named) == named
    assert pinned({clients.PROGRAM: "/opt/vllm-rs"}) == {}


def test_a_variable_of_the_shell_swaps_no_client_and_is_said(monkeypatch):
    monkeypatch.setenv(clients.ASKED, "1")
    assert clients.ASKED not in child_environment()
    assert any(clients.ASKED in line and "a launch's env may ask" in line for line in left_out())
    bench = _Bench(SimpleNamespace(env_overrides={}), None, Handover(), "", "", None)
    assert pinned(bench.env) == {}, "the warm client takes no task that brings variables of vLLM's"


def test_the_launchs_own_environment_decides_by_hand_and_in_a_sweep():
    asked = {clients.ASKED: "1"}
    by_hand = _Bench(SimpleNamespace(env_overrides=asked), None, Handover(), "", "", None)
    in_a_sweep = _Bench(SimpleNamespace(), None, Handover(host={"env": asked}), "", "", None)
    assert asked_client(by_hand.env) == asked_client(in_a_sweep.env) == "rust"


def test_a_client_that_is_not_here_is_told_before_a_start(tmp_path):
    program = tmp_path / "vllm-rs"
    asked = {clients.ASKED: "1", clients.PROGRAM: str(program)}
    assert [name for name, _ in missing_client(asked)] == [clients.ASKED]
    program.write_text("#!/bin/sh\n")
    assert rust_program(asked) is None, "it cannot be run"
    program.chmod(0o755)
    assert rust_program(asked) == program and not list(missing_client(asked))
    assert not list(missing_client({clients.PROGRAM: "/nowhere"})), "nobody asks for it"


def test_which_client_ran_is_read_off_its_result():
    assert (client_of(PYTHON), client_of(RUST)) == ("python", "rust")
    older = {key: value for key, value in PYTHON.items() if key not in ("queue_times", "latencies")}
    assert client_of(older) == "python", "vLLM 0.26 writes neither"
    assert client_of({**PYTHON, "max_model_len": 4096}) == "python"


def test_both_results_have_the_same_values_but_for_what_one_does_not_tell():
    ours, theirs = (values_from_raw("serve", raw) for raw in (PYTHON, RUST))
    assert {key for key in ours if ours[key] != theirs[key]} <= {"mean_client_queue_ms"}
    assert ours["completed"] == theirs["completed"] == 2
    assert [answer.latency_s for answer in answers_of(RUST)] == [answer.latency_s for answer in answers_of(PYTHON)]


def test_what_the_second_client_does_not_tell_is_not_taken_for_0():
    load, asked = Offered(by="request_rate_rps", value=4.0, at_most=8), Asked(requests=3)
    for raw, is_told in ((PYTHON, True), (RUST, False)):
        measured = Measured("serve", {}, values_from_raw("serve", raw), raw, asked=asked, load=load)
        assert ("client_queue_dominates" not in not_looked(measured)) is is_told
    assert values_from_raw("serve", {**RUST, "max_concurrency": 8})["mean_client_queue_ms"] is None


def test_the_times_of_both_results_lie_on_one_clock():
    assert behind_ours_s(PYTHON, ended_s=5001.2) == 0.0
    offset_s = behind_ours_s(RUST, ended_s=5001.1)
    assert [start + offset_s for start in RUST["start_times"]] == pytest.approx(PYTHON["start_times"], abs=0.01)
    assert behind_ours_s({**RUST, "start_times": []}, ended_s=9.0) == 0.0
