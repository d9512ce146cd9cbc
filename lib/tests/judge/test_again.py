"""Measured again: what was disturbed from outside, within a budget, once it is quiet, and never for its value."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
from benchbook.hosts.machine import cpu
from benchbook.hosts.telemetry import Sampler
from benchbook.judge import answerable, conditions, telemetry, warmth
from benchbook.judge.catalogue import OUTSIDE
from benchbook.judge.comparison_caveats import caveats as comparison_caveats
from benchbook.judge.evidence import Measured
from benchbook.judge.outside import again_sentence, disturbed_by, is_due_again
from benchbook.plan.launches import Launch
from benchbook.records.conditions import Conditions
from benchbook.records.header import RunState
from benchbook.records.host import HostFacts
from benchbook.records.record import Verdict
from benchbook.report.caveats import caveats
from benchbook.report.compare_command import two_launches
from benchbook.report.run import load_run
from benchbook.report.summary import ending, print_summary
from benchbook.report.table import render_table
from benchbook.sweep import again as again_module
from benchbook.sweep import quiet as quiet_module
from benchbook.sweep.progress import ConsoleProgress
from benchbook.sweep.quiet import disturbance
from benchbook.sweep.session import asked_for
from benchbook.terms.estimate import Estimate
from rich.console import Console
from test_runner import Bench, Listener, planned_text

BUSY = {"machine": {"cpus": 2, "own_cpu_share": 0.3, "other_cpu_share": 0.6}}
COMPILED = {"compile_lines": ["Capturing CUDA graphs"]}
SHARED = {"telemetry": {"gpus": [], "gpu_processes": [{"gpu": 0, "pid": 7, "name": "python", "kind": "foreign"}]}}
UNKNOWN = ("mean_power_w", "mean_sm_clock_mhz", "min_sm_clock_mhz", "max_temperature_c", "max_memory_used_gib")
HOT = {"index": 0, "name": "GPU", "throttled_share": {"thermal_hardware": 0.5}, "mean_utilisation_pct": 90.0}
THROTTLED = {"telemetry": {"gpus": [{**HOT, **dict.fromkeys(UNKNOWN)}], "gpu_processes": []}}
CALM = {}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def run(bench, noise=None, quiet=True, store=None, **changes):
    """Return a runner that ended, and its state. `quiet`, one for all or one a look, is what the machine is asked to be."""
    bench.noise = noise or (lambda call: CALM)
    runner = bench.runner(store=store, plan=bench.plan(**changes))
    looks = iter(quiet) if isinstance(quiet, list) else None
    runner.executor.look = lambda *_: "" if (next(looks) if looks else quiet) else "others used 60 %"
    return runner, runner.execute()


def tries_of(bench):
    """Return how often each repeat was measured, in the order of the first."""
    counts = {}
    for case_id, repeat, _ in bench.calls:
        counts[case_id, repeat] = counts.get((case_id, repeat), 0) + 1
    return list(counts.values())


def first_calls(number, noise):
    return lambda call: noise if call <= number else CALM


def all_but_each_third(call):
    return BUSY if call % 3 else CALM


@pytest.mark.parametrize("noise", [BUSY, COMPILED, SHARED, THROTTLED], ids=["busy", "compiled", "shared", "throttled"])
def test_a_disturbed_repeat_is_measured_again_at_once_and_the_later_try_counts(bench, noise):
    runner, state = run(bench, first_calls(1, noise))
    assert state == RunState.FINISHED and tries_of(bench) == [2] + [1] * 7
    assert bench.calls[0][:2] == bench.calls[1][:2] and bench.starts == {"server": 1, "engine": 1}
    record = next(each for each in runner.store.records() if each.identity.attempt == 2)
    assert record.verdict is Verdict.VALID and len(record.identity.disturbed) == 1
    (kept,) = runner.store.run_dir.glob("cases/*/repeat=*,attempt=1/record.json")
    assert json.loads(kept.read_text())["verdict"] == "SUSPECT"
    assert all(record.verdict is Verdict.VALID for record in runner.store.records())


def test_a_repeat_that_is_disturbed_each_time_stays_suspect_when_its_budget_is_spent_and_that_is_said_once(bench):
    runner, state = run(bench, first_calls(3, BUSY))
    assert state == RunState.FINISHED and tries_of(bench) == [3] + [1] * 7
    said = [line for line in runner.listener.lines if "measured 3 times" in line]
    assert len(said) == 1 and "machine_busy" in said[0]
    record = next(each for each in runner.store.records() if each.identity.attempt == 3)
    assert record.verdict is Verdict.SUSPECT and record.identity.disturbed == ("machine_busy", "machine_busy")


def test_while_it_waits_the_time_left_has_the_try_that_is_to_come(bench):
    told = []

    def look(*_):
        told.append((runner.listener.estimates[-1].seconds, len(bench.calls)))
        return ""

    bench.noise = first_calls(1, BUSY)
    runner = bench.runner()
    runner.executor.look = look
    runner.execute()
    ((left_s, calls),) = told
    assert calls == 1 and left_s >= runner.listener.estimates[2].seconds > runner.listener.estimates[-1].seconds


@pytest.mark.parametrize("budget", [0, 1, 4])
def test_the_budget_is_that_of_the_experiment(bench, budget):
    runner, _ = run(bench, first_calls(1 + budget, BUSY), repeats=f"repeats: 1\nagain: {budget}")
    assert tries_of(bench) == [1 + budget, 1, 1, 1]
    assert any("stays as it is" in line for line in runner.listener.lines) == bool(budget)


def test_what_disturbs_every_try_though_it_was_quiet_before_costs_no_more_tries_until_one_comes_through(bench):
    """As the host of a virtual machine does that takes processors away: it takes none while nothing is measured."""
    runner, state = run(bench, lambda call: CALM if call in (6, 9) else BUSY)
    assert state == RunState.FINISHED and tries_of(bench) == [3, 1, 1, 1, 3, 3, 1, 1]
    assert sum("until a repeat comes through" in line for line in runner.listener.lines) == 2


def test_another_disturbance_than_that_of_every_try_is_measured_again(bench):
    run(bench, lambda call: COMPILED if call == 4 else first_calls(3, BUSY)(call), repeats="repeats: 1")
    assert tries_of(bench) == [3, 2, 1, 1]


def test_three_tries_that_three_things_disturbed_are_no_reason_to_give_up(bench):
    run(bench, lambda call: COMPILED if call == 2 else first_calls(4, BUSY)(call), repeats="repeats: 1")
    assert tries_of(bench) == [3, 2, 1, 1]


@pytest.mark.parametrize("value", [1.0, 100.0, 1e6])
def test_a_value_is_never_the_reason(bench, value):
    bench.throughput = lambda case_id, repeat: value if repeat else 100.0
    bench.completed = lambda repeat: 3 if repeat else 4  # INVALID
    run(bench)
    assert set(tries_of(bench)) == {1}


def test_none_of_the_outside_causes_is_known_by_a_value_or_a_time_of_a_request():
    """Their checks find the same, whatever was measured: they are given results that could not be more different."""
    checks = [check for check in (*conditions.CHECKS, *telemetry.CHECKS, *warmth.CHECKS) if check.__name__ in OUTSIDE]
    assert {check.__name__ for check in checks} == OUTSIDE
    found = {"compiled_while_measuring": (COMPILED, {}), "machine_busy": (BUSY, {})}
    found |= {"gpu_shared": ({}, SHARED), "gpu_throttled": ({}, THROTTLED)}
    slow, fast = ({"output_throughput_tok_s": rate, "mean_ttft_ms": 1 / rate} for rate in (1e-3, 1e9))
    raws = {"latencies": [99.0] * 9, "ttfts": [50.0] * 9}, {"latencies": [1e-6] * 9}
    for check in checks:
        watched, host = found[check.__name__]
        results = list(zip((slow, fast), raws, strict=True))
        disturbed = [
            check(Measured("serve", {}, values, raw, HostFacts(**host), Conditions(**watched)))
            for values, raw in results
        ]
        calm = [check(Measured("serve", {}, values, raw)) for values, raw in results]
        assert disturbed[0] == disturbed[1] and disturbed[0] and calm == [None, None], check


def test_quiet_is_looked_for_in_what_disturbed_and_a_compilation_is_over(bench, monkeypatch):
    """A GPU that is shared all the time is no reason not to measure again what only compiled."""
    monkeypatch.setattr(again_module, "MAX_WAIT_S", 0.05)
    bench.noise = lambda call: {1: COMPILED, 3: BUSY}.get(call, CALM)
    runner = bench.runner()
    runner.executor.look = lambda launch, look_s, share, causes: "others used 60 %" if "machine_busy" in causes else ""
    assert runner.execute() == RunState.FINISHED and tries_of(bench) == [2] + [1] * 7


def test_where_quiet_never_comes_there_is_one_wait_and_nothing_is_measured_again_for_nothing(bench, monkeypatch):
    monkeypatch.setattr(again_module, "MAX_WAIT_S", 0.05)
    runner, state = run(bench, first_calls(99, BUSY), quiet=False)
    assert state == RunState.FINISHED and set(tries_of(bench)) == {1}
    assert sum("no quiet within" in line for line in runner.listener.lines) == 1
    assert "others used 60 %" in "".join(runner.listener.lines)


def test_where_nobody_can_look_the_sweep_goes_on(bench, monkeypatch):
    monkeypatch.setattr(again_module, "MAX_WAIT_S", 0.05)

    def look(*_):
        raise OSError("the driver is gone")

    bench.noise = first_calls(1, BUSY)
    runner = bench.runner()
    runner.executor.look = look
    assert runner.execute() == RunState.FINISHED and set(tries_of(bench)) == {1}
    assert "cannot be looked at: OSError: the driver is gone" in "".join(runner.listener.lines)


def test_after_a_wait_in_vain_what_finds_quiet_at_once_is_measured_again(bench, monkeypatch):
    monkeypatch.setattr(again_module, "MAX_WAIT_S", 0.05)
    run(bench, first_calls(3, BUSY), quiet=[False, False, *[True] * 99], repeats="repeats: 1\nagain: 1")
    assert tries_of(bench) == [1, 1, 2, 1]


def test_a_failed_try_does_not_use_up_the_second_chance_of_what_was_disturbed_before(bench):
    bench.on_call = {2: lambda bench: None}
    runner, state = run(bench, lambda call: BUSY if call == 1 else CALM)
    assert state == RunState.FINISHED and tries_of(bench)[0] == 3
    record = next(each for each in runner.store.records() if each.identity.attempt == 3)
    assert record.verdict is Verdict.VALID and record.identity.disturbed == ("machine_busy",)


def interrupt(bench):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("stopped_at", [2, 3])
def test_a_run_that_is_stopped_while_it_measures_again_goes_on_with_the_budget_that_is_left(bench, stopped_at):
    bench.on_call = {stopped_at: interrupt}
    first, state = run(bench, first_calls(stopped_at - 1, BUSY))
    assert state == RunState.INTERRUPTED
    bench.on_call, number = {}, len(bench.calls)
    second, state = run(bench, lambda call: BUSY if call - number <= 5 else CALM, store=first.store)
    assert state == RunState.FINISHED
    again = [call for call in bench.calls if call[:2] == bench.calls[0][:2]]
    assert len(again) == 4, "three whole tries, and the one that was stopped"
    record = next(each for each in second.store.records() if len(each.identity.disturbed) == 2)
    assert disturbed_by(record) == "machine_busy"


def test_a_run_that_is_stopped_while_it_waits_measures_again_when_it_goes_on(bench):
    def stop(*_):
        interrupt(bench)
        return ""

    bench.noise = first_calls(1, BUSY)
    first = bench.runner()
    first.executor.look = stop
    assert first.execute() == RunState.INTERRUPTED and len(bench.calls) == 1
    assert len(first.store.records()) == 1, "what was measured stays until something takes its place"
    second, state = run(bench, store=first.store)
    assert state == RunState.FINISHED and tries_of(bench) == [2] + [1] * 7
    assert second.listener.already_done == 0
    assert bench.calls[1][:2] == bench.calls[0][:2] or bench.calls[0][:2] in [call[:2] for call in bench.calls[1:]]


@pytest.mark.parametrize(("calls", "said"), [(0, ""), (1, "1 repeat\n"), (3, "3 repeats\n")])
def test_plan_says_how_many_repeats_of_an_unfinished_run_are_measured_again(bench, monkeypatch, calls, said):
    monkeypatch.setattr(again_module, "MAX_WAIT_S", 0.05)
    bench.on_call = {5: interrupt}
    run(bench, first_calls(calls, BUSY), quiet=False)
    text = planned_text(bench)
    assert f"{4 - calls} of 8 measurements are kept" in text
    assert text.count("disturbed from outside, and measured again: ") == bool(said) and said in text


def test_a_finished_run_measures_nothing_again_beyond_its_budget(bench):
    first, _ = run(bench, first_calls(3, BUSY), repeats="repeats: 1")
    number = len(bench.calls)
    second, state = run(bench, first_calls(99, BUSY), store=first.store, repeats="repeats: 1")
    assert state == RunState.FINISHED and len(bench.calls) == number


def test_what_was_given_up_for_a_disturbance_that_no_look_sees_is_measured_again_by_the_next_command(bench):
    first, _ = run(bench, first_calls(4, BUSY), repeats="repeats: 1")
    assert tries_of(bench) == [3, 1, 1, 1]
    _, state = run(bench, store=first.store, repeats="repeats: 1")
    assert state == RunState.FINISHED and tries_of(bench) == [3, 2, 1, 1]


def test_of_some_cases_only_those_asked_for_are_measured_again(bench):
    bench.noise = all_but_each_third
    first = bench.runner()
    first.only, first.executor.look = asked_for(first.plan.experiment, ["latency"]), lambda *_: ""
    assert first.execute() == RunState.PARTIAL
    assert {case_id.split(",")[1] for case_id, *_ in bench.calls} == {"latency"} and set(tries_of(bench)) == {3}


UNTIL = {"repeats": "repeats: {at_least: 2, at_most: 6, until: {output_throughput_tok_s: 20 %}}"}


def test_rounds_are_added_by_the_tries_that_count(bench):
    """A disturbed try of half the speed asks for no further round: what took its place is as fast as the others."""
    slow = dict.fromkeys((1, 3), 50.0)
    bench.throughput = lambda case_id, repeat: slow.get(len(bench.calls), 100.0)
    runner, state = run(bench, lambda call: BUSY if call in slow else CALM, **UNTIL)
    assert state == RunState.FINISHED and {row.repeats for row in runner.store.header().plan} == {2}


@pytest.mark.parametrize("stopped_at", [8, 9, 10, 11])
def test_an_added_round_that_is_stopped_while_it_is_measured_again_is_gone_on_with(bench, stopped_at):
    speeds = [100.0, 120.0, 110.0, 110.0]
    bench.throughput = lambda case_id, repeat: speeds[min(repeat, 3)]
    bench.on_call = {stopped_at: interrupt}
    first, state = run(bench, lambda call: BUSY if call == 7 else CALM, **UNTIL)
    assert state == RunState.INTERRUPTED
    bench.on_call = {}
    second, state = run(bench, store=first.store, **UNTIL)
    assert state == RunState.FINISHED
    assert sorted(row.repeats for row in second.store.header().plan) == [2, 2, 4, 4]
    assert sum(len(record.identity.disturbed) for record in second.store.records()) == 1


def seeds_of(bench, **changes):
    """Return the seeds that the first repeat was sent with, when it was disturbed twice."""
    run(bench, all_but_each_third, **changes)
    first = next(call for call in bench.calls if ",serve," in call[0])
    return [seed for call, seed in zip(bench.calls, bench.seeds, strict=True) if call[:2] == first[:2]]


@pytest.mark.parametrize("args", ["max_model_len: 512", "max_model_len: 512, enable_prefix_caching: true"])
def test_a_server_that_may_know_the_prompts_of_the_first_try_gets_others(bench, args):
    seeds = seeds_of(bench, launches=f"  cached: {{args: {{{args}}}}}\n  eager:", repeats="repeats: 1")
    assert len(seeds) == len(set(seeds)) == 3


def test_a_server_without_a_prefix_cache_gets_the_same_prompts_as_the_other_launches(bench):
    off = "  plain: {args: {max_model_len: 512, enable_prefix_caching: false}}\n  eager:"
    assert len(set(seeds_of(bench, launches=off, repeats="repeats: 1"))) == 1


def test_launches_that_are_compared_are_measured_again_on_the_start_that_is_there(bench):
    two = {"launches": "  other: {args: {max_model_len: 256}}\n  eager:"}
    runner, state = run(bench, first_calls(2, BUSY), **two)
    assert state == RunState.FINISHED and bench.starts == {"server": 4, "engine": 4}
    comparison = two_launches(str(runner.store.run_dir), str(runner.store.run_dir), "eager", "other", bench.tmp_path)
    assert any("other: 1 repeat was disturbed from outside" in said for said in comparison_caveats(comparison))


def shown(print_it, *arguments):
    console = Console(file=io.StringIO(), width=200)
    print_it(*arguments, console)
    return console.file.getvalue()


def test_report_summary_and_table_say_how_often_and_why(bench):
    noise = {1: BUSY, 2: COMPILED, 5: BUSY}
    runner, _ = run(bench, lambda call: noise.get(call, CALM))
    loaded = load_run(runner.store.run_dir)
    said = (
        "2 repeats were disturbed from outside (machine_busy 2, compiled_while_measuring 1) and measured again, 3 times "
        "in all; the last try counts, earlier ones lie beside it and are in no mean."
    )
    assert said in caveats(loaded) and said in shown(print_summary, loaded)
    assert "8 VALID, of 8 repeats" in shown(print_summary, loaded), "tries that were replaced are no repeats"
    assert ending(loaded)[0] == 0
    header, *rows = render_table(loaded.table, "csv").splitlines()
    place = header.split(",").index("disturbed")
    again = sorted(row for row in loaded.table["disturbed"] if row)
    assert again == ["machine_busy", "machine_busy; compiled_while_measuring"] and len(rows) == 8 and place
    assert loaded.cases["measured_again"].sum() == 2


def test_the_exit_code_counts_the_tries_that_count_only(bench):
    runner, _ = run(bench, lambda call: BUSY if call % 2 else CALM)  # every repeat is disturbed once
    loaded = load_run(runner.store.run_dir)
    assert set(tries_of(bench)) == {2} and answerable.why_no_answer(loaded.records) is None
    assert ending(loaded)[0] == 0


def test_plan_says_what_measuring_again_may_cost(bench):
    bench.plan()
    assert "a repeat is measured again, 2 times at most: up to 16 measurements more" in planned_text(bench)
    bench.plan(repeats="repeats: 2\nagain: 0")
    assert "measured again" not in planned_text(bench)
    bench.plan(**UNTIL)
    assert "up to 32 measurements more" in planned_text(bench), "the rounds that may be added count"


@pytest.mark.parametrize("again", ["-1", "11", "2.5", "yes", "often"])
def test_a_budget_that_is_none_is_refused_with_its_line(bench, again):
    from benchbook.terms.errors import ExperimentError

    with pytest.raises(ExperimentError, match=r"small.yaml:\d+: again"):
        bench.plan(repeats=f"repeats: 2\nagain: {again}")


def test_the_live_display_counts_the_wait_down(monkeypatch):
    progress = ConsoleProgress(Console(file=io.StringIO(), width=120))
    progress.begin(3, 0, Estimate(60.0, 30.0))
    progress.working_on("waiting for quiet: others used 60 %", 30.0)
    monkeypatch.setattr(progress, "_what_since_s", progress._what_since_s - 18)
    assert progress._now() == "12 s at most: waiting for quiet: others used 60 %"
    progress.working_on("eager,serve repeat 1")
    assert progress._now() == "0 s: eager,serve repeat 1"


def test_elsewhere_a_wait_is_one_line():
    console = Console(file=io.StringIO(), width=120)
    progress = ConsoleProgress(console)
    progress.begin(3, 0, Estimate(60.0, 30.0))
    for what, at_most_s in (("one", None), ("a wait", 30.0), ("it goes on", 28.0), ("two", None), ("another", 30.0)):
        progress.working_on(what, at_most_s)
    assert [line[4:] for line in console.file.getvalue().splitlines()[1:]] == ["one", "a wait", "two", "another"]


def test_each_look_at_the_machine_renews_what_the_display_says(bench):
    class Told(Listener):
        what = ()

        def working_on(self, what, at_most_s=None):
            self.what += ((what, at_most_s),)

    bench.noise = first_calls(1, BUSY)
    runner = bench.runner()
    runner.listener = Told()
    found = iter(["others used 60 %", "others used 40 %", ""])
    runner.executor.look = lambda *_: next(found)
    runner.execute()
    waits = [(what, limit) for what, limit in runner.listener.what if "quiet" in what]
    assert [what.partition(": ")[2] for what, _ in waits][1:] == ["others used 60 %", "others used 40 %"]
    assert "machine_busy" in waits[0][0] and all(0 < limit <= 30 for _, limit in waits)


def test_quiet_is_what_the_checks_find_quiet_and_processes_of_ours_are_no_disturbance():
    """Burns the processors by children of this process, which are ours, and by processes of nobody's."""
    burn = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    popen = f"subprocess.Popen([sys.executable, '-c', {burn!r}], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    orphan = f"import subprocess, sys\nprint({popen}.pid)"
    number = len(os.sched_getaffinity(0))
    ours = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(number)]
    quiet = disturbance(Launch("a", None, {}, {}), 0.6)
    for process in ours:
        process.kill()
        process.wait()
    command = [sys.executable, "-c", orphan]
    pids = [int(subprocess.run(command, capture_output=True, text=True).stdout) for _ in range(number)]
    try:
        busy = disturbance(Launch("a", None, {}, {}), 0.6)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    assert "other processes used" in busy
    if quiet:  # others may work here too; then they have not all of the machine
        assert "other processes used" in quiet


@pytest.mark.parametrize(
    ("gpu", "since_s", "waits_s"), [(False, 0.1, 0.2), (False, 9.0, 0.0), (False, None, 0.3), (True, 9.0, 0.3)]
)
def test_who_looked_before_waits_for_the_rest_only_unless_there_is_a_gpu_to_look_at(gpu, since_s, waits_s, monkeypatch):
    waited, sampled = [], {"gpus": [], "gpu_processes": [], "absent": {} if gpu else {"gpu": "none"}}
    sampler = nullcontext(
        SimpleNamespace(absent=sampled["absent"], result=lambda: {**Sampler(None).result(), **sampled})
    )
    monkeypatch.setattr(quiet_module, "Sampler", lambda *_, **__: sampler)
    monkeypatch.setattr(quiet_module.time, "sleep", waited.append)
    now = cpu.look([os.getpid()])
    since = None if since_s is None else replace(now, at_s=now.at_s - since_s)
    disturbance(Launch("a", None, {}, {}), 0.3, since=since)
    assert waited == [pytest.approx(waits_s, abs=0.1)]


def test_the_sentence_says_which_are_disturbed_still(bench):
    runner, _ = run(bench, lambda call: COMPILED if call == 4 else first_calls(3, BUSY)(call))
    records = runner.store.records()
    assert again_sentence(records).endswith("1 of them was disturbed in the last try too.")
    assert again_sentence([record for record in records if not record.identity.disturbed]) == ""
    alone = [record for record in records if disturbed_by(record)]
    assert again_sentence(alone).startswith(
        "1 repeat was disturbed from outside (machine_busy 2) and measured again, 2 "
    )
    assert again_sentence(alone).endswith("It was disturbed in the last try too.")
    assert not any(is_due_again(record, 2) for record in records)


def test_no_run_fails_for_a_disturbance(bench):
    bench.completed = lambda repeat: 3  # INVALID, and disturbed: both are judged by the last try
    runner, state = run(bench, first_calls(1, BUSY))
    assert state == RunState.FAILED and tries_of(bench)[0] == 2
