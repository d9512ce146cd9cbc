"""Executors and proposers: what a run needs of where blocks run is their results, and what is proposed follows from records."""

import pickle
from dataclasses import dataclass, field, replace

import pytest
from benchbook.plan.order import Block
from benchbook.records.header import RunHeader, RunState
from benchbook.sweep.added_rounds import AddedRounds
from benchbook.sweep.block import run_block
from benchbook.sweep.block_result import Work
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.proposers import Proposal
from benchbook.terms.errors import HostStartError
from test_runner import CAUSE, SETTLES, UNTIL, Bench, interrupt

TWO = {"launches": "  other: {args: {max_model_len: 256}}\n  eager:"}


class Mute:
    """Told all, passes on nothing; wants nothing more."""

    def __getattr__(self, name):
        return lambda *_: None

    def more(self, block):
        return ()


@dataclass
class Far:
    """Takes all blocks at once, runs the last first, tells nothing meanwhile and sends results through a pipe."""

    bench: Bench
    blocks: list[Block] = field(default_factory=list)

    def run(self, blocks, work, listener):
        blocks = list(blocks)[::-1]
        self.blocks += blocks
        for block in blocks:
            there, work_there = pickle.loads(pickle.dumps((block, work)))
            result = run_block(there, work_there, self.bench.open_host, Mute(), run_repeat=self.bench.run_repeat)
            yield pickle.loads(pickle.dumps(result))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def header_of(runner):
    """Return what run.json says but for times and for the order of what ran."""
    header = runner.store.header()
    timed = {key: len(times) for key, times in header.wall_s_by_job.items()}
    rows = [{name: value for name, value in row if name != "case_key"} for row in header.plan]
    starts = {name: len(launch.hosts) for name, launch in header.launches.items()}
    return header.state, timed, rows, starts, header.reached


@pytest.mark.parametrize("changes", [{}, TWO, {**TWO, **UNTIL}, {"repeats": "repeats: {starts: 3}"}], ids=str)
def test_results_alone_give_the_same_run_json_as_blocks_that_are_listened_to(tmp_path, monkeypatch, changes):
    found = []
    for name in ("here", "far"):
        (tmp_path / name).mkdir()
        bench = Bench(tmp_path / name, monkeypatch)
        bench.throughput = lambda case_id, repeat: SETTLES[repeat]
        runner = bench.runner(plan=bench.plan(**changes))
        runner.executor = Far(bench) if name == "far" else runner.executor
        assert runner.execute() == RunState.FINISHED
        state, timed, rows, starts, reached = header_of(runner)
        # Which repeat of a case is the one that warms its host up depends on the order alone.
        cases = {key.removesuffix(" warm"): 0 for key in timed}
        for key, number in timed.items():
            cases[key.removesuffix(" warm")] += number
        found.append((state, cases, [{**row, "fingerprint": ""} for row in rows], starts, reached))
    assert found[0] == found[1]


def test_rounds_that_no_far_host_is_asked_for_come_as_blocks_of_their_own(bench):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    runner = bench.runner(plan=bench.plan(**UNTIL))
    runner.executor = far = Far(bench)
    assert runner.execute() == RunState.FINISHED and bench.starts == {"server": 3, "engine": 1}
    assert [{repeat.number for repeat in block.repeats} for block in far.blocks] == [{0, 1}, {0, 1}, {2}, {3}]


def test_a_host_that_is_given_up_far_away_is_not_started_for_later_rounds(bench):
    bench.start_error = HostStartError("server exited with code 1; end of log", CAUSE)
    runner = bench.runner(plan=bench.plan(**TWO))
    runner.executor = Far(bench)  # which takes both rounds before it knows
    assert runner.execute() == RunState.FAILED and bench.starts == {"server": 4, "engine": 4}
    again = bench.runner(plan=bench.plan(**TWO))  # one that takes a block when it begins it
    bench.starts.clear()
    assert again.execute() == RunState.FAILED and bench.starts == {"server": 2, "engine": 2}
    for each in (runner, again):
        assert {record.failure.code for record in each.store.records()} == {"out_of_memory"}
        assert len(each.store.records()) == 16


def test_a_run_that_was_interrupted_here_is_finished_far_away(bench):
    bench.on_call = {4: interrupt}
    first = bench.runner()
    assert first.execute() == RunState.INTERRUPTED
    bench.on_call, before = {}, len(bench.calls)
    second = bench.runner(first.store)
    second.executor = Far(bench)
    assert second.execute() == RunState.FINISHED and len(bench.calls) - before == 5


def test_what_became_of_a_block_says_where_its_records_are(bench):
    bench.on_call = {1: lambda bench: None}
    runner = bench.runner()
    work = Work(runner.plan, runner.store)
    runner.store.write_header(RunHeader())
    block = runner.plan.experiment.planned_rounds()[0]
    result = run_block(block, work, bench.open_host, Mute(), run_repeat=bench.run_repeat)
    assert [attempt.number for attempt in result.attempts] == [1, 2, 1, 1, 1, 1, 1]
    assert [attempt.is_measured for attempt in result.attempts] == [False] + [True] * 6
    for attempt in result.attempts[1:]:
        key = work.plan.cases[attempt.repeat.case.case_id].key
        assert work.store.find(key, attempt.repeat.number).identity.attempt == attempt.number
    assert len(result.starts) == 1 and result.given_up is None


@dataclass
class OnceMore:
    """Proposes the first repeat of each case once more, as a third one, and then nothing."""

    plan: RunPlan

    def next(self, host_kind, results):
        done = [attempt.repeat for result in results for attempt in result.attempts]
        if any(repeat.number == 2 and repeat.host_kind == host_kind for repeat in done):
            return Proposal()
        (block,) = [each for each in self.plan.experiment.planned_rounds() if each.host_kind == host_kind]
        third = tuple(replace(repeat, number=2) for repeat in block.repeats if repeat.number == 0)
        return Proposal((replace(block, repeats=third),), "because", {repeat.case.case_id: 3 for repeat in third})

    def goes_on(self, block):
        return True

    def reached(self):
        return {}


def test_any_proposer_may_ask_for_further_repeats_beside_the_rounds_until_known(bench):
    runner = bench.runner()
    runner.proposers = [AddedRounds(runner.plan, runner.store), OnceMore(runner.plan)]
    assert runner.execute() == RunState.FINISHED and len(runner.store.records()) == 4 * 3
    assert {row.repeats for row in runner.store.header().plan} == {3}
    assert runner.listener.lines.count("because") == 2
    assert bench.starts == {"server": 1, "engine": 1}, "on the hosts that are there"
