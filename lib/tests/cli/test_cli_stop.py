"""`benchbook stop` ends the one host that was meant, and none where it may be several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.hosts.process import registry
from benchbook.hosts.process.guardian import GuardedProcess, spawn


@pytest.fixture
def two_of_a_name(tmp_path: Path, state_dir: Path):
    """Return two live hosts that are both called tiny."""
    hosts = [
        spawn(["sleep", "60"], log_path=tmp_path / f"{kind}.log", name="tiny", kind=kind)
        for kind in ("server", "engine")
    ]
    yield hosts
    for host in hosts:
        host.stop(0.2)


def stop(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchbook", "stop", *words], capture_output=True, text=True, timeout=60
    )


def test_a_name_of_several_hosts_ends_none_and_names_their_ids(two_of_a_name: list[GuardedProcess]) -> None:
    done = stop("tiny")
    assert done.returncode == 2
    assert all(host.host_id in done.stderr for host in two_of_a_name) and "(engine)" in done.stderr
    assert len(registry.live_hosts()) == 2


def test_an_id_ends_its_host_and_leaves_the_other(two_of_a_name: list[GuardedProcess]) -> None:
    assert stop(two_of_a_name[0].host_id[:12]).returncode == 0
    assert [entry.host_id for entry in registry.live_hosts()] == [two_of_a_name[1].host_id]


def test_all_of_them_are_ended_when_that_is_asked_for(two_of_a_name: list[GuardedProcess]) -> None:
    assert stop("--all").returncode == 0
    assert registry.live_hosts() == []
