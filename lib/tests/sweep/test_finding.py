"""Searches for the most load that holds: which loads are measured, what is said, and that interrupts lose nothing."""

from __future__ import annotations

import hashlib
import random

import pytest
from benchbook.measure.recording import Recording
from benchbook.plan.experiment import load_experiment
from benchbook.records.handover import RECORD_FILE, Handover
from benchbook.records.header import RunState
from benchbook.records.host import HostFacts
from benchbook.records.store import Store
from benchbook.report.answer import answer
from benchbook.report.caveats import caveats
from benchbook.report.run import load_run
from benchbook.sweep.executors import Local
from benchbook.sweep.finding import Finding, find_facts
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preview import preview
from benchbook.sweep.runner import Runner
from benchbook.sweep.session import asked_for
from benchbook.terms.errors import ExperimentError
from rich.console import Console
from test_runner import Bench, Listener

EXPERIMENT = """
question: How many?
model: {model}
launches: {{{launches}}}
benchmarks: [serve: {{lengths: [[8, 4]], num_prompts: 4, {serve}find: {{{find}}}}}]
{rest}
"""
USERS = "max_concurrency: {from: 1, to: 64}, within: 10 %"
SLO = "slo: {p90_ttft_ms: 100}"


class Searched(Bench):
    """A bench whose server's latency rises with the load: `latency_ms` of so many in flight, and what repeats vary by."""

    latency_ms = staticmethod(lambda load: 100.0 * load / 20.5)
    spread = 0.02
    more = staticmethod(lambda load: {})  # of a raw file
    dies_at = 0  # the call at which the person interrupts

    def run_repeat(self, repeat, host, folder, identity, limits):
        self.calls.append((repeat.case.case_id, repeat.number, identity.attempt))
        if len(self.calls) == self.dies_at:
            raise KeyboardInterrupt
        load = repeat.case.workload.load.value
        luck = int(hashlib.sha256(f"{load} {repeat.number}".encode()).hexdigest()[:8], 16) / 16**8 - 0.5
        latency_ms = self.latency_ms(load) * (1 + 2 * self.spread * luck)
        raw = {"completed": 4, "total_input_tokens": 32, "total_output_tokens": 16, "p90_ttft_ms": latency_ms,
               "output_throughput": 100 * load / (5 + load) * (1 + 0.1 * self.spread * luck), **self.more(load)}  # fmt: skip
        recording = Recording(repeat.case.workload, folder / RECORD_FILE, Handover(identity=identity))
        recording.write_raw(raw)
        return recording.finish(raw, host=HostFacts(), way="test").record

    def plan(self, find=USERS, rest=SLO, launches="eager: {args: {max_model_len: 64}}", serve=""):
        path = self.tmp_path / "small.yaml"
        path.write_text(EXPERIMENT.format(model=self.model, find=find, rest=rest, launches=launches, serve=serve))
        return RunPlan.of(load_experiment(path))

    def runner(self, store=None, plan=None):
        store = store or Store.create(self.tmp_path / "results", "small")
        plan, executor = plan or self.plan(), Local(self.open_host, self.run_repeat)
        runner = Runner(plan, store, Listener(), "benchbook run small.yaml", executor, [Finding(plan, store)])
        if (store.run_dir / "run.json").exists():
            runner.header = store.header()
        return runner


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Searched(tmp_path, monkeypatch)


def loads(bench) -> list[int]:
    return [int(case_id.split("max_concurrency=")[1].split(",")[0]) for case_id, _, _ in bench.calls]


def said(runner) -> list[str]:
    return answer(load_run(runner.store.run_dir))


def test_a_search_measures_few_loads_on_one_start_and_its_answer_comes_first(bench):
    runner = bench.runner()
    assert runner.execute() is RunState.FINISHED
    assert bench.starts == {"server": 1}
    assert list(dict.fromkeys(loads(bench)))[:6] == [1, 2, 4, 8, 16, 33]
    text = " ".join(said(runner))
    assert "20 requests in flight hold and 22 fail: the most is 20 to 21 (95 %; eager, 8 in / 4 out)" in text
    assert "What binds is p90 TTFT: " in text and f"loads in {len(bench.calls)} repeats" in text
    doubts = " ".join(caveats(load_run(runner.store.run_dir)))
    assert "measures a load as often as its decision needs" in doubts and "was planned with" not in doubts
    rows = runner.store.header().plan
    assert {row.case_id: row.repeats for row in rows} == {
        case_id: len([1 for each, _, _ in bench.calls if each == case_id]) for case_id, _, _ in bench.calls
    }


def test_a_search_that_is_interrupted_again_and_again_measures_what_it_would_have_and_nothing_twice(bench):
    bench.runner().execute()
    whole, bench.calls = [(case_id, number) for case_id, number, _ in bench.calls], []
    draw, store, cut = random.Random(0), Store.create(bench.tmp_path / "results", "small"), []
    while True:
        bench.dies_at = len(bench.calls) + draw.randint(1, 2)
        if bench.runner(store=store).execute() is RunState.FINISHED:
            break
        cut.append(bench.dies_at - 1)
    assert len(cut) >= 15
    done = [(case_id, number) for place, (case_id, number, _) in enumerate(bench.calls) if place not in cut]
    assert done == whole


@pytest.mark.parametrize(
    ("latency_ms", "sentence"),
    [
        (lambda load: 20.0, "64 requests in flight hold, the most of the search"),
        (lambda load: 200.0 + load, "not even 1 request in flight holds, the least of the search"),
        (lambda load: 20.0 if load < 30 else 900.0, "It is a cliff: p90 TTFT is 45.0 times as long"),
        (lambda load: 900.0 if 8 <= load < 12 else load, "It does not fail for good: 16 hold again"),
    ],
)
def test_how_loads_fail_is_said(bench, latency_ms, sentence):
    bench.latency_ms = latency_ms
    runner = bench.runner()
    runner.execute()
    assert any(sentence in each for each in said(runner)), said(runner)


def test_a_load_at_the_limit_is_left_open_with_what_would_decide_it(bench):
    bench.latency_ms, bench.spread = (lambda load: 99.0 + load / 20), 0.05
    runner = bench.runner()
    runner.execute()
    text = " ".join(said(runner))
    assert "Not decided: " in text and ("would likely decide" in text or "as good as at the limit" in text)
    assert max(number for _, number, _ in bench.calls) < 8


def test_saturation_is_where_a_doubling_adds_too_little(bench):
    runner = bench.runner(plan=bench.plan(f"{USERS}, saturation: 10 %", rest=""))
    assert runner.execute() is RunState.FINISHED
    # 100 n / (5 + n) grows by 10 % from n to 2 n where n is 22.5
    (sentence,) = (each for each in said(runner) if "saturates at" in each)
    low, high = map(int, sentence.split("saturates at ")[1].split(" (")[0].replace("to", "").split())
    assert low - 1 <= 22.5 <= high and high <= 28


def test_a_share_of_requests_within_their_limits_is_what_holds_where_it_is_asked_for(bench):
    bench.more = lambda load: {"request_throughput": 10.0, "request_goodput": 10.0 if load <= 12 else 2.0}
    plan = bench.plan(f"{USERS}, attainment: 0.5", rest="", serve="slo_ttft_ms: 50, ")
    runner = bench.runner(plan=plan)
    runner.execute()
    text = " ".join(said(runner))
    assert "50 % of requests within TTFT 50 ms), 12 requests in flight hold and 13 fail" in text
    assert "What binds is the share of requests within their limits: 20.0 ± 0.0 %" in text


def test_a_rate_holds_while_the_server_keeps_up_with_it_whatever_the_limits(bench):
    bench.latency_ms = lambda load: 10.0

    def more(rate):
        took_s = 4 / min(rate, 6.0) + 0.2
        return {"request_throughput": 4 / took_s, "duration": took_s, "mean_e2el_ms": 200.0 if rate < 6 else 210.0}

    bench.more = lambda rate: more(rate) if rate < 6 else more(rate) | {"request_throughput": 1.0}
    runner = bench.runner(plan=bench.plan("request_rate_rps: {from: 1, to: 16}, within: 20 %"))
    runner.execute()
    (first, *_) = (each for each in said(runner) if "req/s holds" in each)
    low, high = (
        float(each.split()[-1])
        for each in first.split(" req/s holds and ")[0:1] + [first.split("holds and ")[1].split(" fails")[0]]
    )
    assert low < 6 <= high and "What binds is keeping up with the rate" in " ".join(said(runner))


def test_a_search_waits_for_a_load_that_is_skipped_and_the_next_run_goes_on(bench):
    runner, real = bench.runner(), bench.run_repeat
    case = next(case for case in runner.plan.cases.values() if "max_concurrency=4," in case.case.case_id)

    def skipping(repeat, *given):
        runner.store.control.skip(case.key)
        return real(repeat, *given)

    runner.executor = Local(bench.open_host, skipping)
    assert runner.execute() is RunState.PARTIAL is runner.store.header().state
    assert f"A search waits for what was skipped: {case.case.case_id}" in runner.listener.lines
    assert bench.runner(runner.store).execute() is RunState.FINISHED
    assert "20 requests in flight hold and 22 fail" in " ".join(said(runner))


def test_cases_of_a_search_are_not_asked_for_and_with_others_a_run_without_it_is_partial(bench):
    for pattern in ("eager", "max_concurrency=4"):
        with pytest.raises(ExperimentError, match="all cases that fit are of a search"):
            asked_for(bench.plan().experiment, [pattern])
    path = bench.tmp_path / "small.yaml"
    fixed = "benchmarks: [serve: {max_concurrency: 70, lengths: [[8, 4]], num_prompts: 4}, "
    path.write_text(path.read_text().replace("benchmarks: [", fixed).replace(SLO, f"repeats: 2\n{SLO}"))
    plan = RunPlan.of(load_experiment(path))
    runner = bench.runner(plan=plan)
    runner.only = asked_for(plan.experiment, ["eager"])
    assert runner.execute() is RunState.PARTIAL and set(loads(bench)) == {70}
    assert bench.runner(runner.store, plan).execute() is RunState.FINISHED


def test_a_budget_ends_a_search_and_is_said(bench):
    facts = find_facts(bench.plan(f"{USERS}, budget: 0.001 s").experiment.searches[0])
    assert facts.budget_s == 0.001
    runner = bench.runner(plan=bench.plan(f"{USERS}, budget: 0.001 s"))
    assert runner.execute() is RunState.FINISHED
    assert len(bench.calls) < 8 and any("ended there by its budget" in each for each in said(runner))
    assert said(runner)[0].endswith(": its budget ended the search.")


def test_each_launch_is_searched_on_its_own_start_and_with_starts_each_repeat_has_one(bench):
    two = "eager: {args: {max_model_len: 64}}, other: {args: {max_model_len: 32}}"
    bench.runner(plan=bench.plan(launches=two)).execute()
    assert bench.starts == {"server": 2}
    bench.starts.clear()
    bench.calls = []
    bench.runner(plan=bench.plan(rest=f"{SLO}\nrepeats: {{starts: 2}}")).execute()
    assert bench.starts == {"server": len(bench.calls)}


def test_launches_take_their_turns_before_any_of_them_is_searched(bench):
    two = "eager: {args: {max_model_len: 64}}, other: {args: {max_model_len: 32}}"
    plan = bench.plan(launches=two, serve="max_concurrency: 99}, serve: {lengths: [[8, 4]], num_prompts: 4, ")
    assert len(plan.experiment.fixed) == 2 and len(plan.experiment.searches) == 2
    bench.runner(plan=plan).execute()
    fixed = [case_id.split(",")[0] for case_id, _, _ in bench.calls[:16]]
    assert fixed == ["eager", "other", "other", "eager"] * 4
    assert bench.starts == {"server": 18}


def test_requests_that_are_not_answered_keep_no_limit(bench):
    plain = bench.run_repeat

    def losing(repeat, host, folder, identity, limits):
        if repeat.case.workload.load.value <= 16:
            return plain(repeat, host, folder, identity, limits)
        bench.calls.append((repeat.case.case_id, repeat.number, identity.attempt))
        recording = Recording(repeat.case.workload, folder / RECORD_FILE, Handover(identity=identity))
        raw = {"completed": 3, "total_input_tokens": 24, "total_output_tokens": 12, "p90_ttft_ms": 1.0}
        recording.write_raw(raw)
        return recording.finish(raw, host=HostFacts(), way="test").record

    bench.run_repeat = losing
    runner = bench.runner()
    runner.execute()
    assert "16 requests in flight hold and 17 fail" in " ".join(said(runner))


def test_plan_tells_of_a_search_that_was_interrupted_what_is_kept(bench, tmp_path):
    bench.dies_at = 6
    runner = bench.runner()
    assert runner.execute() is RunState.INTERRUPTED
    console = Console(record=True, width=300, file=open("/dev/null", "w"))
    preview(tmp_path / "small.yaml", tmp_path / "results", console)
    assert "(interrupted): 5 measured repeats of its search are kept" in console.export_text()


@pytest.mark.parametrize("repeats", ["5", "{at_least: 3, at_most: 9, until: {output_throughput_tok_s: 2 %}}"])
def test_repeats_of_a_file_of_searches_alone_are_refused(bench, repeats):
    with pytest.raises(ExperimentError, match="is for cases that are measured in any case, and here is none"):
        bench.plan(rest=f"{SLO}\nrepeats: {repeats}")


def test_plan_tells_what_a_search_takes_and_shows_no_case_of_it(bench, tmp_path):
    bench.plan(f"{USERS}, budget: 30 min")
    console = Console(record=True, width=300, file=open("/dev/null", "w"))
    preview(tmp_path / "small.yaml", tmp_path / "results", console)
    text = console.export_text()
    assert "Search eager, serve,lengths=8x4: max_concurrency from 1 to 64, 34 loads" in text
    assert "ends after 30 min 00 s of measuring" in text and "4 others to warm up" not in text


@pytest.mark.parametrize(
    ("find", "rest", "problem"),
    [
        ("max_concurrency: {from: 1, to: 8}", "", "needs what is to hold: slo: {p99_ttft_ms: 500} of the file"),
        ("max_concurrency: {from: 8, to: 1}", SLO, "ends where it begins: from is below to"),
        ("max_concurrency: {from: 1.5, to: 8}", SLO, "must be a whole number, at least 1"),
        ("max_concurrency: {from: 1}", SLO, "max_concurrency.to: is missing"),
        ("max_concurrency: {from: 1, to: 8, step: 2}", SLO, "step: 2: unknown key"),
        ("max_concurency: {from: 1, to: 8}", SLO, "did you mean 'max_concurrency'?"),
        ("within: 5 %", SLO, "turns up one of max_concurrency and request_rate_rps"),
        ("request_rate_rps: {from: 0.001, to: 100000}, within: 1 %", SLO, "has more than 500 loads"),
        (f"{USERS}, attainment: 0.9", SLO, "needs limits of one request in the serve"),
        (f"{USERS}, budget: soon", SLO, "must be a time, such as 30 min"),
        (f"{USERS}, at_most: 1", SLO, "at_most: 1: must be"),
        ("max_concurrency: {from: 1, to: 8}, within: 5", SLO, "must be a share of the value, such as 10 %"),
    ],
)
def test_what_cannot_be_searched_is_refused_where_it_stands(bench, find, rest, problem):
    with pytest.raises(ExperimentError) as refused:
        bench.plan(find=find, rest=rest)
    lines = [line for line in str(refused.value).splitlines() if "find" in line]
    assert any(problem in line for line in lines), refused.value
