"""A run holds the cards that its launches take, from before its first start; one on a taken card is refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from benchbook.hosts.machine import card_locks, devices
from benchbook.hosts.machine.devices import cards_of
from benchbook.hosts.process import processes, registry
from benchbook.plan.experiment import load_experiment
from benchbook.sweep import holding, machine, session
from benchbook.sweep.holding import check_free, hold_cards
from benchbook.sweep.preflight import Preflight
from benchbook.sweep.progress import Listener
from benchbook.terms.errors import ExperimentError

UUIDS = [f"GPU-{letter * 8}-0000" for letter in "abcd"]
SMI = """#!/bin/sh
case "$1" in
  --query-compute-apps=*) cat {folder}/apps ;;
  --query-gpu=*) cat {folder}/gpus ;;
  -L) cat {folder}/slices ;;
esac
exit 0
"""
SLICES = ["MIG-377e0049-554c", "MIG-377e0049-666c"]
FILE = """question: Which?
model: tiny
launches:
{launches}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: [[64, 32]], num_prompts: 8}}
"""
TAKEN = """
import sys
from benchbook.hosts.machine import card_locks, devices
devices.is_cpu_build = lambda *_: False
card_locks.hold(devices.cards_of(eval(sys.argv[1]), eval(sys.argv[2])), "run other/20261126-101112")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def four_gpus(tmp_path, monkeypatch):
    """Put a scripted nvidia-smi with four GPUs on the path, and a vLLM for them; return the folder of what it says."""
    folder = tmp_path / "smi"
    folder.mkdir()
    (folder / "apps").write_text("")
    (folder / "gpus").write_text("".join(f"{number}, {uuid}, 4, 81559\n" for number, uuid in enumerate(UUIDS)))
    slices = "".join(f"  MIG 1g.18gb     Device  {n}: (UUID: {uuid})\n" for n, uuid in enumerate(SLICES))
    (folder / "slices").write_text(f"GPU 3: NVIDIA H100 (UUID: {UUIDS[3]})\n{slices}")
    (folder / "nvidia-smi").write_text(SMI.format(folder=folder))
    (folder / "nvidia-smi").chmod(0o755)
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(registry.STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(devices, "COMPUTE_DRIVER", Path("/nowhere"))
    monkeypatch.setattr(devices, "is_cpu_build", lambda *_: False)
    monkeypatch.setattr(card_locks, "_held", {})
    return folder


@pytest.fixture
def checked(tmp_path):
    """Return a function that gives an experiment with these launches, each {name: (args, env)} in YAML's flow style."""

    def of(**launches) -> Preflight:
        path = tmp_path / "exp.yaml"
        lines = [f"  {name}: {{args: {args}, env: {env}}}" for name, (args, env) in launches.items()]
        path.write_text(FILE.format(launches="\n".join(lines)))
        return Preflight(load_experiment(path), "0.32.0", True, True, ())

    return of


@pytest.fixture
def other():
    """Return a function that starts another run on the cards that these args and variables take."""
    started = []

    def start(args, env):
        command = [sys.executable, "-c", TAKEN, repr(args), repr(env)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("args", "env", "names"),
    [
        ({}, {}, ["0"]),
        ({"tensor_parallel_size": 2}, {}, ["0", "1"]),
        ({"tensor-parallel-size": "2", "data_parallel_size": 2}, {}, ["0", "1", "2", "3"]),
        ({"pipeline_parallel_size": 2}, {"CUDA_VISIBLE_DEVICES": "3,1,0"}, ["3", "1"]),
        ({}, {"CUDA_VISIBLE_DEVICES": UUIDS[2][:8]}, ["2"]),
        ({"device_ids": [1]}, {}, ["1"]),
        ({}, {"CUDA_VISIBLE_DEVICES": SLICES[1]}, [SLICES[1]]),
        ({}, {"CUDA_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_a_launch_takes_the_first_cards_that_it_sees_as_many_as_it_has_ranks(args, env, names):
    assert [card.names[0] for card in cards_of(args, env)] == names


def test_a_build_for_cpus_takes_no_card(monkeypatch):
    monkeypatch.setattr(devices, "is_cpu_build", lambda *_: True)
    assert cards_of({}, {}) == []


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (
            ({}, {}),
            ("{}", "{}"),
            ["GPU 0 is held", "free are GPU 1 and GPU 2 and GPU 3", "CUDA_VISIBLE_DEVICES=1 before"],
        ),
        (
            ({"tensor_parallel_size": 2}, {}),
            ("{tensor_parallel_size: 2}", "{}"),
            ["GPU 0 is held", "CUDA_VISIBLE_DEVICES=2,3 before the command"],
        ),
        (
            ({}, {"CUDA_VISIBLE_DEVICES": "1"}),
            ("{}", "{CUDA_VISIBLE_DEVICES: GPU-bbbb}"),
            ["GPU 1 is held", "CUDA_VISIBLE_DEVICES=0 in the env of launch 'a'"],
        ),
        (
            ({}, {"CUDA_VISIBLE_DEVICES": SLICES[0]}),
            ("{}", f"{{CUDA_VISIBLE_DEVICES: {SLICES[0]}}}"),
            [f"{SLICES[0]} is held"],
        ),
        (({"data_parallel_size": 4}, {}), ("{}", "{}"), ["GPU 0 is held", "wait for its end, end it", "or share it"]),
    ],
)
def test_a_run_on_a_taken_card_is_refused_with_who_holds_it_and_what_is_free(checked, other, theirs, ours, said):
    process = other(*theirs)
    for look in (check_free, lambda asked: hold_cards(asked, "run mine/1", share_gpu=False)):
        with pytest.raises(ExperimentError) as refusal:
            look(checked(a=ours))
        text = str(refusal.value)
        assert f"by run other/20261126-101112 (pid {process.pid}, since 20" in text and "--share-gpu" in text
        assert all(part in text for part in said) and "\n" not in text and "launches.a" in text


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, "{CUDA_VISIBLE_DEVICES: 1}"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "{}"),
        ({"CUDA_VISIBLE_DEVICES": UUIDS[3]}, f"{{CUDA_VISIBLE_DEVICES: {UUIDS[2]}}}"),
        ({"CUDA_VISIBLE_DEVICES": SLICES[0]}, f"{{CUDA_VISIBLE_DEVICES: {SLICES[1]}}}"),
    ],
)
def test_two_runs_on_two_cards_are_both_let_in(checked, other, theirs, ours):
    other({}, theirs)
    asked = checked(a=("{}", ours))
    check_free(asked)
    assert hold_cards(asked, "run mine/1", share_gpu=False) == []


def test_the_cards_of_all_launches_are_held(checked, other):
    hold_cards(checked(a=("{}", "{}"), b=("{}", "{CUDA_VISIBLE_DEVICES: 2}")), "run mine/1", share_gpu=False)
    held = subprocess.run(
        [sys.executable, "-c", TAKEN, "{}", "{'CUDA_VISIBLE_DEVICES': '2'}"], capture_output=True, text=True
    )
    assert "GPU 2 is held by run mine/1" in held.stderr
    other({}, {"CUDA_VISIBLE_DEVICES": "1"})


def test_who_shares_is_let_onto_a_taken_card(checked, other):
    other({}, {})
    assert hold_cards(checked(a=("{}", "{}")), "run mine/1", share_gpu=True) == []


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_strangers_process_matters_on_the_cards_of_a_launch_alone(checked, four_gpus, number):
    (four_gpus / "apps").write_text(f"1, /usr/bin/train, 2048, {UUIDS[number]}\n")
    for named in (0, 1, 2):
        asked = checked(a=("{}", f"{{CUDA_VISIBLE_DEVICES: {named}}}"))
        if named == number:
            with pytest.raises(ExperimentError, match=rf"GPU {number} is used by pid 1 \(/usr/bin/train\); free are"):
                check_free(asked)
        else:
            check_free(asked)


def test_what_another_benchbook_runs_on_our_card_is_a_strangers(checked, four_gpus, tmp_path):
    owner = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    env = {**os.environ, processes.MARKER: "theirs"}
    engine = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], env=env)
    stat = processes.read_stat(owner.pid)
    entry = registry.HostEntry(
        host_id="theirs", name="x", kind="server", machine=os.uname().nodename, guardian_pid=owner.pid,
        guardian_start_ticks=stat.start_ticks, owner_pid=owner.pid, argv=[], started_utc="2026-11-26T10:00:00+00:00",
    )  # fmt: skip
    registry.write_entry(entry)
    (four_gpus / "apps").write_text(f"{engine.pid}, VLLM::EngineCore, 2048, {UUIDS[1]}\n")
    try:
        check_free(checked(a=("{}", "{}")))
        with pytest.raises(ExperimentError, match=f"GPU 1 is used by pid {engine.pid}"):
            check_free(checked(a=("{}", "{CUDA_VISIBLE_DEVICES: 1}")))
        owner.kill()
        owner.wait()
        check_free(checked(a=("{}", "{CUDA_VISIBLE_DEVICES: 1}")))  # its owner has ended, and so will it
    finally:
        for process in (owner, engine):
            process.kill()
            process.wait()


def test_a_refused_run_starts_nothing_and_leaves_nothing(checked, other, tmp_path, monkeypatch):
    other({}, {})
    asked = checked(a=("{}", "{}"))
    monkeypatch.setattr(session, "preflight_of", lambda file, sets: asked)
    monkeypatch.setattr(session, "check_loader", lambda experiment: None)
    told = {
        "new": True,
        "share_gpu": False,
        "command": "benchbook run exp.yaml",
        "listener": type("Quiet", (Listener,), {})(),
    }
    with pytest.raises(ExperimentError, match="GPU 0 is held by run other"):
        session.prepare_run(tmp_path / "exp.yaml", tmp_path / "results", **told)
    assert not (tmp_path / "results").exists()


def failing():
    raise OSError("no /proc")


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (lambda: "", []),
        (lambda: "other processes used 60 %", ["The machine is not quiet: other processes used 60 %. While"]),
        (failing, ["Nobody could look whether the machine is quiet: OSError: no /proc"]),
    ],
)
def test_where_nobody_can_look_whether_it_is_quiet_a_run_is_told_so_and_goes_on(look, said):
    told = []
    session._tell_found(ThreadPoolExecutor(1).submit(look), type("Told", (), {"say": staticmethod(told.append)}))
    assert len(told) == len(said) and all(line.startswith(start) for line, start in zip(told, said))


def test_plan_says_that_a_card_is_taken(checked, other, monkeypatch):
    monkeypatch.setattr(machine, "check_models", lambda checked: [])
    other({}, {})
    assert machine.machine_note(checked(a=("{}", "{}"))).startswith("`run` would be refused on this machine: ")


def test_where_nothing_can_be_locked_a_run_is_told_so(checked, monkeypatch):
    monkeypatch.setattr(holding, "hold", lambda *_, **__: False)
    (note,) = hold_cards(checked(a=("{}", "{}")), "run mine/1", share_gpu=False)
    assert "nothing can be locked" in note
