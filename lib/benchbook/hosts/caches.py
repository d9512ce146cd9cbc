"""The folder of what can be made again: models that we build, and what we have read out of an installed vLLM."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of what can be made again, made on demand."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchbook"
    folder = Path(os.environ.get("BENCHBOOK_CACHE_DIR") or default).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
