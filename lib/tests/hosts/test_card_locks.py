"""A card is held by one run of a user: another process is told who has it, and gets it when the kernel has freed it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts import engine as engine_module
from benchbook.hosts import server as server_module
from benchbook.hosts import worker as worker_module
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.machine import card_locks
from benchbook.hosts.machine.card_locks import CardTakenError, hold, holder_of, locks_for
from benchbook.hosts.machine.devices import CUDA, Device
from benchbook.hosts.process import registry
from benchbook.hosts.process.guardian import spawn
from benchbook.terms.errors import HostStartError

CARDS = [Device(CUDA, 80.0, 80.0, names=(str(number), f"GPU-{number}{number}")) for number in range(4)]
HOLD = """
import sys
from benchbook.hosts.machine import card_locks
from benchbook.hosts.machine.devices import Device
card_locks.hold([Device("cuda", 80.0, 80.0, names=(n, f"GPU-{n}{n}")) for n in sys.argv[2:]], sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def nothing_held(tmp_path, monkeypatch):
    """Give each test a state folder of its own and a process that holds nothing."""
    monkeypatch.setenv(registry.STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(card_locks, "_held", {})
    monkeypatch.setattr(card_locks, "LEAVING_LIMIT_S", 0.3)


@pytest.fixture
def another():
    """Return a function that starts another process which holds cards, by their numbers."""
    started = []

    def start(who, *numbers):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, who, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("numbers", [[0], [2, 3], [1, 0, 3]], ids=str)
def test_a_taken_card_is_refused_in_one_line_that_names_who_holds_it(another, numbers):
    process = another("run a/20261126-101112", *numbers)
    with pytest.raises(CardTakenError) as refusal:
        hold([CARDS[numbers[-1]]], "run b/1")
    said = str(refusal.value)
    assert (
        f"GPU {numbers[-1]} is held by run a/20261126-101112 (pid {process.pid}, since 20" in said and "\n" not in said
    )
    assert refusal.value.cause.code == "device_busy" and isinstance(refusal.value, HostStartError)


def test_other_cards_are_free_and_of_several_all_or_none_are_taken(another):
    another("run a/1", 1)
    with pytest.raises(CardTakenError):
        hold([CARDS[0], CARDS[1]], "run b/1")
    assert card_locks._held == {}
    another("run c/1", 0)  # was given back
    assert hold([CARDS[2], CARDS[3]], "run b/1") and hold([CARDS[3]], "run b/1"), "what one holds one may hold again"


def test_a_card_is_free_at_once_when_its_owner_was_killed(another):
    process = another("run a/1", 0)
    process.kill()
    process.wait()
    assert holder_of(CARDS[0]) is None and hold([CARDS[0]], "run b/1")


def test_who_shares_is_let_in_and_holds_what_is_free(another):
    another("run a/1", 0)
    assert hold([CARDS[0], CARDS[1]], "run b/1", share=True)
    with locks_for([CARDS[0], CARDS[1]], "server 'x'") as locks:
        assert len(locks.descriptors) == 1 and not locks.own
    assert holder_of(CARDS[0]) is None, "it is there by leave"


def test_a_run_names_itself_once_it_has_a_name(another):
    hold([CARDS[0]], "benchbook run x.yaml")
    card_locks.rename("run x/20261126-101112")
    (path,) = (registry.state_dir() / "cards").glob("*.lock")
    assert (
        json.loads(path.read_text())["who"] == "run x/20261126-101112"
        and json.loads(path.read_text())["pid"] == os.getpid()
    )


def test_a_kept_hosts_guardian_holds_its_card_when_the_owner_has_gone(tmp_path):
    script = f"""
import sys
from benchbook.hosts.machine.card_locks import locks_for
from benchbook.hosts.machine.devices import Device
from benchbook.hosts.engine import VllmEngine
from benchbook.hosts.process.guardian import spawn
with locks_for([Device("cuda", 80.0, 80.0, names=("0", "GPU-00"))], "server 'kept'") as locks:
    process = spawn([sys.executable, "-S", "-c", "import time; time.sleep(60)"], log_path={str(tmp_path / "log")!r},
                    name="kept", kind="server", keep=True, descriptors=locks.descriptors)
    locks.held_by(process.guardian_pid)
print(process.host_id, process.guardian_pid)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    host_id, guardian_pid = done.stdout.split()
    try:
        assert str(holder_of(CARDS[0])).startswith(f"server 'kept' (pid {guardian_pid}, since ")
        with pytest.raises(CardTakenError, match=f"server 'kept' .pid {guardian_pid}"):
            hold([CARDS[0]], "run b/1")
    finally:
        registry.end_host(host_id)
    assert hold([CARDS[0]], "run b/1")


def test_a_server_by_hand_holds_its_cards_until_it_is_gone_and_another_is_refused(fake_server, monkeypatch, another):
    monkeypatch.setattr(server_module, "cards_of", lambda args, env, *_: CARDS[:1])
    with fake_server({"name": "mine"}) as first:
        said = f"GPU 0 is held by server 'mine' .pid {first.process.guardian_pid}, since "
        refused = fake_server({"name": "second"})
        with pytest.raises(HostStartError, match=said) as refusal:
            refused.start()
        assert refusal.value.cause.code == "device_busy" and refused.pid is None and not refused.port
        with pytest.raises(CardTakenError, match=said):
            hold(CARDS[:1], "run b/1")
    with fake_server({"name": "third"}) as third:
        assert third.is_alive()
    another("run a/1", 0)


def test_a_loaded_engine_holds_its_cards_as_well(fake_model, monkeypatch, tmp_path):
    given = []

    def spawn(*_, descriptors, **__):
        given.extend(descriptors)
        assert len(descriptors) == 2 and all(os.fstat(descriptor) for descriptor in descriptors)
        return SimpleNamespace(guardian_pid=os.getppid())

    monkeypatch.setattr(engine_module, "cards_of", lambda args, env, *_: CARDS[: args["tensor_parallel_size"]])
    monkeypatch.setattr(worker_module, "spawn", spawn)
    engine = VllmEngine(fake_model, args={"tensor_parallel_size": 2}, name="mine", log_dir=tmp_path)
    engine.start()
    assert given
    for card in CARDS[:2]:
        noted = json.loads(card_locks._path(card).read_text())
        assert (noted["who"], noted["pid"]) == ("engine 'mine'", os.getppid())


def test_a_host_of_a_run_has_the_runs_lock_and_its_end_does_not_free_the_card(tmp_path, another):
    hold([CARDS[0]], "run a/1")
    with locks_for([CARDS[0]], "server 'x'") as locks:
        argv = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        process = spawn(argv, log_path=tmp_path / "log", name="x", kind="server", descriptors=locks.descriptors)
        locks.held_by(process.guardian_pid)
    process.stop()
    code = f"import fcntl; fcntl.flock(open({str(card_locks._path(CARDS[0]))!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "BlockingIOError" in tried.stderr
    assert json.loads(card_locks._path(CARDS[0]).read_text())["who"] == "run a/1"


def test_a_forked_child_does_not_keep_a_card(another):
    hold([CARDS[0]], "run a/1")
    child = os.fork()
    if not child:
        os._exit(0 if not card_locks._held else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_where_nothing_can_be_locked_that_is_told_and_no_run_is_refused(monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert hold([CARDS[0]], "run a/1") is False
    assert holder_of(CARDS[0]) is None


@pytest.mark.parametrize(
    ("names", "title", "key"),
    [
        (("3", "GPU-8d6a"), "GPU 3", "cuda-GPU-8d6a"),
        (("MIG-377e",), "MIG-377e", "cuda-MIG-377e"),
        (("MIG-GPU-8d6a/7/0",), "MIG-GPU-8d6a/7/0", "cuda-MIG-GPU-8d6a_7_0"),
    ],
)
def test_a_card_is_known_by_its_uuid_and_called_by_its_number(names, title, key):
    card = Device(CUDA, 1.0, 1.0, names=names)
    assert (card.title, card.key) == (title, key) and Path(key).name == key
