"""`benchbook plan`: what would be run, and about how long. Starts nothing.

What few plans need is imported where one does: a search, a guard, servers of somebody else, a cluster, an earlier run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchbook.hosts.process.shell import left_out
from benchbook.judge.stats import MIN_DEGREES
from benchbook.launch_differences import PACKAGES, difference_text
from benchbook.measure.argv import offline_remark
from benchbook.plan.eta import Estimator
from benchbook.plan.experiment import COMPARISON_REPEATS, Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block
from benchbook.records.runs import newest_of
from benchbook.sweep.candidates import runnable
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.machine import machine_note
from benchbook.sweep.needs import need_of
from benchbook.sweep.placing import place_notes
from benchbook.sweep.planned_cases import print_cases
from benchbook.sweep.preflight import Preflight, preflight_of
from benchbook.sweep.run_command import run_command
from benchbook.sweep.set_layout import set_of
from benchbook.sweep.waits import price_text
from benchbook.terminal import say
from benchbook.terms.benchmarks import HOST_KINDS
from benchbook.terms.percentiles import percentile_of, samples_needed
from benchbook.terms.shared_caches import MEANING
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
    if on:
        from benchbook.sweep.cluster.session import OnCluster

        cluster = OnCluster.of(on, experiment, results_dir).cluster
    blocks = experiment.planned_rounds()
    going_on, ended = None, ""
    if newest_of(experiment.name, results_dir):
        from benchbook.sweep.earlier_runs import ended_text, unfinished_run

        if unfinished := unfinished_run(results_dir, experiment.name):
            from benchbook.sweep.planned_rest import GoingOn

            going_on = GoingOn.of(experiment, unfinished)
        else:
            ended = ended_text(file, results_dir, sets)
    say(console, f"{experiment.name}: {experiment.question}")
    estimator = estimator_for(experiment, results_dir)
    plans = (blocks, _most(experiment, blocks)) if experiment.until else (blocks,)
    left = [going_on.left(plan) if going_on else plan for plan in plans]
    if experiment.fixed:
        say(console, _size_text(experiment, plans, estimator, left))
    if experiment.searches or experiment.search:
        from benchbook.sweep.planned_search import search_lines, trial_lines

        for line in (*search_lines(experiment, estimator), *trial_lines(experiment, estimator)):
            say(console, line)
    for what in dict.fromkeys(estimator.to_count.values()):
        say(console, f"  in it, one start more: to {what.partition(' {')[0]}, once on this machine")
    if again := price_text(experiment.again, left[-1], estimator):
        say(console, again)
    for line in going_on.lines(blocks, left[0], results_dir) if going_on else ():
        say(console, line)
    if ended:
        say(console, ended)
    if cluster:
        from benchbook.sweep.cluster.preview import job_lines

        for line in job_lines(experiment, left[0], cluster, estimator):
            say(console, line)
    _print_preflight(console, checked, blocks, is_here=not cluster)
    say(console, "")
    if with_commands:
        from benchbook.sweep.planned_commands import print_commands

        print_commands(console, experiment, blocks)
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
    if any(launch.attached for launch in experiment.launches):
        _print_attached(console, experiment, blocks)
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
    if experiment.guard:
        from benchbook.sweep.guarding import guard_text

        say(console, guard_text(experiment))
    if is_here:
        say(console, f"Machine: {machine_note(checked)}")
    for line in _slo_notes(experiment):
        say(console, line)


def _print_attached(console: Console, experiment: Experiment, blocks: Sequence[Block]) -> None:
    """Print which launches run already, and how much is sent to each."""
    from benchbook.sweep.consent import is_elsewhere, load_texts
    from benchbook.sweep.finding import most_of_searches

    for launch, load in load_texts(experiment, (*blocks, *most_of_searches(experiment))):
        where = "another machine" if is_elsewhere(launch) else "this machine"
        say(console, f"Launch {launch.name!r} runs already, on {where}, and is asked for {launch.model_text}: {load}")


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
