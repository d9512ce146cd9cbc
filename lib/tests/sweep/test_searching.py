"""Searches over launches: which are started, what may be claimed, and that interrupts lose nothing."""

from __future__ import annotations

import hashlib
import time

import pytest
import yaml
from benchbook.hosts.vllm.command import flags
from benchbook.hosts.vllm.config_file import config_text
from benchbook.judge.searched import Confirmed, took_s
from benchbook.measure.recording import Recording
from benchbook.plan.experiment import load_experiment
from benchbook.records.handover import RECORD_FILE, Handover
from benchbook.records.header import RunState
from benchbook.records.host import HostFacts
from benchbook.records.store import Store
from benchbook.report.answer import answer
from benchbook.report.comparisons import comparisons_html
from benchbook.report.none_found import none_sentence
from benchbook.report.run import load_run
from benchbook.report.summary import ending, print_summary
from benchbook.sweep import planning
from benchbook.sweep.best import write_best
from benchbook.sweep.executors import Local
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preview import preview
from benchbook.sweep.runner import Runner
from benchbook.sweep.searching import Searching, planned_trials
from benchbook.sweep.session import asked_for
from benchbook.terms.errors import Cause, ExperimentError, HostStartError
from rich.console import Console
from rows import rows
from test_runner import Bench, Listener

EXPERIMENT = """
question: Which is the fastest?
model: {model}
launches: {{{launches}}}
search: {{{search}}}
benchmarks: [serve: {{max_concurrency: 2, lengths: [[8, 4]], num_prompts: 4{serve}}}]
{rest}
"""
NINE = "matrix: {args.max_num_seqs: [1, 2, 3, 4, 5, 6, 7, 8, 9]}, maximise: output_throughput_tok_s"
DEFAULT = "default: {args: {max_model_len: 64}}"
BEST = "max_num_seqs_7"


class Searched(Bench):
    """A bench of launches with their speeds; starts and repeats vary, by the launch and the round alone."""

    speeds = {BEST: 1.2}
    ttft_ms: dict[str, float] = {}
    outputs: dict[str, tuple[str, ...]] = {}
    cannot_start = ()
    spread, took_s = 0.01, 10.0
    dies_at = 0  # the call at which the person interrupts
    start_s = 0.0  # that a start which fails takes
    answers_less = ()  # by launch and round

    def open_host(self, launch, kind, store, ready_timeout_s):
        self.start_error = None
        if launch.name in self.cannot_start:
            time.sleep(self.start_s)
            self.start_error = HostStartError("no", Cause("out_of_memory", "torch.OutOfMemoryError", "lower it"))
        return super().open_host(launch, kind, store, ready_timeout_s)

    def run_repeat(self, repeat, host, folder, identity, limits):
        name = repeat.case.launch
        self.calls.append((name, repeat.number))
        self.seeds.append(repeat.seed)
        if len(self.calls) == self.dies_at:
            raise KeyboardInterrupt
        luck = int(hashlib.sha256(f"{name} {repeat.number}".encode()).hexdigest()[:8], 16) / 16**8 - 0.5
        value = 100 * self.speeds.get(name, 1.0) * (1 + 2 * self.spread * luck)
        completed = 1 if (name, repeat.number) in self.answers_less else 4
        raw = {"completed": completed, "total_input_tokens": 32, "total_output_tokens": 16, "output_throughput": value,
               "p99_ttft_ms": self.ttft_ms.get(name, 10.0) * (1 + self.spread * luck)}  # fmt: skip
        facts = HostFacts(
            ready_utc=f"2026-01-01T00:{repeat.number:02}:00+00:00 {name}",
            ready_s=self.took_s,
            greedy_outputs=self.outputs.get(name, ("a", "b", "c", "d")),
        )
        recording = Recording(repeat.case.workload, folder / RECORD_FILE, Handover(identity=identity))
        recording.write_raw(raw)
        return recording.finish(raw, host=facts, way="test").record

    def plan(self, search=NINE, rest="repeats: 4", launches=DEFAULT, serve=""):
        path = self.tmp_path / "small.yaml"
        path.write_text(EXPERIMENT.format(model=self.model, search=search, rest=rest, launches=launches, serve=serve))
        return RunPlan.of(load_experiment(path))

    def runner(self, store=None, plan=None):
        store = store or Store.create(self.tmp_path / "results", "small")
        plan, executor = plan or self.plan(), Local(self.open_host, self.run_repeat)
        runner = Runner(plan, store, Listener(), "benchbook run small.yaml", executor, [Searching(plan, store)])
        if (store.run_dir / "run.json").exists():
            runner.header = store.header()
        return runner

    def said(self, plan=None):
        """Run a search to its end; return what its report answers, in one text."""
        self.last = self.runner(plan=plan)
        self.state = self.last.execute()
        return " ".join(answer(load_run(self.last.store.run_dir)))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Searched(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Return a bench after a search that is confirmed in six rounds, and what its report answers; it is only looked at."""
    with pytest.MonkeyPatch.context() as patch:
        bench = Searched(tmp_path_factory.mktemp("usual"), patch)
        return bench, bench.said(bench.plan(rest="repeats: 6"))


def test_halves_are_screened_beside_the_default_and_the_finalists_are_confirmed_in_turns(usual):
    bench, text = usual
    assert bench.state is RunState.FINISHED
    rounds = [[name for name, number in bench.calls if number == each] for each in range(8)]
    assert [len(names) for names in rounds[:2]] == [10, 6] and rounds[0][0] == "default"
    assert all("default" in names for names in rounds)
    confirming = rounds[2]
    assert confirming[0] == "default" and BEST in confirming and 2 <= len(confirming) <= 4
    assert rounds[2:] == [confirming, confirming[::-1]] * 3
    assert bench.starts == {"server": len(bench.calls)} and len(set(bench.calls)) == len(bench.calls)
    assert text.startswith(f"{BEST} is the best of 9 candidates: +") and "confirmed in 6 rounds of turns" in text
    assert f"{BEST} differs from default in max_num_seqs 7 (default: not set)." in text
    assert "round 1 of the screening looked at 9 candidates in 1 min 40 s" in text
    rows = bench.last.store.header().plan
    assert sum(row.repeats for row in rows) == len(bench.calls)


def test_the_gain_that_is_claimed_is_of_the_confirmation_alone(usual):
    bench, _ = usual
    run = load_run(bench.last.store.run_dir)
    (best,) = (one for one in run.searched.confirmed if one.launch == BEST)
    assert best.row.num_base == 6 and {record.identity.repeat for record in run.comparable(BEST)} == set(range(2, 8))
    assert len(run.evidence) == 6 * (1 + len(run.searched.course.finalists))
    assert "Compared are the rounds of the confirmation alone" in str(comparisons_html(run))
    screened = next(name for name in run.by_launch if name not in ("default", *run.searched.course.finalists))
    assert run.comparable(screened) == [] and run.by_launch[screened]


def test_the_confirmation_sends_requests_that_no_round_has_sent(usual):
    bench, _ = usual
    seeds = {}
    for (_, number), seed in zip(bench.calls, bench.seeds):
        seeds.setdefault(number, set()).add(seed)
    assert all(len(found) == 1 for found in seeds.values()) and len(set.union(*seeds.values())) == len(seeds)


def test_a_search_that_is_interrupted_at_any_moment_measures_what_it_would_have_and_nothing_twice(bench):
    plan = bench.plan(NINE.replace(", 6, 7, 8, 9", ", 7"), rest="repeats: 4")
    whole, calls = bench.said(plan), bench.calls
    assert len(calls) >= 15 and BEST in whole
    for moment in rows(range(1, len(calls) + 1), quick=4):
        store, bench.calls, bench.dies_at = Store.create(bench.tmp_path / "results", "small"), [], moment
        assert bench.runner(store, plan).execute() is RunState.INTERRUPTED
        bench.dies_at = 0
        assert bench.runner(store, plan).execute() is RunState.FINISHED
        assert bench.calls[: moment - 1] + bench.calls[moment:] == calls
        assert " ".join(answer(load_run(store.run_dir))) == whole


def test_where_none_is_better_nothing_is_recommended(bench):
    bench.speeds = {}
    text = bench.said()
    assert bench.state is RunState.FINISHED and "keep the default" in text
    assert "No candidate is shown to be better than default in output throughput" in text
    assert "Not confirmed: " in text and "would likely not have been seen" in text
    bench.speeds, bench.calls = {f"max_num_seqs_{number}": 0.8 for number in range(1, 10)}, []
    assert "None of 9 candidates looked better than default" in bench.said()
    assert max(number for _, number in bench.calls) == 1  # nothing was confirmed


def test_a_candidate_that_cannot_start_is_out_and_the_search_goes_on(bench):
    bench.cannot_start = ("max_num_seqs_3", "max_num_seqs_5")
    text = bench.said()
    assert bench.state is RunState.FINISHED and ending(load_run(bench.last.store.run_dir))[0] == 0
    assert "Out of the search: max_num_seqs_3 and max_num_seqs_5 (out_of_memory)." in text
    assert text.startswith(f"{BEST} is the best of 9 candidates") and "cannot answer" not in text
    bench.cannot_start = ("default",)
    assert "the default (default) is out itself, out_of_memory" in bench.said()
    assert bench.state is RunState.FAILED


def test_a_candidate_that_gives_other_answers_is_not_recommended_unless_that_is_allowed(bench):
    bench.outputs = {BEST: ("a", "x", "y", "z")}
    text = bench.said()
    assert f"Out of the search: {BEST} (other answers: 25% of 4 greedy answers are the default's)" in text
    assert "allow_other_outputs: true" in text and f"{BEST} is the best" not in text
    text = bench.said(bench.plan(f"{NINE}, allow_other_outputs: true"))
    assert text.startswith(f"{BEST} is the best of 9 candidates")
    assert "its answers are not those of default: 25% of 4 greedy answers are the default's" in text


def test_where_other_answers_are_allowed_all_of_them_being_other_is_no_reason_against_an_answer(bench):
    bench.outputs = {f"max_num_seqs_{number}": ("a", "x", "y", "z") for number in range(1, 10)}
    text = bench.said(bench.plan(f"{NINE}, allow_other_outputs: true"))
    run = load_run(bench.last.store.run_dir)
    assert text.startswith(f"{BEST} is the best of 9 candidates") and ending(run)[0] == 0
    doubted = [record for record in run.evidence if record.verdict.value == "SUSPECT"]
    assert 2 * len(doubted) > len(run.evidence) and run.no_answer is None


def test_one_that_breaks_the_slo_is_not_recommended_and_one_that_keeps_it_is(bench):
    bench.speeds = {BEST: 1.5, "max_num_seqs_2": 1.2}
    bench.ttft_ms = {BEST: 80.0}
    plan = bench.plan(rest="repeats: 4\nslo: {p99_ttft_ms: 50}")
    text = bench.said(plan)
    assert text.startswith("max_num_seqs_2 is the best of 9 candidates")
    assert "it keeps the SLO (p99 TTFT at most 50 ms)" in text
    bench.speeds = {}
    bench.ttft_ms = dict.fromkeys(("default", *(f"max_num_seqs_{number}" for number in range(2, 10))), 80.0)
    assert "max_num_seqs_1 is the best of 9 candidates that keeps the SLO, which default does not" in bench.said(plan)


def test_a_budget_leaves_out_candidates_then_rounds_and_finalists_and_says_so(bench):
    six = "repeats: 6"
    # A start takes 10 s: 12 are confirming, five are left.
    text = bench.said(bench.plan(f"{NINE}, budget: 175 s", rest=six))
    assert len(bench.calls) <= 17 and "had no room for all: not explored are " in text
    assert len({name for name, number in bench.calls if number == 0}) == 5
    bench.calls = []
    text = bench.said(bench.plan(f"{NINE}, budget: 255 s", rest=six))  # all are looked at once, and one is confirmed
    assert sum(number == 0 for _, number in bench.calls) == 10 and len(bench.calls) == 22
    assert "had no room for further rounds of screening, or for further finalists" in text


def test_few_candidates_are_confirmed_at_once_and_a_latency_is_minimised(bench):
    search = "matrix: {args.max_num_seqs: [1, 2]}, minimise: p99_ttft_ms"
    bench.ttft_ms = {"max_num_seqs_2": 7.0}
    text = bench.said(bench.plan(search))
    assert len(bench.calls) == 12 and "(95 %, with both finalists allowed for)" in text
    assert text.startswith("max_num_seqs_2 is the best of 2 candidates: -30") and "p99 TTFT against default" in text


def test_launches_that_the_file_names_are_candidates_too(bench):
    plan = bench.plan(
        "maximise: output_throughput_tok_s", launches=f"{DEFAULT}, other: {{args: {{max_model_len: 32}}}}"
    )
    bench.speeds = {"other": 1.2}
    assert bench.said(plan).startswith("other is the best of 1 candidate: +")


TWO = "matrix: {args.max_num_seqs: [1, 2]}, maximise: output_throughput_tok_s"
FOUR = TWO.replace("1, 2", "1, 2, 3, 4")


def test_a_budget_leaves_out_the_last_of_few_candidates_and_plan_says_so(bench, tmp_path):
    three = TWO.replace("1, 2", "1, 2, 3")
    for budget_s, explored in ((55, 1), (90, 1), (125, 2), (165, 3)):  # of one it takes 8 starts of 10 s, of three 16
        bench.calls = []
        plan = bench.plan(f"{three}, budget: {budget_s} s", rest="repeats: 4")
        text = bench.said(plan)
        assert len({name for name, _ in bench.calls}) == 1 + explored and len(bench.calls) == 4 * (1 + explored)
        left = {1: "are max_num_seqs_2 and max_num_seqs_3", 2: "is max_num_seqs_3"}.get(explored)
        assert (f"had no room for all: not explored {left}." in text) if left else ("budget" not in text)
        store = bench.last.store
        assert bench.runner(store, plan).execute() is RunState.FINISHED and len(bench.calls) == 4 * (1 + explored)
    for budget, what in (
        ("1 s", "no room to confirm one candidate, which is done all the same"),
        ("1000 h", "has room for it"),
    ):
        bench.plan(f"{three}, budget: {budget}", rest="repeats: 4")
        console = Console(record=True, width=400, file=open("/dev/null", "w"))
        preview(tmp_path / "small.yaml", tmp_path / "results", console)
        assert what in console.export_text()


def test_a_default_that_does_not_start_ends_a_search_of_few_candidates_too(bench):
    bench.cannot_start = ("default",)
    assert "the default (default) is out itself, out_of_memory" in bench.said(bench.plan(TWO))
    assert bench.state is RunState.FAILED and not bench.calls


def test_a_start_that_fails_costs_a_budget_what_it_took(bench):
    bench.cannot_start, bench.start_s = ("max_num_seqs_1",), 0.05
    bench.said(bench.plan(TWO, rest="repeats: 4"))
    (lost,) = (one for one in bench.last.store.records() if one.identity.launch == "max_num_seqs_1")
    assert took_s(lost) >= 0.05


@pytest.mark.parametrize("of_what", [NINE, TWO], ids=["nine", "two"])
def test_a_search_waits_for_a_candidate_that_is_skipped_and_the_next_run_goes_on(bench, of_what):
    plan = bench.plan(of_what, rest="repeats: 4")
    first = bench.runner(plan=plan)
    case = next(case.case_id for case in plan.experiment.cases if case.launch == "max_num_seqs_2")
    real = bench.run_repeat

    def skipping(repeat, *given):
        first.store.control.skip(plan.cases[case].key)
        return real(repeat, *given)

    first.executor = Local(bench.open_host, skipping)
    assert first.execute() is RunState.PARTIAL is first.store.header().state
    assert f"A search waits for what was skipped: {case}" in first.listener.lines
    assert bench.runner(first.store, plan).execute() is RunState.FINISHED
    assert len(set(bench.calls)) == len(bench.calls) and ("max_num_seqs_2", 0) in bench.calls


def test_no_cases_of_a_search_are_asked_for(bench):
    for pattern in ("default", "max_num_seqs_2", "serve"):
        with pytest.raises(
            ExperimentError, match="small.yaml: all cases that fit are of a search, which is measured as"
        ):
            asked_for(bench.plan().experiment, [pattern])


SEQS = [f"max_num_seqs_{number}" for number in (1, 2, 3, 4)]
LATE = "repeats: 4\nslo: {p99_ttft_ms: 50}"


@pytest.mark.parametrize(
    ("search", "facts", "said"),
    [
        (
            FOUR,
            {"cannot_start": SEQS},
            "None of 4 candidates can be recommended, since 4 did not start: keep the default.",
        ),
        (FOUR, {"ttft_ms": dict.fromkeys(SEQS, 80.0)}, "since 4 broke the SLO: keep the default."),
        (
            FOUR,
            {"cannot_start": SEQS[:2], "ttft_ms": dict.fromkeys((*SEQS, "default"), 80.0)},
            "since 2 did not start and 2 broke the SLO: default broke the SLO too.",
        ),
        (
            FOUR,
            {"outputs": dict.fromkeys(SEQS, ("a", "x", "y", "z")), "cannot_start": SEQS[3:]},
            "since 3 gave other answers and 1 did not start: keep the default.",
        ),
        (
            FOUR,
            {"speeds": dict.fromkeys(SEQS, 0.8), "cannot_start": SEQS[:1]},
            "since 3 looked no better than default in output throughput and 1 did not start: keep the default.",
        ),
        (
            TWO.replace("1, 2", "1"),
            {"speeds": {"candidate-1": 1.5}, "ttft_ms": {"candidate-1": 80.0}},
            "The one candidate cannot be recommended, since it broke the SLO: keep the default.",
        ),
        (
            TWO.replace("1, 2", "1"),
            {"answers_less": [("default", 2)]},
            "No candidate is shown to be better than default in output throughput: keep the default.",
        ),
        (
            TWO,
            {"speeds": {SEQS[0]: 1.5}, "ttft_ms": {SEQS[0]: 80.0}},
            "None of 2 candidates can be recommended, since 1 broke the SLO and 1 showed no gain in output throughput",
        ),
    ],
)
def test_why_none_is_recommended_is_said_by_what_became_of_the_candidates(bench, search, facts, said):
    vars(bench).update({"speeds": {}, **facts})
    assert said in bench.said(bench.plan(search, rest=LATE))


def test_one_that_is_faster_and_answers_worse_is_not_said_to_show_no_gain(bench, monkeypatch):
    bench.speeds = {"candidate-1": 1.5}
    bench.said(bench.plan(TWO.replace("1, 2", "1"), rest="repeats: 4"))
    monkeypatch.setattr(Confirmed, "keeps_answers", False)
    said = none_sentence(load_run(bench.last.store.run_dir).searched)
    assert said == "The one candidate cannot be recommended, since it answered worse: keep the default."


def test_plan_tells_how_a_search_goes_and_what_it_costs(bench, tmp_path):
    plan = bench.plan(f"{NINE}, budget: 30 min", rest="slo: {p99_ttft_ms: 50}")
    assert len(planned_trials(plan.experiment)) == 10 + 6 + 4 * 8
    console = Console(record=True, width=400, file=open("/dev/null", "w"))
    preview(tmp_path / "small.yaml", tmp_path / "results", console)
    text = console.export_text()
    assert "Search for the most output_throughput_tok_s within p99_ttft_ms 50: 9 candidates against 'default'" in text
    assert "screening in 2 rounds, which start 9 and 5 of them once beside it" in text
    assert "up to 3 finalists and 'default' in turns, 8 rounds" in text
    assert "at most 48 starts with a measurement each, " in text and "a budget of 30 min 00 s" in text


def test_candidates_of_a_matrix_that_cannot_run_are_left_out_and_all_are_refused_if_none_can(bench, tmp_path):
    console = Console(record=True, width=400, file=open("/dev/null", "w"))
    axes = "args.max_num_batched_tokens: [2048, lots], args.max_num_seqs: [4, 8], args.max_model_len: [8, 64]"
    bench.plan(f"matrix: {{{axes}}}, maximise: output_throughput_tok_s")
    preview(tmp_path / "small.yaml", tmp_path / "results", console)
    text = console.export_text()
    assert "2 candidates against 'default'" in text
    assert "left out, since they cannot run: " in text and "'lots': must be a whole number" in text
    assert "a request of 12 tokens (input + output) exceeds the 8 of its max_model_len" in text
    bench.plan("matrix: {args.no_such_flag: [1, 2]}, maximise: output_throughput_tok_s")
    with pytest.raises(ExperimentError, match="no candidate of the search can run"):
        preview(tmp_path / "small.yaml", tmp_path / "results", console)
    bench.plan("maximise: output_throughput_tok_s", launches=f"{DEFAULT}, other: {{args: {{no_such_flag: 1}}}}")
    with pytest.raises(ExperimentError, match="has no such flag"):
        preview(tmp_path / "small.yaml", tmp_path / "results", console)


def test_the_best_is_written_as_a_file_for_vllm_and_as_a_command(usual, bench):
    searched, _ = usual
    store = searched.last.store
    write_best(store)
    text = (store.run_dir / "best.yaml").read_text()
    assert yaml.safe_load(text) == {"model": str(searched.model), "max-model-len": 64, "max-num-seqs": 7}
    said = answer(load_run(store.run_dir))
    assert any(f"in one line: vllm serve {searched.model} --max-model-len 64 --max-num-seqs 7" in line for line in said)
    console = Console(record=True, width=400, file=open("/dev/null", "w"))
    print_summary(load_run(store.run_dir), console)
    assert "To start it: best.yaml in the run's folder" in console.export_text()
    bench.speeds = {}
    bench.said()
    write_best(bench.last.store)
    assert not (bench.last.store.run_dir / "best.yaml").exists()


def test_vllm_reads_from_the_file_the_words_of_the_command(tmp_path):
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args = {"enforce_eager": True, "enable_prefix_caching": False, "dtype": "float32", "max_model_len": "4k", "seed": 3,
            "gpu_memory_utilization": 0.3, "hf_overrides": {"a": {"b": None}}, "cudagraph_capture_sizes": [1, 2, 4],
            "compilation_config.mode": 0, "lora_modules": ["a=/x", "b=/y"]}  # fmt: skip
    path = tmp_path / "best.yaml"
    path.write_text(config_text("/m", args, {"A": "1 2", "B": "two\nlines"}, "best.yaml"))
    assert "#   A='1 2' B='two lines' vllm serve /m " in path.read_text()
    assert FlexibleArgumentParser().load_config_file(str(path)) == ["--model", "/m", *flags(args)]


@pytest.mark.parametrize(
    ("search", "rest", "problem"),
    [
        ("matrix: {args.max_num_seqs: [1, 2]}", "", "has one of maximise and minimise"),
        (f"{NINE}, minimise: p99_ttft_ms", "", "has one of maximise and minimise"),
        (NINE.replace("output", "outptu"), "", "did you mean 'output_throughput_tok_s'"),
        (NINE.replace("output_throughput_tok_s", "p99_ttft_ms"), "", "lower is better: minimise it"),
        (NINE.replace("output_throughput_tok_s", "p99_batch_latency_s"), "", "unknown metric"),
        (f"{NINE}, budget: soon", "", "must be a time, such as 90 min"),
        (f"{NINE}, rounds: 3", "", "rounds: 3: unknown key"),
        ("maximise: output_throughput_tok_s", "", "has nothing to search"),
        (
            "matrix: {args.max_num_seqs: {from: 8, to: 2}}, maximise: output_throughput_tok_s",
            "",
            "from a whole number above 0",
        ),
        ("matrix: {max_num_seqs: [1]}, maximise: output_throughput_tok_s", "", "write args.max_num_seqs"),
        (NINE, "repeats: 2", "are the rounds of the confirmation, and 4 are the least"),
        (NINE, "repeats: {starts: 3}", "is the number of rounds of the confirmation"),
        (NINE, "turns: false", "is one start each: a search confirms in turns"),
    ],
)
def test_what_cannot_be_searched_is_refused_where_it_stands(bench, search, rest, problem):
    with pytest.raises(ExperimentError) as refused:
        bench.plan(search=search, rest=rest)
    assert any(problem in line for line in str(refused.value).splitlines()), refused.value


@pytest.mark.parametrize(
    ("serve", "problem"),
    [
        (", temperature: [0, 1]", "is under one load"),
        ("}, latency: {batch_size: 1, lengths: [[8, 4]]", "is under one load"),
    ],
)
def test_a_search_is_under_one_load(bench, serve, problem):
    with pytest.raises(ExperimentError, match=problem):
        bench.plan(serve=serve)


def test_an_axis_from_one_number_to_another_is_every_doubling(bench):
    plan = bench.plan(
        "matrix: {args.max_num_seqs: {from: 8, to: 50}, env.A: [x, y]}, maximise: output_throughput_tok_s"
    )
    assert [launch.name for launch in plan.experiment.launches[1:]] == [
        f"max_num_seqs_{number}-A_{value}" for number in (8, 16, 32, 50) for value in "xy"
    ]
    assert plan.experiment.launch("max_num_seqs_50-A_x").args == {"max_model_len": 64, "max_num_seqs": 50}


def test_what_was_disturbed_in_a_search_is_not_said_to_be_measured_again(bench, monkeypatch):
    bench.said(bench.plan("matrix: {args.max_num_seqs: [1, 2]}, maximise: output_throughput_tok_s", rest="repeats: 4"))
    monkeypatch.setattr(planning, "is_due_again", lambda record, budget: True)
    assert planning.due_again_text(bench.last.store, bench.last.plan) == ""
