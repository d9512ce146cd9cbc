"""The sampler, against a scripted server, the real Prometheus client and a scripted NVML."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import prometheus_client
import pytest
from benchbook.hosts.machine import nvml
from benchbook.hosts.machine.nvml import NoGpuError, Nvml, open_nvml, throttle_text
from benchbook.hosts.process import processes
from benchbook.hosts.telemetry import GIVEN_UP_AFTER, Sampler
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.judge.checks import record_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.telemetry import CHECKS
from benchbook.judge.telemetry_summary import telemetry_summary
from benchbook.records.host import HostFacts
from benchbook.records.record import verdict_of
from nvml_script import ScriptedNvml


@pytest.fixture(autouse=True)
def no_real_gpu(monkeypatch):
    """Keep a GPU of the machine that runs the tests out of them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml, "binding", lambda: None)


def begun(env):
    """Return a process that sleeps, once the kernel can tell its environment: for a moment after its start it cannot."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], env=env)
    while not Path(f"/proc/{child.pid}/environ").read_bytes():
        time.sleep(0.001)
    return child


@pytest.fixture
def stranger():
    """A process of nobody of ours."""
    env = {name: value for name, value in os.environ.items() if name != processes.MARKER}
    child = begun(env)
    yield child
    child.kill()
    child.wait()


@pytest.fixture
def own():
    """A process that carries the marker of a host of ours."""
    env = {**os.environ, processes.MARKER: "x"}
    child = begun(env)
    yield child
    child.kill()
    child.wait()


def sampled(library, seconds=0.2, **options):
    """Return the summary of a short case on the scripted GPUs, of the host with the marker of `own`."""
    with Sampler(None, period_s=0.01, nvml=Nvml(library), **{"host_id": "x", **options}) as sampler:
        time.sleep(seconds)
    return telemetry_summary(sampler.result(), {})


def telemetry_reasons(host):
    return record_reasons(Measured("serve", {}, {}, host=HostFacts(**host)), CHECKS)


def codes(summary):
    return [reason.code for reason in telemetry_reasons({"telemetry": summary})]


def test_samples_are_on_the_clock_of_the_requests_and_bracket_them(fake_server, complete):
    server = fake_server()
    server.start()
    server.wait_ready()
    with Sampler(server.base_url, COUNTERS, way=server.way, period_s=0.02) as sampler:
        start_s = time.perf_counter()
        assert complete(server) == 200
        end_s = time.perf_counter()
        time.sleep(0.05)
    result = sampler.result()
    times = [time_s + result["zero_perf_counter_s"] for time_s in result["server"]["t_s"]]
    assert times[0] < start_s < end_s < times[-1] and len(times) >= 4
    assert result["server"]["generation_tokens"][0] == 0 and result["server"]["generation_tokens"][-1] == 4
    assert abs(result["epoch_s"] + times[-1] - result["zero_perf_counter_s"] - time.time()) < 1.0
    assert 0 < result["sampler_cpu_s"] < 1.0
    assert result["absent"] == {"gpu": "the installed vLLM brings no third_party/pynvml.py"}


def test_the_sampler_asks_for_its_few_values_and_not_for_the_whole_page():
    registry = prometheus_client.CollectorRegistry()
    running = prometheus_client.Gauge("vllm:num_requests_running", "x", ["engine"], registry=registry)
    running.labels("0").set(3)
    running.labels("1").set(4)
    kv = prometheus_client.Gauge("vllm:kv_cache_usage_perc", "x", ["engine"], registry=registry)
    kv.labels("0").set(0.2)
    kv.labels("1").set(0.7)
    prometheus_client.Counter("vllm:num_preemptions", "x", registry=registry).inc(2)
    formatted = []

    class Costly(prometheus_client.Histogram):
        def collect(self):
            formatted.append(self)
            return super().collect()

    Costly("vllm:time_to_first_token_seconds", "x", registry=registry)
    httpd, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    try:
        formatted.clear()
        with Sampler(f"http://127.0.0.1:{httpd.server_port}", COUNTERS, period_s=0.01) as sampler:
            time.sleep(0.05)
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
    server = sampler.result()["server"]
    assert set(server["running"]) == {7.0}, "requests add up over engines"
    assert set(server["kv_use_ratio"]) == {0.7}, "of the KV cache the fullest engine counts"
    assert set(server["preemptions"]) == {2.0}
    assert not formatted, "a histogram was formatted for every sample"
    assert "waiting" not in server and set(server) <= {"t_s", *COUNTERS.names}


def test_a_server_that_does_not_answer_leaves_gaps_and_no_error():
    with Sampler("http://127.0.0.1:9", COUNTERS, period_s=0.01) as sampler:
        time.sleep(0.03)
    result = sampler.result()
    assert result["server"] is None and result["missed_samples"] >= 2


def test_a_page_that_never_comes_is_not_asked_for_for_ever():
    with Sampler("http://127.0.0.1:9", COUNTERS, period_s=0.005) as sampler:
        time.sleep(0.2)
    result = sampler.result()
    assert result["missed_samples"] == GIVEN_UP_AFTER and "refused" in result["absent"]["server"]


def test_an_engine_without_a_server_on_a_machine_without_a_gpu_says_what_is_absent():
    with Sampler(None) as sampler:
        pass
    assert set(sampler.result()["absent"]) == {"server", "gpu"}


def test_every_quantity_has_its_unit_and_one_that_a_card_lacks_is_null():
    library = ScriptedNvml(energy_mj=None)
    with Sampler(None, period_s=0.01, nvml=Nvml(library)) as sampler:
        time.sleep(0.02)
    (gpu,) = sampler.result()["gpus"]
    assert gpu["power_w"][0] == 500.0 and gpu["sm_clock_mhz"][0] == 1980 and gpu["memory_used_gib"][0] == 20.0
    assert gpu["energy_j"] is None
    assert len(gpu["t_s"]) == len(gpu["power_w"]) >= 3


def test_a_driver_too_old_to_tell_its_processes_tells_the_rest():
    summary = sampled(ScriptedNvml(pids=None))
    assert summary.gpu_processes == () and summary.gpus[0].mean_power_w == 500.0


def test_only_visible_gpus_are_read(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [gpu.index for gpu in Nvml(ScriptedNvml(num_gpus=2)).gpus] == [1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0")
    assert [gpu.index for gpu in Nvml(ScriptedNvml(num_gpus=2)).gpus] == [0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(NoGpuError, match="no GPU is visible"):
        Nvml(ScriptedNvml(num_gpus=2))


def test_a_driver_that_refuses_is_absent_with_its_reason():
    class Refusing(ScriptedNvml):
        def nvmlInit(self):
            raise self.NVMLError("Driver Not Loaded")

    with pytest.raises(NoGpuError, match="Driver Not Loaded"):
        Nvml(Refusing())


def test_the_binding_is_that_of_the_installed_vllm(monkeypatch):
    monkeypatch.undo()
    nvml.binding.cache_clear()
    imported_before = "vllm" in sys.modules  # by a test of this process
    if nvml.binding() is None:
        pytest.skip("no vLLM is installed")
    assert {"nvmlInit", "NVMLError", "nvmlDeviceGetComputeRunningProcesses"} <= set(dir(nvml.binding()))
    assert {name for name in dir(ScriptedNvml) if not name.startswith("_")} <= set(dir(nvml.binding())) | {
        "pids",
        "uses",
    }
    assert imported_before or "vllm" not in sys.modules, "vLLM itself was imported for it"


def test_a_machine_without_a_driver_says_so(monkeypatch):
    with pytest.raises(NoGpuError):
        open_nvml()


def test_bits_of_idleness_and_of_the_owners_settings_are_no_throttling():
    assert throttle_text(0x01 | 0x02 | 0x10 | 0x100) == ""
    assert throttle_text(0x04 | 0x40) == "power_cap+thermal_hardware"


def test_a_hot_gpu_is_suspect_and_a_cool_one_is_not():
    hot = sampled(ScriptedNvml(bits=0x40))
    assert codes(hot) == ["gpu_throttled"] and verdict_of(tuple(telemetry_reasons({"telemetry": hot}))) == "SUSPECT"
    assert "thermal_hardware in 100% of the samples" in telemetry_reasons({"telemetry": hot})[0].evidence
    assert codes(sampled(ScriptedNvml(bits=0x01))) == []


def test_a_gpu_at_its_power_limit_is_a_note():
    capped = sampled(ScriptedNvml(bits=0x04))
    assert codes(capped) == ["gpu_power_capped"]
    assert verdict_of(tuple(telemetry_reasons({"telemetry": capped}))) == "VALID"


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ({"sm": 1000}, ["clocks_low"]),
        ({"sm": 1000, "bits": 0x02}, ["clocks_low"]),
        ({"sm": 1700, "bits": 0x02}, ["clocks_low"]),  # set by the owner, as the driver says
        ({"sm": 1200, "highest_sm": 2520}, ["clocks_low"]),
        ({"sm": 1700}, []),
        ({"sm": 1980, "bits": 0x02}, []),  # set to the highest
        ({"sm": 1000, "bits": 0x04}, ["gpu_power_capped"]),
        ({"sm": 1000, "bits": 0x40}, ["gpu_throttled"]),
        ({"sm": 345, "busy": 0}, []),  # nothing to do
        ({"sm": 1000, "highest_sm": None}, []),
        ({"sm": None}, []),
    ],
)
def test_clocks_that_are_locked_low_are_told_from_those_that_power_or_heat_lowers(readings, expected):
    assert codes(sampled(ScriptedNvml(**readings))) == expected


@pytest.mark.parametrize(
    ("pids", "readings", "expected"),
    [
        ([2**22 + 1, 2**22 + 2], {}, True),  # ours is one of them
        ([2**22 + 1], {}, False),
        ([2**22 + 1], {"used": 70 * 2**30, "of_each": 50 * 2**30}, True),  # one that is not even listed
        ([2**22 + 1], {"used": 70 * 2**30, "of_each": 69 * 2**30}, False),  # the driver's own
        (["own"], {"used": 78 * 2**30, "of_each": 60 * 2**30}, True),
        (["own"], {"used": 78 * 2**30, "of_each": 77 * 2**30}, False),
        ([], {"used": 70 * 2**30}, False),  # nothing is listed, so nothing is known
    ],
)
def test_a_neighbour_on_the_gpu_whose_number_is_unknown_here_is_found(own, pids, readings, expected):
    listed = [own.pid if pid == "own" else pid for pid in pids]
    assert codes(sampled(ScriptedNvml(pids={0: listed}, **readings))) == ["gpu_shared"] * expected


def test_a_binding_without_a_function_costs_its_values_only():
    class Older(ScriptedNvml):
        @property
        def nvmlDeviceGetMaxClockInfo(self):
            raise AttributeError("nvmlDeviceGetMaxClockInfo")

    (gpu,) = sampled(Older(sm=1000)).gpus
    assert gpu.highest_sm_clock_mhz is None and gpu.mean_sm_clock_mhz == 1000


def test_a_stranger_on_the_gpu_is_named_and_our_own_process_is_not(stranger, own):
    shared = sampled(ScriptedNvml(pids={0: [own.pid, stranger.pid]}))
    assert codes(shared) == ["gpu_shared"]
    assert f"pid {stranger.pid} (" in telemetry_reasons({"telemetry": shared})[0].evidence
    assert codes(sampled(ScriptedNvml(pids={0: [own.pid]}))) == []


@pytest.mark.parametrize(
    ("of_stranger", "of_own", "expected"),
    [
        (0, 90, []),  # it holds a context and computes nothing
        (None, 90, []),  # the driver has no sample of it, which is the same
        (1, 90, ["gpu_shared"]),
        (40, 90, ["gpu_shared"]),
        (0, 0, ["gpu_shared"]),  # it saw nobody compute, not even ours: it is not to be relied upon
    ],
)
def test_a_stranger_counts_for_what_it_computed(stranger, own, of_stranger, of_own, expected):
    uses = {own.pid: of_own} | ({} if of_stranger is None else {stranger.pid: of_stranger})
    summary = sampled(ScriptedNvml(pids={0: [own.pid, stranger.pid]}, uses=uses))
    assert codes(summary) == expected
    if of_stranger:
        assert f"up to {of_stranger} % of the time" in telemetry_reasons({"telemetry": summary})[0].evidence


def test_where_the_driver_does_not_measure_who_computed_every_stranger_counts(stranger, own):
    for uses in (None, {}):
        shared = sampled(ScriptedNvml(pids={0: [own.pid, stranger.pid]}, uses=uses))
        assert codes(shared) == ["gpu_shared"]
        assert "not known" in telemetry_reasons({"telemetry": shared})[0].evidence


def test_pids_of_another_numbering_are_strangers_only_beside_one_of_ours(own):
    nowhere = 2**22 + 1  # above the kernel's highest
    assert codes(sampled(ScriptedNvml(pids={0: [nowhere]}))) == [], "it may be ours, under its number outside"
    assert codes(sampled(ScriptedNvml(pids={0: [nowhere, own.pid]}))) == ["gpu_shared"]


@pytest.mark.parametrize("host_id", ["another", "X", "xx"])
def test_another_hosts_process_is_a_stranger_on_our_gpu_and_nothing_on_another(own, stranger, host_id):
    """Both carry a benchbook's marker: which host's, not that it is there, tells whose they are."""
    env = {**os.environ, processes.MARKER: host_id}
    other = begun(env)
    try:
        shared = sampled(ScriptedNvml(num_gpus=2, pids={0: [own.pid, other.pid]}))
        assert (
            codes(shared) == ["gpu_shared"]
            and f"pid {other.pid}" in telemetry_reasons({"telemetry": shared})[0].evidence
        )
        assert codes(sampled(ScriptedNvml(num_gpus=2, pids={0: [own.pid], 1: [other.pid, stranger.pid]}))) == []
    finally:
        other.kill()
        other.wait()


def test_of_the_gpus_that_are_visible_those_that_the_launch_takes_are_sampled(own):
    assert [gpu.index for gpu in sampled(ScriptedNvml(num_gpus=4), num_gpus=2).gpus] == [0, 1]
    library = Nvml(ScriptedNvml(num_gpus=4), {"CUDA_VISIBLE_DEVICES": "3,1,0"})
    with Sampler(None, period_s=0.01, nvml=library, num_gpus=2) as sampler:
        pass
    assert [gpu["index"] for gpu in sampler.result()["gpus"]] == [3, 1] and sampler.result()["num_gpus"] == 2


def test_a_plain_command_of_this_process_is_no_stranger(stranger):
    assert codes(sampled(ScriptedNvml(pids={0: [stranger.pid]}), host_id=None)) == []
    assert codes(sampled(ScriptedNvml(pids={0: [os.getppid(), stranger.pid]}), host_id=None)) == ["gpu_shared"]


def test_a_server_that_somebody_else_started_is_no_stranger_on_the_gpu(stranger):
    listen = "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import socket, time; {listen}; time.sleep(60)"],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != processes.MARKER},
    )
    try:
        url = f"http://127.0.0.1:{int(holder.stdout.readline())}"
        library = ScriptedNvml(pids={0: [holder.pid, stranger.pid]})
        sampler = Sampler(url, COUNTERS, nvml=Nvml(library))
        assert sampler._is_ours(holder.pid) and not sampler._is_ours(stranger.pid)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_the_gpus_of_a_launch_are_read_and_not_those_of_this_shell(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert [gpu.index for gpu in Nvml(ScriptedNvml(3), {"CUDA_VISIBLE_DEVICES": "2,GPU-1"}).gpus] == [2, 1]
    with pytest.raises(NoGpuError, match="a slice of a GPU"):
        Nvml(ScriptedNvml(1), {"CUDA_VISIBLE_DEVICES": "MIG-377e0049-554c-540b-93c6-d0976f8426cb"})
