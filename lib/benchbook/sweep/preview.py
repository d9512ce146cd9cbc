"""`benchbook plan`: what would be run, and about how long. Starts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchbook.hosts.process.shell import left_out
from benchbook.judge.caches import MEANING
from benchbook.judge.stats import MIN_DEGREES
from benchbook.launch_differences import PACKAGES, difference_text
from benchbook.measure.argv import offline_remark
from benchbook.plan.eta import Estimator
from benchbook.plan.experiment import COMPARISON_REPEATS, Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block
from benchbook.records.header import RunState
from benchbook.records.runs import run_name
from benchbook.records.store import Store
from benchbook.sweep.candidates import runnable
from benchbook.sweep.consent import is_elsewhere, load_texts
from benchbook.sweep.earlier_runs import finished_run, lacks_report, not_extended, unfinished_run, unreported_run
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.finding import most_of_searches, planned_search, planned_searches
from benchbook.sweep.guarding import guard_text
from benchbook.sweep.machine import machine_note
from benchbook.sweep.needs import need_of
from benchbook.sweep.placing import place_notes
from benchbook.sweep.planned_cases import print_cases
from benchbook.sweep.planned_commands import print_commands
from benchbook.sweep.planned_search import trial_lines
from benchbook.sweep.planning import RunPlan, damaged_repeats, due_again_text, pending, stale_records
from benchbook.sweep.preflight import Preflight, preflight_of
from benchbook.sweep.run_command import run_command
from benchbook.sweep.searching import planned_trials
from benchbook.sweep.set_layout import set_of
from benchbook.sweep.waits import price_text
from benchbook.terminal import say
from benchbook.terms.benchmarks import HOST_KINDS
from benchbook.terms.percentiles import percentile_of, samples_needed
from benchbook.terms.wording import counted, duration_text, listed

ONE_START = (
    "All repeats of a case share one start, and so does their ±: starts differ too. repeats: {starts: 3} has a fresh start "
    "in each of three rounds."
)
NO_TURNS = (
    "turns: false: each launch is measured on one start, one launch after the other: what starts differ by and what the "
    "machine did meanwhile looks like a difference between launches, so that none is claimed."
)


def preview(
    file: Path,
    results_dir: Path,
    console: Console,
    with_commands: bool = False,
    sets: Sequence[str] = (),
    on: Path | None = None,
) -> None:
    """Print the cases as a table, or the exact commands of each, how long it takes, and which run would be continued.

    With `on`, the file of a cluster, the jobs too that it would be.
    """
    checked = runnable(preflight_of(file, sets))
    experiment, cluster = checked.experiment, None
    if on:  # imported late, as below: without a cluster nothing of it is read
        from benchbook.sweep.cluster.session import OnCluster

        cluster = OnCluster.of(on, experiment, results_dir).cluster
    blocks = experiment.planned_rounds()
    unfinished = unfinished_run(results_dir, experiment.name)
    going_on = (unfinished, RunPlan.of(experiment, unfinished)) if unfinished else None
    say(console, f"{experiment.name}: {experiment.question}")
    estimator = estimator_for(experiment, results_dir)
    plans = (blocks, _most(experiment, blocks)) if experiment.until else (blocks,)
    left = [pending(plan, *going_on) if going_on else plan for plan in plans]
    if experiment.fixed:
        say(console, _size_text(experiment, plans, estimator, left))
    for line in (*_search_lines(experiment, estimator), *trial_lines(experiment, estimator)):
        say(console, line)
    for what in dict.fromkeys(estimator.to_count.values()):
        say(console, f"  in it, one start more: to {what.partition(' {')[0]}, once on this machine")
    if again := price_text(experiment.again, left[-1], estimator):
        say(console, again)
    if going_on:
        _print_going_on(console, blocks, left[0], results_dir, *going_on)
    elif unreported := unreported_run(file, results_dir, sets):
        say(console, lacks_report(unreported, results_dir))
    elif finished := finished_run(results_dir, experiment.name):
        say(console, not_extended(finished, results_dir))
    if cluster:
        from benchbook.sweep.cluster.preview import job_lines

        for line in job_lines(experiment, left[0], cluster, estimator):
            say(console, line)
    _print_preflight(console, checked, blocks, is_here=not cluster)
    say(console, "")
    if with_commands:
        print_commands(console, experiment, (*blocks, *planned_searches(experiment), *planned_trials(experiment)))
    elif experiment.fixed:
        print_cases(console, experiment)
    notes = (*_maximum_notes(experiment), *_starts_notes(experiment, blocks), *place_notes(experiment, estimator))
    for place, line in enumerate(notes):
        say(console, line if place else f"\n{line}")
    say(console, "")
    say(console, f"Nothing was started. To run it: {run_command(file, results_dir, sets=sets, on=on)}")
    if not with_commands:
        say(console, "With --commands, the exact commands of vLLM are shown.")


def _few_rounds(number: int) -> str:
    """Return what so few rounds of a comparison can tell."""
    if (least := MIN_DEGREES + 1) > number:
        return f"{counted(number, 'round')} can claim no difference between launches, however large ({least} are the least)"
    return f"{number} rounds see large differences between launches only"


def _print_going_on(
    console: Console,
    blocks: Sequence[Block],
    pending_blocks: Sequence[Block],
    results_dir: Path,
    store: Store,
    plan: RunPlan,
) -> None:
    """Print which run `run` would continue, what of it is kept and what is stale."""
    total, left = (sum(len(block.repeats) for block in some) for some in (blocks, pending_blocks))
    name, (header, damage) = run_name(store.run_dir, results_dir), store.read_header()
    state = header.state
    there = (
        f"{total - left} of {total} measurements"
        if total
        else f"{store.count_measured()} measured repeats of its search"
    )
    if state is RunState.RUNNING:
        so_far = f"{store.count_measured()} of {total} measurements" if total else there
        say(console, f"{name} is being measured now: {so_far} are there.")
        return
    kept = f"{there} are kept"
    say(console, f"`run` would continue {name} ({state}): {kept} (--new starts afresh)")
    for line in filter(None, (*damage, *damaged_repeats(store, plan), due_again_text(store, plan))):
        say(console, f"  {line}")
    stale = Counter(", ".join(changed) for _, changed in stale_records(store, plan))
    for changed, number in stale.items():
        say(console, f"  stale, will not be used: {counted(number, 'record')}; changed: {changed}")


def _print_preflight(console: Console, checked: Preflight, blocks: Sequence[Block], is_here: bool) -> None:
    experiment = checked.experiment
    say(console, "")
    say(console, f"Flags and variables: {checked.checked_against}")
    if experiment.device == "rocm" and "+rocm" not in checked.version:
        say(console, "  the same release of vLLM for ROCm has the same ones")
    for launch in experiment.launches:
        if launch.name in checked.pythons:
            say(console, f"  {_python_text(checked, launch)}")
    for note in checked.notes:
        say(console, f"  {note}")
    for line in left_out():
        say(console, f"  {line}")
    for launch, load in load_texts(experiment, (*blocks, *most_of_searches(experiment))):
        where = "another machine" if is_elsewhere(launch) else "this machine"
        say(console, f"Launch {launch.name!r} runs already, on {where}, and is asked for {launch.model_text}: {load}")
    told: set[str] = set()
    for launch in experiment.launches:
        if launch.attached:
            continue
        needed = f"{launch.model_text}, memory {need_of(experiment, launch) or 'not known for this model'}"
        if not experiment.search or needed not in told:  # of many candidates, those that need no more are not listed
            say(console, f"Launch {launch.name!r}: {needed}")
        told.add(needed)
        if remark := offline_remark(launch.args, experiment.offline_workloads(launch.name)):
            say(console, f"  {remark}")
    for line in _difference_lines(checked):
        say(console, line)
    for name, requests in experiment.requests.items():
        kinds = {case.workload.host_kind for case in experiment.cases if set_of(case.workload) == name}
        say(console, f"Requests {name!r}: {requests.given_text if kinds == {'engine'} else requests}")
    if guard := guard_text(experiment):
        say(console, guard)
    if is_here:
        say(console, f"Machine: {machine_note(checked)}")
    for line in _slo_notes(experiment):
        say(console, line)


def _search_lines(experiment: Experiment, estimator: Estimator) -> Iterator[str]:
    """Yield what each search asks, and what it takes at least, by where its answer will lie."""
    for sought in experiment.searches:
        find, number = sought.find, len(sought.cases)
        blocks = [
            planned_search(sought, experiment.seed, holding) for holding in (number // 4, number // 2, number - 1)
        ]
        counts = sorted(len(block.repeats) for block in blocks)
        took = [estimator.estimate([block]) for block in blocks]
        until = f"; ends after {duration_text(find.budget_s)} of measuring" if find.budget_s else ""
        yield (
            f"Search {sought.name}: {find.text()}, {number} loads, each {100 * find.within:g} % above the one below or "
            f"1; 2 to {find.at_most} repeats of a load, {counts[0]} to {counts[-1]} where none varies, up to twice as many "
            f"where they do, {took[0]} to {duration_text(max(each.seconds for each in took))} ({took[-1].why}){until}"
        )


def _difference_lines(checked: Preflight) -> Iterator[str]:
    """Yield in what each launch differs from the first, or from what the file says that all begin with."""
    experiment = checked.experiment
    first, *others = experiment.launches
    if experiment.base and experiment.base.settings != first.settings:
        first, others = experiment.base, experiment.launches
    for launch in others:
        ours, theirs = ({**each.settings, **_packages(checked, each)} for each in (first, launch))
        yield difference_text(ours, theirs, (first.name, launch.name))


def _maximum_notes(experiment: Experiment) -> Iterator[str]:
    """Yield which cases are measured first, since rates of others are shares of what they answer."""
    for case_id in dict.fromkeys(case.maximum for case in experiment.cases if case.maximum):
        yield f"Rates of throughput are of the requests a second that {case_id} answers in its first repeat."


def _python_text(checked: Preflight, launch: Launch) -> str:
    """Return which Python a launch runs from, with its vLLM."""
    python = checked.python_of(launch)
    vllm = f"vLLM {checked.version_of(launch)}, against which it was checked"
    return f"launch {launch.name!r} runs from {python.path} (Python {python.version}): {vllm}"


def _packages(checked: Preflight, launch: Launch) -> dict[str, str]:
    """Return the versions of vLLM and what it stands on where a launch is started; {} of a server that runs already."""
    if launch.attached:
        return {}
    python = checked.python_of(launch)
    return {name: version for name in PACKAGES if (version := python.version_of(name))}


def _starts_notes(experiment: Experiment, blocks: Sequence[Block]) -> Iterator[str]:
    """Yield in which order hosts are started, or that there is one start only, and what that leaves unknown."""
    is_alone = len(experiment.launches) == 1
    if len(blocks) == len({(block.launch, block.host_kind) for block in blocks}):
        if is_alone:
            yield ONE_START
        elif not experiment.turns:
            yield NO_TURNS
        return
    turns = ", ".join(f"{block.launch} {block.host_kind}" for block in blocks)
    started = [launch for launch in experiment.launches if not launch.attached]
    attached = [launch.name for launch in experiment.launches if launch.attached]
    but = f" of what is started ({listed(attached)} runs all the time)" if attached else ""
    fresh = f" with a fresh start{but}" if started else ""
    yield f"{'Each' if is_alone else 'Launches take turns, each'} round{fresh}: {turns}"
    if not all(launch.args.get("enforce_eager") for launch in started):
        yield f"Starts share caches on disk: {MEANING}."
    if not is_alone and experiment.repeats < COMPARISON_REPEATS:
        yield f"{_few_rounds(experiment.repeats)}: leave repeats out for {COMPARISON_REPEATS}, which find one of some 5 %."


def _slo_notes(experiment: Experiment) -> Iterator[str]:
    """Yield which percentiles of the SLO a case's prompts are too few for, each once."""
    prompts = [case.workload.num_prompts for case in experiment.cases if case.workload.row.times == "requests"]
    for percentile in sorted({found for key in experiment.slo if (found := percentile_of(key))}):
        needed = samples_needed(percentile)
        if prompts and min(prompts) < needed:
            yield f"SLO: it asks a p{percentile}, which {min(prompts)} prompts do not earn and {needed} do"


def _size_text(
    experiment: Experiment,
    plans: Sequence[Sequence[Block]],
    estimator: Estimator,
    left: Sequence[Sequence[Block]],
) -> str:
    """Return how much there is to measure and how long what is `left` takes; with targets, from the least to the most."""
    until, repeats, condition = experiment.until, counted(experiment.repeats, "repeat"), ""
    if until is not None:
        repeats = f"{_range_text(experiment.repeats, until.at_most)} repeats"
        targeted = [case.workload.host_kind for case in experiment.cases if until.targets_of(case)]
        condition = f", until {until.text()}"
        if not all(map(experiment.starts_anew, targeted)):
            is_new = [len(block.repeats) for block in left[-1]] == [len(block.repeats) for block in plans[-1]]
            condition += " for this one start" if is_new else " for the starts that it has by then"
    numbers = [sum(len(block.repeats) for block in plan) for plan in plans]
    measurements = counted(numbers[-1], "measurement", _range_text(numbers[0], numbers[-1]))
    starts = counted(len(plans[-1]), "start", _range_text(len(plans[0]), len(plans[-1])))
    return (
        f"{counted(len(experiment.launches), 'launch', plural='launches')}, {counted(len(experiment.fixed), 'case')}, "
        f"{repeats} each{condition}: {measurements} on {starts}, {_eta_text(left, estimator)}"
    )


def _most(experiment: Experiment, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Return the blocks when all rounds are added that the budget allows."""
    most = list(blocks)
    for host_kind in HOST_KINDS:
        for repeat in range(experiment.repeats, experiment.until.at_most):
            added = experiment.added_round(host_kind, repeat)
            if experiment.starts_anew(host_kind):
                most += added
            elif added:  # it goes on with the host that is there
                place = next(i for i, block in enumerate(most) if block.host_kind == host_kind)
                most[place] = replace(most[place], repeats=most[place].repeats + added[0].repeats)
    return tuple(most)


def _range_text(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _eta_text(left: Sequence[Sequence[Block]], estimator: Estimator) -> str:
    """Return 'about 3 min 20 s (by run quickstart/20261126-140716)' for what is left; several plans make a range."""
    estimates = [estimator.estimate(blocks) for blocks in left]
    upto = "".join(f" to {duration_text(most.seconds)}" for most in estimates[1:] if most != estimates[0])
    return f"{estimates[0]}{upto} ({estimates[0].why})"
