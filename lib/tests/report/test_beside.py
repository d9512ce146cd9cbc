"""Chapters made by other processes: they are those that the cells would make, and none is missing where it fails."""

import os
import time

import pytest
from benchbook import other_processes
from benchbook.report import beside, cells
from benchbook.report.beside import begin, made
from benchbook.report.markup import Html
from benchbook.report.run import load_run
from report_runs import make_run

HERE = os.getpid()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "LEAST_CASES", 1)
    monkeypatch.setattr(other_processes, "cpus", lambda: 2)
    return load_run(make_run(tmp_path, launches=("eager", "compiled"), repeats=3))


def maker(run):
    return [Html(os.getpid())]


def maker_here(run):
    return [Html("here")]


def dying(run):
    if os.getpid() != HERE:
        os._exit(1)
    return [Html("here")]


def failing(run):
    raise ValueError("of a damaged run")


def hanging(run):
    if os.getpid() != HERE:
        time.sleep(60)
    return [Html("here")]


@pytest.mark.parametrize("cores", [2, 3, 4, 16])
def test_a_large_runs_chapters_are_those_that_its_cells_would_make(run, monkeypatch, cores):
    monkeypatch.setattr(other_processes, "cpus", lambda: cores)
    chapters = (cells._comparison, cells._tradeoff, cells._roofline)
    begin(run, chapters, (cells._throughput, cells._latency, cells._saved_table))
    chapters += (cells._saved_table, cells._latency, cells._throughput)
    assert [made(run, chapter) for chapter in chapters] == [chapter(run) for chapter in chapters]


def test_another_process_makes_them_once_and_ends(run):
    begin(run, [maker])
    begin(run, [maker])
    (pid,) = made(run, maker)
    assert pid != str(HERE)
    assert made(run, maker) == [pid]
    with pytest.raises(ChildProcessError):
        os.waitpid(int(pid), 0)


def test_while_one_is_waited_for_others_are_made_here_once_and_all_are_right(run):
    made_here = []

    def slow(run):
        time.sleep(0.5)
        return [Html("slow")]

    def other(run):
        made_here.append(os.getpid())
        return [Html("other")]

    begin(run, beside=[slow], meanwhile=[other, failing])
    assert made(run, slow) == ["slow"] and made_here == [HERE]
    assert made(run, other) == ["other"] and made_here == [HERE]
    with pytest.raises(ValueError, match="of a damaged run"):
        made(run, failing)


def test_with_more_cores_nothing_is_made_here(run, monkeypatch):
    monkeypatch.setattr(other_processes, "cpus", lambda: 4)
    begin(run, beside=[maker], meanwhile=[dying, cells._tradeoff])
    assert made(run, maker) != [str(HERE)] and made(run, cells._tradeoff) == cells._tradeoff(run)
    assert made(run, dying) == ["here"]


@pytest.mark.parametrize("cores", [0.5, 1, 1.9])
def test_with_one_core_all_is_made_here(run, monkeypatch, cores):
    monkeypatch.setattr(other_processes, "cpus", lambda: cores)
    begin(run, [maker])
    assert made(run, maker) == [str(HERE)]


def test_what_nobody_waited_for_is_made_in_its_own_cell(run):
    begin(run, beside=[maker], meanwhile=[failing, maker_here])
    assert made(run, maker_here) == ["here"] and made(run, maker) != [str(HERE)]


def test_a_small_run_is_told_by_one_process(tmp_path):
    run = load_run(make_run(tmp_path))
    begin(run, [maker])
    assert made(run, maker) == [str(HERE)]


@pytest.mark.parametrize("broken", [dying, hanging])
def test_what_a_process_does_not_give_is_made_here(run, monkeypatch, broken):
    monkeypatch.setattr(other_processes, "LIMIT_S", 1)
    begin(run, [maker, broken, cells._roofline])
    assert made(run, broken) == ["here"]
    assert made(run, maker) != [str(HERE)]
    assert made(run, cells._roofline) == cells._roofline(run)


def test_what_fails_there_fails_in_its_cell(run):
    begin(run, [failing])
    with pytest.raises(ValueError, match="of a damaged run"):
        made(run, failing)
