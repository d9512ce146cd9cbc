"""A run on a cluster: which kind of node it gets, asked before anything is planned, and the executor that it then has."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchbook.hosts.engines import engine_of
from benchbook.plan.cluster import Cluster, read_cluster
from benchbook.plan.experiment import Experiment
from benchbook.records.files import make_folder
from benchbook.records.store import Store
from benchbook.sweep.cluster.jobs import Jobs, ask_node
from benchbook.sweep.cluster.schedulers import scheduler_of
from benchbook.sweep.cluster.told import Node
from benchbook.sweep.machine import check_one_machine
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preflight import Preflight
from benchbook.sweep.progress import Listener
from benchbook.terms.secret_names import holds_secret, is_secret_name
from benchbook.visible import CUDA, HIP, ROCR, ZE

_PLACES = ("BENCHBOOK_", "HF_", "HOME", "LD_LIBRARY_PATH", "PATH", "PYTHON", "XDG_")
_OF_A_NODE = {CUDA, HIP, ROCR, ZE}  # which cards a job has is for its scheduler to say


@dataclass(frozen=True)
class OnCluster:
    """Where `run --on FILE` measures."""

    cluster: Cluster
    results_dir: Path
    experiment: Experiment
    share_gpu: bool = False

    @classmethod
    def of(cls, file: Path, experiment: Experiment, results_dir: Path, share_gpu: bool = False) -> OnCluster:
        """Return what the cluster's file says; raises ExperimentError, for an experiment too that cannot go there."""
        if experiment.place:
            problem = "divides one machine, and `run --on` gives each job its own: leave place out"
            raise experiment.document.error(("place",), problem)
        if attached := [launch.name for launch in experiment.launches if launch.attached]:
            problem = "is a server of somebody else, which is measured from here: run it without --on"
            raise experiment.document.error(("launches", attached[0]), problem)
        check_one_machine(experiment)
        return cls(read_cluster(file), results_dir, experiment, share_gpu)

    def let_through(self, part: Preflight) -> list[str]:
        """Return no notes: what a node lacks, and who is on its GPUs, its jobs find."""
        return []

    def plan_of(self, experiment: Experiment, listener: Listener) -> RunPlan:
        """Return the plan for the kind of node that a job gets, which may wait in the queue first."""
        jobs = self._jobs("asks")
        listener.working_on(f"asking {self.cluster.scheduler} for the kind of node that a job gets")
        folder = Path(tempfile.mkdtemp(prefix=".asking-", dir=make_folder(self.results_dir).resolve()))
        try:
            node: Node = ask_node(jobs, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        listener.say(f"Jobs of {self.cluster.scheduler} run on nodes as {node.name}: {node.device}.")
        return RunPlan.of(experiment, on=node.device)

    def executor(self, plan: RunPlan, store: Store) -> Jobs:
        """Return what runs the blocks of a run."""
        return self._jobs(f"{plan.experiment.name}-{store.run_id}")

    def _jobs(self, name: str) -> Jobs:
        return Jobs(self.cluster, scheduler_of(self.cluster), name, self.share_gpu, handed_on(self.experiment))


def handed_on(experiment: Experiment) -> dict[str, str]:
    """Return the variables of this shell that a job is to have: what configures a launch, and where things lie; no secret."""
    counting = {name for launch in experiment.launches for name in engine_of(launch).inherited()} - _OF_A_NODE
    chosen = {name: value for name, value in os.environ.items() if name in counting or name.startswith(_PLACES)}
    return {
        name: value
        for name, value in sorted(chosen.items())
        if not is_secret_name(name) and not holds_secret(name, value)
    }
