"""The commands of the program, from init, plan and run to compare, reproduce and key.

What their exit codes mean stands in exit_codes.py. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchbook import project
from benchbook.__main__ import main
from benchbook.arguments import AgreedLoad, ExperimentFile, ExplainedName, ListFormatOption, ResultsDir, RunName
from benchbook.process_limits import check_threads
from benchbook.system_faults import told_as
from benchbook.terminal import console as _console
from benchbook.terminal import go_on_without_output, shown
from benchbook.terminal import say as _say
from benchbook.terms import exit_codes
from benchbook.terms.errors import ExperimentError, StoreError

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

# A library that finds no thread aborts.
_THREADED = ("run", "history", "gate", "reproduce", "report", "show", "table", "compare")

if TYPE_CHECKING:
    from benchbook.hosts.machine.cpu import CpuLook
    from benchbook.report.run import Run


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        versions = {name: _version(name) for name in ("benchbook", "vllm")}
        _say(_console(), "\n".join(f"{name} {version}" for name, version in versions.items()))
        _say(_console(), f"python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def benchbook(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the versions of benchbook, vLLM and Python.",
        ),
    ] = False,
) -> None:
    """A lab notebook for LLM serving performance with vLLM: state a question as a YAML file, measure it, read the report.

    Start with: benchbook plan experiments/quickstart.yaml
    """
    if context.invoked_subcommand in _THREADED:
        check_threads()


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The file to write, such as experiments/mine.yaml.")],
    template: Annotated[
        Literal["serve", "compare", "capacity", "chat"],
        typer.Option(
            help="What it asks: latency and throughput under load; which launch is faster; how many users within an SLO; "
            "how chats and conversations are answered."
        ),
    ] = "serve",
) -> None:
    """Write a small experiment with a comment on each line, to be changed into one of your own."""
    from benchbook.plan.template import write_template

    write_template(file, template)
    _say(_console(), f"Wrote {file}. To see what it would run: {shlex.join(['benchbook', 'plan', str(file)])}")


@app.command()
def plan(
    file: ExperimentFile,
    commands: Annotated[bool, typer.Option("--commands", help="Show vLLM's commands instead of the table.")] = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Show what FILE would run: its cases, how often, how many prompts and why, about how long. Starts nothing."""
    from benchbook.sweep.preview import preview

    preview(file, results, _console(), commands)


@app.command(epilog=exit_codes.sentence())
def run(
    file: ExperimentFile,
    results: ResultsDir = Path("results"),
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only the cases that fit, by name or by part: 'eager', 'max_concurrency=8'."
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Start afresh even if the newest run is unfinished.")] = False,
    share_gpu: Annotated[
        bool, typer.Option("--share-gpu", help="Measure although other processes use the GPU.")
    ] = False,
    yes: AgreedLoad = False,
) -> None:
    """Measure FILE, write its report and sum it up. An unfinished run is continued: what is measured is kept.

    Ctrl-C once stops in order, twice at once; nothing measured is lost either way.
    """
    options = {"only": only or (), "new": new, "share_gpu": share_gpu, "yes": yes}
    judged, console = _measured(file, results, **options), _console()

    from benchbook.report.summary import ending

    code, meaning = ending(judged)
    if judged.failures:
        _say(console, f"To try again: {judged.header.command} (measures only what failed, or was disturbed)")
    elif code == exit_codes.FAILED:
        _say(console, f"To measure all anew: {judged.header.command} --new")
    if code:
        _say(console, f"Exit code {code}: {meaning}.")
    raise typer.Exit(code)


@app.command(epilog=exit_codes.sentence(exit_codes.GATE_MEANINGS))
def gate(
    target: Annotated[
        str,
        typer.Argument(metavar="FILE|RUN", help="An experiment with both launches, measured now; or a run of one."),
    ],
    base: Annotated[
        str, typer.Argument(metavar="[A]", help="The launch that is the baseline; left out: the first.")
    ] = "",
    launch: Annotated[str, typer.Argument(metavar="[B]", help="The new launch; left out: the other of two.")] = "",
    not_worse_than: Annotated[
        str, typer.Option(metavar="SHARE", help="By how much a metric may be worse: '3%'.")
    ] = "3%",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=SHARE]",
            help="A metric to judge, with a share of its own where it has one: 'p99_ttft_ms=10%'. Left out: the headline.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Kept runs of the baseline, or an experiment for all of its runs; three at least. The launch is then A.",
        ),
    ] = None,
    answers_may_differ: Annotated[
        bool, typer.Option("--answers-may-differ", help="Judge launches whose greedy answers differ.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write gate.md, gate.json and gate.junit.xml into it.")
    ] = None,
    yes: AgreedLoad = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Is launch B worse than launch A? Worse, not worse by more than is allowed, or it cannot be told and what would tell.

    Both are measured in turns, in one experiment; or a new run is judged against kept ones, which vary from day to day.
    """
    from benchbook.gate import Gating

    gating = Gating.of(not_worse_than, metric or (), answers_may_differ, against or (), results)
    file = project.found(Path(target))
    if file.suffix in (".yaml", ".yml"):
        gating.check(file, base, launch)
        run_dir = _measured(file, results, yes=yes).run_dir
    else:
        from benchbook.records.store import Store

        run_dir = Store.open(target, results).run_dir
    raise typer.Exit(gating.print_answer(run_dir, base, launch, _console(), out))


@app.command()
def report(run: RunName, results: ResultsDir = Path("results")) -> None:
    """Build the report of RUN again from its records: report.html, and table.csv beside it."""
    from benchbook.notebooks.comparison import comparison_kernel

    with comparison_kernel():
        from benchbook.records.store import Store

        _say(_console(), f"Report: {shown(_write_report(Store.open(run, results).run_dir))}")


@app.command()
def show(run: RunName, results: ResultsDir = Path("results")) -> None:
    """Sum RUN up: how far its numbers may be believed, the answer, what failed and why, where report and logs are."""
    from benchbook.records.runs import run_name
    from benchbook.records.store import Store
    from benchbook.report.run import load_run
    from benchbook.report.summary import print_summary

    loaded, console = load_run(Store.open(run, results).run_dir), _console()
    _say(console, f"{run_name(loaded.run_dir, results)} ({loaded.header.state}): {loaded.question}")
    print_summary(loaded, console)


@app.command()
def table(
    run: RunName,
    format: ListFormatOption = "text",
    columns: Annotated[
        str, typer.Option(help="These columns only, separated by commas: the names in --format csv.", metavar="A,B,…")
    ] = "",
    case: Annotated[
        str, typer.Option(help="The cases that fit, by name or by part: 'serve', 'max_concurrency=8', 'lengths=128*'.")
    ] = "*",
    launch: Annotated[str, typer.Option(help="The launches that fit: 'eager', 'a*'.")] = "*",
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="The cases that meet it, a number by its mean: 'max_concurrency>=8', 'median_ttft_ms<500', 'verdict=VALID'.",
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="Cases in its order; with a - before it, the largest first.")
    ] = "",
    results: ResultsDir = Path("results"),
) -> None:
    """Print the results of RUN: a row a case, mean and standard deviation; as csv or json a row a repeat, all columns."""
    from benchbook.records.store import Store
    from benchbook.report.run import load_run
    from benchbook.report.table_command import print_table

    chosen = [name.strip() for name in columns.split(",") if name.strip()]
    loaded = load_run(Store.open(run, results).run_dir)
    print_table(loaded, format, _console(), chosen, case, launch, where or (), sort)


@app.command()
def compare(
    run: RunName,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[A] [B] | RUN_B…",
            help="Launches of RUN: A the one compared with, B another, left out where RUN has two. Or other runs to lay beside "
            "RUN, imported ones too, 'run:launch', 'published/NAME'.",
        ),
    ] = None,
    other_run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Take B from this run instead; a drift between runs passes for a difference."),
    ] = None,
    format: Annotated[
        Literal["text", "csv", "json", "md"], typer.Option("--format", help="How to print it; caveats go to stderr.")
    ] = "text",
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of several runs, a page as well, which opens anywhere.")
    ] = None,
    results: ResultsDir = Path("results"),
) -> None:
    """Compare launch B with launch A of RUN: how much faster or slower, how sure that is, and what may be claimed.

    Or runs: what differs between them, what of them can be compared, and why the rest cannot.

    Repeats are paired by round: an experiment with both launches measures them in turn, A B B A, on the same requests.

    A claim allows for all the comparisons made; without one, it is said how large a difference would have been seen.
    """
    from benchbook.report.across_command import compare_runs, means_runs
    from benchbook.report.compare_command import print_comparison, two_launches

    names = names or []
    if not other_run and means_runs(run, names, results):
        compare_runs([run, *names], results, format, page, _console())
        return
    if len(names) > 2 or page:
        raise ExperimentError(
            "a page is of several runs" if page else f"{names[2]!r} is one launch too many: name two, or runs"
        )
    comparison = two_launches(run, other_run or run, *[*names, "", ""][:2], results)
    print_comparison(comparison, format, _console())


@app.command(
    epilog="Exit codes: 0 all numbers agree; 1 some differ; 2 it cannot be made again, nothing was started; 3 too few "
    "repeats to tell; 130 interrupted."
)
def reproduce(
    run: RunName,
    case: Annotated[
        str,
        typer.Argument(
            metavar="[CASE]", help="Only the cases that fit, by name or by part: 'eager', 'max_concurrency=8'."
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is not here as it was there, and measure nothing.")
    ] = False,
    share_gpu: Annotated[
        bool, typer.Option("--share-gpu", help="Measure although other processes use the GPU.")
    ] = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Make RUN again from its folder, name what does not match here, and say of each number whether it agrees."""
    from benchbook.reproduce import reproduce as reproduce_run

    def measure(file: Path, only: Sequence[str]) -> Run:
        return _measured(file, results, only=only, new=True, share_gpu=share_gpu)

    raise typer.Exit(reproduce_run(run, case, results, dry_run, measure, _console()))


@app.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER…", help="Results of vLLM's benchmarks or of other tools.")
    ],
    launch: Annotated[
        str,
        typer.Option(metavar="NAME", help="What to call the server that all of them measured; else by model or file."),
    ] = "",
    told: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What the files do not tell, such as batch_size=8."),
    ] = None,
    results: ResultsDir = Path("results"),
) -> None:
    """Read figures of others, judge them by all that they tell, and keep them as a run like any.

    Of vLLM (serve, latency, throughput, sweep), SGLang, InferenceX, inference-perf, GuideLLM, AIPerf and llm-d; and what
    `benchbook export` wrote, of which a zip becomes again the run that it was.
    """
    from benchbook.numbers.import_command import import_files

    command = shlex.join(["benchbook", "import", *map(str, files)])
    raise typer.Exit(import_files(files, results, launch, told or (), command, _console()))


@app.command()
def export(
    run: RunName,
    to: Annotated[
        Literal["zip", "llm-d", "csv", "parquet", "mlflow"],
        typer.Option("--to", help="zip is the whole run; llm-d its benchmark report v0.2, mlflow its folder of runs."),
    ] = "zip",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file or folder to write; by default one named by the run, here."),
    ] = None,
    without_requests: Annotated[
        bool, typer.Option("--without-requests", help="Of frozen requests only their hashes: their text stays here.")
    ] = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Write RUN as one file for somebody else, looked through for secrets, or its figures for another program."""
    from benchbook.numbers.export_command import export_run

    export_run(run, results, to, output, not without_requests, _console())


@app.command()
def explain(name: ExplainedName = "") -> None:
    """Say what a code of a verdict means, from where on it is said and what to do; or what a metric is, and its unit."""
    from benchbook.explain import print_explained

    print_explained(name, _console())


@app.command()
def history(
    experiment: Annotated[str, typer.Argument(help="The name of an experiment: the folder of its runs.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A metric to show; left out: the headline of each benchmark."),
    ] = None,
    format: ListFormatOption = "text",
    results: ResultsDir = Path("results"),
) -> None:
    """Show the runs of EXPERIMENT over time, with intervals and versions, and where they step; write history.html."""
    from benchbook.history import print_history

    print_history(experiment, metric or (), format, results, _console())


@app.command("list")
def list_runs(format: ListFormatOption = "text", results: ResultsDir = Path("results")) -> None:
    """List the runs, newest last: their names, their state, how many repeats are measured, how long they took."""
    from benchbook.lists import print_runs

    print_runs(results, format, _console())


@app.command()
def ps(format: ListFormatOption = "text") -> None:
    """List the live hosts: servers, engines and benchmark clients that benchbook started on this machine."""
    from benchbook.lists import print_hosts
    from benchbook.stop import end_orphans

    console = _console()
    end_orphans(console)
    print_hosts(format, console)


@app.command("rm")
def remove(
    run: RunName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Delete RUN with its records, notebooks and report. On a terminal it asks first; elsewhere it wants --yes."""
    from benchbook.records.store import Store

    store = Store.open(run, results)
    if not store.run_dir.is_relative_to(results.resolve()):
        raise ExperimentError(f"{store.run_dir} is not under {results.absolute()}: only runs there are deleted")
    if yes or _confirmed(f"Delete {store.run_dir} with {store.count_measured()} measured repeats?"):
        store.delete()
        _say(_console(), f"Deleted {store.run_dir}.")


@app.command()
def stop(
    host_id: Annotated[
        str, typer.Argument(help="The host's id, or its beginning, or its name, from `benchbook ps`.")
    ] = "",
    all_hosts: Annotated[bool, typer.Option("--all", help="End every live host.")] = False,
) -> None:
    """End a live host with all its processes."""
    from benchbook.stop import end_orphans, stop_hosts

    console = _console()
    end_orphans(console)
    stop_hosts(host_id, all_hosts, console)


@app.command()
def key(server: Annotated[str, typer.Argument(help="A live server of yours: its name, address or port.")]) -> None:
    """Print the API key of SERVER, for other clients: curl -H "Authorization: Bearer $(benchbook key SERVER)" ..."""
    from benchbook.hosts.kept import find_server

    print(find_server(server).api_key)


def _measured(
    file: Path,
    results: Path,
    *,
    only: Sequence[str] = (),
    new: bool = False,
    share_gpu: bool = False,
    yes: bool = False,
) -> Run:
    """Measure what the experiment in `file` lacks, have its report written and print the summary; return its run."""
    first_look = _first_look()

    from benchbook.stop import end_orphans
    from benchbook.sweep.progress import ConsoleProgress
    from benchbook.sweep.run import run_experiment

    console, options = _console(), {"only": only, "new": new, "share_gpu": share_gpu, "first_look": first_look}
    end_orphans(console)
    go_on_without_output()
    with ConsoleProgress(console) as progress:

        def confirm(told: str) -> bool:
            with progress.paused():
                return yes or _confirmed(told)

        options |= {"meanwhile": _get_report_ready, "confirm": confirm, "yes": yes}
        ended = run_experiment(file, results, progress, _write_report, **options)
        if ended.is_interrupted:
            raise typer.Exit(exit_codes.INTERRUPTED)
        with told_as(StoreError):
            from benchbook.report.run import load_run
            from benchbook.report.summary import print_summary

            judged = load_run(ended.store.run_dir)
    print_summary(judged, console)
    if ended.unwritten:
        raise ended.unwritten
    return judged


def _confirmed(question: str) -> bool:
    """Return what somebody at the terminal answers; raise ExperimentError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ExperimentError(f"nobody can be asked here, so add --yes to do it: {question}")
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise typer.Exit(exit_codes.INTERRUPTED) from None


def _first_look() -> CpuLook | None:
    """Look at the processors before the rest is imported, so that nobody waits to see whether the machine is quiet.

    None where nobody can look: the second look will tell.
    """
    with contextlib.suppress(Exception):  # whatever the process table answers
        from benchbook.hosts.machine import cpu

        return cpu.look([os.getpid()])
    return None


def _get_report_ready() -> None:
    """Import and compile what the end of a run takes, so that it has not to be waited for there."""
    importlib.import_module("benchbook.report.summary")
    importlib.import_module("benchbook.report.html").rehearse()


def _write_report(run_dir: Path) -> Path:
    from benchbook.notebooks.comparison import execute_comparison
    from benchbook.records.store import Store
    from benchbook.report.html import render_report

    report = Store(run_dir).report_path
    render_report(execute_comparison(run_dir), report)
    return report


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed here"


if __name__ == "__main__":
    main()
