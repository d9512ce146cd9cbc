"""Commands that run a container in the foreground, by their words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

_PROGRAMS = ("podman", "docker", "nerdctl")
_DETACHED = ("-d", "--detach", "--detach=true")


def runs_container(words: Sequence[str]) -> bool:
    """Return whether `words` run a container."""
    return bool(words) and PurePath(words[0]).name in _PROGRAMS and "run" in words[1:]


def problem_of(words: Sequence[str]) -> str:
    """Return why a container must not be run by `words`; '' where nothing speaks against it, or they run none."""
    if not runs_container(words):
        return ""
    if any(word in _DETACHED for word in words):
        return "-d runs the container out of sight, without its log: leave it out"
    if any(word == "--name" or word.startswith("--name=") for word in words):
        return "--name is not yours to set: benchbook ends the container by a name of its own"
    return ""
