"""For `benchbook plan --on FILE`: the jobs that a run would be, and what they cost in hours of nodes and GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbook.plan.cluster import Cluster
from benchbook.plan.eta import Estimator
from benchbook.plan.experiment import Experiment
from benchbook.plan.order import Block
from benchbook.sweep.cluster.jobs import next_job
from benchbook.sweep.waiting import Waiting
from benchbook.terms.wording import counted, duration_text, number_text

_SHOWN = 4
_S_AN_HOUR = 3600.0


def job_lines(experiment: Experiment, blocks: Sequence[Block], cluster: Cluster, estimator: Estimator) -> Iterator[str]:
    """Yield how many jobs there are of what is left, what the first are of, how long all take and what that is in GPU-hours."""
    jobs = list(grouped(blocks, experiment, cluster))
    estimates = [estimator.estimate(job) for job in jobs]
    times_s = [each.seconds for each in estimates]
    least = "" if all(each.is_known for each in estimates) else "at least "
    hours = sum(times_s) / _S_AN_HOUR
    gpus = cluster.gpus
    cost = f"; {least}{number_text(hours * gpus)} GPU-hours, of {counted(gpus, 'GPU')} a job" if gpus else ""
    longest = f"the longest {least}{duration_text(max(times_s, default=0.0))}"
    yield f"On {cluster.scheduler}: {counted(len(jobs), 'job')}, {cluster.at_once} at once, {longest}{cost}; waiting in the queue is not in it."
    for job in jobs[:_SHOWN]:
        names = ", ".join(f"{block.launch} {block.host_kind}" for block in job)
        yield f"  round {job[0].repeats[0].number}: {names}"
    if len(jobs) > _SHOWN:
        yield f"  and {len(jobs) - _SHOWN} more"
    if len(experiment.launches) > 1 and all(len(job) == 1 for job in jobs):
        yield (
            "  launches may come to different nodes: two are compared over those rounds only that took both to each node equally "
            "often"
        )


def grouped(blocks: Sequence[Block], experiment: Experiment, cluster: Cluster) -> Iterator[tuple[Block, ...]]:
    """Yield the blocks by the jobs that they are."""
    left = Waiting(blocks)
    while job := next_job(left, experiment, cluster):
        yield job
