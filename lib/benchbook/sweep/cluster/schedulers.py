"""What this project needs of a scheduler: give it a script, ask what became of it, cancel it. Slurm and Ray have that."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchbook.hosts.http import ask, json_of
from benchbook.plan.cluster import Cluster
from benchbook.terms.errors import ExperimentError

WAITING, RUNNING = "waiting", "running"
_COMMAND_LIMIT_S = 60.0
_NOT_FOUND, _FAULTY = 404, 400


class Scheduler(Protocol):
    """Runs scripts on nodes that see the same folders as this machine."""

    def submit(self, name: str, script: Path) -> str:
        """Have `script` run once there is room, its output in 'job.log' beside it; return its id. Raises ExperimentError."""

    def states(self, ids: Collection[str]) -> Mapping[str, str] | None:
        """Return 'waiting' or 'running' for those that are not over; None where nobody answers."""

    def cancel(self, ids: Collection[str], *, at_once: bool = False) -> None:
        """Have them end, in order where that is possible and unless `at_once`; those that are over do not matter."""


def scheduler_of(cluster: Cluster) -> Scheduler:
    """Return what a cluster's file asks for."""
    return Slurm(cluster) if cluster.scheduler == "slurm" else Ray(cluster)


@dataclass(frozen=True)
class Slurm:
    """By sbatch, squeue and scancel."""

    cluster: Cluster

    def submit(self, name: str, script: Path) -> str:
        """Return the number of the job."""
        argv = [
            "sbatch",
            "--parsable",
            "--no-requeue",  # a job that is lost runs again under a new id, which is told
            "--open-mode=append",
            f"--job-name={name}",
            f"--output={script.parent / 'job.log'}",
            f"--chdir={Path.cwd()}",
            *self.options,
            str(script),
        ]
        return _output(argv).split(";")[0]

    @property
    def options(self) -> list[str]:
        """What the cluster's file asks for, as sbatch takes it."""
        asked = ((name, value) for name, value in self.cluster.options.items() if value is not False)
        return [f"--{name}" if value is True else f"--{name}={value}" for name, value in asked]

    def states(self, ids: Collection[str]) -> Mapping[str, str] | None:
        """Return what squeue lists of them."""
        try:
            lines = _output(["squeue", "--noheader", "--me", "--format=%i %T"]).splitlines()
        except ExperimentError:
            return None
        listed = dict(line.split(maxsplit=1) for line in lines if " " in line.strip())
        return {each: WAITING if listed[each].strip() == "PENDING" else RUNNING for each in ids if each in listed}

    def cancel(self, ids: Collection[str], *, at_once: bool = False) -> None:
        """Cancel what waits, and have what has begun end in order: SIGTERM to the job itself, and not to what it started."""
        _quietly(["scancel", *([] if at_once else ["--state=PENDING"]), *ids])
        if not at_once:
            _quietly(["scancel", "--signal=TERM", "--batch", *ids])


@dataclass(frozen=True)
class Ray:
    """By the jobs of Ray's dashboard."""

    cluster: Cluster

    def submit(self, name: str, script: Path) -> str:
        """Return the submission's id."""
        asked = dict(self.cluster.resources)
        body = {
            "entrypoint": f"bash {shlex.quote(str(script))} >> {shlex.quote(str(script.parent / 'job.log'))} 2>&1",
            "entrypoint_num_cpus": asked.pop("num_cpus", 1),
            "entrypoint_num_gpus": asked.pop("num_gpus", 0),
            "entrypoint_resources": asked,
            "metadata": {"name": name},
        }
        return (self._ask("POST", "", body) or {})["submission_id"]

    def states(self, ids: Collection[str]) -> Mapping[str, str] | None:
        """Return what the dashboard says of each."""
        known = {"PENDING": WAITING, "RUNNING": RUNNING}
        try:
            found = {each: (self._ask("GET", each) or {}).get("status", "") for each in ids}
        except ExperimentError:
            return None
        return {each: known[status] for each, status in found.items() if status in known}

    def cancel(self, ids: Collection[str], *, at_once: bool = False) -> None:
        """Have each stopped: SIGTERM, and SIGKILL after Ray's own wait."""
        for each in ids:
            try:
                self._ask("POST", f"{each}/stop")
            except ExperimentError:
                continue  # it is over, or nobody answers

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, str] | None:
        """Return what the dashboard answers, None for a job that it does not know (any more)."""
        address = self.cluster.address.rstrip("/")
        try:
            status, text = ask(method, address, f"/api/jobs/{path}", timeout_s=_COMMAND_LIMIT_S, payload=body)
            if status == _NOT_FOUND and path:
                return None
            if status >= _FAULTY:
                raise ValueError(f"HTTP {status}: {' '.join(text.split())[:300]}")
            return json_of(text)
        except (OSError, ValueError) as error:
            raise ExperimentError(f"Ray at {address}: {error}") from None


def _output(argv: list[str]) -> str:
    """Return what a command of the scheduler prints; raise ExperimentError, with its own words, where it does not."""
    try:
        done = subprocess.run(
            argv, capture_output=True, encoding="utf-8", errors="replace", timeout=_COMMAND_LIMIT_S, check=True
        )
    except FileNotFoundError:
        raise ExperimentError(f"there is no {argv[0]} here: `run --on` goes where jobs are submitted from") from None
    except subprocess.CalledProcessError as error:
        raise ExperimentError(f"{argv[0]}: {' '.join(error.stderr.split())[:300]}") from None
    except subprocess.TimeoutExpired:
        raise ExperimentError(f"{argv[0]} has not answered for {_COMMAND_LIMIT_S:.0f} s") from None
    return done.stdout.strip()


def _quietly(argv: list[str]) -> None:
    try:
        _output(argv)
    except ExperimentError:
        return  # what is cancelled may be over
