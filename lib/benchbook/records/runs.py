"""The runs under a results folder: where they lie, and their names, which are their folders. None is read.

results/quickstart/20261125-190732      is 'quickstart/20261125-190732'
results/quickstart/latest               points to the newest of an experiment
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from benchbook.terms.errors import StoreError

RUN_FILE = "run.json"
CASES = "cases"  # the folder of a run's records
JOBS = "jobs"  # the folder of a run's jobs on a cluster: what was handed to them, and what they said
LATEST = "latest"  # the link to an experiment's newest run
_CHECKOUT = Path(__file__).parents[3]


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


def newest_of(experiment: str, results_dir: Path) -> Path | None:
    """Return the folder of the newest run of `experiment`: where `latest` points, else the last by name."""
    latest = results_dir / experiment / LATEST
    if is_run(latest):
        return Path(os.path.realpath(latest))
    runs = [folder for folder in (results_dir / experiment).glob("*") if folder.name != LATEST and is_run(folder)]
    return max(runs).resolve() if runs else None


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
