"""What commands take: the arguments and options that several of them have, checked, and completed by a shell."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbook import project
from benchbook.listing import ListFormat
from benchbook.system_faults import line_of
from benchbook.terms.errors import ExperimentError


def _checked_results(results: Path) -> Path:
    """Return the folder `results`, which need not exist; raise ExperimentError for one that the system refuses."""
    try:
        str(results.absolute()).encode()
        is_folder = stat.S_ISDIR(results.stat().st_mode)
    except FileNotFoundError:
        return results
    except UnicodeEncodeError:
        raise ExperimentError(f"--results {results}: the path is not UTF-8, so no file could name it") from None
    except OSError as error:
        raise ExperimentError(f"--results {line_of(error)}") from error
    if not is_folder:
        raise ExperimentError(f"--results {results} is no folder")
    return results


def _run_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of runs that a shell may complete `incomplete` to."""
    from benchbook.records.runs import run_files, run_name

    results = Path(context.params.get("results") or "results")
    return [name for path in run_files(results) if (name := run_name(path.parent, results)).startswith(incomplete)]


def _explained_names(incomplete: str) -> list[str]:
    """Return the codes, metrics and columns that a shell may complete `incomplete` to."""
    from benchbook.explain import entries

    return [name for name in entries() if name.startswith(incomplete)]


ExperimentFile = Annotated[
    Path,
    typer.Argument(
        help="The experiment: a YAML file; the project's own, such as experiments/quickstart.yaml, from any folder.",
        callback=project.found,
    ),
]
AgreedLoad = Annotated[
    bool, typer.Option("--yes", "-y", help="Send load to attached servers on other machines without asking.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A value in place of the file's: 'repeats=5', 'launches.eager.args.max_model_len=4096', "
        "'benchmarks.serve.max_concurrency=[1, 8]'. The run keeps the file so.",
    ),
]
OnOption = Annotated[
    Path | None,
    typer.Option(
        "--on",
        metavar="CLUSTER",
        help="Measure on a cluster, by Slurm or Ray: the file that says how to ask it for jobs.",
    ),
]
ResultsDir = Annotated[Path, typer.Option("--results", help="Where runs are kept.", callback=_checked_results)]
ListFormatOption = Annotated[
    ListFormat, typer.Option("--format", help="text and md are for people, csv and json for programs.")
]
ReportFormatOption = Annotated[
    Literal["html", "md", "png"],
    typer.Option("--format", help="html is the report; md, printed, and png, one picture, are to be pasted elsewhere."),
]
RunName = Annotated[
    str,
    typer.Argument(
        help="A run: its name from `benchbook list`, its folder, its id or the beginning of it, or 'quickstart' for the "
        "newest of that experiment.",
        autocompletion=_run_names,
    ),
]
ExplainedName = Annotated[
    str,
    typer.Argument(
        metavar="[CODE|METRIC]",
        help="As in a report or table; left out: a line on each there is.",
        autocompletion=_explained_names,
    ),
]
