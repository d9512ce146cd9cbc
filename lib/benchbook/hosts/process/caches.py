"""The folder of what can be made again: models that we build, and what we have read out of an installed vLLM.

What is kept there is a convenience: a file that cannot be written, or is damaged, is as good as none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbook.reading import read_json
from benchbook.terms.errors import ExperimentError, StoreError

CACHE_VARIABLE = "BENCHBOOK_CACHE_DIR"
_PROBE_BYTES = 4096
_CONTENT = ".benchbook.json"  # in a folder that we made: the sizes of its files


def own_folder(variable: str, xdg_variable: str, below_home: str, mode: int = 0o777) -> Path:
    """Return the absolute folder that `variable` names, or else benchbook's own, made on demand.

    That is below the folder that `xdg_variable` names, or `below_home`. Raises ExperimentError, with the way out; also
    where these are relative, since they would then be other folders with each place that benchbook is called in.
    """
    home = os.path.expanduser("~")
    base = os.environ.get(xdg_variable) or os.path.join(home, below_home)
    if not (os.environ.get(variable) or os.path.isabs(base)):
        named = xdg_variable if os.environ.get(xdg_variable) else "HOME"
        said = f"{named}={os.environ.get(named, home)} is no absolute path"
        raise ExperimentError(f"{said}, and each folder would have files of its own: set {named}, or {variable}")
    folder = Path(os.environ.get(variable) or Path(base, "benchbook")).absolute()
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        why = "a file is there" if isinstance(error, FileExistsError) else error.strerror
        raise ExperimentError(f"no folder {folder} can be had ({why}): {_way_out(variable)}") from error
    return folder


def check_writable(folder: Path | str, variable: str) -> None:
    """Raise ExperimentError, with the way out, unless a small file can be written into `folder`."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        raise ExperimentError(
            f"nothing can be written into {folder} ({error.strerror}): {_way_out(variable)}"
        ) from error


def cache_dir() -> Path:
    """Return the folder of what can be made again, made on demand; raises ExperimentError where that cannot be."""
    return own_folder(CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache")


def remembered(path: Path) -> dict[str, Any] | None:
    """Return the JSON object that `remember` wrote to `path`; None where there is none, or it is damaged."""
    try:
        return read_json(path)
    except StoreError:
        return None


def remember(path: Path, content: Mapping[str, Any]) -> bool:
    """Write `content` to `path`, so that a reader sees none or the whole, and return whether that could be done."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content))
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        return False
    return True


def built(name: str, build: Callable[[Path], None]) -> Path:
    """Return the folder `name` of the cache, filled by `build` first where it is not there, or no longer whole.

    It appears whole or not at all. Raises ExperimentError where it cannot be written, and what `build` raises.
    """
    folder = cache_dir() / name
    if _is_whole(folder):
        return folder
    try:
        with alone(folder.with_name(f"{name}.lock")):
            if not _is_whole(folder):
                _fill(folder, build)
    except OSError as error:
        raise ExperimentError(f"{folder} cannot be made ({error.strerror}): {_way_out(CACHE_VARIABLE)}") from error
    return folder


def _fill(folder: Path, build: Callable[[Path], None]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        build(partial)
        files = (path for path in partial.rglob("*") if path.is_file())
        sizes = {path.relative_to(partial).as_posix(): path.stat().st_size for path in files}
        (partial / _CONTENT).write_text(json.dumps(sizes))
        partial.chmod(0o755)  # mkdtemp makes it private; a cache may be shared
        shutil.rmtree(folder, ignore_errors=True)  # a cleaner of caches has left it in part
        try:
            partial.rename(folder)
        except OSError:
            if not _is_whole(folder):  # else somebody, where nothing can be locked, was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already when the rename succeeded


def _is_whole(folder: Path) -> bool:
    sizes = remembered(folder / _CONTENT)
    try:
        return sizes is not None and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


@contextlib.contextmanager
def alone(lock_path: Path) -> Iterator[None]:
    """Inside, nobody else makes the same; where the file system has no locks, two may, and one counts."""
    with open(lock_path, "w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _way_out(variable: str) -> str:
    return f"set {variable} to a folder that can be written"
