"""What makes a server that could never be asked is refused by name, and what is benchbook's to set; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.hosts.vllm.command import flags
from benchbook.refused_args import halves, refused
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import written


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ({"ssl_certfile": "c.pem", "ssl_keyfile": "k.pem"}, ["ssl_certfile", "ssl_keyfile"]),
        ({"ssl-ca-certs": "ca.pem"}, ["ssl-ca-certs"]),
        ({"enable_ssl_refresh": True}, ["enable_ssl_refresh"]),
        ({"headless": True, "nnodes": 2, "node_rank": 1}, ["headless", "node_rank"]),
        ({"grpc": True}, ["grpc"]),
        ({"tokens_only": "true"}, ["tokens_only"]),
        ({"skip_tokenizer_init": True}, ["skip_tokenizer_init"]),
        ({"mm_encoder_only": True}, ["mm_encoder_only"]),
        ({"skip-tokenizer-init": "true", "mm_encoder_only": "True"}, ["skip-tokenizer-init", "mm_encoder_only"]),
        ({"runner": "pooling"}, ["runner"]),
        ({"convert": "embed"}, ["convert"]),
        ({"data_parallel_size": 8, "data_parallel_start_rank": 4}, ["data_parallel_start_rank"]),
        ({"data_parallel_size": 2, "data_parallel_rank": 0}, ["data_parallel_rank"]),
        ({"data_parallel_size": 2, "data_parallel_external_lb": True}, ["data_parallel_external_lb"]),
        ({"distributed_executor_backend": "external_launcher"}, ["distributed_executor_backend"]),
        ({"Host": "::", "api_server_count": 8}, ["Host", "api_server_count"]),
    ],
)
def test_what_can_never_be_asked_is_named(args, names) -> None:
    assert [name for name, _ in refused(args)] == names


@pytest.mark.parametrize(
    "args",
    [
        {"skip_tokenizer_init": False, "mm_encoder_only": "false"},
        {"headless": False, "nnodes": 1, "node_rank": 0, "ssl_cert_reqs": 0},
        {"data_parallel_size": 4, "data_parallel_size_local": 4, "data_parallel_backend": "ray"},
        {"nnodes": 2, "master_addr": "10.0.0.1", "tensor_parallel_size": 16},
        {"data_parallel_size": 8, "data_parallel_size_local": 4, "data_parallel_address": "10.0.0.1"},
        {"runner": "generate", "convert": "none", "distributed_executor_backend": "ray"},
        {"data_parallel_size": "many", "data_parallel_size_local": 2},
        {"kv_transfer_config": {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}},
    ],
)
def test_what_can_be_asked_is_not_refused(args) -> None:
    assert list(refused(args)) == [] and list(halves(args)) == []


@pytest.mark.parametrize(
    "args",
    [
        {"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_producer"}},
        {"kv_transfer_config": {"kv_connector": "P2pNcclConnector", "kv_role": "kv_consumer"}},
        {"ec_transfer_config": {"ec_connector": "X", "ec_role": "ec_consumer"}},
    ],
)
def test_half_of_a_pair_of_servers_is_told_and_not_refused(args) -> None:
    assert list(refused(args)) == []
    ((path, what),) = halves(args)
    assert args[path[0]][path[1]] in what and "half" in what


def test_short_and_cut_names_are_refused_by_the_name_in_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "{asc: 8, served_mod: x, headl: true, r: 1}")
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(path)
    lines = str(refusal.value).splitlines()
    assert [line.split(": ")[1].rpartition(".")[2] for line in lines] == ["asc", "served_mod", "headl", "r"]
    assert all(line.startswith(f"{path}:5: ") for line in lines)


def test_all_that_is_wrong_with_a_launch_is_said_in_one_go(tmp_path: Path) -> None:
    args = "{task: embed, num_scheduler_steps: 4, no_such: 1, speculative_config: '{x', ssl_keyfile: k, dtype: gold}"
    path = written(tmp_path, args, "{VLLM_USE_V1: 0, VLLM_LOGING_LEVEL: INFO}")
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(path)
    told = {line.split(": ")[1].rpartition(".")[2] for line in str(refusal.value).splitlines()}
    assert told == {
        "task", "num_scheduler_steps", "no_such", "speculative_config", "ssl_keyfile", "dtype", "VLLM_USE_V1",
        "VLLM_LOGING_LEVEL",
    }  # fmt: skip


def test_a_half_of_a_pair_is_noted_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "{kv_transfer_config: {kv_connector: NixlConnector, kv_role: kv_consumer}}")
    (note,) = preflight_of(path).notes
    assert note.startswith(f"note: {path}:5: launches.d.args.kv_transfer_config.kv_role: kv_consumer is one half")


def test_a_server_on_several_machines_is_started_by_nobody_here() -> None:
    with pytest.raises(ExperimentError, match="is one server on 2 machines, and benchbook starts servers on one"):
        flags({"nnodes": 2, "master_addr": "10.0.0.1"})
    assert "--nnodes" in flags({"nnodes": 1})


def test_by_hand_too_no_server_is_started_that_could_not_be_asked() -> None:
    with pytest.raises(ExperimentError, match="'ssl_certfile' makes a server that speaks https"):
        flags({"ssl_certfile": "c.pem", "ssl_keyfile": "k.pem"})
