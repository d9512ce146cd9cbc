"""What is tried before a run that has several blocks at once, to see what neighbours cost."""

from __future__ import annotations

from benchbook.plan.case import Case
from benchbook.plan.experiment import Experiment

LEAST_PAIRS, MOST_PAIRS = 4, 8  # with three, t is 4.3 and tells little; more than eight take longer than they are worth


def tried_case(experiment: Experiment) -> Case | None:
    """Return the heaviest case of the first benchmark that is a load and has a figure to compare; None without one."""
    cases = [case for case in experiment.fixed if case.workload.row.is_load and case.workload.row.headline]
    if not cases:
        return None
    first = cases[0]
    alike = [
        case for case in cases if (case.launch, case.workload.benchmark) == (first.launch, first.workload.benchmark)
    ]
    plain = [case for case in alike if not case.maximum] or alike
    return max(plain, key=lambda case: case.size)
