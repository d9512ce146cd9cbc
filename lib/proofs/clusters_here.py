"""A Slurm and a Ray of four nodes each on this machine, one processor a node.

Slurm wants Debian's packages slurm-wlm and munge, and root; Ray wants a `ray` on PATH, of `pip install "ray[default]"`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

NODES = 4
START_LIMIT_S = 300  # of Ray's dashboard, which takes its usual minute and more on a busy machine
END_LIMIT_S = 10.0
_CONF = """
ClusterName=four
SlurmctldHost=localhost
SlurmUser=root
SlurmctldPort={control}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/node.%n.pid
SlurmctldLogFile={folder}/control.log
SlurmdLogFile={folder}/node.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
SlurmdTimeout=10
KillWait=5
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def is_installed(scheduler: str) -> bool:
    """Return whether this machine can be a cluster of `scheduler`."""
    if scheduler == "ray":
        return shutil.which("ray") is not None
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged", "sbatch"))


@contextmanager
def cluster_of(scheduler: str, folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the variables by which `scheduler` is reached, and the file of the cluster for `run --on`; all ends after."""
    with slurm(folder) if scheduler == "slurm" else ray(folder) as found:
        yield found


@contextmanager
def slurm(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """As `cluster_of`; nodes are called n1 to n4."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    nodes = [f"n{number}" for number in range(1, NODES + 1)]
    lines = [
        f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={_free_port()} CPUs=1 RealMemory=4000 State=UNKNOWN"
        for node in nodes
    ]
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(folder=folder, control=_free_port(), nodes="\n".join(lines)))
    env = {"SLURM_CONF": str(conf)}
    munge = [f"--key-file={key}", f"--log-file={folder}/munge.log", f"--pid-file={folder}/munge.pid"]
    _run("munged", "--force", f"--socket={folder}/munge.sock", f"--seed-file={folder}/munge.seed", *munge)
    try:
        _run("slurmctld", "-f", str(conf))
        for node in nodes:
            (folder / f"spool.{node}").mkdir()
            _run("slurmd", "-N", node, "-f", str(conf), env=env)
        for _ in range(300):
            found = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], env={**os.environ, **env}, capture_output=True)
            if found.stdout.split() == [b"idle"] * NODES:
                break
            time.sleep(0.1)
        yield env, "scheduler: slurm\noptions: {partition: cpu}\nat_once: 4\n"
    finally:
        _clear({**os.environ, **env})
        _end(int(path.read_text()) for path in folder.glob("*.pid"))


@contextmanager
def ray(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """As `cluster_of`; all four nodes have this machine's name. What ends them is no `ray stop`: other Rays of this machine go on."""
    port, dashboard = _free_port(), _free_port()
    usual = ["--num-cpus=1", "--disable-usage-stats", "--object-store-memory=80000000"]
    head = [f"--port={port}", f"--dashboard-port={dashboard}", f"--temp-dir={folder}", "--include-dashboard=true"]
    try:
        _run("ray", "start", "--head", *head, *usual, env={"RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{START_LIMIT_S}"})
        for _ in range(NODES - 1):
            _run("ray", "start", f"--address=127.0.0.1:{port}", *usual)
        yield {}, f"scheduler: ray\naddress: http://127.0.0.1:{dashboard}\nresources: {{num_cpus: 1}}\nat_once: 4\n"
    finally:
        running = psutil.process_iter(["cmdline"])
        _end(each.pid for each in running if any(str(folder) in word for word in each.info["cmdline"] or ()))


def _clear(env: dict[str, str]) -> None:
    """End all jobs: what runs a step outlives the daemons, and would wait for them for minutes."""
    until_s = time.monotonic() + END_LIMIT_S
    subprocess.run(["scancel", "--partition=cpu"], env=env, check=False, capture_output=True)
    while time.monotonic() < until_s and subprocess.run(["squeue", "-h"], env=env, capture_output=True).stdout:
        time.sleep(0.1)


def _end(pids: Iterable[int]) -> None:
    """End these processes and return when they are gone: they write into the cluster's folder to the last."""
    processes = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
            processes[-1].terminate()
    for process in psutil.wait_procs(processes, timeout=END_LIMIT_S)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=END_LIMIT_S)


def _run(*argv: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(argv, env={**os.environ, **(env or {})}, check=False, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
