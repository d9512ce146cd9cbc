"""Provenance: what one needs to know to repeat a number. Commit, packages, machine; never a secret."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from benchbook.records.packages import package_versions
from benchbook.records.parts import Git, MachineFacts, Provenance

_COMMAND_LIMIT_S = 10.0


def utc_now() -> str:
    """Return the time as ISO-8601 in UTC with microseconds, such as 2026-11-23T20:05:29.123456+00:00."""
    return datetime.now(timezone.utc).isoformat()


def provenance(repository: Path, machine: MachineFacts) -> Provenance:
    """Return the git state of `repository`, package versions, and the facts of the `machine`."""
    return Provenance(
        git=git_state(repository),
        packages=package_versions(),
        machine=machine,
        python_executable=Path(sys.executable).name,
    )


def git_state(folder: Path) -> Git:
    """Return the commit of the repository that holds `folder`, and whether files differ from it, as far as git tells.

    Files that git does not track, such as a reader's own experiment, do not make it dirty: the code is the commit's.
    A copy without a repository, as a bundle for another machine is, has it in commit.json beside `folder`.
    """
    noted = folder.parent / "commit.json"
    if noted.is_file():
        return Git.model_validate_json(noted.read_bytes())
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if commit is None:
        return Git()
    status = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return Git(commit=commit, dirty=None if status is None else bool(status))


def _output(argv: list[str]) -> str | None:
    """Return a short command's output, or None when it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            argv, capture_output=True, encoding="utf-8", errors="replace", timeout=_COMMAND_LIMIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
