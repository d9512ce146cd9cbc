"""What a run comes to need is loaded while it waits for something else, and never beside what is measured."""

import threading
from types import SimpleNamespace

import pytest
from benchbook.hosts.machine import peaks
from benchbook.hosts.machine.facts import Machine
from benchbook.measure import hardware
from benchbook.notebooks import execute
from benchbook.plan.experiment import Limits, load_experiment
from benchbook.plan.order import Repeat
from benchbook.records.record import Identity
from benchbook.sweep import session
from benchbook.sweep.preflight import Preflight
from benchbook.sweep.progress import Listener
from benchbook.sweep.repeat import run_repeat

FILE = """question: Which?
model: tiny
launches: {a: {args: {enforce_eager: true}}}
benchmarks:
  - serve: {max_concurrency: 1, lengths: [[64, 32]], num_prompts: 8}
"""
LIMIT_S = 10.0


@pytest.fixture
def experiment(tmp_path):
    (tmp_path / "x.yaml").write_text(FILE)
    return load_experiment(tmp_path / "x.yaml")


class Looked(Exception):
    """Ends the preparation of a run once the machine was looked at."""


def test_it_is_loaded_once_the_machine_is_let_through_and_while_that_is_looked_at(experiment, tmp_path, monkeypatch):
    order, is_loaded = [], threading.Event()

    def look(launch, look_s, since):
        is_loaded.wait(LIMIT_S)
        order.append("looked")
        return ""

    def probe(path, env, wait):
        raise Looked

    def load():
        order.append("loaded")
        is_loaded.set()

    monkeypatch.setattr(session, "preflight_of", lambda file, sets: Preflight(experiment, "0.32.0", True, True, ()))
    monkeypatch.setattr(session, "disturbance", look)
    for name in ("check_loader", "hold_cards", "check_models"):
        monkeypatch.setattr(session, name, lambda *_: [])
    monkeypatch.setattr(session, "check_machine", lambda part: order.append("let through") or [])
    monkeypatch.setattr(session.RunPlan, "of", lambda _: SimpleNamespace(models={"a": SimpleNamespace(path="")}))
    monkeypatch.setattr(session, "peaks_before_start", probe)
    listener = type("Quiet", (Listener,), {})()
    told = {"new": True, "share_gpu": False, "command": "", "listener": listener, "meanwhile": load}
    with pytest.raises(Looked):
        session.prepare_run(tmp_path / "x.yaml", tmp_path / "results", **told)
    assert order == ["let through", "loaded", "looked"]


def test_the_device_is_probed_once_all_is_loaded(tmp_path, monkeypatch):
    order, go_on = [], threading.Event()
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(hardware, "machine", Machine)
    monkeypatch.setattr(peaks, "_probe", lambda *_: order.append("probed") or {"kind": "unknown"})
    monkeypatch.setattr(execute, "papermill", lambda: go_on.wait(LIMIT_S))
    execute.load_ahead(lambda: order.append("loaded"))
    threading.Timer(0.2, go_on.set).start()
    peaks._probed.cache_clear()
    hardware.peaks_before_start(str(tmp_path), None, execute.wait_loaded)
    peaks._probed.cache_clear()
    assert order == ["loaded", "probed"]


def test_a_repeat_begins_once_all_is_loaded(experiment, tmp_path, monkeypatch):
    order, go_on = [], threading.Event()
    monkeypatch.setattr(execute, "papermill", lambda: go_on.wait(LIMIT_S))
    execute.load_ahead(lambda: order.append("loaded"))
    threading.Timer(0.2, go_on.set).start()
    host = SimpleNamespace(facts={}, parameters={}, plumbing={}, env={}, warmed={}, check_alive=lambda: None)
    repeat = Repeat(experiment.cases[0], 0, "server", 1)
    run_repeat(repeat, host, tmp_path, Identity(), Limits(), lambda *_, **__: order.append("measured"))
    assert order == ["loaded", "measured"]


def test_what_cannot_be_loaded_ahead_holds_nothing_up(monkeypatch):
    for what in (ImportError("no papermill"), OSError(24, "too many open files"), AttributeError("moved")):
        monkeypatch.setattr(execute, "papermill", lambda what=what: (_ for _ in ()).throw(what))
        execute.load_ahead()
        execute.wait_loaded()
