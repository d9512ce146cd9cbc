"""A case measured on the fake vllm: its samples lie beside its record, its shape and peaks in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbook.hosts import telemetry
from benchbook.hosts.machine import nvml, peaks
from benchbook.hosts.machine.nvml import Nvml
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.judge.telemetry_summary import request_window
from benchbook.measure import hardware, watched
from benchbook.measure.engines import OfflineEngine
from benchbook.measure.hardware import model_config, peaks_before_start, peaks_of_attached
from benchbook.measure.offline import bench_throughput
from benchbook.measure.serve import bench_serve
from benchbook.plan.workloads import ServeWorkload, ThroughputWorkload
from benchbook.records.host import Peaks
from benchbook.records.parts import MachineFacts
from benchbook.records.telemetry import TELEMETRY_FILE, read_telemetry
from integration.sweeps import FAKE_PACKAGE
from nvml_script import ScriptedNvml
from shapes import CPU, TINY

WORKLOAD = ServeWorkload(input_len_tokens=8, output_len_tokens=40, max_concurrency=2, num_prompts=8)


@pytest.fixture(autouse=True)
def no_real_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml, "binding", lambda: None)
    monkeypatch.setattr(hardware, "machine", MachineFacts)


@pytest.fixture
def measured(fake_server, tmp_path, monkeypatch):
    """Return a function that measures WORKLOAD on a fake server and returns what was saved."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE_PACKAGE))

    def measure(itl_s=0.003, **script):
        server = fake_server(itl_s=[itl_s], **script)
        Path(server.model_files.path, "config.json").write_text(json.dumps({**TINY, "unused": 1}))
        server.start()
        server.wait_ready()
        return bench_serve(server, WORKLOAD, record_path=tmp_path / "case" / "record.json")

    return measure


def test_samples_lie_beside_the_record_on_the_clock_of_its_requests(measured, monkeypatch):
    monkeypatch.setattr(telemetry, "PERIOD_S", 0.02)
    saved = measured(itl_s=0.01)  # long enough for some samples on a busy machine
    samples = read_telemetry(saved.path.with_name(TELEMETRY_FILE))
    window = request_window(samples, saved.raw())
    assert samples["server"]["t_s"][0] < window[0] < window[1] < samples["server"]["t_s"][-1]
    summary = saved.record.host.telemetry
    assert summary.window_s == pytest.approx(window[1] - window[0])
    assert summary.server.samples >= 3 and summary.server.mean_running > 0.8
    assert set(summary.absent) == {"gpu"} and summary.gpus == ()
    assert not [reason for reason in saved.record.reasons if reason.code.startswith("gpu")]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ("telemetry_summary", "telemetry"),
        ("client_facts", "the client's notes"),
        ("log_facts", "the server's log"),
        ("counter_delta", "the server's counters"),
        ("limits", "the processors"),
    ],
)
def test_an_error_of_what_watches_costs_no_number(measured, monkeypatch, broken, what):
    """Once, on a GPU, each case was measured twice and thrown away twice: the client's notes had no `latencies`."""

    def fail(*_):
        raise KeyError("latencies")

    monkeypatch.setattr(watched, broken, fail)
    record = measured().record
    assert record.outcome == "measured" and record.values["output_throughput_tok_s"] > 0
    assert record.verdict == "SUSPECT"
    (found,) = [why for why in record.reasons if why.code == "watching_failed"]
    assert f"{what}: KeyError" in found.evidence


def test_samples_that_cannot_be_taken_to_an_end_cost_no_number(measured, monkeypatch):
    def fail(*_):
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(telemetry.Sampler, "__exit__", fail)
    record = measured().record
    assert record.outcome == "measured" and "watching_failed" in [why.code for why in record.reasons]


def test_a_record_holds_what_its_limits_need(measured):
    host = measured().record.host
    assert host.config == TINY
    assert host.peaks.bandwidth_gb_s is None and "ran already" in host.peaks.source


def test_counters_of_flops_and_bytes_are_kept_when_the_server_has_them(measured):
    told = {COUNTERS.names["estimated_flops_per_gpu"]: 5.0}
    assert "estimated_flops_per_gpu" in measured(extra_metrics=told).record.host.counters


def test_a_hot_gpu_during_the_case_makes_its_record_suspect(measured, monkeypatch):
    monkeypatch.setattr(telemetry, "open_nvml", lambda env: Nvml(ScriptedNvml(bits=0x20)))
    record = measured().record
    assert record.verdict == "SUSPECT" and "gpu_throttled" in {reason.code for reason in record.reasons}
    assert record.host.telemetry.energy_j > 0


def test_an_offline_case_without_a_gpu_has_no_file_and_says_what_is_absent(tmp_path, fake_model, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(FAKE_PACKAGE))
    monkeypatch.setattr(peaks, "_probed", lambda *_: CPU)
    Path(fake_model, "config.json").write_text(json.dumps(TINY))
    workload = ThroughputWorkload(input_len_tokens=8, output_len_tokens=4, num_prompts=4)
    saved = bench_throughput(OfflineEngine(model=fake_model), workload, record_path=tmp_path / "record.json")
    assert not saved.path.with_name(TELEMETRY_FILE).exists()
    assert set(saved.record.host.telemetry.absent) == {"server", "gpu"}
    assert saved.record.host.peaks == Peaks(**CPU) and saved.record.host.config == TINY


def test_the_samples_of_an_earlier_measurement_are_not_left_lying(tmp_path, measured):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / TELEMETRY_FILE).write_bytes(b"of another case")
    saved = measured()
    assert read_telemetry(saved.path.with_name(TELEMETRY_FILE))["server"]


def test_the_config_of_a_text_model_inside_another_is_found(tmp_path):
    whole = {"model_type": "both", "quantization_config": {"quant_method": "fp8"}, "text_config": {**TINY, "x": 1}}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    assert model_config(str(tmp_path)) == {**TINY, "quantization_config": {"quant_method": "fp8"}}
    (tmp_path / "config.json").write_text("{")
    assert model_config(str(tmp_path)) is None


def test_a_known_gpu_is_not_probed_and_the_memory_of_a_probe_is_as_large_as_the_weights(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(peaks, "_probed", lambda *words: asked.append(words[:2]) or CPU)
    (tmp_path / "model.safetensors").write_bytes(b"0" * (9 << 20))
    peaks_before_start(str(tmp_path), {"VLLM_CPU_OMP_THREADS_BIND": "0-1"})
    assert asked == [(9 << 20, ((0, 1), 2))]
    monkeypatch.setattr(hardware, "machine", lambda: MachineFacts(gpus=[{"name": "NVIDIA H200"}]))
    assert peaks_before_start(str(tmp_path))["bandwidth_gb_s"] == 4800 and len(asked) == 1
    assert peaks_of_attached("http://127.0.0.1:8000")["bandwidth_gb_s"] == 4800
    assert peaks_of_attached("http://elsewhere:8000")["bandwidth_gb_s"] is None
