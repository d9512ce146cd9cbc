"""Sweeps on a Slurm and a Ray of four nodes that a machine makes of itself, where it has them: in `make test-full`."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from benchbook.hosts.vllm.several_machines import commands
from rows import IS_FULL

PROOFS = Path(__file__).parents[2] / "proofs"
sys.path.insert(0, str(PROOFS))
from clusters_here import cluster_of, is_installed  # noqa: E402  (it lies beside the proof that it is of)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("scheduler", ["slurm", "ray"])
def test_a_sweep_on_a_cluster_is_whole_whatever_is_killed(scheduler):
    if not IS_FULL:
        pytest.skip("a cluster is made in make test-full")
    if not is_installed(scheduler):
        pytest.skip(f"{scheduler} is not installed here")
    argv = [sys.executable, str(PROOFS / "clusters.py"), scheduler, "--kills", "3"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0 and "16 of 16 repeats measured" in done.stdout, done.stdout + done.stderr


def having_words(*words):
    """Return the processes whose command line has all of these words."""
    return [one for one in psutil.process_iter(["cmdline"]) if {*words} <= {*(one.info["cmdline"] or ())}]


def until(found, limit_s=60.0):
    """Wait until `found()` is true, and return whether it is."""
    until_s = time.monotonic() + limit_s
    while not found() and time.monotonic() < until_s:
        time.sleep(0.2)
    return found()


@pytest.mark.parametrize(
    "how", ["the head is killed", "a worker is killed", "the head ends well", "the job is cancelled"]
)
def test_a_server_on_several_machines_ends_as_one_step_of_a_job(tmp_path, how):
    """On Slurm's own nodes, with a vllm that waits until it is ended, and ends well when a file is there."""
    if not IS_FULL or not is_installed("slurm"):
        pytest.skip("a cluster is made in make test-full, where Slurm is installed")
    ends, mark = tmp_path / "ends", str(tmp_path / "model")
    vllm = tmp_path / "vllm"
    vllm.write_text(f'#!/bin/bash\nuntil [ -e {ends} ] && [[ "$*" != *--headless* ]]; do sleep 0.2; done\n')
    vllm.chmod(0o755)
    *_, (_, step) = commands(mark, {"nnodes": 3, "tensor_parallel_size": 3, "master_addr": "n1"})
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/bash\nexport PATH={tmp_path}:$PATH\n{step}\n")
    with cluster_of("slurm", tmp_path / "cluster") as (variables, _):
        env = {**os.environ, **variables}
        argv = ["sbatch", "--parsable", "--nodes=3", f"--output={tmp_path}/log", str(script)]
        job = subprocess.run(argv, env=env, capture_output=True, encoding="utf-8", check=True).stdout.strip()
        assert until(lambda: len(having_words(str(vllm), mark)) == 3), (tmp_path / "log").read_text()
        if how == "the head ends well":
            ends.touch()
        elif how == "the job is cancelled":
            subprocess.run(["scancel", job], env=env, check=True)
        else:
            having_words(str(vllm), "--node-rank", "0" if how == "the head is killed" else "2")[0].kill()
        assert until(lambda: not having_words(str(vllm), mark)), how
