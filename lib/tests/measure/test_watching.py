"""What is watched while measuring: log lines, counters, processors, limits, and the client's meter."""

import asyncio
import json
import subprocess
import sys
import time

import pytest
from benchbook.hosts import telemetry
from benchbook.hosts.attached import AttachedServer
from benchbook.hosts.engines import VLLM
from benchbook.hosts.machine import cpu
from benchbook.hosts.machine.nvml import Nvml
from benchbook.hosts.process import registry
from benchbook.hosts.scrape import went_back
from benchbook.hosts.way import PLAIN
from benchbook.judge.evidence import Measured
from benchbook.judge.telemetry import gpu_shared
from benchbook.judge.telemetry_summary import telemetry_summary
from benchbook.measure.client.ceiling import measured_ceiling
from benchbook.measure.client.meter import client_facts, meter_path, metered, read_notes
from benchbook.measure.outputs import NUM_PROMPTS, fixed_prompts, greedy_outputs
from benchbook.measure.watched import Watched, limits, log_facts
from benchbook.records.host import HostFacts
from nvml_script import ScriptedNvml

SPIN = "import time\nend = time.monotonic() + {s}\nwhile time.monotonic() < end: pass"


def test_counters_that_went_back_are_named():
    before = {"prompt_tokens": 10.0, "running": 3.0, "preemptions": 1.0}
    after = {"prompt_tokens": 4.0, "running": 0.0, "preemptions": 1.0}
    assert went_back(before, after) == ["prompt_tokens"]
    assert went_back(before, {**before, "prompt_tokens": 11.0}) == []


def test_the_log_of_a_window_tells_of_compiling_and_of_the_kv_cache():
    text = "\n".join(
        [
            "Avg generation throughput: 3 tokens/s, Running: 8, Waiting: 0 reqs, GPU KV cache usage: 12.5%, Prefix",
            "WARNING Triton kernel JIT compilation during inference: _fwd.",
            "Avg generation throughput: 3 tokens/s, Running: 8, Waiting: 4 reqs, GPU KV cache usage: 99.4%, Prefix",
        ]
    )
    facts = log_facts(text, VLLM.log)
    assert facts["kv_usage_max_pct"] == 99.4 and len(facts["compile_lines"]) == 1
    assert log_facts("INFO nothing", VLLM.log) == {"compile_lines": [], "kv_usage_max_pct": None}


def test_own_work_and_that_of_others_are_told_apart():
    """Two busy children: one is ours by descent, the other is asked for as if it were not."""
    before = cpu.look([])
    child = subprocess.Popen([sys.executable, "-S", "-c", SPIN.format(s=0.2)])
    child.wait()
    stranger = cpu.shares(before, cpu.look([]))
    assert stranger["own_cpu_share"] == 0.0 and stranger["other_cpu_share"] > 0.05
    import os

    before = cpu.look([os.getpid()])
    child = subprocess.Popen([sys.executable, "-S", "-c", SPIN.format(s=0.2)])
    child.wait()
    own = cpu.shares(before, cpu.look([os.getpid()]))
    assert own["own_cpu_share"] > 0.05 and own["other_cpu_share"] < 1


@pytest.mark.parametrize(("stolen_s", "share"), [(0.0, 0.0), (1.6, 0.08), (20.0, 1.0)])
def test_what_the_host_of_a_virtual_machine_stole_is_no_work_of_others(stolen_s, share):
    before = cpu.CpuLook(0.0, 100.0, 10.0, 2, stolen_s=3.0)
    after = cpu.CpuLook(10.0, 112.0, 20.0, 2, stolen_s=3.0 + stolen_s)
    assert cpu.shares(before, after) == {
        "cpus": 2, "own_cpu_share": 0.5, "other_cpu_share": 0.1, "stolen_cpu_share": share,
    }  # fmt: skip


def test_a_server_that_somebody_else_started_is_no_other_load(fake_server):
    with fake_server() as server:
        from_registry = cpu.server_pids(server.base_url)
        assert server.pid in cpu.processes.descendants(from_registry[0])
        registry.remove_entry(registry.live_hosts()[0].host_id)  # as if it were not ours
        assert cpu.server_pids(server.base_url) == [server.pid]
    assert cpu.server_pids("https://example.org/v1") == []


def test_limits_are_those_of_this_machine():
    found = limits()
    assert found["open_files"] > 0 and found["ports"] > 0


def test_a_server_is_watched_from_its_log_and_counters(fake_server, complete):
    line = "Triton kernel JIT compilation during inference: _fwd."
    with fake_server(stall_at_request=2, stall_log=line) as server:
        complete(server)
        with Watched(server) as watched:
            complete(server)
        assert line in watched.facts["compile_lines"][0]
        assert watched.counters["generation_tokens"] == 4
        assert watched.facts["counters_went_back"] == [] and watched.facts["earlier_requests"] == 1
        with Watched(server) as watched:
            complete(server)
        assert watched.facts["compile_lines"] == []


@pytest.mark.parametrize(
    ("first_sees", "second_sees", "is_shared"),
    [("0", "1", False), ("GPU-2", "3,0", False), ("1,0", "1", True), ("2", "GPU-2", True)],
)
def test_two_servers_on_two_gpus_are_each_measured_alone_and_on_one_are_shared(
    fake_server, complete, monkeypatch, tmp_path, first_sees, second_sees, is_shared
):
    """Both are benchbook's: each is a stranger to the other, and matters on its own GPU alone."""
    servers, taken = [fake_server(), fake_server()], {}
    for server, sees in zip(servers, (first_sees, second_sees), strict=True):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", sees)
        server.start()
        server.wait_ready()
        taken.setdefault(int(sees[0] if sees[0].isdigit() else sees[-1]), []).append(server.pid)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # of the notebook's kernel, which measures
    monkeypatch.setattr(telemetry, "open_nvml", lambda env: Nvml(ScriptedNvml(num_gpus=4, pids=taken), env))
    for server, gpu in zip(servers, [gpu for gpu, pids in taken.items() for _ in pids], strict=True):
        with Watched(server) as watched:
            complete(server)
        summary = telemetry_summary(watched._sampler.result(), {})
        assert [each.index for each in summary.gpus] == [gpu] and summary.num_gpus == 1
        shared = gpu_shared(Measured("serve", {}, {}, host=HostFacts(telemetry=summary)))
        assert (shared is not None) == is_shared
        other = next(each for each in servers if each is not server)
        assert not is_shared or f"pid {other.pid} (" in shared.evidence


def test_of_the_gpus_that_a_server_sees_as_many_as_it_has_ranks_are_sampled(fake_server, complete, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,0")
    monkeypatch.setattr(telemetry, "open_nvml", lambda env: Nvml(ScriptedNvml(num_gpus=4), env))
    with fake_server({"args": {"tensor_parallel_size": 2}}) as server:
        with Watched(server) as watched:
            complete(server)
    assert [gpu["index"] for gpu in watched._sampler.result()["gpus"]] == [3, 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "WARNING 11-26 17:30:32 [x.py:1] odd\n",
        "INFO:     127.0.0.1:4 - GET /health\n",
        "Using the default sampling params.\nINFO:     Started server process [7]\n",
        '{"time": "2026-11-26T17:30:32", "level": "INFO", "message": "GPU KV cache size: 1,024 tokens"}\n',
        "\n\n \n",
        "ERROR 11-26 17:30:32 [x.py:1] one\nCRITICAL 11-26 17:30:33 [x.py:2] two\n",
        "+ source /opt/intel/setvars.sh\n:: initializing oneAPI environment ...\n",
        "2026-11-26 17:30:32,123 - vllm.core - GPU KV cache size: 1,024 tokens\n",
    ],
    ids=[
        "nothing",
        "VLLM_LOGGING_LEVEL=ERROR",
        "uvicorn alone",
        "VLLM_CONFIGURE_LOGGING=0",
        "a form of its own",
        "blank lines",
        "errors alone",
        "a wrapper's banner",
        "Python's usual form",
    ],
)
def test_a_log_that_was_silenced_is_noted_as_not_seen(fake_server, complete, text):
    with fake_server() as server:
        with Watched(server) as watched:
            complete(server)
        assert not watched.conditions(server.log_path, {}).unseen
        server.log_path.write_text(text)
        with Watched(server) as watched:
            complete(server)
        assert "silent" in watched.conditions(server.log_path, {}).unseen["log"]


@pytest.mark.parametrize("address", ["http://192.0.2.1:8000", "https://llm.example/team", "http://[2001:db8::1]:8000"])
def test_of_a_server_elsewhere_its_processors_its_gpu_and_its_log_are_noted_as_not_seen(tmp_path, address):
    noted = Watched(AttachedServer(address, "m", PLAIN)).conditions(tmp_path / "bench.log", {}).unseen
    assert set(noted) == {"machine", "gpu", "log"} and "another machine" in noted["machine"]


def test_the_meter_sees_a_loop_that_is_held_up(tmp_path):
    async def hold_up(seconds):
        for _ in range(3):
            time.sleep(seconds)
            await asyncio.sleep(0.11)
        return "result"

    path = meter_path(tmp_path / "bench.log")
    for seconds, is_late in ((0.0, False), (0.15, True)):
        with metered(path, 1000.0):
            start_s = time.perf_counter()
            assert asyncio.run(hold_up(seconds)) == "result"
            latency_s = time.perf_counter() - start_s
        facts = client_facts(
            read_notes(path), {"start_times": [start_s], "latencies": [latency_s], "itls": [[0.1] * 9]}
        )
        assert (facts["loop_lag_max_ms"] > 50) is is_late
        assert facts["ceiling_chunks_per_s"] == 1000.0
        assert facts["chunks_per_s"] == pytest.approx(10 / latency_s, rel=0.01)
        assert not path.exists()


def test_notes_outside_the_window_do_not_count(tmp_path):
    path = tmp_path / "bench.client.json"
    samples = [[1.0, 9.0, 0.0], [5.0, 0.001, 1.0], [6.0, 0.002, 1.5], [9.0, 9.0, 9.0]]
    path.write_text(json.dumps({"samples": samples, "ceiling_chunks_per_s": None}))
    facts = client_facts(read_notes(path), {"start_times": [4.0], "latencies": [3.0], "itls": [[]]})
    assert facts["cpu_cores"] == 0.5 and facts["loop_lag_max_ms"] == 2.0


def test_a_file_of_a_vllm_that_keeps_no_latencies_has_its_window_all_the_same(tmp_path):
    path = meter_path(tmp_path / "bench.log")
    path.write_text('{"samples": [], "ceiling_chunks_per_s": null}')
    facts = client_facts(read_notes(path), {"start_times": [4.0], "ttfts": [1.0], "itls": [[0.5, 0.5]]})
    assert facts["chunks_per_s"] == 1.5


@pytest.mark.parametrize(
    ("asked", "came", "errors", "cut"),
    [
        ([8, 40, 16], [8, 40, 16], ["", "", ""], []),
        ([8, 40, 16], [8, 39, 16], ["", "", ""], [[40, 39]]),
        ([8, 40, 16], [1, 0, 2], ["", "reset", ""], [[8, 1], [16, 2]]),  # one that failed is told of elsewhere
        (None, [8, 40, 16], ["", "", ""], None),
        ([8, 40], [8, 40, 16], ["", "", ""], None),
    ],
)
def test_answers_that_are_shorter_than_their_request_asked_are_noted(tmp_path, asked, came, errors, cut):
    path = meter_path(tmp_path / "bench.log")
    with metered(path, None) as notes:
        notes["asked_tokens"] = asked
    raw = {"start_times": [1.0] * 3, "latencies": [1.0] * 3, "output_lens": came, "errors": errors}
    assert client_facts(read_notes(path), raw).get("cut_answers") == cut


def test_without_notes_there_are_no_facts(tmp_path):
    assert client_facts(read_notes(tmp_path / "none.client.json"), {"start_times": [1.0], "latencies": [1.0]}) is None


def test_a_client_that_is_not_as_we_know_it_has_no_ceiling(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm.benchmarks.lib.endpoint_request_func", None)
    begun_s = time.monotonic()
    assert measured_ceiling() is None
    assert time.monotonic() - begun_s < 3


def test_the_fixed_prompts_are_distinct_and_fixed():
    assert len(set(fixed_prompts())) == NUM_PROMPTS
    assert fixed_prompts()[0] == "the of in as he had the by"
    made = fixed_prompts(made_words=True)
    assert len(set(made)) == NUM_PROMPTS and made[1].startswith("w431 w448")


def test_greedy_outputs_depend_on_the_model_and_not_on_the_start(fake_server):
    seen = []
    for script in ({}, {"ttft_s": [0.001]}, {"word_step": 2}):
        with fake_server(**{"ttft_s": [0.0], "itl_s": [0.0], **script}) as server:
            seen.append(greedy_outputs(server, fixed_prompts()))
    assert seen[0] == seen[1] and len(seen[0]) == NUM_PROMPTS
    assert not set(seen[0]) & set(seen[2])
