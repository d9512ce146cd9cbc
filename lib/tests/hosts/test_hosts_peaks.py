"""What a device can do at best: from a table, or measured; never guessed."""

import json
import os
import socket
import sys
from dataclasses import replace

import pytest
from benchbook.hosts.machine import cpu_cores, peaks
from benchbook.hosts.machine.cpu_cores import Threads, core_list, host_threads
from benchbook.hosts.machine.peaks import data_sheet, device_peaks
from benchbook.hosts.machine.peaks_probe import product_flops_s
from benchbook.hosts.process import processes, registry
from rows import IS_FULL


@pytest.mark.parametrize(
    ("name", "bandwidth_gb_s", "bfloat16"),
    [
        ("NVIDIA H100 80GB HBM3", 3350, 989.4),
        ("NVIDIA H100 PCIe", 2000, 756.0),
        ("NVIDIA H100 NVL", 3900, 835.5),
        ("NVIDIA H200", 4800, 989.4),
        ("NVIDIA H200 NVL", 4800, 835.5),
        ("AMD Instinct MI300X OAM", 5300, 1307.4),
        ("AMD Instinct MI325X", 6000, 1307.4),
        ("AMD Instinct MI355X", 8000, 2516.6),
        ("NVIDIA B200", 8000, 2250.0),
        ("NVIDIA L40S", 864, 362.05),
        ("NVIDIA H20", 4000, 148.0),
        ("NVIDIA GH200 480GB", 4000, 989.4),
        ("NVIDIA GH200 120GB", 4000, 989.4),
        ("NVIDIA GH200 144G HBM3e", 4900, 989.4),
    ],
)
def test_a_known_gpu_has_the_peaks_of_its_data_sheet(name, bandwidth_gb_s, bfloat16):
    found = data_sheet(name)
    assert found["bandwidth_gb_s"] == bandwidth_gb_s and found["tflops"]["bfloat16"] == bfloat16
    assert found["tflops"]["fp8"] == pytest.approx(2 * bfloat16, rel=0.02)
    assert found["tflops"].get("fp4") in (None, pytest.approx(4 * bfloat16, rel=0.01))
    assert "sheet" in found["source"] or "brief" in found["source"]


@pytest.mark.parametrize(
    "name",
    ["NVIDIA GB200", "NVIDIA H20-3e", "NVIDIA L40", "NVIDIA B300 SXM6 AC", "NVIDIA A100-SXM4-80GB",
     "NVIDIA H100 96GB HBM2e", "MI300A", "AMD Instinct MI350X", "NVIDIA B200 MIG 1g.23gb"],
)  # fmt: skip
def test_a_gpu_that_only_looks_like_a_known_one_has_none(name):
    assert data_sheet(name) is None


def test_cores_are_those_of_the_first_rank():
    assert core_list("0-3|4-7") == {0, 1, 2, 3}
    assert core_list("0,2,4-5") == core_list(" 0, 2,4 - 5 | 6") == {0, 2, 4, 5}
    assert core_list("auto") == core_list("") == core_list("nobind") == set()


@pytest.fixture
def two_nodes(monkeypatch, tmp_path):
    """A machine of two NUMA nodes, 0-3 and 4-7, with two cores of two logical CPUs each: 0/2, 1/3, 4/6 and 5/7."""
    for node, cpus in enumerate(("0-3", "4-7")):
        (tmp_path / f"node/node{node}").mkdir(parents=True)
        (tmp_path / f"node/node{node}/cpulist").write_text(cpus)
    for cpu in range(8):
        topology = tmp_path / f"cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        low = cpu - 2 if cpu in (2, 3, 6, 7) else cpu
        (topology / "thread_siblings_list").write_text(f"{low},{low + 2}")
    monkeypatch.setattr(cpu_cores, "SYSTEM", tmp_path)
    monkeypatch.setattr(cpu_cores.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cpu_cores.os, "sched_getaffinity", lambda _: set(range(8)))


ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


@pytest.mark.parametrize(
    ("env", "threads"),
    [
        ({}, ((2,), 1)),  # one CPU of each core of the first node, and the last is left to the rest
        ({"OMP_NUM_THREADS": "7"}, ((2,), 1)),  # vLLM sets it itself for what it binds
        ({"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}, ((2, 3), 2)),
        ({"VLLM_CPU_NUM_OF_RESERVED_CPU": "2"}, ((2, 3), 2)),  # more than there are: none is left out
        ({"VLLM_CPU_OMP_THREADS_BIND": "0-2,5|6"}, ((0, 1, 2, 5), 4)),
        ({"VLLM_CPU_OMP_THREADS_BIND": "nobind"}, ((), 0)),
        ({"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "3"}, ((), 3)),
        ({**ONE_PROCESS, "OMP_NUM_THREADS": "1"}, ((), 1)),
        ({**ONE_PROCESS, "OMP_NUM_THREADS": "4,2", "VLLM_CPU_OMP_THREADS_BIND": "0"}, ((), 4)),
        (ONE_PROCESS, ((), 0)),
        ({**ONE_PROCESS, "OMP_NUM_THREADS": "many"}, ((), 0)),
    ],
    ids=str,
)
def test_the_probe_has_the_threads_that_vllm_will_have(two_nodes, env, threads):
    assert host_threads(env) == threads


def test_without_a_topology_all_allowed_cores_count_but_the_reserved_one(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_cores, "SYSTEM", tmp_path)
    monkeypatch.setattr(cpu_cores.os, "sched_getaffinity", lambda _: {0, 1, 4})
    assert host_threads({}) == ((0, 1), 2)
    monkeypatch.setattr(cpu_cores.os, "sched_getaffinity", lambda _: {4})
    assert host_threads({}) == ((4,), 1)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    peaks._probed.cache_clear()
    yield
    peaks._probed.cache_clear()


ALL = Threads((), 0)
WHOLE = {"kind": "measured", "bandwidth_gb_s": 20.0, "tflops": {"float32": 0.2}, "source": "a probe"}


@pytest.mark.parametrize(
    "damage",
    [{"bandwidth_gb_s": "fast"}, {"bandwidth_gb_s": -1.0}, {"bandwidth_gb_s": 1e300}, {"tflops": [0.2]}, {"source": None},
     {"tflops": {"float32": None}}, {"measured_at_s": "today"}, {"measured_at_s": 9e9}],
    ids=str,
)  # fmt: skip
def test_a_damaged_probe_is_repeated(monkeypatch, damage):
    monkeypatch.setattr(peaks, "_probe", lambda *words: WHOLE)
    peaks._probed.cache_clear()
    peaks._probed(1 << 20, ALL)
    path = peaks.cache_dir() / peaks.PEAKS_FILE
    ((key, kept),) = json.loads(path.read_text()).items()
    path.write_text(json.dumps({key: {**kept, **damage}}))
    monkeypatch.setattr(peaks, "_probe", lambda *words: {**WHOLE, "bandwidth_gb_s": 21.0})
    peaks._probed.cache_clear()
    assert peaks._probed(1 << 20, ALL)["bandwidth_gb_s"] == 21.0


def test_a_probe_of_today_is_not_repeated_and_one_of_another_day_or_boot_is(monkeypatch, tmp_path):
    probes = []
    monkeypatch.setattr(peaks, "_probe", lambda *words: probes.append(words) or {**WHOLE, "n": len(probes)})
    monkeypatch.setattr(peaks, "BOOT_ID", tmp_path / "boot_id")

    def asked(boot="a", now_s=1e9):
        peaks._probed.cache_clear()  # as in a new process
        peaks.BOOT_ID.write_text(boot)
        monkeypatch.setattr(peaks.time, "time", lambda: now_s)
        return peaks._probed(1 << 20, ALL)["n"]

    assert [asked(), asked(), asked(now_s=1e9 + 80_000), asked(now_s=1e9 + 90_000)] == [1, 1, 1, 2]
    assert asked(boot="b", now_s=1e9 + 90_000) == 3
    (peaks.cache_dir() / peaks.PEAKS_FILE).write_text("{")
    assert asked(boot="b", now_s=1e9 + 90_000) == 4


def test_a_probe_begins_once_it_is_quiet_and_nobody_waits_for_one_that_is_kept(monkeypatch):
    order = []
    monkeypatch.setattr(peaks, "_probe", lambda *_: order.append("probed") or WHOLE)
    for _ in range(2):
        peaks._probed.cache_clear()  # as in a new process
        device_peaks(None, 1 << 30, {}, lambda: order.append("quiet"))
    device_peaks("NVIDIA H200", 1 << 30, {}, lambda: order.append("quiet"))
    assert order == ["quiet", "probed"]


def test_a_probe_that_failed_is_not_kept(monkeypatch):
    monkeypatch.setattr(peaks, "_probe", lambda *_: {"kind": "unknown", "source": "no torch"})
    assert peaks._probed(1 << 20, ALL)["kind"] == "unknown"
    assert not (peaks.cache_dir() / peaks.PEAKS_FILE).exists()


def test_a_probe_beside_another_benchbook_is_not_kept_and_says_so(monkeypatch, state_dir):
    monkeypatch.setattr(peaks, "_probe", lambda *_: WHOLE)
    own = processes.read_stat(os.getpid())
    entry = registry.HostEntry(
        host_id="of another run", name="x", kind="server", machine=socket.gethostname(), guardian_pid=own.pid,
        guardian_start_ticks=own.start_ticks, owner_pid=1, argv=[], started_utc="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    for other in (entry, replace(entry, host_id="starting", kind="client")):
        registry.write_entry(other)
        assert "beside another benchbook" in peaks._probed(1 << 20, ALL)["source"]
        assert not (peaks.cache_dir() / peaks.PEAKS_FILE).exists()
        registry.remove_entry(other.host_id)
        peaks._probed.cache_clear()
    for harmless in (replace(entry, keep=True), replace(entry, owner_pid=os.getpid())):
        registry.write_entry(harmless)
        assert peaks._probed(1 << 20, ALL)["source"] == "a probe, while no host ran"
        (peaks.cache_dir() / peaks.PEAKS_FILE).unlink()
        peaks._probed.cache_clear()


def test_the_cpu_is_probed_in_under_a_few_seconds():
    found = device_peaks(None, 12 << 20, {"VLLM_CPU_OMP_THREADS_BIND": "0"})
    assert found["kind"] == "measured", found["source"]
    assert found["bandwidth_gb_s"] > 1 and found["tflops"]["bfloat16"] > 0.001 and found["tflops"]["float32"] > 0.001
    assert "12 MiB" in found["source"] and "1 thread)" in found["source"]


@pytest.mark.skipif(not IS_FULL, reason="make test-full; how many threads a launch asks for is counted above")
def test_threads_that_are_asked_for_without_cores_are_had_as_well():
    env = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
    assert "CPU, 1 thread)" in device_peaks(None, 8 << 20, env)["source"]


def test_a_format_that_is_emulated_is_multiplied_no_longer_than_a_try_may_take():
    asked = []

    def rate_of(side):
        asked.append(side)
        return 1e9  # FLOP/s: the product of side 1024 would take two seconds

    assert product_flops_s((256, 512, 1024), rate_of) == 1e9
    assert asked == [256]


def test_a_fast_format_is_multiplied_at_every_side_and_its_best_counts():
    rates = {256: 2e9, 512: 2e11, 1024: 1e11}
    assert product_flops_s((256, 512, 1024), rates.__getitem__) == 2e11


def test_a_probe_that_fails_leaves_the_peaks_unknown_and_says_why(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: no torch here' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    found = device_peaks(None, None)
    assert found["bandwidth_gb_s"] is None and "no torch here" in found["source"]
