"""Folders of `vllm bench sweep`: what of a run was the server's and what the load's, and what only repeats others.

SERVE--max_num_seqs=4-BENCH--max_concurrency=2/run=0.json  run=1.json  summary.json  warmup.json  run=2.failure.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbook.numbers.figures import Figures, Told

_RUN = re.compile(r"run=(\d+)\.json")
_NAMES = re.compile(r"(?:^|-)([A-Za-z_][\w.]*)=")
_SERVE, _BENCH = "SERVE-", "BENCH-"


def is_run(path: Path) -> bool:
    """Return whether a file is one run of a sweep."""
    return _RUN.fullmatch(path.name) is not None and _serve_part(path) is not None


def left_out(path: Path) -> str:
    """Return why a file of a sweep adds nothing, '' where it does."""
    runs = [beside for beside in path.parent.glob("run=*.json") if _RUN.fullmatch(beside.name)]
    if path.name == "summary.json" and runs:
        return f"lists the {len(runs)} runs beside it: nothing is added"
    if path.name == "warmup.json" and runs:
        return "is the warm-up of the runs beside it"
    if path.name == "summary.csv" and any(path.parent.glob("*/run=*.json")):
        return "lists the runs in the folders beside it: nothing is added"
    return ""


def of_sweep(found: Figures, told: Told, path: Path) -> Figures:
    """Return the figures of one run with what was the server's, its name, and which repeat it is."""
    serve = _serve_part(path) or ""
    named = _NAMES.findall(serve)
    args = {name: told.value(name) for name in named if told.value(name) is not None}
    launch = ",".join(f"{name}={value}" for name, value in args.items()) or serve.strip("-") or found.launch
    number = int(_RUN.fullmatch(path.name)[1])
    return replace(found, args=_plain(args), launch=launch, repeat=number, repeats_of=str(path.parent))


def _serve_part(path: Path) -> str | None:
    """Return 'max_num_seqs=4' of the name of the folder that holds a run; None where it is no folder of a sweep."""
    name = path.parent.name
    if not name.startswith((_SERVE, _BENCH)):
        return None
    return name.removeprefix(_SERVE).partition(_BENCH)[0].strip("-") if name.startswith(_SERVE) else ""


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if isinstance(value, bool | int | float | str)}
