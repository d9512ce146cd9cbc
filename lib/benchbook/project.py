"""The project's own folder, with its experiments: beside lib/ in a checkout, where a bundle was unpacked to elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from benchbook.terms.errors import ExperimentError

ROOT = Path(__file__).resolve().parents[2]


def found(path: Path) -> Path:
    """Return `path`, or the project's own file of that name where there is none here: experiments/quickstart.yaml."""
    own = ROOT / path
    return own if not path.is_absolute() and not os.path.exists(path) and os.path.isfile(own) else path


def named(path: Path) -> str:
    """Return the name by which `found` has it from any folder, which is shorter for the project's own files."""
    is_own = path.is_absolute() and path.is_relative_to(ROOT) and found(path.relative_to(ROOT)) == path
    return str(path.relative_to(ROOT) if is_own else path)


def notebooks_dir() -> Path:
    """Return the project's notebooks/ folder: beside lib/ in a checkout, else under the current folder."""
    beside = ROOT / "notebooks"
    folder = beside if beside.is_dir() else Path("notebooks").resolve()
    if not folder.is_dir():
        raise ExperimentError(
            f"no notebooks/ folder at {beside} nor here; run benchbook from a checkout of the project"
        )
    return folder
