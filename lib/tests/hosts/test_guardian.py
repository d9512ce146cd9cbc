"""A host outlives no owner: whatever ends the owner, with the host starting or ready, leaves nothing alive."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchbook.hosts.process import guardian, processes, registry, scratch
from benchbook.hosts.process.guardian import OWN_FOLDER, spawn
from benchbook.terms.errors import ExperimentError, HostStartError
from rows import rows

GONE_LIMIT_S = 15.0
SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]

# An owner: starts a host in a state, tells who is alive, and then waits for its own end.
OWNER = """
import json, signal, sys, time
from benchbook.hosts.server import VllmServer
import fake_vllm

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it

state, ending, model = sys.argv[1:]
script = {"helpers": 2, "ignore_sigterm": state.endswith("stubborn"), "never_ready": state == "starting"}
server = VllmServer(model, env=fake_vllm.scripted(**script), program=fake_vllm.PROGRAM)
with server if state != "starting" else open("/dev/null"):
    if state == "starting":
        server.start()
        while "Initializing" not in server.log_path.read_text():  # it has started its helpers by then
            time.sleep(0.02)
    alive = [server.process.guardian_pid, *server.process.tree_pids()]
    print(json.dumps({"host_id": server.process.host_id, "pids": alive}), flush=True)
    if ending == "raises":
        raise RuntimeError("as a notebook cell does")
    if ending != "normal":
        time.sleep(600)
"""


@dataclass
class Owner:
    """A process that owns a host, and what it told of it."""

    process: subprocess.Popen
    host_id: str
    pids: list[int]

    def left(self) -> list[int]:
        """Return what is alive of the host: by its marker, and of the pids that were told."""
        return processes.marked_pids(self.host_id) + [pid for pid in self.pids if is_running(pid)]


def is_running(pid: int) -> bool:
    """Return whether `pid` is there and not a zombie."""
    stat = processes.read_stat(pid)
    return stat is not None and stat.state != "Z"


@pytest.fixture
def own(fake_model: str, state_dir: Path) -> Iterator[Callable[..., Owner]]:
    """Return a function that starts an owner and returns when its host is in the state."""
    owners: list[Owner] = []

    def start(state: str, ending: str, **options: object) -> Owner:
        here = Path(__file__).parents[1]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
        command = [sys.executable, "-c", OWNER, state, ending, fake_model]
        settings = {"stderr": subprocess.DEVNULL, "start_new_session": True, "env": env, **options}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **settings)
        owners.append(Owner(process, **json.loads(process.stdout.readline())))
        return owners[-1]

    yield start
    for owner in owners:
        owner.process.kill()
        owner.process.communicate()
        registry.end_marked(owner.host_id)


STATES = ["starting", "ready"]
ENDINGS = {
    "normal": lambda pid: None,
    "raises": lambda pid: None,
    "ctrl-c": lambda pid: os.killpg(pid, signal.SIGINT),
    "sigterm": lambda pid: os.kill(pid, signal.SIGTERM),
    "sigkill": lambda pid: os.kill(pid, signal.SIGKILL),
    "hang-up": lambda pid: os.killpg(pid, signal.SIGHUP),
}


# A host that ignores TERM costs the whole grace: two rows of it are enough.
STUBBORN = [("sigkill", "ready-stubborn"), ("ctrl-c", "ready-stubborn")]


@pytest.mark.parametrize(
    ("ending", "state"),
    rows([*itertools.product(ENDINGS, STATES), *STUBBORN], quick=[*zip(ENDINGS, itertools.cycle(STATES)), STUBBORN[0]]),
)
def test_whatever_ends_the_owner_leaves_no_process_of_the_host(
    own: Callable[..., Owner], state: str, ending: str
) -> None:
    owner = own(state, ending)
    assert len(owner.pids) >= 4  # guardian, server, two helpers
    ENDINGS[ending](owner.process.pid)
    assert processes.wait_gone(owner.left, GONE_LIMIT_S)
    assert processes.wait_gone(registry.read_entries, GONE_LIMIT_S)


def test_closing_the_terminal_leaves_no_process_of_the_host(own: Callable[..., Owner]) -> None:
    master, slave = pty.openpty()
    owner = own("ready", "terminal", stdin=slave, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    os.close(master)
    assert processes.wait_gone(owner.left, GONE_LIMIT_S)


@pytest.mark.parametrize(
    ("is_owner_killed", "state"),
    rows(
        itertools.product([True, False], [*STATES, "ready-stubborn"]),
        quick=[(True, "starting"), (False, "ready"), (False, "ready-stubborn")],
    ),
)
def test_a_killed_guardian_leaves_an_orphan_that_the_next_sweep_ends(
    own: Callable[..., Owner], state: str, is_owner_killed: bool
) -> None:
    owner = own(state, "guardian")
    assert registry.sweep_orphans() == []  # it is no orphan yet
    os.kill(owner.pids[0], signal.SIGKILL)
    if is_owner_killed:
        owner.process.kill()
    assert processes.wait_gone(registry.live_hosts, GONE_LIMIT_S)
    swept = registry.sweep_orphans()
    # The kernel sent the host a TERM when its guardian died; only one that ignores it is sure to be still there.
    assert [entry.host_id for entry, _ in swept] == [owner.host_id] or state != "ready-stubborn"
    assert owner.left() == []
    assert registry.read_entries() == []


@pytest.mark.parametrize("state", rows([*STATES, "ready-stubborn"], quick=["starting", "ready-stubborn"]))
def test_an_owner_and_a_guardian_that_are_killed_at_once_leave_nothing(own: Callable[..., Owner], state: str) -> None:
    owner = own(state, "guardian and owner")
    for pid in (owner.process.pid, owner.pids[0]):
        os.kill(pid, signal.SIGKILL)
    assert processes.wait_gone(owner.left, GONE_LIMIT_S)
    assert processes.wait_gone(registry.read_entries, GONE_LIMIT_S)


def heirs_of(pid: int) -> list[int]:
    """Return the heirs of a process that lives, or has just ended."""
    return [
        each for each in processes.all_pids() if f"benchbook.hosts.process.heir {pid} " in processes.command_of(each)
    ]


def test_an_heir_ends_soon_after_its_owner_whose_kept_host_lives_on(own: Callable[..., Owner], tmp_path: Path) -> None:
    owner = own("ready", "normal")
    owner.process.wait()
    assert processes.wait_gone(lambda: heirs_of(owner.process.pid), GONE_LIMIT_S)
    script = (
        "from benchbook.hosts.process.guardian import spawn\n"
        f"print(spawn({SLEEPER!r}, log_path={str(tmp_path / 'log')!r}, name='kept', kind='server', keep=True).host_id)"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    (entry,) = registry.live_hosts()
    assert processes.wait_gone(lambda: heirs_of(entry.owner_pid), GONE_LIMIT_S)
    assert [entry.host_id for entry in registry.live_hosts()] == [done.stdout.strip()]
    registry.end_host(entry.host_id)


def test_an_owner_whose_guardian_is_killed_ends_the_host_when_it_looks(tmp_path: Path, state_dir: Path) -> None:
    host = spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")
    os.kill(host.guardian_pid, signal.SIGKILL)
    assert processes.wait_gone(lambda: [] if host.poll() is not None else [host.pid], 5.0)
    assert processes.marked_pids(host.host_id) == []
    assert registry.read_entries() == []


def test_a_guardian_whose_owner_is_gone_before_it_has_said_anything_starts_nothing(state_dir: Path) -> None:
    command = [sys.executable, "-m", "benchbook.hosts.process.guardian_main"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert (
        subprocess.run(command, stdin=subprocess.DEVNULL, env=env, timeout=10).returncode != 0
        or registry.read_entries() == []
    )


def test_a_forked_child_of_the_owner_does_not_keep_the_host_alive(tmp_path: Path, state_dir: Path) -> None:
    host = spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")
    child = os.fork()
    if child == 0:
        time.sleep(20)
        os._exit(0)
    try:
        pids, host_id = [host.pid, host.guardian_pid], host.host_id
        guardian = host._guardian
        del host
        assert processes.wait_gone(lambda: [pid for pid in pids if is_running(pid)], 5.0)
        assert processes.marked_pids(host_id) == []
        guardian.wait()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_host_that_ends_by_itself_takes_what_it_left_behind_with_it(tmp_path: Path, state_dir: Path) -> None:
    script = "(setsid sleep 600 &); (trap '' TERM HUP; setsid sleep 601 &); exit 7"
    host = spawn(["bash", "-c", script], log_path=tmp_path / "log", name="leaver", kind="client")
    assert host.wait(10.0) == 7
    assert processes.marked_pids(host.host_id) == []
    assert registry.read_entries() == []


def test_waiting_no_longer_than_asked_returns_none_while_the_host_lives(tmp_path: Path, state_dir: Path) -> None:
    host = spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")
    assert host.wait(0.05) is None
    assert host.poll() is None
    assert host.stop(grace_s=1.0) == -signal.SIGTERM


def test_output_environment_and_folder_are_those_asked_for(tmp_path: Path, state_dir: Path) -> None:
    script = "pwd; echo $GREETING; echo $BENCHBOOK_HOST_ID >&2"
    host = spawn(
        ["bash", "-c", script],
        env={"GREETING": "hello"},
        log_path=tmp_path / "log",
        name="x",
        kind="client",
        cwd=tmp_path,
    )
    assert host.wait(10.0) == 0
    assert (tmp_path / "log").read_text().split() == [str(tmp_path), "hello", host.host_id]


# Makes a socket as vLLM names them, and tells which; a long temporary folder has no room for such a name.
SOCKET = """
import os, socket, sys, time, uuid
path = os.path.join(os.environ["SOCKETS"], str(uuid.uuid4()))
socket.socket(socket.AF_UNIX).bind(path)
print(path, flush=True)
if sys.argv[1] == "wait": time.sleep(600)
"""


@pytest.mark.parametrize("ending", ["ends", "is stopped", "is killed", "is killed with its guardian"])
@pytest.mark.parametrize("depth", [0, 60, 120])
def test_a_folder_of_the_hosts_own_is_closed_to_others_and_gone_however_the_host_ends(
    tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch, ending: str, depth: int
) -> None:
    deep = tmp_path / "deep" / ("é" * (depth // 2) or "x")
    deep.mkdir(parents=True)
    if depth:
        monkeypatch.setenv("TMPDIR", str(deep))
    argv = [sys.executable, "-S", "-c", SOCKET, "end" if ending == "ends" else "wait"]
    log = tmp_path / "log"
    host = spawn(argv, env={"SOCKETS": OWN_FOLDER}, log_path=log, name="x", kind="server")
    while not (path := Path(log.read_text().strip())).name and host.poll() is None:
        time.sleep(0.05)
    if ending != "ends":
        assert path.is_socket() and path.parent.stat().st_mode & 0o777 == 0o700
    if ending == "is killed with its guardian":
        os.kill(host.guardian_pid, signal.SIGKILL)
    if ending.startswith("is killed"):
        os.kill(host.pid, signal.SIGKILL)
    if ending == "is stopped":
        host.stop()
    host.wait()
    if ending == "is killed with its guardian":
        scratch.sweep()  # as the heir and any later command do
    path = Path(log.read_text().strip())
    assert path.parent.name.startswith("benchbook-") and not path.parent.exists()
    assert list(deep.iterdir()) == []


def test_a_host_keeps_the_signal_handling_of_any_program(tmp_path: Path, state_dir: Path) -> None:
    host = spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")
    ignored = next(
        line for line in Path(f"/proc/{host.pid}/status").read_text().splitlines() if line.startswith("SigIgn")
    )
    assert int(ignored.split()[1], 16) & (1 << signal.SIGINT - 1 | 1 << signal.SIGHUP - 1) == 0
    host.stop()


def test_a_state_folder_that_cannot_be_had_is_told_with_the_way_out_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCHBOOK_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(ExperimentError, match="set BENCHBOOK_STATE_DIR"):
        spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")


def test_a_state_folder_that_goes_as_the_guardian_starts_is_told_with_the_way_out_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = guardian._start_guardian

    def lose_the_folder_and_start(*given: object) -> object:
        monkeypatch.setenv("BENCHBOOK_STATE_DIR", str(tmp_path / "log" / "state"))
        return start(*given)

    monkeypatch.setattr(guardian, "_start_guardian", lose_the_folder_and_start)
    with pytest.raises(HostStartError, match="^sleeper was not started: no folder .*set BENCHBOOK_STATE_DIR"):
        spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")
    assert (tmp_path / "log").read_text() == ""


def test_ending_a_host_by_its_id_is_seen_by_its_owner(tmp_path: Path, state_dir: Path) -> None:
    host = spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client")
    assert registry.end_host(host.host_id)
    assert host.poll() == -signal.SIGTERM
    assert not registry.end_host(host.host_id)


def test_a_kept_host_outlives_its_owner_and_is_ended_by_its_id(tmp_path: Path, state_dir: Path) -> None:
    host = spawn(SLEEPER, log_path=tmp_path / "log", name="sleeper", kind="client", keep=True)
    pid, host_id, guardian = host.pid, host.host_id, host._guardian
    del host
    time.sleep(0.2)
    assert is_running(pid)
    assert [entry.host_id for entry in registry.live_hosts()] == [host_id]
    registry.end_host(host_id)
    assert not is_running(pid)
    guardian.wait()
