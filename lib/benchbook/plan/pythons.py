"""The interpreter that a launch's `python` names: the vLLM that is installed for it is started, and not our own."""

from __future__ import annotations

import os
from pathlib import Path

from benchbook.plan.document import Document, Where

_BELOW = ("bin/python", "bin/python3")  # of an environment's folder


def read_python(doc: Document, where: Where, text: str) -> str:
    """Return the absolute path of the interpreter that the file names at `where`, links in it left as they are.

    A relative one is looked for beside the file, then in the current folder. Raises ExperimentError for what is no
    program; that it is a Python, only running it can tell.
    """
    if not text:
        raise doc.error(where, "is empty: leave the key out to have benchbook's own")
    path = Path(os.path.expanduser(text))
    places = dict.fromkeys(os.path.abspath(base / path) for base in (doc.path.resolve().parent, Path.cwd()))
    found = next(filter(os.path.exists, places), None)
    if found is None:
        looked = "" if os.path.isabs(path) else f"; looked for {' and '.join(places)}"
        raise doc.error(where, f"no such file{looked}{_expansion(text)}{_environment_hint(places)}")
    if os.path.isdir(found):
        inside = next((name for name in _BELOW if os.path.isfile(os.path.join(found, name))), None)
        hint = f"write {os.path.join(text, inside)}" if inside else "write the path of its interpreter"
        raise doc.error(where, f"is a folder: {hint}")
    if not os.access(found, os.X_OK):
        raise doc.error(where, "is no program: nobody may execute it")
    return found


def _expansion(text: str) -> str:
    return "; no shell reads this file, so $ expands nothing here" if "$" in text else ""


def _environment_hint(places: dict[str, None]) -> str:
    """Return how an environment of ours is made that is looked for and not there, '' for any other."""
    for place in places:
        folder = next((part for part in Path(place).parts if part.startswith(".venv-")), None)
        if folder:
            return f"; environment/cpu/setup.sh --version {folder.removeprefix('.venv-')} makes that of a CPU"
    return ""
