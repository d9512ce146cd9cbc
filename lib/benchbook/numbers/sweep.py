"""Runs of `vllm bench sweep`: what of one was the server's and what the load's, and which files only repeat others.

    SERVE--max_num_seqs=4-BENCH--max_concurrency=2/run=0.json  run=1.json  summary.json  warmup.json  run=2.failure.json

A run is a result of `bench serve` with a number and with what the sweep set, flat among the keys of the result.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbook.numbers.figures import Figures, Told

NUMBER = "run_number"
WARM_UP = -1  # in its place
_RUN = re.compile(r"run=\d+\.json")
_SERVE = re.compile(r"SERVE-(?P<serve>.*?)(?:-(?:BENCH|WL|STARTUP)-.*)?")
_LOAD = re.compile(r"(?:BENCH|WL)-.*")
_NAMES = re.compile(r"(?:^|-)([A-Za-z_][\w.]*)=")
# What `bench serve` itself writes, of this release and of earlier ones; all else a sweep set.
_OWN = re.compile(
    r"(mean|median|std|p[\d.]+)_\w+_ms|(spec_decode|diffusion|probe|ramp_up)_\w+|max_(output_tokens_per_s|concurrent_requests)"
    r"|date|endpoint_type|backend|label|(model|tokenizer)_id|num_prompts|request_rate|burstiness|max_concurrency|duration"
    r"|completed|failed|total_(input|output)_(tokens|sequences)|(request|input|output|total_token|input_sequence)_throughput"
    r"|request_goodput|rtfx|rps_change_events|best_of|use_beam_search|steady_state|max_model_len|run_number"
)


def is_run(told: Told) -> bool:
    """Return whether an object is one run of a sweep."""
    number = told.content.get(NUMBER)
    return isinstance(number, int) and not isinstance(number, bool) and number >= WARM_UP


def left_out(path: Path) -> str:
    """Return why a file of a sweep adds nothing, '' where it does."""
    runs = [beside for beside in path.parent.glob("run=*.json") if _RUN.fullmatch(beside.name)]
    if path.name == "summary.json" and runs:
        return f"lists the {len(runs)} runs beside it: nothing is added"
    if path.name == "summary.csv" and any(path.parent.glob("*/run=*.json")):
        return "lists the runs in the folders beside it: nothing is added"
    return ""


def of_sweep(found: Figures, told: Told, path: Path) -> Figures:
    """Return the figures of one run with what was the server's, by which it is called, what the load's, and its repeat."""
    set_by_it = {name: value for name, value in told.content.items() if not _OWN.fullmatch(name) and _is_plain(value)}
    serve = _SERVE.fullmatch(path.parent.name)
    names = _NAMES.findall(serve["serve"]) if serve else [] if _LOAD.fullmatch(path.parent.name) else set_by_it
    args = {name: set_by_it[name] for name in names if name in set_by_it}
    launch = ",".join(f"{name}={value}" for name, value in args.items()) or (serve["serve"].strip("-") if serve else "")
    return replace(
        found,
        args=args,
        workload={**found.workload, **{name: value for name, value in set_by_it.items() if name not in args}},
        launch=launch or found.launch,
        repeat=told.content[NUMBER],
        repeats_of=str(path.parent),
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)
