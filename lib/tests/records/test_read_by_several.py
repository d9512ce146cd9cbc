"""Many records are read by several processes, and are the same as read by one; what another fails to give, the first reads."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from benchbook import other_processes
from benchbook.other_processes import OtherProcess, shared
from benchbook.records import store
from benchbook.records.store import Store

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
HERE = os.getpid()
ITEMS = list(range(10))


@pytest.fixture
def cores(monkeypatch):
    """Return what gives this process so many cores."""

    def give(number):
        monkeypatch.setattr(other_processes, "cpus", lambda: number)

    give(2)
    return give


def whose(items):
    return [(item, os.getpid()) for item in items]


def only_here(*, then):
    """Return work that another process does not bring to its end."""

    def work(items):
        if os.getpid() != HERE:
            then()
        return whose(items)

    return work


@pytest.mark.parametrize("number", [2, 16])
@pytest.mark.parametrize("name", ["h200_curve", "tuned"])
def test_several_processes_read_what_one_reads_and_name_the_same_damage(tmp_path, monkeypatch, cores, name, number):
    cores(number)
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


def test_the_second_process_does_the_smaller_part_and_has_ended_then(cores):
    first, others = shared(whose, ITEMS)
    ((_, other), *_) = others
    assert first == whose(ITEMS[:6]) and others == [(item, other) for item in ITEMS[6:]] and other != HERE
    with pytest.raises(ChildProcessError):
        os.waitpid(other, 0)


@pytest.mark.parametrize(
    "then", [lambda: os._exit(1), lambda: time.sleep(60), lambda: 1 / 0], ids=["dies", "hangs", "fails"]
)
def test_what_the_second_process_does_not_give_is_done_here(monkeypatch, cores, then):
    monkeypatch.setattr(other_processes, "LIMIT_S", 1)
    assert shared(only_here(then=then), ITEMS) == [whose(ITEMS[:6]), whose(ITEMS[6:])]


@pytest.mark.parametrize("number", range(18))
def test_with_more_cores_all_is_shared_by_four_at_most_in_order_and_none_is_lost(cores, number):
    cores(16)
    parts = shared(whose, list(range(number)))
    assert [item for part in parts for item, _ in part] == list(range(number))
    whose_parts = [{pid for _, pid in part} for part in parts]
    assert len(parts) <= 4 and whose_parts[0] <= {HERE} and all(len(pids) == 1 for pids in whose_parts[1:])
    assert number < 9 or len(set().union(*whose_parts)) == 4


def test_with_one_core_or_no_process_to_be_had_all_is_done_here(cores, monkeypatch):
    cores(1)
    assert shared(whose, ITEMS) == [whose(ITEMS)]
    cores(0.5)
    assert shared(whose, ITEMS) == [whose(ITEMS)]
    cores(2)
    monkeypatch.setattr(os, "fork", none_left)
    assert shared(whose, ITEMS) == [whose(ITEMS[:6]), whose(ITEMS[6:])]


def none_left():
    raise BlockingIOError("Resource temporarily unavailable")


def test_whether_a_piece_is_still_to_come_is_told_without_waiting():
    second = OtherProcess([lambda: time.sleep(0.5), lambda: "done"])
    assert second.is_to_come(0) and second.is_to_come(1)
    assert second.result(1) == "done" and not second.is_to_come(0) and second.result(0) is None
