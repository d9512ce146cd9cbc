"""How long an experiment may take: rough defaults, replaced by what was measured as soon as there is something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbook.plan.order import Block

# Seconds with the tiny model on a 2-core CPU. A large model on a GPU takes minutes to start: pass its history.
START_S = {"server": 30.0, "engine": 35.0}
JOB_S = {"first_request": 3.0, "serve": 6.0, "latency": 15.0, "throughput": 10.0}

History = Mapping[str | tuple[str, str, str], float]


def estimate_s(blocks: Sequence[Block], history: History) -> float:
    """Return the estimated duration (s) of all starts and jobs in `blocks`.

    `history` holds past durations (s): of a repeat under its case_id, of a start under ("start", launch, host_kind).
    """
    starts_s = sum(history.get(("start", block.launch, block.host_kind), START_S[block.host_kind]) for block in blocks)
    jobs = [job for block in blocks for job in block.jobs]
    return starts_s + sum(history.get(job.case.case_id, JOB_S[job.case.workload.benchmark]) for job in jobs)
