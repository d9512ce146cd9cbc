"""`benchbook plan`: what would be run, command by command, and about how long. Starts nothing."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchbook.hosts.command import serve_command
from benchbook.hosts.models import planned_path
from benchbook.measure.commands import latency_argv, offline_remark, serve_argv, throughput_argv
from benchbook.measure.estimates import estimator_for
from benchbook.measure.needs import machine_note, need_of
from benchbook.measure.planning import RunPlan, pending, stale_records
from benchbook.measure.preflight import Preflight, preflight_of
from benchbook.measure.session import unfinished_run
from benchbook.plan.cases import Case
from benchbook.plan.eta import Estimator, duration_text
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block, Job, rounds
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.store import Store

_BASE_URL, _NONCE = "http://127.0.0.1:PORT", "NONCE"


def preview(file: Path, results_dir: Path, console: Console) -> None:
    """Print launches, cases in order, the commands of each, and the estimated time."""
    checked = preflight_of(file)
    experiment = checked.experiment
    blocks = rounds(experiment.cases, experiment.repeats, experiment.seed, experiment.order_seed)
    _line(console, f"{experiment.name}: {experiment.question}")
    unfinished = unfinished_run(results_dir, experiment.name)
    going_on = (unfinished, RunPlan.of(experiment)) if unfinished else None
    _line(console, _size_text(experiment, blocks, estimator_for(experiment, results_dir), going_on))
    if going_on:
        _print_going_on(console, blocks, *going_on)
    _print_preflight(console, checked)
    hosts: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        hosts.setdefault((block.launch, block.host_kind), []).append(block)
    for starts in hosts.values():
        _print_host(console, experiment, starts)
    if len(blocks) > len(hosts):
        turns = ", ".join(f"{block.launch} {block.host_kind}" for block in blocks)
        _line(console, f"\nLaunches take turns, each round with a fresh start: {turns}")
    _line(
        console,
        "\nPORT, NONCE, SEED and RAW.json are chosen when it runs. Nothing was started. To run it: "
        f"{shlex.join(['benchbook', 'run', str(file)])}",
    )


def _print_going_on(console: Console, blocks: Sequence[Block], store: Store, plan: RunPlan) -> None:
    """Print which run `run` would continue, what of it is kept and what is stale."""
    total, left = (sum(len(block.jobs) for block in some) for some in (blocks, pending(blocks, store, plan)))
    _line(
        console,
        f"`run` would continue {store.run_dir}: {total - left} of {total} measurements are kept (--new starts afresh)",
    )
    stale = Counter(", ".join(changed) for _, changed in stale_records(store, plan))
    for changed, number in stale.items():
        _line(console, f"  stale, will not be used: {number} records; changed: {changed}")


def _print_preflight(console: Console, checked: Preflight) -> None:
    experiment = checked.experiment
    _line(console, f"\nFlags and variables: {checked.checked_against}")
    if experiment.device == "rocm" and "+rocm" not in checked.version:
        _line(console, "  the same release of vLLM for ROCm has the same ones")
    for note in checked.notes:
        _line(console, f"  translated: {note}")
    for launch in experiment.launches:
        need = need_of(experiment, launch)
        _line(console, f"Memory of launch {launch.name!r}: {need or 'not known for this model'}")
    _line(console, f"Machine: {machine_note(checked)}")


def _print_host(console: Console, experiment: Experiment, starts: list[Block]) -> None:
    """Print one launch's server or engine and all that is measured on it, over all its starts."""
    block, launch = starts[0], experiment.launch(starts[0].launch)
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in launch.env.items())
    times = f", {len(starts)} starts" if len(starts) > 1 else ""
    _line(console, f"\n{block.host_kind} of launch {launch.name!r}, model {launch.model}{times}")
    if block.host_kind == "server":
        model = planned_path(launch.model.path_or_id)
        argv = serve_command(model, launch.args, 0, "127.0.0.1", [model, _NONCE], ("vllm",))
        _line(console, f"  $ {env} {shlex.join(argv).replace('--port 0', '--port PORT')}".replace("$  ", "$ "))
    else:
        _line(console, f"  one engine loaded with these flags runs all of the following{f', {env}' if env else ''}")
        if remark := offline_remark(launch.args):
            _line(console, f"  {remark}")
    jobs = [job for start in starts for job in start.jobs]
    for case in dict.fromkeys(job.case for job in jobs):
        repeats = [job for job in jobs if job.case == case]
        _line(console, f"  {case.case_id}  ×{len(repeats)}")
        if isinstance(case.workload, ServeWorkload):
            _line(console, f"    {_prompts_text(case, case.workload)}")
        _line(console, f"    $ {_command(case, launch, repeats[0])}")


def _command(case: Case, launch: Launch, job: Job) -> str:
    """Return the official command of `case` as one line; what is chosen at run time is in capitals."""
    model, raw_path = planned_path(launch.model.path_or_id), Path("RAW.json")
    benchmark = case.workload.benchmark
    if benchmark == "serve":
        argv = serve_argv(
            case.workload,
            base_url=_BASE_URL,
            model_name=model,
            served_name=_NONCE,
            tokenizer=model,
            seed=job.seed,
            raw_path=raw_path,
        )
    elif benchmark == "latency":
        argv = latency_argv(case.workload, model_path=model, engine_args=launch.args, raw_path=raw_path)
    elif benchmark == "throughput":
        argv = throughput_argv(
            case.workload, model_path=model, engine_args=launch.args, seed=job.seed, raw_path=raw_path
        )
    else:
        return f"POST {_BASE_URL}/v1/completions {case.workload.model_dump_json()}"
    return shlex.join(["vllm", "bench", *argv]).replace(f"--seed {job.seed}", "--seed SEED")


def _prompts_text(case: Case, workload: ServeWorkload) -> str:
    """Return how many prompts are sent, and why so many."""
    first = (
        f"{workload.warmup_prompts} others first, once a start" if workload.warmup_prompts else "no warm-up, as asked"
    )
    return f"{workload.num_prompts} prompts: {case.why_num_prompts}; {first}"


def _size_text(
    experiment: Experiment, blocks: tuple[Block, ...], estimator: Estimator, going_on: tuple[Store, RunPlan] | None
) -> str:
    """Return how much there is to measure and how long it takes; with targets, from the least to the most."""
    size = f"{len(experiment.launches)} launches, {len(experiment.cases)} cases, "
    least, until = sum(len(block.jobs) for block in blocks), experiment.until
    if until is None:
        eta = _eta_text((blocks,), estimator, going_on)
        return f"{size}{experiment.repeats} repeats each: {least} measurements on {len(blocks)} starts, {eta}"
    most = _most(experiment, blocks)
    measurements = _range_text(least, sum(len(block.jobs) for block in most))
    eta = _eta_text((blocks, most), estimator, going_on)
    return (
        f"{size}{_range_text(experiment.repeats, until.at_most)} repeats each, until {until.text()}: "
        f"{measurements} measurements on {_range_text(len(blocks), len(most))} starts, {eta}"
    )


def _most(experiment: Experiment, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Return the blocks when all rounds are added that the budget allows."""
    most = list(blocks)
    for host_kind in ("server", "engine"):
        for repeat in range(experiment.repeats, experiment.until.at_most):
            added = experiment.added_round(host_kind, repeat)
            if experiment.takes_turns(host_kind):
                most += added
            elif added:  # it goes on with the host that is there
                place = next(i for i, block in enumerate(most) if block.host_kind == host_kind)
                most[place] = replace(most[place], jobs=most[place].jobs + added[0].jobs)
    return tuple(most)


def _range_text(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _eta_text(
    plans: Sequence[Sequence[Block]], estimator: Estimator, going_on: tuple[Store, RunPlan] | None
) -> str:
    """Return 'about 3 min 20 s (by run quickstart/20261126-140716)' for what is left; several plans make a range."""
    estimates = [estimator.estimate(pending(blocks, *going_on) if going_on else blocks) for blocks in plans]
    upto = "".join(f" to {duration_text(most.seconds)}" for most in estimates[1:] if most != estimates[0])
    return f"{estimates[0]}{upto} ({estimates[0].why})"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
