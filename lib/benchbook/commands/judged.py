"""Commands that measure and answer by their exit code: is a launch worse than another, are numbers the same again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbook import project
from benchbook.commands.arguments import AgreedLoad, ResultsDir, RunName
from benchbook.commands.measured import measured
from benchbook.terminal import console as _console

if TYPE_CHECKING:
    from benchbook.report.run import Run


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
        run_dir = measured(file, results, yes=yes).run_dir
    else:
        from benchbook.records.store import Store

        run_dir = Store.open(target, results).run_dir
    raise typer.Exit(gating.print_answer(run_dir, base, launch, _console(), out))


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
    yes: AgreedLoad = False,
    results: ResultsDir = Path("results"),
) -> None:
    """Make RUN again from its folder, name what does not match here, and say of each number whether it agrees."""
    from benchbook.reproduce import reproduce as reproduce_run

    def measure(file: Path, only: Sequence[str]) -> Run:
        return measured(file, results, only=only, new=True, share_gpu=share_gpu, yes=yes)

    raise typer.Exit(reproduce_run(run, case, results, dry_run, measure, _console()))
