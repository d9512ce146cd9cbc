"""The runner: every repeat becomes a record, failures are retried and kept, runs continue where they stopped."""

import functools
import io
import os
import shutil
import signal
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from benchbook.measure.recording import Recording
from benchbook.plan.eta import STOP_S
from benchbook.plan.experiment import load_experiment
from benchbook.records import provenance
from benchbook.records.conditions import Conditions
from benchbook.records.files import write_json
from benchbook.records.fingerprint import changed_parts
from benchbook.records.handover import RECORD_FILE, Handover
from benchbook.records.header import RunHeader, RunState
from benchbook.records.host import HostFacts
from benchbook.records.record import Failure, Outcome, Record, Verdict
from benchbook.records.store import Store
from benchbook.report.run import load_run
from benchbook.sweep.added_rounds import AddedRounds
from benchbook.sweep.block import MAX_ATTEMPTS, MAX_HOST_STARTS, run_block
from benchbook.sweep.block_result import Work
from benchbook.sweep.earlier_runs import unfinished_run
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.executors import Local
from benchbook.sweep.foreman import Foreman
from benchbook.sweep.interrupts import told_of_halts
from benchbook.sweep.ledger import Ledger
from benchbook.sweep.planning import RunPlan, damaged_repeats, stale_records
from benchbook.sweep.preview import preview
from benchbook.sweep.runner import Runner
from benchbook.sweep.session import asked_for
from benchbook.terms.errors import Cause, ExperimentError, HostDiedError, HostStartError, StoreError
from benchbook.terms.estimate import Estimate
from damages import DAMAGES, HEADERS, RAW
from rich.console import Console

EXPERIMENT = """
question: Does it hold?
model: {model}
launches:
  eager: {{args: {{max_model_len: {max_model_len}}}}}
benchmarks:
  - first_request: {{}}
  - serve: {{max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}}
  - latency: {{batch_size: 1, lengths: [[8, 4]]}}
repeats: 2
"""
ASKS_MUCH = """benchmarks:
  - serve: {request_rate_rps: [0.001, 2, 2.5, 1.0e+9], max_concurrency: 4, lengths: [[8, 4]], num_prompts: 4}
  - serve: {request_rate_rps: 8, burstiness: 0.1, range_ratio: 0.3, lengths: [[8, 4]], num_prompts: 4}
  - serve: {max_concurrency: 1000000000, num_warmup_prompts: 0, temperature: [0.7, 1], lengths: [8, 4], num_prompts: 4}
  - serve: {max_concurrency: 4, slo_ttft_ms: 200, slo_tpot_ms: 2, slo_e2el_ms: 1.0e+9, lengths: [8, 4], num_prompts: 4}
  - first_request: {prompt: "\\u00e9 a|b, 100% \\u2028", max_tokens: 3, temperature: 0.25}
"""
GIT_STATE = functools.cache(provenance.git_state)  # two processes of git less for each record
CAUSE = Cause("out_of_memory", "torch.OutOfMemoryError", "lower the utilisation")


@dataclass
class Listener:
    """Remembers what it was told."""

    lines: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    already_done: int = 0
    at_first: Estimate | None = None
    estimates: list[Estimate] = field(default_factory=list)

    def begin(self, total, already_done, left):
        self.already_done, self.at_first = already_done, left

    def left(self, left):
        self.estimates.append(left)

    def say(self, text):
        self.lines.append(text)

    def working_on(self, what, at_most_s=None):
        pass

    def more(self, number, why):
        self.lines.append(why)

    def recorded(self, record, wall_s, log):
        self.records.append(record)


@dataclass
class Host:
    """A ready host that can be told to die."""

    facts: HostFacts = HostFacts(kind="server")
    parameters: dict = field(default_factory=dict)
    plumbing: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    warmed: dict = field(default_factory=dict)
    is_dead: bool = False
    mended: int = 0

    def mend(self):
        self.mended += 1

    def check_alive(self):
        if self.is_dead:
            raise HostDiedError("the server died", Cause("killed_by_signal", "exit code -9", "see dmesg"))


class Bench:
    """A bench of hosts and a scripted `run_repeat`: what happens on the n-th call is up to the test."""

    def __init__(self, tmp_path, monkeypatch):
        monkeypatch.setattr(provenance, "git_state", GIT_STATE)
        self.tmp_path, self.starts, self.calls = tmp_path, Counter(), []
        self.model = tmp_path / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        self.start_error, self.failing_starts, self.on_call = None, range(1, 1000), {}
        self.throughput = lambda case_id, repeat: 100.0  # output tok/s of a repeat
        self.noise, self.seeds = lambda call: {}, []  # what was watched around the n-th call
        self.completed = lambda repeat: 4  # of 4 requests
        self.host = None

    @contextmanager
    def open_host(self, launch, kind, store, ready_timeout_s):
        self.starts[kind] += 1
        if self.start_error and self.starts[kind] in self.failing_starts:
            raise self.start_error
        self.host = Host()
        yield self.host

    def run_repeat(self, repeat, host, folder, identity, limits):
        self.calls.append((repeat.case.case_id, repeat.number, identity.attempt))
        self.seeds.append(repeat.seed)
        recording = Recording(repeat.case.workload, folder / RECORD_FILE, Handover(identity=identity))
        action = self.on_call.get(len(self.calls))
        if action:
            action(self)
            return recording.fail(
                Outcome.NOTEBOOK_FAILED, Failure(code="notebook_raised", evidence="ValueError", hint="")
            )
        self.host.warmed.setdefault(repeat.case.workload.warm_shape, repeat.case.case_id)
        raw = {
            "completed": self.completed(repeat.number),
            "total_input_tokens": 32,
            "total_output_tokens": 16,
            "text": "w1",
            "latencies": [1.0] * 30,
            "output_throughput": self.throughput(repeat.case.case_id, repeat.number),
        }
        recording.write_raw(raw)
        noise = self.noise(len(self.calls))
        return recording.finish(raw, host=HostFacts(**noise), conditions=Conditions(**noise), way="test").record

    def plan(self, max_model_len=512, **changes):
        path = self.tmp_path / "small.yaml"
        text = EXPERIMENT.format(model=self.model, max_model_len=max_model_len)
        for old, new in changes.items():
            text = text.replace(
                {"repeats": "repeats: 2", "launches": "  eager:", "more_launches": "benchmarks:"}[old], new
            )
        path.write_text(text)
        return RunPlan.of(load_experiment(path))

    def runner(self, store=None, plan=None):
        store = store or Store.create(self.tmp_path / "results", "small")
        plan, executor = plan or self.plan(), Local(self.open_host, self.run_repeat)
        runner = Runner(plan, store, Listener(), "benchbook run small.yaml", executor, [AddedRounds(plan, store)])
        if (store.run_dir / "run.json").exists():
            runner.header = store.header()
        return runner


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def test_one_start_serves_all_cases_of_a_launch_and_each_repeat_is_a_record(bench):
    runner = bench.runner()
    assert runner.execute() == RunState.FINISHED
    assert bench.starts == {"server": 1, "engine": 1}
    assert len(runner.store.records()) == 8 and len(runner.listener.records) == 8


def test_repeats_are_interleaved_never_back_to_back(bench):
    bench.runner().execute()
    online = [case_id for case_id, _, _ in bench.calls[:6]]
    assert len(set(online[:3])) == 3 and all(first != second for first, second in zip(online, online[1:]))


def test_a_failed_repeat_is_tried_once_more_and_both_attempts_are_kept(bench):
    bench.on_call = {1: lambda bench: None}
    runner = bench.runner()
    assert runner.execute() == RunState.FINISHED
    assert bench.calls[0][:2] == bench.calls[1][:2] and [call[2] for call in bench.calls[:2]] == [1, 2]
    assert len(list(runner.store.run_dir.glob("cases/*/repeat=*,attempt=1/record.json"))) == 1


def test_a_repeat_that_keeps_failing_is_given_up_and_the_sweep_goes_on(bench):
    bench.on_call = dict.fromkeys(range(1, MAX_ATTEMPTS + 1), lambda bench: None)
    runner = bench.runner()
    assert runner.execute() == RunState.FAILED
    outcomes = Counter(record.outcome for record in runner.store.records())
    assert outcomes == {Outcome.NOTEBOOK_FAILED: 1, Outcome.MEASURED: 7}


def test_a_host_that_dies_is_started_again_for_the_cases_left(bench):
    bench.on_call = {2: lambda bench: setattr(bench.host, "is_dead", True)}
    runner = bench.runner()
    assert runner.execute() == RunState.FINISHED
    assert bench.starts["server"] == 2 and len(runner.store.records()) == 8


def test_a_host_that_dies_with_the_last_attempt_of_its_last_repeat_is_not_started_for_nothing(bench):
    def die(bench):
        bench.host.is_dead = True

    bench.on_call = {6: die, 7: die}  # the last online repeat, both attempts
    runner = bench.runner()
    assert runner.execute() == RunState.FAILED
    assert bench.starts == {"server": 2, "engine": 1} and len(runner.store.records()) == 8


def test_a_host_that_keeps_dying_leaves_records_that_say_so(bench):
    bench.on_call = dict.fromkeys(range(1, 20), lambda bench: setattr(bench.host, "is_dead", True))
    runner = bench.runner()
    assert runner.execute() == RunState.FAILED
    assert bench.starts == {"server": MAX_HOST_STARTS, "engine": MAX_HOST_STARTS}
    failed = [record for record in runner.store.records() if record.outcome is Outcome.HOST_FAILED]
    assert failed and all(record.failure.code == "killed_by_signal" for record in failed)
    assert len(runner.store.records()) == 8, "every planned repeat has a record"


def test_a_server_that_never_starts_is_a_record_for_each_of_its_cases(bench):
    bench.start_error = HostStartError("server exited with code 1; end of log", CAUSE)
    runner = bench.runner()
    assert runner.execute() == RunState.FAILED
    assert bench.starts["server"] == 1, "what could not start once is not started again"
    assert {record.failure.code for record in runner.store.records()} == {"out_of_memory"}
    assert all(record.verdict is Verdict.INVALID for record in runner.store.records())


def test_a_server_that_is_killed_while_it_starts_is_started_once_more(bench):
    bench.start_error = HostStartError("exited with code -9", Cause("killed_by_signal", "ended by SIGKILL", "see who"))
    bench.failing_starts = {1}
    runner = bench.runner()
    assert runner.execute() == RunState.FINISHED
    assert bench.starts["server"] == 2 and "was killed while it started" in "".join(runner.listener.lines)


def test_a_server_that_is_killed_whenever_it_starts_is_given_up_after_two_starts(bench):
    bench.start_error = HostStartError("exited with code -9", Cause("killed_by_signal", "ended by SIGKILL", "see who"))
    runner = bench.runner()
    assert runner.execute() == RunState.FAILED
    assert bench.starts == {"server": 2, "engine": 2} and len(runner.store.records()) == 8


def test_what_a_host_is_measured_with_is_mended_before_each_attempt(bench):
    bench.on_call = {1: lambda bench: None}
    bench.runner().execute()
    assert bench.host.mended == 2, "the engine's: two repeats of its one case"


def test_launches_that_are_compared_are_started_anew_in_every_round(bench):
    runner = bench.runner(plan=bench.plan(more_launches="  graphs: {}\nbenchmarks:"))
    assert runner.execute() == RunState.FINISHED
    assert bench.starts == {"server": 4, "engine": 4}
    order = [case_id.partition(",")[0] for case_id, _, _ in bench.calls]
    assert order == ["eager"] * 3 + ["graphs"] * 6 + ["eager"] * 3 + ["eager", "graphs", "graphs", "eager"]


def test_a_launch_that_never_starts_is_not_started_again_in_later_rounds(bench):
    bench.start_error = HostStartError("server exited with code 1; end of log", CAUSE)
    runner = bench.runner(plan=bench.plan(more_launches="  graphs: {}\nbenchmarks:"))
    assert runner.execute() == RunState.FAILED
    assert bench.starts == {"server": 2, "engine": 2}
    assert len(runner.store.records()) == 16, "every planned repeat has a record"


def test_a_launch_that_has_given_a_number_is_started_again_after_a_failed_start(bench):
    bench.start_error, bench.failing_starts = HostStartError("server exited with code 1; end of log", CAUSE), {3}
    runner = bench.runner(plan=bench.plan(more_launches="  graphs: {}\nbenchmarks:", repeats="repeats: 3"))
    assert runner.execute() == RunState.FAILED
    assert bench.starts == {"server": 6, "engine": 6}
    failed = [record.identity.launch for record in runner.store.records() if record.outcome is Outcome.HOST_FAILED]
    assert failed == ["graphs"] * 4, "the third start is that of the second round of graphs"


def test_a_report_of_a_former_state_is_gone_once_all_is_measured(bench):
    runner = bench.runner()
    for state, stays in ((RunState.FAILED, True), (RunState.FINISHED, False)):
        runner.store.report_path.write_text("of before")
        bench.on_call = {} if state == RunState.FINISHED else dict.fromkeys(range(1, 99), lambda bench: None)
        assert bench.runner(store=runner.store).execute() == state
        assert runner.store.report_path.exists() == stays


def interrupt(bench):
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_run_says_so_and_continues_where_it_stopped(bench):
    bench.on_call = {4: interrupt}
    first = bench.runner()
    assert first.execute() == RunState.INTERRUPTED
    kept = len(first.store.records())
    store = unfinished_run(bench.tmp_path / "results", "small")
    assert store is not None and store.run_id == first.store.run_id and kept == 3
    bench.on_call = {}
    second = bench.runner(store)
    assert second.execute() == RunState.FINISHED
    assert second.listener.already_done == 3 and len(second.listener.records) == 5
    measured = [call[:2] for call in bench.calls if call not in bench.calls[3:4]]
    assert len(measured) == len(set(measured)), "no repeat is measured twice"


def test_a_finished_run_is_not_continued(bench):
    bench.runner().execute()
    assert unfinished_run(bench.tmp_path / "results", "small") is None


def test_a_cut_record_is_measured_again(bench):
    first = bench.runner()
    first.execute()
    path = next(first.store.run_dir.glob("cases/*/repeat=0/record.json"))
    path.write_text(path.read_text()[:100])
    second = bench.runner(first.store)
    assert second.execute() == RunState.FINISHED and len(second.listener.records) == 1


def only(bench, *patterns, store=None, plan=None):
    """Return a runner of the cases of the plan that fit any of `patterns`."""
    runner = bench.runner(store=store, plan=plan)
    runner.only = asked_for(runner.plan.experiment, patterns)
    return runner


def test_only_the_cases_asked_for_are_measured_and_the_run_says_that_it_is_partial(bench):
    runner = only(bench, "max_concurrency=1", "latency")
    assert runner.execute() == RunState.PARTIAL == runner.store.header().state
    assert {case_id.split(",")[1] for case_id, *_ in bench.calls} == {"serve", "latency"}
    assert all("max_concurrency=1" in case_id for case_id, *_ in bench.calls if ",serve," in case_id)
    assert len(runner.store.header().plan) == len(runner.plan.cases)  # the rest stays planned, and is missing


def test_a_host_that_no_case_asked_for_needs_is_not_started(bench):
    only(bench, "serve").execute()
    assert bench.starts == {"server": 1}


def test_a_partial_run_is_continued_and_then_finished(bench):
    store = only(bench, "serve").store
    only(bench, "serve", store=store).execute()
    number = len(bench.calls)
    assert unfinished_run(bench.tmp_path / "results", "small").run_dir == store.run_dir.resolve()
    assert bench.runner(store=store).execute() == RunState.FINISHED
    assert len(bench.calls) == len({call[:2] for call in bench.calls}) > number


def test_asking_for_the_last_missing_cases_finishes_a_run(bench):
    store = only(bench, "serve").store
    only(bench, "serve", store=store).execute()
    assert only(bench, "first_request", "latency", store=store).execute() == RunState.FINISHED


def test_a_case_asked_for_that_fails_makes_a_failed_run(bench):
    bench.on_call = {1: lambda bench: None, 2: lambda bench: None}
    assert only(bench, "max_concurrency=1").execute() == RunState.FAILED


def test_no_round_is_added_to_some_cases_of_a_plan(bench):
    bench.throughput = lambda case_id, repeat: 100.0 * (1 + repeat)
    plan = bench.plan(repeats="repeats: {at_least: 2, at_most: 5, until: {output_throughput_tok_s: 2 %}}")
    only(bench, "max_concurrency=1", plan=plan).execute()
    assert {repeat for _, repeat, _ in bench.calls} == {0, 1}


def test_a_pattern_that_no_case_fits_is_refused_with_what_looks_like_it(bench):
    with pytest.raises(ExperimentError, match="no case fits 'max_concurency=1'; did you mean 'max_concurrency=1'"):
        only(bench, "serve", "max_concurency=1")


def test_a_changed_launch_makes_records_stale_and_names_what_changed(bench):
    first = bench.runner()
    first.execute()
    plan = bench.plan(max_model_len=1024)
    assert {tuple(changed) for _, changed in stale_records(first.store, plan)} == {("launch",)}
    second = bench.runner(first.store, plan)
    assert second.execute() == RunState.FINISHED
    assert second.listener.already_done == 0 and len(second.listener.records) == 8


def test_what_failed_is_never_called_stale(bench):
    bench.start_error = HostStartError("server exited with code 1; end of log", CAUSE)
    first = bench.runner()
    assert first.execute() == RunState.FAILED
    assert stale_records(first.store, bench.plan(max_model_len=1024)) == []


def test_of_some_cases_only_their_own_records_are_called_stale_or_damaged(bench):
    first = bench.runner()
    first.execute()
    plan = bench.plan(max_model_len=1024)
    asked = asked_for(plan.experiment, ["latency"])
    assert {record.benchmark for record, _ in stale_records(first.store, plan, asked)} == {"latency"}
    for path in first.store.run_dir.glob("cases/*/repeat=0/record.json"):
        path.write_text("")
    (damaged,) = damaged_repeats(first.store, bench.plan(), asked)
    assert "latency" in damaged


def test_whatever_an_experiment_may_ask_its_records_are_read_and_kept_as_their_cases_own(bench):
    plan = bench.plan(more_launches=ASKS_MUCH)
    first = bench.runner(plan=plan)
    first.execute()
    run = load_run(first.store.run_dir)
    assert len(plan.cases) == 13 and len(run.records) == 26
    assert not run.damage and not run.num_stale and not run.missing
    again = bench.runner(first.store, bench.plan(more_launches=ASKS_MUCH))
    assert not damaged_repeats(first.store, again.plan) and not stale_records(first.store, again.plan)
    again.execute()
    assert again.listener.already_done == 26 and len(bench.calls) == 26


@pytest.mark.parametrize("damage", [*DAMAGES, *RAW])
def test_a_record_is_kept_for_its_content_and_not_for_where_it_lies(bench, damage):
    first = bench.runner()
    first.execute()
    records = sorted(first.store.run_dir.glob("cases/*serve*/repeat=0/record.json"))
    {**DAMAGES, **RAW}[damage](records[0], records[1])
    plan = bench.plan()
    second = bench.runner(first.store, plan)
    named = damaged_repeats(first.store, plan)
    assert second.execute() == RunState.FINISHED
    assert (second.listener.already_done, len(second.listener.records)) == (7, 1)
    assert len(named) == 1 and str(records[0].parent) in named[0] and "\n" not in named[0]


@pytest.mark.parametrize("damage", list(HEADERS))
def test_a_damaged_header_is_written_anew_and_what_was_measured_is_kept(bench, damage):
    bench.on_call = {5: interrupt}
    first = bench.runner()
    assert first.execute() == RunState.INTERRUPTED
    measured, bench.on_call = first.store.count_measured(), {}
    HEADERS[damage](first.store.run_dir / "run.json")
    unfinished = unfinished_run(first.store.run_dir.parents[1], first.plan.experiment.name)
    assert unfinished.run_dir == first.store.run_dir and any("run.json" in line for line in unfinished.read_header()[1])
    second = bench.runner(unfinished)
    assert second.execute() == RunState.FINISHED and second.listener.already_done == measured > 0
    header, damages = unfinished.read_header()
    assert damages == [] and header.state == RunState.FINISHED and len(header.plan) == len(second.plan.cases)
    assert (header.experiment, header.run_id) == (second.plan.experiment.name, unfinished.run_id)


@pytest.mark.parametrize("left", [["attempt=2"], ["attempt=7"], ["attempt=x", "attempt=3"]], ids=str)
def test_the_next_attempt_has_the_next_number_whichever_earlier_ones_were_deleted(bench, left):
    store, key = bench.runner().store, "case-00000000"
    for name in left:
        store.repeat_dir(key, 0).with_name(f"repeat=0,{name}").mkdir(parents=True)
    store.repeat_dir(key, 0).mkdir()
    last = max(int(name[8:]) for name in left if name[8:].isdecimal())
    assert store.set_aside(key, 0) == last + 2
    assert store.repeat_dir(key, 0).with_name(f"repeat=0,attempt={last + 1}").is_dir()


@pytest.mark.parametrize("above", [0, 1, 2], ids=["repeat", "case", "cases"])
def test_a_file_in_the_place_of_a_folder_is_moved_out_of_the_way(bench, above):
    first = bench.runner()
    first.execute()
    folder = next(first.store.run_dir.glob("cases/*serve*/repeat=0"))
    place = (folder, *folder.parents)[above]
    shutil.rmtree(place)
    place.write_text("not a folder")
    second = bench.runner(first.store)
    assert second.execute() == RunState.FINISHED
    assert second.listener.already_done == (7, 6, 0)[above]


def test_a_whole_run_has_nothing_damaged(bench):
    runner = bench.runner()
    runner.execute()
    assert damaged_repeats(runner.store, bench.plan()) == []


@pytest.mark.parametrize(
    ("edited", "changed"), [("repeats: 2\nseed: 3", {("seed",)}), ("repeats: 2\norder_seed: 3", set())]
)
def test_an_edited_seed_makes_the_records_stale_whose_prompts_were_drawn_from_it(bench, edited, changed):
    first = bench.runner()
    first.execute()
    stale = stale_records(first.store, bench.plan(repeats=edited))
    assert {tuple(parts) for _, parts in stale} == changed
    assert not [record for record, _ in stale if record.benchmark == "first_request"], "its prompt is in the file"


def test_no_draw_of_another_seed_is_left_in_a_run_that_is_continued(bench):
    bench.on_call = {5: interrupt}
    first = bench.runner()
    assert first.execute() == RunState.INTERRUPTED
    bench.on_call = {}
    second = bench.runner(first.store, bench.plan(repeats="repeats: 2\nseed: 3"))
    assert second.execute() == RunState.FINISHED and second.store.header().seed == 3
    drawn = [call for call in bench.calls[5:] if "first_request" not in call[0]]
    assert len(drawn) == 6, "every repeat with drawn prompts is measured again"


def test_changed_weights_make_records_stale(bench):
    first = bench.runner()
    first.execute()
    (bench.model / "config.json").write_text('{"hidden_size": 1}')
    assert {tuple(changed) for _, changed in stale_records(first.store, bench.plan())} == {("model",)}


def test_a_variable_exported_since_makes_records_stale(bench, monkeypatch):
    first = bench.runner()
    first.execute()
    monkeypatch.setenv("VLLM_ATTENTION_BACKEND", "TORCH_SDPA")
    assert {tuple(changed) for _, changed in stale_records(first.store, bench.plan())} == {("environment",)}


def test_what_a_launch_sets_is_of_the_launch_alone(bench, monkeypatch):
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    other = "  other: {env: {VLLM_LOGGING_LEVEL: ERROR, VLLM_USE_V2_MODEL_RUNNER: 1}}\nbenchmarks:"
    planned = bench.plan(more_launches=other).cases
    changed = changed_parts(*(planned[f"{launch},first_request"].parts for launch in ("eager", "other")))
    assert changed == ["launch"]


def test_an_unchanged_experiment_has_no_stale_record(bench):
    first = bench.runner()
    first.execute()
    assert stale_records(first.store, bench.plan()) == []


def test_two_runs_of_one_folder_never_mix(bench):
    runner = bench.runner()
    with runner.store.locked(), pytest.raises(StoreError, match="another benchbook"):
        bench.runner(runner.store).execute()


def test_the_header_tells_starts_and_times(bench):
    runner = bench.runner()
    runner.execute()
    header = runner.store.header()
    assert header.state == RunState.FINISHED and header.wall_s > 0 and len(header.launches["eager"].hosts) == 2
    assert sum(row.repeats for row in header.plan) == 8


UNTIL = {"repeats": "repeats: {at_least: 2, at_most: 6, until: {output_throughput_tok_s: 20 %}}"}
SETTLES = [100.0, 120.0, 110.0, 110.0, 110.0, 110.0]  # to ±289 %, ±37 %, ±17 % with two, three, four of them


def serve_repeats(bench):
    return Counter(case_id for case_id, _, _ in bench.calls if ",serve," in case_id)


def test_rounds_are_added_until_every_mean_is_known_as_well_as_wanted(bench):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat] if "max_concurrency=1" in case_id else 100.0
    runner = bench.runner(plan=bench.plan(**UNTIL))
    assert runner.execute() == RunState.FINISHED
    assert set(serve_repeats(bench).values()) == {4}, "a round repeats every case with a target"
    assert bench.starts == {"server": 1, "engine": 1}
    assert len(bench.calls) == 2 * 4 + 2 * 2, "first_request and latency have no target"
    header = runner.store.header()
    assert sorted(row.repeats for row in header.plan) == [2, 2, 4, 4]
    assert all(0 <= known["output_throughput_tok_s"] < 0.2 for known in header.reached.values())
    assert "wanted ±20.0%" in "".join(runner.listener.lines)


def test_no_round_is_added_when_the_targets_are_met(bench):
    runner = bench.runner(plan=bench.plan(**UNTIL))
    assert runner.execute() == RunState.FINISHED and set(serve_repeats(bench).values()) == {2}


def test_rounds_end_with_the_budget_and_the_header_tells_what_was_reached(bench):
    bench.throughput = lambda case_id, repeat: 50.0 + 100.0 * (repeat % 2)
    runner = bench.runner(plan=bench.plan(**UNTIL))
    assert runner.execute() == RunState.FINISHED and set(serve_repeats(bench).values()) == {6}
    assert all(known["output_throughput_tok_s"] > 0.2 for known in runner.store.header().reached.values())


@pytest.mark.parametrize("stopped_at", [1, 5, 7, 8, 9, 11])
def test_a_run_that_adds_rounds_continues_as_if_it_had_not_been_interrupted(bench, stopped_at):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    bench.on_call = {stopped_at: interrupt}
    first = bench.runner(plan=bench.plan(**UNTIL))
    assert first.execute() == RunState.INTERRUPTED
    bench.on_call, interrupted = {}, bench.calls.pop()
    second = bench.runner(first.store, bench.plan(**UNTIL))
    assert second.execute() == RunState.FINISHED
    measured = [call[:2] for call in bench.calls]
    assert interrupted[:2] in measured and len(measured) == len(set(measured)) == 12
    assert sorted(row.repeats for row in second.store.header().plan) == [2, 2, 4, 4]


STARTS = {"repeats": "repeats: {starts: 2, at_most: 6, until: {output_throughput_tok_s: 20 %}}"}


def test_starts_that_are_asked_for_are_held_in_each_round_and_in_those_that_are_added(bench):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    runner = bench.runner(plan=bench.plan(**STARTS))
    assert runner.execute() == RunState.FINISHED
    assert bench.starts == {"server": 4, "engine": 2} and set(serve_repeats(bench).values()) == {4}


@pytest.mark.parametrize("stopped_at", [1, 4, 7, 10])
def test_a_run_on_several_starts_continues_with_the_starts_that_it_lacks(bench, stopped_at):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    bench.on_call = {stopped_at: interrupt}
    first = bench.runner(plan=bench.plan(**STARTS))
    assert first.execute() == RunState.INTERRUPTED
    bench.on_call, _ = {}, bench.calls.pop()
    assert bench.runner(first.store, bench.plan(**STARTS)).execute() == RunState.FINISHED
    measured = [call[:2] for call in bench.calls]
    assert len(measured) == len(set(measured)) == 12
    assert 6 <= sum(bench.starts.values()) <= 7


def test_a_run_whose_targets_are_met_adds_nothing_when_it_is_run_again(bench):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    first = bench.runner(plan=bench.plan(**UNTIL))
    first.execute()
    starts = dict(bench.starts)
    assert bench.runner(first.store, bench.plan(**UNTIL)).execute() == RunState.FINISHED
    assert len(bench.calls) == 12 and bench.starts == starts


def test_an_added_repeat_that_keeps_failing_does_not_hold_the_run_up(bench):
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    bench.on_call = dict.fromkeys(range(7, 9), lambda bench: None)  # the first repeat that is added, both attempts
    runner = bench.runner(plan=bench.plan(**UNTIL))
    assert runner.execute() == RunState.FAILED
    failed = [record for record in runner.store.records() if not record.is_measured]
    assert len(failed) == 1 and failed[0].identity.repeat == 2
    assert set(serve_repeats(bench).values()) == {5, 6}, "one round more in its place, and one attempt more"


def test_a_case_without_any_believable_value_is_not_waited_for(bench):
    bench.throughput = lambda case_id, repeat: None
    bench.runner(plan=bench.plan(**UNTIL)).execute()
    assert set(serve_repeats(bench).values()) == {2}


def test_an_invalid_repeat_counts_for_nothing(bench):
    bench.completed = lambda repeat: 3 if repeat == 1 else 4
    bench.throughput = lambda case_id, repeat: 900.0 if repeat == 1 else 100.0
    runner = bench.runner(plan=bench.plan(**UNTIL))
    assert runner.execute() == RunState.FAILED and set(serve_repeats(bench).values()) == {3}
    assert {known["output_throughput_tok_s"] for known in runner.store.header().reached.values()} == {0.0}


def test_launches_that_are_compared_take_turns_in_the_rounds_that_are_added(bench):
    two = {"launches": "  other: {args: {max_model_len: 256}}\n  eager:"}
    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    assert bench.runner(plan=bench.plan(**UNTIL, **two)).execute() == RunState.FINISHED
    added = [case_id.partition(",")[0] for case_id, repeat, _ in bench.calls if repeat >= 2]
    assert added == ["other"] * 2 + ["eager"] * 2 + ["eager"] * 2 + ["other"] * 2


def test_a_host_that_does_not_start_again_ends_the_rounds_that_are_added(bench):
    two = {"launches": "  other: {args: {max_model_len: 256}}\n  eager:"}

    def unstartable(bench):
        bench.start_error = HostStartError("exited", CAUSE)
        bench.host.is_dead = True

    bench.throughput = lambda case_id, repeat: SETTLES[repeat]
    bench.on_call = {17: unstartable}
    assert bench.runner(plan=bench.plan(**UNTIL, **two)).execute() == RunState.FAILED
    assert len(bench.calls) == 17


def test_the_seeds_of_order_and_prompts_are_in_the_header(bench):
    runner = bench.runner(plan=bench.plan(repeats="repeats: 2\nseed: 3\norder_seed: 4"))
    runner.execute()
    assert (runner.store.header().seed, runner.store.header().order_seed) == (3, 4)


@pytest.mark.parametrize(("args", "is_said"), [("", 1), ("enable_prefix_caching: false, ", 0)])
def test_that_offline_benchmarks_choose_for_the_launch_is_said_once(bench, args, is_said):
    runner = bench.runner(plan=bench.plan(launches=f"  eager: {{args: {{{args}max_num_seqs: 8}}}}\n  spare:"))
    runner.execute()
    said = [line for line in runner.listener.lines if "launch 'eager'" in line and "is not set" in line]
    assert len(said) == is_said


def planned_text(bench):
    out = io.StringIO()
    preview(bench.tmp_path / "small.yaml", bench.tmp_path / "results", Console(file=out, width=300))
    return out.getvalue()


def test_plan_and_run_say_the_same_time_before_the_first_run_after_it_and_in_the_middle(bench):
    bench.plan()
    for stopped_at in (None, 4, None, None):
        bench.calls.clear()
        bench.on_call = {stopped_at: interrupt}
        planned = planned_text(bench)
        runner = bench.runner(unfinished_run(bench.tmp_path / "results", "small"))
        runner.execute()
        at_first = runner.listener.at_first
        assert f"{at_first} ({at_first.why})" in planned


def test_of_an_unfinished_run_only_what_is_left_is_estimated(bench):
    bench.on_call = {5: interrupt}
    first = bench.runner()
    assert first.execute() == RunState.INTERRUPTED
    bench.on_call = {}
    second = bench.runner(first.store)
    second.execute()
    assert second.listener.at_first.sources[0] == f"by run small/{first.store.run_id}"
    assert len(first.listener.estimates) == 1 + 5 and len(second.listener.estimates) == 2 + 4, (
        "a start or a repeat each"
    )
    assert len({estimate.later_s for estimate in second.listener.estimates}) > 1


def test_plan_says_which_run_would_be_continued_what_of_it_is_kept_and_what_is_stale(bench):
    bench.on_call = {5: interrupt}
    first = bench.runner()
    assert "would continue" not in planned_text(bench)
    first.execute()
    kept = f"`run` would continue small/{first.store.run_id} (interrupted): 4 of 8 measurements are kept"
    assert kept in planned_text(bench) and "stale" not in planned_text(bench)
    bench.plan(repeats="repeats: 2\nseed: 3")
    planned = planned_text(bench)
    assert ": 2 of 8 measurements are kept" in planned and "not be used: 2 records; changed: seed" in planned


def test_a_launch_that_will_not_start_again_is_not_waited_for(bench):
    bench.start_error, bench.failing_starts = HostStartError("exited", CAUSE), {1}
    runner = bench.runner(plan=bench.plan(more_launches="  graphs: {}\nbenchmarks:"))
    runner.execute()
    first, second, *_ = runner.listener.estimates
    assert first.later_s - second.later_s == pytest.approx(2 * STOP_S), "of the failed one and of its turn to come"


def test_with_work_left_there_is_time_left(bench):
    runner = bench.runner()
    runner.execute()
    estimates = runner.listener.estimates
    assert len(estimates) == 2 + 8 and all(estimate.after(1e6).seconds > 1 for estimate in estimates)
    assert not estimates[0].is_known and estimates[-1].is_known
    assert estimates[-1].why == "by what this run has measured"


def test_what_was_measured_is_timed_with_and_without_its_warm_up_and_what_failed_is_not(bench):
    bench.on_call = {1: lambda bench: None}
    runner = bench.runner()
    runner.execute()
    noted = runner.store.header().wall_s_by_job
    assert {key: len(wall_s) for key, wall_s in noted.items() if ",serve," in key or key.startswith("start")} == {
        "start eager server": 1,
        "start eager engine": 1,
        **{f"{planned.case.case_id}{warm}": 1 for planned in runner.plan.cases.values() for warm in ("", " warm")
           if planned.case.workload.benchmark == "serve"},
    }  # fmt: skip
    assert sum(len(wall_s) for key, wall_s in noted.items() if "first_request" in key) == 2


def test_what_a_halt_came_into_teaches_no_time(bench):
    def halted(case_id, repeat):
        if repeat == 0:
            os.kill(os.getpid(), signal.SIGCONT)  # as `fg` does after Ctrl-Z
        return 100.0

    bench.throughput = halted
    runner = bench.runner()
    with told_of_halts(lambda: None, lambda halted_s: None):
        assert runner.execute() == RunState.FINISHED
    noted = runner.store.header().wall_s_by_job
    assert all(key.startswith("start ") or key.endswith(" warm") for key in noted), "nothing of the first round"


def test_a_run_that_was_begun_before_times_were_lists_goes_on(bench):
    bench.on_call = {4: interrupt}
    first = bench.runner()
    first.execute()
    header = first.store.header()
    last = {key: times[-1] for key, times in header.wall_s_by_job.items()}
    first_format = {**header.model_dump(mode="json"), "schema_version": 1, "wall_s_by_job": last}
    write_json(first.store.run_dir / "run.json", first_format)
    bench.on_call = {}
    second = bench.runner(first.store)
    assert second.execute() == RunState.FINISHED and all(second.store.header().wall_s_by_job.values())


def test_what_counting_experts_took_is_no_part_of_a_start(bench):
    store, key = Store.create(bench.tmp_path / "results", "small"), "count experts of a model {}"
    work = Work(bench.plan(), store)
    estimator = estimator_for(work.plan.experiment, store.run_dir.parents[1])
    estimator.to_count = {launch.name: key for launch in work.plan.experiment.launches}
    ledger = Ledger(work, estimator, RunHeader())
    ledger.begin("benchbook run small.yaml")

    @contextmanager
    def counting(*given):
        with bench.open_host(*given) as host:
            host.facts = HostFacts(kind="server", counting_s=50.0)
            yield host

    for block in work.plan.experiment.planned_rounds():
        foreman = Foreman(Listener(), ledger, (), is_whole=True)
        run_block(block, work, counting, foreman, run_repeat=bench.run_repeat)
    noted = store.header().wall_s_by_job
    assert noted[key] == (50.0,) and all(
        wall_s < 0 for name, times in noted.items() if name.startswith("start ") for wall_s in times
    )
