"""The run that somebody means: by its folder, by one of its names, or as the one that was started last.

results/quickstart/20261125-190732      is 'quickstart/20261125-190732', and 'quickstart' while it is the newest
results/reference/tuned                 is 'reference/tuned', also 'tuned', 'tuned/20261125-190732' by its run.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbook.records.header import RunHeader, RunState, read_header
from benchbook.records.runs import LATEST, is_run, no_runs_text, run_files
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike

_SHOWN_RUNS = 5


@dataclass(frozen=True)
class _Known:
    """A run under the results folder, with all that it may be called."""

    folder: Path
    experiment: str
    run_id: str

    @property
    def names(self) -> tuple[str, ...]:
        """Return its full names, the first of which is printed."""
        return f"{self.folder.parent.name}/{self.folder.name}", f"{self.experiment}/{self.run_id}"


def find_run(run: str | Path, results_dir: Path) -> Path:
    """Return the folder of a run that is given as a folder, by its name, as 'experiment' (its newest) or by its id.

    An id may be cut while it is the only one that begins so. Raises ExperimentError with what may be meant.
    """
    for folder in (Path(run), results_dir / run, results_dir / run / LATEST):
        if is_run(folder):
            return folder.resolve()
    known, wanted = list(_known_runs(results_dir)), str(run).strip("/")
    newest_first = sorted(known, key=lambda one: one.run_id, reverse=True)
    for meant in (
        [one for one in known if wanted in one.names],
        [one for one in known if wanted in (one.run_id, one.folder.name)],
        [one for one in newest_first if wanted == one.experiment][:1],
        [one for one in known if wanted and any(name.startswith(wanted) for name in (one.run_id, *one.names))],
    ):
        if len(meant) == 1:
            return meant[0].folder.resolve()
        if meant:
            raise ExperimentError(f"run {wanted!r} may be {_listed([one.names[0] for one in meant])}: say which")
    raise ExperimentError(_unknown(wanted, known, results_dir))


def newest_run(results_dir: Path) -> Path:
    """Return the folder of the run that was started last, of those that have finished where there are any.

    Raises ExperimentError where there is no run at all.
    """
    found = _headers(results_dir)
    if not found:
        raise ExperimentError(f"no run under {results_dir} yet; to make one: benchbook run experiments/quickstart.yaml")
    return max(found, key=lambda one: (one[0].state is RunState.FINISHED, one[0].started_utc))[1].resolve()


def later_run(run_dir: Path, results_dir: Path) -> tuple[Path, RunState] | None:
    """Return the run that was started last and its state; None where it is `run_dir`."""
    header, last = max(_headers(results_dir), key=lambda one: one[0].started_utc)
    return None if last.resolve() == run_dir.resolve() else (last, header.state)


def _headers(results_dir: Path) -> list[tuple[RunHeader, Path]]:
    return [(read_header(path)[0], path.parent) for path in run_files(results_dir)]


def _known_runs(results_dir: Path) -> Iterator[_Known]:
    for path in run_files(results_dir):
        header, _ = read_header(path)
        yield _Known(path.parent, header.experiment, header.run_id)


def _unknown(wanted: str, known: Sequence[_Known], results_dir: Path) -> str:
    if not known:
        return f"no run {wanted!r}: {no_runs_text(results_dir)}"
    names = {name: one.names[0] for one in known for name in (*one.names, one.experiment, one.folder.name, one.run_id)}
    near = dict.fromkeys(names[name] for name in alike(wanted, names, most=3))
    newest = [one.names[0] for one in sorted(known, key=lambda one: one.run_id)[-_SHOWN_RUNS:]]
    hint = f"did you mean {_listed(list(near))}?" if near else f"the newest are {', '.join(newest)}"
    return f"no run {wanted!r} under {results_dir.absolute()} (see `benchbook list`); {hint}"


def _listed(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names[:_SHOWN_RUNS])) + (" or another" if len(names) > _SHOWN_RUNS else "")
