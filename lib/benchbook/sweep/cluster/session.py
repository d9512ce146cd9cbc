"""A run on a cluster: which kind of node it gets, asked before anything is planned, and the executor that it then has."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchbook.plan.cluster import Cluster, read_cluster
from benchbook.plan.experiment import Experiment
from benchbook.records.files import make_folder
from benchbook.records.store import Store
from benchbook.sweep.cluster.jobs import Jobs, ask_node
from benchbook.sweep.cluster.schedulers import scheduler_of
from benchbook.sweep.cluster.told import Node
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.progress import Listener


@dataclass(frozen=True)
class OnCluster:
    """Where `run --on FILE` measures."""

    cluster: Cluster
    results_dir: Path
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
        return cls(read_cluster(file), results_dir, share_gpu)

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
        return Jobs(self.cluster, scheduler_of(self.cluster), name, self.share_gpu)
