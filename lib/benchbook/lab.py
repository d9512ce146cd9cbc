"""Working copies of the notebooks, for `make lab`: what one tries, and what comes out, stays out of the tracked ones.

    python -m benchbook.lab notebooks lab

Sweeps execute the tracked notebooks, so a parameter changed there would change what is measured.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbook.records.files import make_folder, read_json, write_text
from benchbook.terms.errors import StoreError

_MARK = "benchbook"  # in a copy's metadata: {'original': hash of the cells that it was copied with}


def copy_notebooks(originals: Path, folder: Path) -> list[str]:
    """Copy each notebook that `folder` lacks, renew copies nobody has changed, and return what was done, a line each.

    A copy with changes is left alone, and told of where its original has changed since.
    """
    make_folder(folder)
    said = []
    for original in sorted(originals.glob("*.ipynb")):
        notebook, copy = read_json(original), folder / original.name
        wanted = _cells_sha256(notebook)
        state = _state(copy, wanted)
        if state == "changed":
            said.append(f"{copy} has changes of yours, and {original} is newer: delete the copy to have that one")
        if state in ("absent", "old"):
            notebook["metadata"][_MARK] = {"original": wanted}
            write_text(copy, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
            said.append(f"{copy} is a new copy of {original}")
    return said


def _state(copy: Path, wanted: str) -> str:
    """Return 'absent', 'current' (made of the original as it is now), 'old', or 'changed': old, with changes."""
    if not copy.exists():
        return "absent"
    try:
        notebook = read_json(copy)
        made_of = notebook["metadata"][_MARK]["original"]
        own = _cells_sha256(notebook)
    except (StoreError, KeyError, TypeError):
        return "changed"
    if made_of == wanted:
        return "current"
    return "old" if own == made_of else "changed"


def _cells_sha256(notebook: Mapping[str, Any]) -> str:
    """Return a hash of what stands in the cells; not of outputs."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def main() -> None:
    """Copy, and say what was done."""
    originals, folder = map(Path, sys.argv[1:])
    for line in copy_notebooks(originals, folder):
        print(f"lab: {line}", flush=True)
    print(f"lab: these are yours to change; sweeps execute those in {originals}/", flush=True)


if __name__ == "__main__":
    main()
