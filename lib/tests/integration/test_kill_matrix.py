"""The real vLLM, starting or ready, outlives neither its owner nor, beyond the next sweep, its guardian."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchbook.hosts.process import processes, registry
from rows import IS_FULL
from sweeps import ARGS, ENV

pytestmark = pytest.mark.integration

GONE_LIMIT_S = 15.0
START_LIMIT_S = 180.0

# Tells its host at once and a second time when it is ready; then waits for its end.
OWNER = f"""
import json, time
from benchbook.hosts.server import VllmServer
server = VllmServer("tiny", args={ARGS!r}, env={ENV!r})
server.start()
print(json.dumps({{"host_id": server.process.host_id, "guardian_pid": server.process.guardian_pid}}), flush=True)
server.wait_ready()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner(state_dir: Path) -> Iterator[subprocess.Popen]:
    """Yield an owner that is starting a server, in a registry of its own; whatever is left of both is ended afterwards."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", OWNER], env=env, **settings) as process:
        yield process
        process.kill()
    for entry in registry.read_entries():
        registry.end_host(entry.host_id)


def until_ready(owner: subprocess.Popen, host_id: str) -> None:
    """Return when the owner's server is ready, with its engine and worker."""
    assert owner.stdout.readline() == "ready\n"
    assert len(processes.marked_pids(host_id)) >= 4


def until_engine_starts(owner: subprocess.Popen, host_id: str) -> None:
    """Return when the API server has just started its engine's process: the middle of a start."""
    deadline = time.monotonic() + START_LIMIT_S
    while len(processes.marked_pids(host_id)) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)


State = Callable[[subprocess.Popen, str], None]


STATES = [until_engine_starts, until_ready]
ROWS = [(signum, state) for signum in (signal.SIGKILL, signal.SIGINT) for state in STATES]


@pytest.mark.skipif(
    not IS_FULL,
    reason="make test-full; test_guardian.py does so with a script, and test_readme.py types Ctrl-C at a real start",
)
@pytest.mark.parametrize(("signum", "state"), ROWS)
def test_an_owner_that_is_ended_leaves_no_process(
    owner: subprocess.Popen, state: State, signum: signal.Signals
) -> None:
    host_id = json.loads(owner.stdout.readline())["host_id"]
    state(owner, host_id)
    os.killpg(owner.pid, signum)
    assert processes.wait_gone(lambda: processes.marked_pids(host_id), GONE_LIMIT_S)
    assert registry.read_entries() == []


@pytest.mark.skipif(not IS_FULL, reason="make test-full; the sweeps kill guardians against the fake vllm")
@pytest.mark.parametrize("state", STATES)
def test_a_killed_guardian_leaves_nothing_after_the_next_sweep(owner: subprocess.Popen, state: State) -> None:
    told = json.loads(owner.stdout.readline())
    state(owner, told["host_id"])
    os.kill(told["guardian_pid"], signal.SIGKILL)
    owner.kill()
    assert processes.wait_gone(registry.live_hosts, GONE_LIMIT_S)
    registry.sweep_orphans()
    assert processes.marked_pids(told["host_id"]) == []
    assert registry.read_entries() == []
