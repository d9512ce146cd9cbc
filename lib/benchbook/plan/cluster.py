"""A cluster, as `run --on FILE` is told of it: which scheduler, what a job asks it for, how many jobs at once.

scheduler: slurm
options: {partition: gpu, gpus: 1, cpus-per-task: 16, time: "02:00:00"}   # of sbatch, by their long names
setup: [module load cuda/12.9]                                            # lines of the job's shell
at_once: 8

scheduler: ray
address: http://head:8265
resources: {num_cpus: 16, num_gpus: 1, h100: 1}                           # of Ray; other names are a cluster's own
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from benchbook.plan.strict import StrictModel
from benchbook.plan.yamlfile import load_document

MOST_JOBS = 256
_OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
_Line = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\n\r\x00]+$")]
# What the executor gives by itself.
OURS = (
    "job-name",
    "output",
    "error",
    "chdir",
    "parsable",
    "wrap",
    "array",
    "wait",
    "requeue",
    "no-requeue",
    "open-mode",
)


class Cluster(StrictModel):
    """What the file of a cluster says."""

    scheduler: Literal["slurm", "ray"]
    options: dict[_OptionName, str | int | bool] = {}  # of sbatch
    address: str = ""  # of Ray's dashboard
    resources: dict[str, float] = {}  # of a job, as Ray counts them
    setup: list[_Line] = []
    python: str = ""  # on the nodes; '': the one that runs this command, which they are to see by the same path
    at_once: int = Field(8, ge=1, le=MOST_JOBS)
    job: Literal["round", "block"] = "round"
    again: int = Field(2, ge=0, le=10)  # how often a job that was lost runs again

    @model_validator(mode="after")
    def _fits_its_scheduler(self) -> Cluster:
        if self.scheduler == "ray" and not self.address.startswith(("http://", "https://")):
            raise ValueError("needs the address of Ray's dashboard: address: http://HEAD:8265")
        if self.scheduler == "ray" and self.options:
            raise ValueError("has options, which are sbatch's: say what a job takes under resources")
        if self.scheduler == "slurm" and (self.address or self.resources):
            raise ValueError("has address or resources, which are Ray's: say what a job takes under options")
        if ours := sorted(set(self.options) & set(OURS)):
            raise ValueError(f"has options that benchbook gives itself: {', '.join(ours)}")
        return self

    @property
    def gpus(self) -> int:
        """How many GPUs a job asks for, as far as the file says."""
        asked = self.resources.get("num_gpus") or self.options.get("gpus") or self.options.get("gpus-per-node") or 0
        number = str(asked).rpartition(":")[2]  # of 2, or of h100:2
        return math.ceil(float(number)) if number.replace(".", "", 1).isdigit() else 0


def read_cluster(path: Path) -> Cluster:
    """Return what the file at `path` says of a cluster; raises ExperimentError with its line and key."""
    document = load_document(path)
    document.faults.raise_any()
    known: Any = document.parse((), Cluster)
    document.faults.raise_any()
    return known
