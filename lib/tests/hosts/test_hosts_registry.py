"""The list of live hosts: quick to read, never a reason to kill the wrong process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from benchbook.hosts.process import processes, registry
from cpu_time import least_cpu_s

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


@pytest.fixture
def stale(state_dir: Path) -> registry.HostEntry:
    """Return an entry, written to the registry, whose guardian is dead and whose host's pid is now ours."""
    own = processes.read_stat(os.getpid())
    entry = registry.HostEntry(
        host_id="0123456789abcdef",
        name="old",
        kind="server",
        machine=socket.gethostname(),
        guardian_pid=own.pid,
        guardian_start_ticks=own.start_ticks - 1,
        host_pid=own.pid,
        host_start_ticks=own.start_ticks - 1,
        argv=["vllm"],
        started_utc="2026-01-01T00:00:00+00:00",
    )
    registry.write_entry(entry)
    return entry


def test_a_recycled_pid_is_not_killed_and_its_stale_entry_is_removed(stale: registry.HostEntry) -> None:
    assert registry.live_hosts() == []
    assert registry.sweep_orphans() == []  # and we are still here
    assert registry.read_entries() == []


def test_an_orphan_is_found_by_its_marker_and_ended_with_its_descendants(stale: registry.HostEntry) -> None:
    shell = [
        "bash",
        "-c",
        f"env -i {sys.executable} -S -c 'import time; time.sleep(600)' & wait",
    ]  # the child has no marker
    orphan = subprocess.Popen(shell, env={**os.environ, processes.MARKER: stale.host_id})
    while len(processes.descendants(orphan.pid)) < 1:
        time.sleep(0.01)
    swept = registry.sweep_orphans()
    assert [(entry.host_id, orphan.pid in pids, len(pids)) for entry, pids in swept] == [(stale.host_id, True, 2)]
    assert orphan.wait(5) < 0
    assert registry.read_entries() == []


def test_an_entry_of_another_machine_is_left_alone(stale: registry.HostEntry) -> None:
    registry.write_entry(replace(stale, machine="elsewhere"))
    assert registry.sweep_orphans() == []
    assert registry.entry_path(stale.host_id).exists()


def test_a_cut_or_foreign_file_among_the_entries_is_passed_over(stale: registry.HostEntry) -> None:
    path = registry.entry_path("cut")
    path.write_text(registry.entry_path(stale.host_id).read_text()[:50])
    registry.entry_path("list").write_text("[]")
    registry.entry_path("newer").write_text(
        json.dumps({**json.loads(registry.entry_path(stale.host_id).read_text()), "host_id": "newer", "more": 1})
    )
    assert [entry.host_id for entry in registry.read_entries()] == [stale.host_id, "newer"]


@pytest.mark.parametrize(
    "damage",
    [
        {"started_utc": "yesterday"}, {"argv": "vllm"}, {"guardian_pid": "1"}, {"name": None}, {"host_pid": [1]},
        {"host_id": "../../another"}, {"machine": 5},
    ],
)  # fmt: skip
def test_an_entry_that_holds_what_none_of_ours_does_is_passed_over(stale: registry.HostEntry, damage: dict) -> None:
    path = registry.entry_path(stale.host_id)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert registry.read_entries() == []


@pytest.mark.parametrize("content", [b"\xff", b"", b"[" * 100_000, b"null", b"\x00" * 10])
def test_no_content_of_an_entry_stops_the_others_from_being_read(stale: registry.HostEntry, content: bytes) -> None:
    registry.entry_path("odd").write_bytes(content)
    os.mkfifo(registry.entry_path("pipe"))
    registry.entry_path("folder").mkdir()
    registry.entry_path("link").symlink_to("nowhere")
    assert [entry.host_id for entry in registry.read_entries()] == [stale.host_id]


def test_listing_fifty_live_hosts_costs_under_a_tenth_of_a_second(stale: registry.HostEntry) -> None:
    own = processes.read_stat(os.getpid())
    for number in range(50):
        registry.write_entry(replace(stale, host_id=f"{number:016x}", guardian_start_ticks=own.start_ticks))
    assert len(registry.live_hosts()) == 50
    assert least_cpu_s(registry.live_hosts) < 0.1


def test_a_process_is_alive_only_with_its_own_start_tick_and_not_as_a_zombie() -> None:
    child = subprocess.Popen(SLEEP)
    stat = processes.read_stat(child.pid)
    assert processes.is_alive(child.pid, stat.start_ticks)
    assert not processes.is_alive(child.pid, stat.start_ticks + 1)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_alive(child.pid, stat.start_ticks)  # a zombie
    child.wait()
    assert processes.read_stat(child.pid) is None
    assert not processes.is_alive(None, None)


def test_a_command_name_with_brackets_and_blanks_does_not_confuse_the_table(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "600"])
    assert processes.read_stat(child.pid).parent_pid == os.getpid()
    assert child.pid in processes.descendants(os.getpid())
    child.kill()
    child.wait()


@pytest.mark.parametrize(
    "damage",
    [{"argv": [1]}, {"argv": "vllm"}, {"started_utc": "yesterday"}, {"started_utc": "2026-01-01T00:00:00"}, {"keep": "no"},
     {"guardian_pid": None}, {"host_id": "../../passwd"}, {"machine": 7}, {"base_url": ["x"]}],
    ids=str,
)  # fmt: skip
def test_an_ill_typed_entry_is_none_of_ours(stale: registry.HostEntry, damage: dict[str, object]) -> None:
    path = registry.entry_path(stale.host_id)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert registry.read_entries() == [] and registry.sweep_orphans() == []
