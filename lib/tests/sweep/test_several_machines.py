"""One server on several machines: what of it a plan prints, what is refused, and that a Slurm step of it starts and ends as one."""

from __future__ import annotations

import io
import shlex
import subprocess
from pathlib import Path

import pytest
from benchbook.hosts.vllm.several_machines import commands
from benchbook.ranks import num_machines
from benchbook.sweep.cluster.session import OnCluster
from benchbook.sweep.machine import check_machine
from benchbook.sweep.preflight import preflight_of
from benchbook.sweep.preview import preview
from benchbook.terms.errors import ExperimentError
from rich.console import Console

NODES = {"tensor-parallel-size": 16, "nnodes": 3, "master_addr": "10.0.0.1", "master_port": 29501}
RANKS = {"data_parallel_size": 8, "data_parallel_size_local": 4, "data_parallel_address": "10.0.0.1"}
FILE = """question: How fast on two machines?
model: tiny
launches: {{big: {{args: {args}, env: {{NCCL_DEBUG: WARN}}}}}}
benchmarks:
  - {benchmark}
"""
SERVE = "serve: {max_concurrency: 1, lengths: [[8, 4]], num_prompts: 4}"
BIG = "{tensor_parallel_size: 4, nnodes: 2, master_addr: 10.0.0.1, max_model_len: 64}"


def checked(tmp_path, args=BIG, benchmark=SERVE):
    path = tmp_path / "big.yaml"
    path.write_text(FILE.format(args=args, benchmark=benchmark))
    return preflight_of(path)


@pytest.mark.parametrize(
    ("args", "number"),
    [({}, 1), (NODES, 3), (RANKS, 2), ({**RANKS, "data_parallel_size_local": 3}, 3), ({"nnodes": 1}, 1),
     ({**RANKS, "data_parallel_size_local": 8}, 1), ({"nnodes": "many"}, 1), ({"data_parallel_size": 4}, 1)],
)  # fmt: skip
def test_on_how_many_machines_a_server_is_follows_from_its_args(args, number):
    assert num_machines(args) == number


def test_each_machine_has_its_command_and_the_head_alone_a_port():
    (_, head), *others, _ = commands("m", NODES)
    shared = "vllm serve m --tensor-parallel-size 16 --nnodes 3 --master-addr 10.0.0.1 --master-port 29501"
    assert head == f"{shared} --node-rank 0 --host 10.0.0.1 --port 8000"
    assert [command for _, command in others] == [f"{shared} --node-rank {rank} --headless" for rank in (1, 2)]
    (_, head), (_, other), _ = commands("m", RANKS)
    shared = "vllm serve m --data-parallel-size 8 --data-parallel-size-local 4 --data-parallel-address 10.0.0.1"
    assert (head, other) == (
        f"{shared} --host 10.0.0.1 --port 8000",
        f"{shared} --headless --data-parallel-start-rank 4",
    )


@pytest.mark.parametrize("args", [NODES, RANKS])
def test_the_step_of_a_job_runs_on_each_node_what_is_that_machines(tmp_path, args):
    """The step's own shell, with a vllm that says what it is given; a path with a space stays one word."""
    vllm = tmp_path / "vllm"
    vllm.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    vllm.chmod(0o755)
    *machines, (_, step) = commands("a model", args)
    words = shlex.split(step)
    assert words[:3] == ["srun", f"--nodes={num_machines(args)}", "--ntasks-per-node=1"]
    for number, (_, command) in enumerate(machines):
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_NODEID": str(number)}
        told = subprocess.run(
            words[words.index("bash") :], env=env, capture_output=True, encoding="utf-8", check=True
        ).stdout
        assert told.split("|")[:-1] == shlex.split(command)[1:]


def test_a_plan_prints_the_commands_of_each_machine_and_how_it_is_measured_then(tmp_path):
    checked(tmp_path)
    preview(tmp_path / "big.yaml", tmp_path, console := Console(file=io.StringIO(), width=400), with_commands=True)
    text = console.file.getvalue()
    assert (
        "run` would be refused" in text and "is one server on 2 machines, and benchbook starts servers on one" in text
    )
    assert "on 10.0.0.1, the head:\n    $ NCCL_DEBUG=WARN vllm serve" in text and "--node-rank 1 --headless\n" in text
    assert "$ NCCL_DEBUG=WARN srun --nodes=2" in text
    assert "measured then by launches: {big: {attach: http://10.0.0.1:8000}}" in text


def test_a_run_refuses_in_one_line_here_and_on_a_cluster(tmp_path):
    line = r"^\S+big.yaml:3: launches.big: .args, env.: is one server on 2 machines, .* measure it there .attach.$"
    with pytest.raises(ExperimentError, match=line):
        check_machine(found := checked(tmp_path))
    with pytest.raises(ExperimentError, match=line):
        OnCluster.of(Path("no-such.yaml"), found.experiment, tmp_path)


@pytest.mark.parametrize(
    ("args", "benchmark", "line"),
    [
        ("{nnodes: 2, max_model_len: 64}", SERVE, "args.master_addr: is needed: where the first of its machines is"),
        (
            "{data_parallel_size: 4, data_parallel_size_local: 2, max_model_len: 64}",
            SERVE,
            "args.data_parallel_address: is needed",
        ),
        (
            BIG,
            "latency: {batch_size: 1, lengths: [[8, 4]]}",
            "nnodes: 2: running on several machines is the server's alone",
        ),
    ],
)
def test_what_a_server_on_several_machines_lacks_is_told_before_anything(tmp_path, args, benchmark, line):
    with pytest.raises(ExperimentError) as refusal:
        checked(tmp_path, args, benchmark)
    assert line in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
