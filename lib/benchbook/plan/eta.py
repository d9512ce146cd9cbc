"""How long an experiment may take: rough defaults, replaced by what was measured as soon as there is something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbook.plan.order import Block
from benchbook.plan.workloads import ServeWorkload, Workload

# Seconds with the tiny model on a 2-core CPU. A large model on a GPU takes minutes to start: pass its history.
START_S = {"server": 30.0, "engine": 35.0}
JOB_S = {"first_request": 3.0, "serve": 4.0, "latency": 15.0, "throughput": 10.0}
USER_TOK_S, MOST_TOK_S = 350.0, 1500.0  # output tokens of one request in flight, and of all together

History = Mapping[str | tuple[str, str, str], float]


def estimate_s(blocks: Sequence[Block], history: History) -> float:
    """Return the estimated duration (s) of all starts and jobs in `blocks`.

    `history` holds past durations (s): of a repeat under its case_id, of a start under ("start", launch, host_kind).
    """
    starts_s = sum(history.get(("start", block.launch, block.host_kind), START_S[block.host_kind]) for block in blocks)
    jobs = [job for block in blocks for job in block.jobs]
    return starts_s + sum(history.get(job.case.case_id, _first_guess_s(job.case.workload)) for job in jobs)


def _first_guess_s(workload: Workload) -> float:
    """Return a rough duration (s); that of a serve case follows its prompts, of which there may be ten or thousands."""
    guess_s = JOB_S[workload.benchmark]
    if isinstance(workload, ServeWorkload):
        tok_s = min(USER_TOK_S * (workload.max_concurrency or 1), MOST_TOK_S)
        guess_s += workload.num_prompts * workload.output_len_tokens / tok_s
    return guess_s
