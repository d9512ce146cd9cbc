"""Containers by name: one that a command runs in the foreground is named, and ended by its name when its host has ended.

What runs in a container is no child of the program that asked for it, so that the end of our processes need not end it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence

from benchbook.terms.containers import before_run

END_LIMIT_S = 20.0


def named(words: Sequence[str], name: str) -> list[str]:
    """Return `words` with the container that they run called `name`; as they are where they run none."""
    before = before_run(words)
    return [*before, "run", "--name", name, *words[len(before) + 1 :]] if before else list(words)


def ending_of(words: Sequence[str], name: str) -> list[str]:
    """Return the command that ends the container `name` that `words` run; [] where they run none."""
    before = before_run(words)
    return [*before, "rm", "--force", name] if before else []


def end(words: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run what `ending_of` returned; a container that has ended by itself is no fault."""
    if words:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            subprocess.run(words, env=dict(env or os.environ), timeout=END_LIMIT_S, check=False, **nowhere)
