"""Commands that run a container in the foreground, by their words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

_PROGRAMS = ("podman", "docker", "nerdctl")
_DETACHED = ("-d", "--detach", "--detach=true")


def runs_container(words: Sequence[str]) -> bool:
    """Return whether `words` run a container."""
    return bool(before_run(words))


def before_run(words: Sequence[str]) -> list[str]:
    """Return the words before `run`: the program with its own options, and who calls it; [] where they run no container.

    So stand they before each other word of that program, as `sudo podman --root /big rm`.
    """
    program = next((number for number, word in enumerate(words) if _is_program(word, number)), len(words))
    return list(words[: words.index("run", program)]) if "run" in words[program:] else []


def _is_program(word: str, number: int) -> bool:
    path = PurePath(word)
    return path.name in _PROGRAMS and (not number or path.parent.name in ("", "bin", "sbin"))  # no /var/lib/docker


def problem_of(words: Sequence[str]) -> str:
    """Return why a container must not be run by `words`; '' where nothing speaks against it, or they run none."""
    if not runs_container(words):
        return ""
    if any(word in _DETACHED for word in words):
        return "-d runs the container out of sight, without its log: leave it out"
    if any(word == "--name" or word.startswith("--name=") for word in words):
        return "--name is not yours to set: benchbook ends the container by a name of its own"
    return ""
