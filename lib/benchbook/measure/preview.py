"""`benchbook plan`: what would be run, command by command, and about how long. Starts nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from benchbook.errors import StoreError
from benchbook.hosts.command import serve_command
from benchbook.hosts.models import planned_path
from benchbook.measure.commands import latency_argv, serve_argv, throughput_argv
from benchbook.measure.planning import history_of
from benchbook.measure.progress import duration_text
from benchbook.plan.cases import Case
from benchbook.plan.eta import estimate_s
from benchbook.plan.experiment import Experiment, load_experiment
from benchbook.plan.launches import Launch
from benchbook.plan.order import Block, Job, rounds
from benchbook.records.store import Store

_BASE_URL, _NONCE = "http://127.0.0.1:PORT", "NONCE"


def preview(file: Path, results_dir: Path, console: Console) -> None:
    """Print launches, cases in order, the commands of each, and the estimated time."""
    experiment = load_experiment(file)
    blocks = rounds(experiment.cases, experiment.repeats, experiment.seed)
    num_jobs = sum(len(block.jobs) for block in blocks)
    _line(console, f"{experiment.name}: {experiment.question}")
    _line(
        console,
        f"{len(experiment.launches)} launches, {len(experiment.cases)} cases, {experiment.repeats} repeats each: "
        f"{num_jobs} measurements on {len(blocks)} starts, {_eta_text(experiment, blocks, results_dir)}",
    )
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


def _print_host(console: Console, experiment: Experiment, starts: list[Block]) -> None:
    """Print one launch's server or engine and all that is measured on it, over all its starts."""
    block, launch = starts[0], experiment.launch(starts[0].launch)
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in launch.env.items())
    times = f", {len(starts)} starts" if len(starts) > 1 else ""
    _line(console, f"\n{block.host_kind} of launch {launch.name!r}, model {launch.model.path_or_id}{times}")
    if block.host_kind == "server":
        model = planned_path(launch.model.path_or_id)
        argv = serve_command(model, launch.args, 0, "127.0.0.1", [model, _NONCE], ("vllm",))
        _line(console, f"  $ {env} {shlex.join(argv).replace('--port 0', '--port PORT')}".replace("$  ", "$ "))
    else:
        _line(console, f"  one engine loaded with these flags runs all of the following{f', {env}' if env else ''}")
    jobs = [job for start in starts for job in start.jobs]
    for case in dict.fromkeys(job.case for job in jobs):
        repeats = [job for job in jobs if job.case == case]
        _line(console, f"  {case.case_id}  ×{len(repeats)}")
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


def _eta_text(experiment: Experiment, blocks: tuple[Block, ...], results_dir: Path) -> str:
    """Return 'about 3 min (by the newest run)' or the same by rough defaults."""
    try:
        history, source = (
            history_of(Store((results_dir / experiment.name / "latest").resolve()).header()),
            "by the newest run",
        )
    except StoreError:
        history, source = {}, "a first guess for a small model; the newest run will tell better"
    return f"about {duration_text(estimate_s(blocks, history))} ({source})"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
