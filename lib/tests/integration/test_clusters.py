"""Sweeps on a Slurm and a Ray of four nodes that a machine makes of itself, where it has them: in `make test-full`."""

import subprocess
import sys
from pathlib import Path

import pytest
from rows import IS_FULL

PROOFS = Path(__file__).parents[2] / "proofs"
sys.path.insert(0, str(PROOFS))
from clusters_here import is_installed  # noqa: E402  (it lies beside the proof that it is of)

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
