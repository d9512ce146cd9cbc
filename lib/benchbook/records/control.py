"""What somebody asks of a run under way: small files in its folder, which its runner looks at between two repeats.

control/stop               end after the repeat under way; the same command goes on
control/skip/<case key>    measure nothing more of this case, as long as the file lies there
control/again/<case key>   once all that is planned is measured, try again what failed of this case; it goes when that begins

Whatever sees the folder can ask: a board, a command on another machine, `touch`. A runner that takes the run up forgets
what was asked of an earlier one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchbook.records.attempts import names_in
from benchbook.records.files import make_folder
from benchbook.system_faults import line_of
from benchbook.terms.errors import StoreError

FOLDER = "control"


@dataclass(frozen=True)
class Control:
    """What is asked of the run in `run_dir`."""

    run_dir: Path

    @property
    def is_stopping(self) -> bool:
        """Return whether the run is to end after the repeat under way."""
        return os.path.lexists(self._stop)

    @property
    def skipped(self) -> frozenset[str]:
        """Return the keys of the cases of which nothing more is to be measured."""
        return frozenset(names_in(str(self._folder / "skip")))

    @property
    def again(self) -> frozenset[str]:
        """Return the keys of the cases that are to be tried again, and were not yet."""
        return frozenset(names_in(str(self._folder / "again")))

    def stop(self) -> None:
        """Ask that the run ends after the repeat under way."""
        self._touch(self._stop)

    def skip(self, key: str) -> None:
        """Ask that nothing more is measured of a case."""
        self._remove(self._folder / "again" / key)
        self._touch(self._folder / "skip" / key)

    def try_again(self, key: str) -> None:
        """Ask that what failed of a case is tried again, or that one which was skipped is measured after all."""
        self._remove(self._folder / "skip" / key)
        self._touch(self._folder / "again" / key)

    def begun(self, key: str) -> None:
        """Note that a case is tried again now: it was asked for once."""
        self._remove(self._folder / "again" / key)

    def forget(self) -> None:
        """Forget all that was asked; StoreError where that cannot be."""
        try:
            if self._folder.is_dir():
                shutil.rmtree(self._folder)
            else:
                self._folder.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot delete {line_of(error)}") from error

    @property
    def _folder(self) -> Path:
        return self.run_dir / FOLDER

    @property
    def _stop(self) -> Path:
        return self._folder / "stop"

    def _touch(self, path: Path) -> None:
        make_folder(path.parent)
        try:
            path.touch()
        except OSError as error:
            raise StoreError(f"cannot write {line_of(error)}") from error

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot delete {line_of(error)}") from error
