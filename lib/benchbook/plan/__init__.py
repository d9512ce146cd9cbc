"""From a YAML file to an order of work: Experiment, Launch, Case, workloads. Starts nothing, imports no vLLM."""

from benchbook.plan.cases import Case
from benchbook.plan.eta import Estimate, Estimator
from benchbook.plan.experiment import SLO_KEYS, Experiment, load_experiment
from benchbook.plan.launches import Launch
from benchbook.plan.models import ModelRef
from benchbook.plan.order import Block, Repeat, added_round, repeat_seed, rounds
from benchbook.plan.precision import Precision
from benchbook.plan.repeats import Until
from benchbook.plan.workloads import (
    WORKLOADS,
    FirstRequestWorkload,
    LatencyWorkload,
    ServeWorkload,
    ThroughputWorkload,
    Workload,
)

__all__ = [
    "SLO_KEYS",
    "WORKLOADS",
    "Block",
    "Case",
    "Estimate",
    "Estimator",
    "Experiment",
    "FirstRequestWorkload",
    "Repeat",
    "LatencyWorkload",
    "Launch",
    "ModelRef",
    "Precision",
    "ServeWorkload",
    "ThroughputWorkload",
    "Until",
    "Workload",
    "added_round",
    "repeat_seed",
    "load_experiment",
    "rounds",
]
