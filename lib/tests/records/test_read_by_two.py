"""Many records are read by two processes, and are the same as read by one; what the second fails to give, the first reads."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from benchbook import second_process
from benchbook.records import store
from benchbook.records.store import Store
from benchbook.second_process import SecondProcess, shared

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
HERE = os.getpid()
ITEMS = list(range(10))


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def whose(items):
    return [(item, os.getpid()) for item in items]


def only_here(*, then):
    """Return work that another process does not bring to its end."""

    def work(items):
        if os.getpid() != HERE:
            then()
        return whose(items)

    return work


@pytest.mark.parametrize("name", ["h200_curve", "tuned"])
def test_two_processes_read_what_one_reads_and_name_the_same_damage(tmp_path, monkeypatch, two_cores, name):
    run = shutil.copytree(REFERENCE / name, tmp_path / name)
    paths = sorted(run.glob("cases/*/repeat=0/record.json"))
    paths[0].write_bytes(paths[0].read_bytes()[:-9])
    paths[-1].unlink()
    paths[-1].symlink_to("nowhere")
    monkeypatch.setattr(store, "MANY", 10**9)
    alone, damage_alone = Store(run).read_records()
    monkeypatch.setattr(store, "MANY", 1)
    records, damage = Store(run).read_records()
    assert records == alone and damage == damage_alone and len(damage) == 2
    assert [record.model_dump_json() for record in records] == [record.model_dump_json() for record in alone]
    assert [record.model_fields_set for record in records] == [record.model_fields_set for record in alone]
    assert [hash(record.host.facts) for record in records] == [hash(record.host.facts) for record in alone]


def test_the_second_process_does_the_smaller_part_and_has_ended_then(two_cores):
    first, others = shared(whose, ITEMS)
    ((_, other), *_) = others
    assert first == whose(ITEMS[:6]) and others == [(item, other) for item in ITEMS[6:]] and other != HERE
    with pytest.raises(ChildProcessError):
        os.waitpid(other, 0)


@pytest.mark.parametrize(
    "then", [lambda: os._exit(1), lambda: time.sleep(60), lambda: 1 / 0], ids=["dies", "hangs", "fails"]
)
def test_what_the_second_process_does_not_give_is_done_here(monkeypatch, two_cores, then):
    monkeypatch.setattr(second_process, "LIMIT_S", 1)
    assert shared(only_here(then=then), ITEMS) == [whose(ITEMS[:6]), whose(ITEMS[6:])]


def test_with_one_core_or_no_process_to_be_had_all_is_done_here(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert shared(whose, ITEMS) == [whose(ITEMS)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "fork", none_left)
    assert shared(whose, ITEMS) == [whose(ITEMS)]


def none_left():
    raise BlockingIOError("Resource temporarily unavailable")


def test_whether_a_piece_is_still_to_come_is_told_without_waiting():
    second = SecondProcess([lambda: time.sleep(0.5), lambda: "done"])
    assert second.is_to_come(0) and second.is_to_come(1)
    assert second.result(1) == "done" and not second.is_to_come(0) and second.result(0) is None
