"""The program: its commands in the order in which a person meets them, each in a module of `commands/`.

What their exit codes mean stands in exit_codes.py. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Annotated

import typer

from benchbook.__main__ import main
from benchbook.commands import exchange, experiments, hosts, judged, runs, watching
from benchbook.commands.arguments import ExplainedName
from benchbook.process_limits import check_threads
from benchbook.terminal import console as _console
from benchbook.terminal import say
from benchbook.terms import exit_codes

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

# A library that finds no thread aborts.
_THREADED = ("run", "history", "gate", "reproduce", "report", "show", "table", "compare")
_AGREEMENT = (
    "Exit codes: 0 all numbers agree; 1 some differ; 2 it cannot be made again, nothing was started; 3 too few "
    "repeats to tell; 130 interrupted."
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        versions = {name: _version(name) for name in ("benchbook", "vllm")}
        say(_console(), "\n".join(f"{name} {version}" for name, version in versions.items()))
        say(_console(), f"python {platform.python_version()}")
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


def explain(name: ExplainedName = "") -> None:
    """Say what a verdict or a code of one means, from where on it is said and what to do; or what a metric is, and its unit."""
    from benchbook.explain import print_explained

    print_explained(name, _console())


app.command()(experiments.new)
app.command()(experiments.plan)
app.command(epilog=exit_codes.sentence())(experiments.run)
app.command()(watching.watch)
app.command(epilog=exit_codes.sentence(exit_codes.GATE_MEANINGS))(judged.gate)
app.command()(runs.report)
app.command()(runs.show)
app.command("open")(runs.open_)
app.command()(runs.table)
app.command()(runs.compare)
app.command(epilog=_AGREEMENT)(judged.reproduce)
app.command("import")(exchange.import_)
app.command()(exchange.export)
app.command()(explain)
app.command()(runs.history)
app.command("list")(runs.list_runs)
app.command()(hosts.ps)
app.command("rm")(runs.remove)
app.command()(hosts.stop)
app.command()(hosts.key)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed here"


if __name__ == "__main__":
    main()
