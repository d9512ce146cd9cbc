"""Asked of a run under way, by files in its folder: stop after this repeat, skip a case, try again; and what it is at."""

import os

import pytest
from benchbook.records.control import Control
from benchbook.records.header import RunState
from benchbook.records.now import NOW_FILE, read_now
from benchbook.records.record import Outcome
from benchbook.terms.errors import HostStartError
from test_executors import TWO, Far
from test_runner import CAUSE, SETTLES, UNTIL, Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def during(bench, **actions):
    """Have `actions` done during the calls of their numbers, `call_3=...`; each is given the run's Control."""

    def throughput(case_id, repeat):
        if action := actions.get(f"call_{len(bench.calls)}"):
            (run_dir,) = (bench.tmp_path / "results" / "small").glob("2*")
            action(Control(run_dir))
        return SETTLES[repeat % len(SETTLES)]

    bench.throughput = throughput


def key_of(runner, part):
    """Return the key of the one case whose name has `part`."""
    (key,) = [planned.key for case_id, planned in runner.plan.cases.items() if part in case_id]
    return key


@pytest.mark.parametrize("far", [False, True], ids=["here", "far away"])
def test_a_run_that_is_asked_to_stop_ends_after_the_repeat_under_way_and_goes_on_later(bench, far):
    during(bench, call_3=lambda control: control.stop())
    first = bench.runner()
    first.executor = Far(bench) if far else first.executor
    assert first.execute() == RunState.INTERRUPTED == first.store.header().state
    assert len(first.store.records()) == 3 and "Stopped between two repeats, as asked." in first.listener.lines
    second = bench.runner(first.store)
    assert second.execute() == RunState.FINISHED, "what was asked of the earlier process is forgotten"
    assert len(bench.calls) == 8 == len({call[:2] for call in bench.calls})


def test_a_stop_while_a_host_starts_measures_nothing_more(bench):
    runner, open_host = bench.runner(), bench.open_host

    def stop_and_open(*given):
        runner.store.control.stop()
        return open_host(*given)

    runner.executor.open_host = stop_and_open
    assert runner.execute() == RunState.INTERRUPTED
    assert bench.starts == {"server": 1} and not bench.calls, "the engine is not even started"


def test_of_a_run_that_stops_no_rounds_are_added(bench):
    during(bench, call_2=lambda control: control.stop())
    runner = bench.runner(plan=bench.plan(**UNTIL))
    assert runner.execute() == RunState.INTERRUPTED and len(bench.calls) == 2


@pytest.mark.parametrize("far", [False, True], ids=["here", "far away"])
def test_a_case_that_is_skipped_is_not_measured_any_more_and_the_run_is_partial(bench, far):
    runner = bench.runner()
    runner.executor = Far(bench) if far else runner.executor
    skipped = key_of(runner, "max_concurrency=2")
    during(bench, call_1=lambda control: control.skip(skipped))
    assert runner.execute() == RunState.PARTIAL == runner.store.header().state
    left = [record for record in runner.store.records() if record.identity.case_key == skipped]
    assert len(runner.store.records()) == 6 + len(left) and len(left) <= 1
    during(bench)
    assert bench.runner(runner.store).execute() == RunState.FINISHED, "a later run measures it"


def test_a_host_all_of_whose_cases_are_skipped_is_not_started(bench):
    runner = bench.runner()
    skipped = key_of(runner, "latency")
    during(bench, call_1=lambda control: control.skip(skipped))
    assert runner.execute() == RunState.PARTIAL and bench.starts == {"server": 1}


def test_no_round_is_added_for_the_sake_of_a_case_that_is_skipped(bench):
    runner = bench.runner(plan=bench.plan(**UNTIL))
    skipped = key_of(runner, "max_concurrency=1")
    during(bench, call_1=lambda control: control.skip(skipped))
    runner.execute()
    assert max((repeat for case_id, repeat, _ in bench.calls if "max_concurrency=1" in case_id), default=0) <= 1
    assert max(repeat for case_id, repeat, _ in bench.calls if "max_concurrency=2" in case_id) > 1


def test_a_skipped_case_of_which_all_was_measured_leaves_the_run_finished(bench):
    runner = bench.runner()
    skipped = key_of(runner, "max_concurrency=2")
    during(bench, call_8=lambda control: control.skip(skipped))
    assert runner.execute() == RunState.FINISHED
    assert not (runner.store.run_dir / "control").exists(), "of a finished run nothing is asked"


def test_what_failed_is_tried_again_when_asked_on_another_start_once_all_else_is_measured(bench):
    runner = bench.runner()
    failing = key_of(runner, "max_concurrency=2")

    def fail(bench):
        pass

    first = next(repeat.case.case_id for repeat in runner.plan.experiment.planned_rounds()[0].repeats)
    bench.on_call = {1: fail, 2: fail}
    failing = runner.plan.cases[first].key
    during(bench, call_3=lambda control: control.try_again(failing))
    assert runner.execute() == RunState.FINISHED
    assert bench.calls[-1] == (first, 0, 3) and bench.starts == {"server": 2, "engine": 1}
    assert sum(line.startswith("  tried again, as asked") for line in runner.listener.lines) == 1
    assert len(runner.store.header().launches["eager"].hosts) == 3, "each start is noted"


def test_a_host_that_was_given_up_is_started_again_when_somebody_asks_for_its_cases(bench):
    bench.start_error, open_host = HostStartError("exited with code 1; end of log", CAUSE), bench.open_host
    runner = bench.runner()
    failing = key_of(runner, "max_concurrency=1")

    def ask_and_open(launch, kind, *given):
        if kind == "engine":  # the server was given up
            bench.start_error = None
            runner.store.control.try_again(failing)
        return open_host(launch, kind, *given)

    runner.executor.open_host = ask_and_open
    assert runner.execute() == RunState.FAILED
    assert bench.starts == {"server": 2, "engine": 1}
    failed = {record.identity.case_key for record in runner.store.records() if record.outcome is Outcome.HOST_FAILED}
    assert failing not in failed and len(failed) == 2, "of the others nobody asked"


def test_a_case_that_was_skipped_and_is_asked_for_again_is_measured_after_all(bench):
    runner = bench.runner()
    key = key_of(runner, "max_concurrency=1")
    during(bench, call_1=lambda control: control.skip(key), call_6=lambda control: control.try_again(key))
    assert runner.execute() == RunState.FINISHED and len(bench.calls) == 8
    assert key.startswith(bench.calls[-1][0]), "at the end"


def test_what_is_tried_again_and_fails_again_is_not_tried_for_ever(bench):
    runner = bench.runner()
    bench.on_call = {number: lambda bench: None for number in range(1, 99)}
    Control(runner.store.run_dir)
    keys = [planned.key for planned in runner.plan.cases.values()]
    bench.on_call[1] = lambda bench: [runner.store.control.try_again(key) for key in keys]
    assert runner.execute() == RunState.FAILED and len(bench.calls) == 32


def test_launches_that_take_turns_go_on_without_what_is_skipped(bench):
    runner = bench.runner(plan=bench.plan(**TWO))
    keys = [planned.key for case_id, planned in runner.plan.cases.items() if case_id.startswith("other,")]
    during(bench, call_1=lambda control: [control.skip(key) for key in keys])
    assert runner.execute() == RunState.PARTIAL
    assert {case_id.partition(",")[0] for case_id, *_ in bench.calls[1:]} == {"eager"}
    assert bench.starts["server"] <= 3, "of the other launch at most the start that was there"


def test_what_a_run_is_at_stands_in_its_folder_while_it_is_measured(bench):
    seen = []
    during(bench, call_4=lambda control: seen.append(read_now(control.run_dir)))
    runner = bench.runner()
    runner.execute()
    (now,) = seen
    assert now.pid == os.getpid() and now.what == f"{bench.calls[3][0]} repeat {bench.calls[3][1]}"
    assert now.began_s <= now.since_s and now.left.seconds > 0
    assert not (runner.store.run_dir / NOW_FILE).exists()


def test_a_run_goes_on_where_nothing_can_be_noted_of_it(bench):
    runner = bench.runner()
    (runner.store.run_dir / NOW_FILE).mkdir(parents=True)  # no file can take its place
    assert runner.execute() == RunState.FINISHED


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": -1, "began_s": 0, "since_s": "x"}'])
def test_what_is_damaged_tells_nothing(tmp_path, text):
    (tmp_path / NOW_FILE).write_text(text)
    assert read_now(tmp_path) is None


def test_a_file_by_any_means_asks_as_well(tmp_path):
    control = Control(tmp_path)
    assert not control.is_stopping and not control.skipped and not control.again
    for name in ("stop", "skip/one", "again/two"):
        (tmp_path / "control" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "control" / name).touch()
    assert control.is_stopping and control.skipped == {"one"} and control.again == {"two"}
    control.try_again("one")
    control.begun("two")
    assert not control.skipped and control.again == {"one"}
    control.forget()
    assert not control.is_stopping and not control.again and not (tmp_path / "control").exists()
