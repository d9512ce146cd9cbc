"""Commands that read figures of other tools, and write ours for them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbook.commands.arguments import ResultsDir, RunName
from benchbook.terminal import console as _console


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
