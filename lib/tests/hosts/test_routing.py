"""Experts are counted once for each model on a machine, never on the engine that is measured, and never guessed."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.hosts.model.files import ModelFiles
from benchbook.hosts.process.scratch import scratch_dir
from benchbook.hosts.vllm import routing
from benchbook.hosts.vllm.routing import known_routing, routing_of
from benchbook.terms.errors import Cause, HostStartError

COUNTED = {"decode": {"1": 2.0, "8": 10.3}, "prefill": {"512": 16.0}, "answers": 64, "distinct_answers": 63}
MOE = {"num_experts": 16, "num_experts_per_tok": 2, "vocab_size": 500}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty cache, and a process that has tried nothing."""
    monkeypatch.setattr(routing, "_failed", {})
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace the counting engine by one that has counted already, and return the commands that were started."""
    commands: list[list[str]] = []

    def spawn(argv, **_):
        commands.append(argv)
        Path(argv[argv.index("--out") + 1]).write_text(json.dumps(COUNTED))
        return SimpleNamespace(wait=lambda limit_s: 0, stop=lambda: None)

    monkeypatch.setattr(routing, "spawn", spawn)
    return commands


def files(folder: Path, config: dict = MOE, sha: str = "abc") -> ModelFiles:
    """Return a model in `folder` with this config.json."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return ModelFiles(str(folder), "m", True, False, sha, False)


def test_a_model_is_counted_once_and_then_known(tmp_path, spawned):
    model, args = files(tmp_path / "m"), {"load_format": "benchbook", "max_num_seqs": 256, "dtype": "bfloat16"}
    assert known_routing(model, args) is None
    found = routing_of(model, args, {}, tmp_path / "log")
    assert found == {"experts": 16, "active": 2, "vocabulary": 500, **COUNTED}
    assert routing_of(model, {**args, "max_num_seqs": 8}, {}, tmp_path / "log") == found == known_routing(model, args)
    (command,) = spawned
    assert command[command.index("--active") + 1] == "2" and command[command.index("--load-format") + 1] == "benchbook"
    assert "--max-num-seqs" not in command  # what is measured has its own; here it is the probe's
    assert scratch_dir() in Path(command[command.index("--out") + 1]).parents  # what is swept after a kill


def test_of_places_that_start_a_model_at_once_one_counts_and_the_others_wait_for_it(tmp_path, monkeypatch, spawned):
    counting, at_once = routing.spawn, []

    def spawn(argv, **more):
        at_once.append(time.monotonic())
        time.sleep(0.3)  # so long the others had time to begin
        return counting(argv, **more)

    monkeypatch.setattr(routing, "spawn", spawn)
    model = files(tmp_path / "m")
    with ThreadPoolExecutor(4) as places:
        found = list(places.map(lambda place: routing_of(model, {}, {}, tmp_path / f"log{place}"), range(4)))
    assert len(at_once) == len(spawned) == 1 and all(each == found[0] for each in found)


@pytest.mark.parametrize("other", [{"load_format": "dummy"}, {"quantization": "fp8"}, {"dtype": "float32"}])
def test_other_weights_of_the_same_model_are_counted_anew(other, tmp_path, spawned):
    model = files(tmp_path / "m")
    routing_of(model, {}, {}, tmp_path / "log")
    routing_of(model, other, {}, tmp_path / "log")
    routing_of(files(tmp_path / "m", sha="def"), {}, {}, tmp_path / "log")
    assert len(spawned) == 3


@pytest.mark.parametrize(
    "config", [{"vocab_size": 500}, {"num_experts": 0, "num_experts_per_tok": 2, "vocab_size": 9}, {}]
)
def test_a_model_without_experts_costs_no_start(config, tmp_path, spawned):
    assert routing_of(files(tmp_path / "m", config), {}, {}, tmp_path / "log") is None
    assert not spawned


def test_a_router_of_groups_is_not_counted_and_the_reason_stands_there(tmp_path, spawned):
    found = routing_of(files(tmp_path / "m", {**MOE, "n_group": 8}), {}, {}, tmp_path / "log")
    assert "groups of experts" in found["why_not"] and not spawned


@pytest.mark.parametrize(
    "exit_code, log, told",
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "out_of_memory"),
        (None, "", "took too long"),
    ],
)
def test_what_cannot_be_counted_is_told_and_tried_again_by_the_next_run_not_at_each_start(
    exit_code, log, told, tmp_path, monkeypatch
):
    tried = []

    def spawn(argv, *, log_path, **_):
        tried.append(argv)
        Path(log_path).write_text(log)
        return SimpleNamespace(wait=lambda limit_s: exit_code, stop=lambda: None)

    monkeypatch.setattr(routing, "spawn", spawn)
    model = files(tmp_path / "m")
    for _ in range(3):
        assert told in routing_of(model, {}, {}, tmp_path / "log")["why_not"]
    assert known_routing(model, {}) is None and len(tried) == 1
    monkeypatch.setattr(routing, "_failed", {})  # another process
    routing_of(model, {}, {}, tmp_path / "log")
    assert len(tried) == 2


def test_an_engine_that_does_not_even_start_costs_no_measurement(tmp_path, monkeypatch):
    def spawn(*_, **__):
        raise HostStartError("no such program", Cause("crashed", "", ""))

    monkeypatch.setattr(routing, "spawn", spawn)
    assert routing_of(files(tmp_path / "m"), {}, {}, tmp_path / "log") == {"why_not": "no such program"}
