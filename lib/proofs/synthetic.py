"""Run folders of any size for timing what comes after measuring. Synthetic input: their numbers come from a formula.

All else in their records, host and conditions, is that of a real one, so that each is as long and says as much.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from benchbook.records.described import described
from benchbook.records.files import json_text
from benchbook.records.fingerprint import case_key, digest
from benchbook.records.handover import RECORD_FILE
from benchbook.records.header import LaunchFacts, LaunchModel, RunHeader, RunState
from benchbook.records.record import Identity, Record
from benchbook.records.record_file import read_record
from benchbook.records.store import Store

REPEATS = 5
_CONCURRENCIES = tuple(2**power for power in range(8))
_LENGTHS = ((128, 64), (512, 128), (1024, 256), (2048, 512), (4096, 1024))
_STATISTICS = {"mean": 1.02, "median": 1.0, "std": 0.1, "p90": 1.2, "p95": 1.3, "p99": 1.6}
_TEMPLATE = "results/reference/tuned/cases/default,serve,*/repeat=0/record.json"


def make_run(folder: Path, num_records: int) -> Path:
    """Write a run of `num_records` records: five repeats a case, 40 serve cases a launch; return its folder."""
    run_dir, draw = folder / "scale" / "synthetic", random.Random(0)
    template = read_record(next(Path(__file__).parents[2].glob(_TEMPLATE)))
    run_dir.mkdir(parents=True)
    plan = [_planned_case(index) for index in range(math.ceil(num_records / REPEATS))]
    for number in range(num_records):
        case, repeat = plan[number // REPEATS], number % REPEATS
        target = Store(run_dir).repeat_dir(case["case_key"], repeat)
        target.mkdir(parents=True)
        record = _record(template, case, repeat, draw.gauss(1.0, 0.02))
        (target / RECORD_FILE).write_text(
            json_text(record.model_dump(mode="json"))
        )  # not `write_record`, which syncs each
    launch = LaunchFacts(model=LaunchModel(name="synthetic"))
    Store(run_dir).write_header(RunHeader(
        experiment="scale", run_id="synthetic", question="Synthetic input for timing, with values from a formula.",
        command="python lib/proofs/report_growth.py", state=RunState.FINISHED, started_utc=template.started_utc,
        repeats=REPEATS, slo={"p99_ttft_ms": 500.0}, launches={case["launch"]: launch for case in plan}, plan=plan,
    ))  # fmt: skip
    return run_dir


def _planned_case(index: int) -> dict[str, Any]:
    """Return the plan's row of a case: concurrency varies first, then the lengths, then the launch."""
    by_lengths, cap = index // len(_CONCURRENCIES), _CONCURRENCIES[index % len(_CONCURRENCIES)]
    launch, (inputs, outputs) = f"launch{by_lengths // len(_LENGTHS)}", _LENGTHS[by_lengths % len(_LENGTHS)]
    workload = {
        "input_len_tokens": inputs, "output_len_tokens": outputs, "max_concurrency": cap, "num_prompts": 10 * cap,
        "request_rate_rps": None, "burstiness": 1.0, "temperature": 0.0, "range_ratio": 0.0,
    }  # fmt: skip
    case_id = f"{launch},serve,lengths={inputs}x{outputs},max_concurrency={cap},num_prompts={10 * cap}"
    fingerprint = digest([launch, workload])
    key = case_key(case_id, fingerprint)
    return {"case_id": case_id, "case_key": key, "fingerprint": fingerprint, "launch": launch, "benchmark": "serve",
            "workload": workload, "repeats": REPEATS}  # fmt: skip


def _record(template: Record, case: dict[str, Any], repeat: int, factor: float) -> Record:
    """Return `template` as a repeat of `case`; its values come from a formula."""
    identity = Identity(experiment="scale", run_id="synthetic", launch=case["launch"], case_id=case["case_id"],
                        fingerprint=case["fingerprint"], repeat=repeat)  # fmt: skip
    values = _values(case["workload"], factor)
    told = described(template.benchmark, case["workload"])._asdict()
    return template.model_copy(update={"identity": identity, "workload": case["workload"], "values": values, **told})


def _values(workload: dict[str, Any], factor: float) -> dict[str, float | int | None]:
    cap, outputs = workload["max_concurrency"], workload["output_len_tokens"]
    tpot_ms = (2.6 + 0.28 * cap) * factor
    ttft_ms = (10 + 0.03 * workload["input_len_tokens"] * cap) * factor
    e2el_ms = ttft_ms + tpot_ms * (outputs - 1)
    rate = cap * outputs / e2el_ms * 1000
    latencies = {"ttft": ttft_ms, "tpot": tpot_ms, "itl": tpot_ms, "e2el": e2el_ms}
    return {
        "output_throughput_tok_s": rate, "request_throughput_rps": rate / outputs, "total_throughput_tok_s": rate * 2,
        "completed": 10 * cap, "failed": 0,
        **{f"{name}_{kind}_ms": middle * times for kind, middle in latencies.items() for name, times in _STATISTICS.items()},
    }  # fmt: skip
