"""A container's limits are read from its cgroup, of either version, its own or one above it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchbook import container
from benchbook.hosts.machine import cpu, devices, facts
from benchbook.sweep.machine import machine_note
from benchbook.sweep.preflight import preflight_of

GIB = 2**30
FILE = """question: Does it fit?
model: {shape: llama-3.1-8b}
device: cpu
launches: {a: {}}
benchmarks:
  - serve: {max_concurrency: 1, lengths: [[64, 16]], num_prompts: 4}
"""


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that writes files of a cgroup file system, and which cgroup this process is in."""
    monkeypatch.setattr(container, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(container, "OWN", tmp_path / "own")

    def says(own: str, **files: object) -> None:
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    return says


def test_without_limits_the_machine_is_what_counts(cgroups) -> None:
    cgroups("0::/\n", **{"memory.max": "max", "cpu.max": "max 100000"})
    assert container.memory() is None and container.quota() is None
    cgroups("4:memory:/\n", **{"memory/memory.limit_in_bytes": 9223372036854771712, "cpu/cpu.cfs_quota_us": -1})
    assert container.memory() is None and container.quota() is None


def test_without_any_cgroup_nothing_is_limited(cgroups) -> None:
    assert container.memory() is None and container.quota() is None
    assert container.cpus() >= 1


@pytest.mark.parametrize("own", ["0::/", "", "0", "memory", "1:memory", "::::", "0::/../x"])
def test_a_limit_in_words_that_no_kernel_writes_is_none(cgroups, own) -> None:
    for limit in ("", "junk", "-5", "²", "0 0", "1 0", "0 100000", "a b", "1 2 3"):
        cgroups(
            own, **{"cpu.max": limit, "memory.max": "x" + limit, "cpu/cpu.cfs_quota_us": limit, "memory.stat": limit}
        )
        assert container.memory() is None and container.quota() is None and container.cpus() >= 1


@pytest.mark.parametrize(
    "files",
    [
        {"memory.max": 8 * GIB, "memory.current": 3 * GIB, "memory.stat": f"anon 1\ninactive_file {GIB}\n"},
        {
            "memory/memory.limit_in_bytes": 8 * GIB,
            "memory/memory.usage_in_bytes": 3 * GIB,
            "memory/memory.stat": f"cache 5\ntotal_inactive_file {GIB}",
        },
    ],
)
def test_memory_that_holds_files_counts_as_free(cgroups, files) -> None:
    cgroups("4:memory:/\n0::/\n", **files)
    assert container.memory() == container.Memory(8 * GIB, 6 * GIB)


@pytest.mark.parametrize("own", ["0::/slurm/job_7/step_0", "0::/slurm/job_7"])
def test_the_least_limit_of_all_cgroups_above_counts(cgroups, own) -> None:
    cgroups(own, **{"memory.max": 64 * GIB, "slurm/memory.max": "max", "slurm/job_7/memory.max": 16 * GIB})
    assert container.memory().limit_bytes == 16 * GIB


def test_a_cgroup_whose_path_is_the_hosts_is_looked_for_at_the_root(cgroups) -> None:
    cgroups("4:memory:/docker/4711\n", **{"memory/memory.limit_in_bytes": 2 * GIB})
    assert container.memory().limit_bytes == 2 * GIB


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/", {"cpu.max": "50000 100000", "cpu.stat": "usage_usec 2500000\nnr_periods 3"}, 0.5),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": 50000, "cpu/cpu.cfs_period_us": 100000}, 0.5),
        ("3:cpu,cpuacct:/a", {"cpu,cpuacct/a/cpu.cfs_quota_us": 20000, "cpu,cpuacct/a/cpu.cfs_period_us": 100000}, 0.2),
    ],
)
def test_a_quota_of_processors_is_seen(cgroups, own, files, cpus) -> None:
    cgroups(own, **files)
    assert container.quota().cpus == cpus == container.cpus()


def test_a_quota_above_the_processors_there_are_limits_nothing(cgroups) -> None:
    cgroups("0::/", **{"cpu.max": "100000000 100000"})
    assert isinstance(container.cpus(), int)


def test_the_cpu_device_has_the_containers_memory(cgroups) -> None:
    cgroups("0::/", **{"memory.max": GIB, "memory.current": GIB // 2})
    assert str(devices.cpu()) == "a CPU with 0 of 1 GiB free, as its container allows"


@pytest.mark.parametrize(
    ("own", "files", "free", "limit"),
    [
        ("0::/", {"memory.max": 4 * GIB}, 4, 4),
        ("4:memory:/docker/4711", {"memory/memory.limit_in_bytes": 6 * GIB}, 6, 6),
        ("0::/slurm/job_7/step_0", {"slurm/job_7/memory.max": 8 * GIB}, 8, 8),
        ("0::/", {"memory.max": 16 * GIB, "memory.current": 7 * GIB}, 9, 16),
    ],
    ids=["4 GiB", "version 1", "a job", "in use"],
)
def test_a_model_that_the_container_has_no_memory_for_is_refused(tmp_path, cgroups, own, files, free, limit) -> None:
    cgroups(own, **files)
    (tmp_path / "exp.yaml").write_text(FILE)
    note = machine_note(preflight_of(tmp_path / "exp.yaml"))
    assert "needs a CPU with 15 GiB free" in note
    assert f"has a CPU with {free} of {limit} GiB free, as its container allows" in note


@pytest.mark.parametrize(("quota", "cpus"), [("50000 100000", 0.5), ("25000 100000", 0.25), ("10000 50000", 0.2)])
def test_the_processors_of_a_container_are_recorded(cgroups, quota, cpus) -> None:
    cgroups("0::/", **{"cpu.max": quota})
    assert facts.machine.__wrapped__().cpu_cores == cpus


def test_processors_that_a_process_may_not_use_are_not_recorded() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from benchbook import container; "
    done = subprocess.run([sys.executable, "-c", code + "print(container.cpus())"], capture_output=True, text=True)
    assert 0 < float(done.stdout) <= 1


def test_shares_are_of_what_the_container_allows_and_its_other_processes_count() -> None:
    def look(at_s: float, machine_s: float, own_s: float, used_s: float | None) -> cpu.CpuLook:
        return cpu.CpuLook(at_s, machine_s, own_s, 8, container.Quota(2.0, used_s))

    shares = cpu.shares(look(0, 100, 0, 50), look(10, 124, 10, 66))
    assert shares == {"cpus": 2.0, "own_cpu_share": 0.5, "other_cpu_share": 0.3, "stolen_cpu_share": 0.0}
    # What others of the machine take of its processors counts as well, and alone where the cgroup tells nothing.
    assert cpu.shares(look(0, 100, 0, None), look(10, 150, 10, None))["other_cpu_share"] == 0.5
