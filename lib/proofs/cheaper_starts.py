"""Does a start that takes over what an earlier one made give the same numbers? A/A on this machine; kept where it does.

    vllm preload --model MODEL &                                   # for ipc_cache, with the args of the launch
    python lib/proofs/cheaper_starts.py ipc_cache --experiment FILE
    python lib/proofs/cheaper_starts.py startup_plan --experiment FILE
    python lib/proofs/cheaper_starts.py compile_cache              # on a CPU too

The first launch of the file stands against itself: started whole, and started cheaply, in turns, fresh starts in every
round. Proven equal are starts whose headline metrics all have a 95 % interval, each by itself, inside ±2 % of those that
were started whole; in no record of theirs anything else was taken over. What is proven is kept for this version of vLLM on
this device, and `start_not_proven` is silent from then on. Compiled code in a cache is what all starts share, and needs none
(docs/comparing.md). Give both the same `num_gpu_blocks_override` with ipc_cache: preloaded weights take memory from the other.
Exits with 0 when the two are equal.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from benchbook.hosts.vllm.taken_over import note_proof
from benchbook.judge.headlines import headline_of
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.terms.exit_codes import FAILED, INTERRUPTED, NO_ANSWER, OK
from equal_launches import BENCHMARKS
from pairs import TOLERANCE, Equality, equality_of, of_a_launch, print_ratios, proof_parser, write_output

WHOLE, CHEAP = "whole", "cheap"
# What is added to a launch: of a whole start, and of a cheaper one.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ipc_cache": ({}, {"args": {"load_format": "ipc_cache"}}),
    "startup_plan": ({}, {"env": {"VLLM_ENABLE_STARTUP_PLAN": 1}}),
    "compile_cache": ({"env": {"VLLM_DISABLE_COMPILE_CACHE": 1}}, {}),
}


def write_experiment(folder: Path, base: Path, way: str, benchmarks: str, rounds: int) -> Path:
    """Write the experiment of both starts, and return its file."""
    settings = yaml.safe_load(base.read_text())
    launch = next(iter(settings["launches"].values()))
    experiment = {
        **{key: settings[key] for key in ("model", "device", "base") if key in settings},
        "question": f"Does a start by {way} give the same numbers?",
        "launches": {name: _with(launch, more) for name, more in zip((WHOLE, CHEAP), WAYS[way], strict=True)},
        "benchmarks": BENCHMARKS[benchmarks],
        "repeats": rounds,
    }
    path = folder / "starts.yaml"
    path.write_text(json.dumps(experiment))  # which is YAML too
    return path


def _with(launch: Mapping[str, Any], more: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {**launch, **{key: {**launch.get(key, {}), **added} for key, added in more.items()}}


def measure(file: Path, results: Path) -> None:
    """Run the experiment where it is seen. Ctrl-C ends it in order, and the rounds that are whole by then are compared."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchbook", "run", str(file), "--new", "--results", str(results)]
    ) as process:
        with suppress(KeyboardInterrupt):
            process.wait()
        if process.wait() not in (OK, FAILED, NO_ANSWER, INTERRUPTED):
            raise SystemExit(f"benchbook run ended with {process.returncode}")


def ratios_of(records: Sequence[Record]) -> dict[str, Equality]:
    """Return cheap over whole of each case's headline metric, by rounds that both measured; a case that none did is left out."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        key = headline_of(record.benchmark, record.load)
        if key and record.is_measured and record.values.get(key):
            case = record.identity.case_id.partition(",")[2]
            arms = values.setdefault(f"{key} ({case})", {WHOLE: {}, CHEAP: {}})
            arms[record.identity.launch][record.identity.repeat] = record.values[key]
    found = {}
    for what, arms in values.items():
        rounds = sorted(arms[WHOLE].keys() & arms[CHEAP].keys())
        if rounds:
            found[what] = equality_of(*([arms[name][number] for number in rounds] for name in (CHEAP, WHOLE)))
    return found


def why_not_of(way: str, records: Sequence[Record]) -> str:
    """Return why these records are not of whole starts and of such by `way`; '' where they are."""
    starts = {name: {r.host.facts.taken_over for r in records if r.identity.launch == name} for name in (WHOLE, CHEAP)}
    expected = {WHOLE: {None}, CHEAP: {None if way == "compile_cache" else way}}
    return "" if starts == expected else f"starts took over {starts}, which was to be {expected}"


def main() -> int:
    """Measure, print, keep what is proven; return 0 where the two are equal."""
    parser = of_a_launch(proof_parser(__doc__, "cheaper_starts"))
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--rounds", type=int, default=8, help="two starts a round")
    parser.add_argument("--benchmarks", choices=BENCHMARKS, default="serve")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchbook-starts-") as name:
        folder = Path(name)
        file = write_experiment(folder, options.experiment, options.way, options.benchmarks, options.rounds)
        measure(file, folder / "results")
        records = Store.open(file.stem, folder / "results").records()
    if why := why_not_of(options.way, records):
        print(why)
        return 1
    if not (ratios := ratios_of(records)):
        print("no case has a round of both")
        return 1
    seconds = {name: _start_s(records, name) for name in (WHOLE, CHEAP)}
    print_ratios(ratios, "cheap / whole")
    print(f"a start took {seconds[WHOLE]:.1f} s whole and {seconds[CHEAP]:.1f} s cheap (median)")
    within = max(max(ratio.high - 1, 1 - ratio.low) for ratio in ratios.values())
    is_proven = within <= TOLERANCE
    print(
        f"equal within {100 * within:.1f} %: {'proven' if is_proven else f'not proven, {100 * TOLERANCE:g} % are allowed'}"
    )
    rounds = min(ratio.num_pairs for ratio in ratios.values())
    if is_proven and options.way != "compile_cache":
        host = records[0].host
        proof = f"within {100 * within:.1f} % over {rounds} rounds of {host.model}, {records[0].ended_utc[:10]}"
        note_proof(options.way, host.facts.vllm_version, proof)
    found = {"way": options.way, "within": within, "start_s": seconds}
    write_output(options.output, {**found, "ratios": {key: vars(ratio) for key, ratio in ratios.items()}})
    return 0 if is_proven else 1


def _start_s(records: Sequence[Record], launch: str) -> float:
    starts = {r.host.ready_utc: r.host.ready_s for r in records if r.identity.launch == launch and r.host.ready_s}
    return statistics.median(starts.values())


if __name__ == "__main__":
    raise SystemExit(main())
