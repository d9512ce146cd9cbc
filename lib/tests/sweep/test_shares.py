"""A rate that is a share of what was answered at most: measured first, kept by a run that goes on, told in its records."""

import pytest
from benchbook.judge.pairs import match_cases
from benchbook.measure.recording import Recording
from benchbook.records.conditions import Conditions
from benchbook.records.handover import RECORD_FILE, Handover
from benchbook.records.header import RunState
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity, Outcome
from benchbook.report.table import tidy_table
from benchbook.sweep.planning import damaged_repeats
from benchbook.sweep.repeat import host_failed
from benchbook.sweep.session import asked_for
from test_runner import CAUSE, Bench, interrupt

SHARE = "serve: {lengths: [8, 4], request_rate_rps: [0.5 of throughput, 0.8 of throughput], num_prompts: 20}"


class Serving(Bench):
    """Answers `answered(case_id, repeat)` requests a second."""

    def run_repeat(self, repeat, host, folder, identity, limits, maximum_rps=None):
        if repeat.case.workload.row.times != "requests":
            return super().run_repeat(repeat, host, folder, identity, limits)
        self.calls.append((repeat.case.case_id, repeat.number, maximum_rps))
        if action := self.on_call.get(len(self.calls)):
            action(self)
        workload = repeat.case.workload.at_maximum(maximum_rps)
        recording = Recording(workload, folder / RECORD_FILE, Handover(identity=identity))
        number, rps = workload.num_prompts, self.answered(repeat.case.case_id, repeat.number)
        raw = {
            "completed": number if rps else 0,
            "total_input_tokens": number * 8,
            "total_output_tokens": number * 4,
            "request_throughput": rps,
            "output_throughput": 4 * rps,
        }
        recording.write_raw(raw)
        return recording.finish(raw, host=HostFacts(), conditions=Conditions(), way="test").record


@pytest.fixture
def bench(tmp_path, monkeypatch):
    serving = Serving(tmp_path, monkeypatch)
    serving.answered = lambda case_id, repeat: 10.0 + repeat
    return serving


def planned(bench, share=SHARE, launches="  eager:"):
    return bench.plan(more_launches=f"benchmarks:\n  - {share}", launches=launches)


def rates(store):
    return {
        (record.identity.launch, record.load.rate_rps) for record in store.records() if record.load and record.load.of
    }


def test_a_share_is_of_what_the_first_repeat_of_its_maximum_answered_in_every_round_and_launch(bench):
    two = "  other: {args: {max_model_len: 256}}\n  eager:"
    bench.answered = lambda case_id, repeat: {"other": 12.5, "eager": 40.0}[case_id.split(",")[0]] + repeat
    runner = bench.runner(plan=planned(bench, launches=two))
    assert runner.execute() == RunState.FINISHED
    assert rates(runner.store) == {(launch, rate) for launch in ("other", "eager") for rate in (6.25, 10.0)}
    assert sum("request_rate_rps=inf" in case_id for case_id, *_ in bench.calls) == 4  # two rounds of two launches


def test_a_run_that_was_interrupted_goes_on_with_the_rates_that_it_had(bench):
    bench.on_call = {6: interrupt}
    runner = bench.runner(plan=planned(bench))
    assert runner.execute() == RunState.INTERRUPTED
    bench.answered = lambda case_id, repeat: 77.0
    assert bench.runner(store=runner.store, plan=planned(bench)).execute() == RunState.FINISHED
    assert rates(runner.store) == {("eager", 5.0), ("eager", 8.0)}


def test_where_the_maximum_was_measured_anew_what_had_another_rate_is_too(bench):
    runner = bench.runner(plan=planned(bench))
    runner.execute()
    (path,) = runner.store.run_dir.glob(f"cases/*request_rate_rps=inf*/repeat=0/{RECORD_FILE}")
    path.unlink()
    bench.answered = lambda case_id, repeat: 20.0
    calls = len(bench.calls)
    again = bench.runner(store=runner.store, plan=planned(bench))
    assert again.execute() == RunState.FINISHED
    assert rates(runner.store) == {("eager", 10.0), ("eager", 16.0)}
    assert len(bench.calls) - calls == 1 + 2 * 2
    assert not damaged_repeats(runner.store, again.plan)


def test_who_asks_for_a_share_alone_gets_its_maximum_as_well(bench):
    runner = bench.runner(plan=planned(bench))
    runner.only = asked_for(runner.plan.experiment, ["request_rate_rps=0.8-of-throughput"])
    assert runner.execute() == RunState.PARTIAL
    assert {case_id.rpartition("=")[2] for case_id, *_ in bench.calls} == {"inf", "0.8-of-throughput"}


def test_a_maximum_that_gave_no_number_leaves_its_shares_without_a_rate(bench):
    bench.answered = lambda case_id, repeat: 0.0 if "inf" in case_id else 10.0
    runner = bench.runner(plan=planned(bench))
    runner.execute()
    of_shares = [maximum_rps for case_id, _, maximum_rps in bench.calls if "of-throughput" in case_id]
    assert of_shares and set(of_shares) == {None}


def test_a_table_has_the_rate_that_was_offered_and_other_rates_are_another_load(bench):
    runner = bench.runner(plan=planned(bench))
    runner.execute()
    records = runner.store.records()
    shares = [record for record in records if record.load and record.load.of]
    assert set(tidy_table(shares)["request_rate_rps"]) == {5.0, 8.0}
    assert {record.workload["request_rate_rps"] for record in shares} == {"0.5 of throughput", "0.8 of throughput"}
    faster = [
        record.model_copy(update={"load": record.load.model_copy(update={"value": 2 * record.load.value})})
        for record in shares
    ]
    assert len(match_cases(shares, shares)[0]) == 2 and not match_cases(shares, faster)[0]
    assert len(match_cases(shares, faster)[1]) == 2


def test_a_share_that_was_not_measured_has_no_load(bench):
    plan = planned(bench)
    repeat = next(one for block in plan.experiment.planned_rounds() for one in block.repeats if one.case.maximum)
    record = host_failed(repeat, bench.tmp_path / "failed", Identity(), CAUSE, "")
    assert record.outcome is Outcome.HOST_FAILED and record.load is None
    assert repeat.case.workload.load.of  # as far as is planned
