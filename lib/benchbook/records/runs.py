"""The runs under a results folder: their names, which are their folders, and the run that somebody means.

results/quickstart/20261125-190732      is 'quickstart/20261125-190732', and 'quickstart' while it is the newest
results/reference/tuned                 is 'reference/tuned', also 'tuned', 'tuned/20261125-190732' by its run.json
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbook.records.header import RunHeader, RunState, read_header
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.likeness import alike

RUN_FILE = "run.json"
CASES = "cases"  # the folder of a run's records
JOBS = "jobs"  # the folder of a run's jobs on a cluster: what was handed to them, and what they said
LATEST = "latest"  # the link to an experiment's newest run
_CHECKOUT = Path(__file__).parents[3]
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


def run_files(results_dir: Path) -> list[Path]:
    """Return the run.json of every run under `results_dir`, oldest first; `latest` links are not followed.

    A run whose run.json was lost is one while it has records.
    """
    folders = {path.parent for name in (RUN_FILE, CASES) for path in results_dir.glob(f"*/*/{name}")}
    runs = [folder / RUN_FILE for folder in folders if not folder.is_symlink()]
    return sorted(runs, key=lambda path: (path.parent.name, path))


def is_run(folder: Path) -> bool:
    """Return whether `folder` is that of a run, whole or damaged."""
    return any(os.path.lexists(folder / name) for name in (RUN_FILE, CASES))


def run_name(run_dir: Path, results_dir: Path) -> str:
    """Return the name that every command takes: 'quickstart/20261125-190732', or the folder of a run elsewhere."""
    try:
        return run_dir.resolve().relative_to(results_dir.resolve()).as_posix()
    except ValueError:
        return str(run_dir)


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


def newest_of(experiment: str, results_dir: Path) -> Path | None:
    """Return the folder of the newest run of `experiment`: where `latest` points, else the last by name."""
    latest = results_dir / experiment / LATEST
    if is_run(latest):
        return Path(os.path.realpath(latest))
    runs = [folder for folder in (results_dir / experiment).glob("*") if folder.name != LATEST and is_run(folder)]
    return max(runs).resolve() if runs else None


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


def results_nearby() -> Path:
    """Return results/ of the current folder or of the nearest one above that has it."""
    here = Path.cwd()
    found = (folder / "results" for folder in (here, *here.parents))
    return next((folder for folder in found if folder.is_dir()), here / "results")


def no_runs_text(results_dir: Path) -> str:
    """Return that `results_dir` has no runs, where that is, and which results folder nearby has some."""
    text = f"no runs under {results_dir.absolute()}"
    near = [folder / "results" for folder in (*Path.cwd().parents, _CHECKOUT)]
    other = next((folder for folder in near if run_files(folder)), None)
    if other is not None and other.resolve() != results_dir.resolve():
        return f"{text}; there are some in {other}: add --results {other}"
    return f"{text} yet; to make one: benchbook run experiments/quickstart.yaml"


def point_to(link: Path, target: str) -> None:
    """Make `link` a relative symbolic link to `target`, replacing an older one atomically, where there are such links."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        temporary.symlink_to(target)
        temporary.replace(link)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
            return  # a file system without links, such as FAT
        raise StoreError(f"cannot point {link} to {target}: {error.strerror}") from error


def forget_run(run_dir: Path) -> None:
    """Let `latest` name the newest run beside `run_dir`, which was deleted; an experiment without runs goes as well."""
    link = run_dir.parent / LATEST
    if link.is_symlink() and os.readlink(link) == run_dir.name:
        others = sorted(path.parent.name for path in run_dir.parent.glob(f"*/{RUN_FILE}") if path.parent != link)
        if others:
            point_to(link, others[-1])
        else:
            link.unlink()
    if not any(run_dir.parent.iterdir()):
        run_dir.parent.rmdir()


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
