"""The command line of `vllm serve` is a pure function of what was asked for."""

from __future__ import annotations

import pytest
from benchbook.hosts.process.guardian import OWN_FOLDER
from benchbook.hosts.vllm import command
from benchbook.hosts.vllm.command import (
    MONITOR_FLAG,
    flags,
    inherited_environment,
    monitor_words,
    private_environment,
    serve_command,
)
from benchbook.hosts.vllm.forms import Form
from benchbook.terms.errors import ExperimentError


def test_a_boolean_becomes_a_flag_or_its_no_form() -> None:
    assert flags({"enforce_eager": True, "enable_prefix_caching": False}) == [
        "--enforce-eager",
        "--no-enable-prefix-caching",
    ]


def test_a_mapping_becomes_json_a_list_several_values_and_a_number_its_text() -> None:
    args = {"compilation_config": {"mode": 0}, "cudagraph_capture_sizes": [1, 2], "gpu-memory-utilization": 0.3}
    words = [
        "--compilation-config",
        '{"mode": 0}',
        "--cudagraph-capture-sizes",
        "1",
        "2",
        "--gpu-memory-utilization",
        "0.3",
    ]
    assert flags(args) == words


def test_the_command_serves_the_real_name_first_and_the_nonce_second() -> None:
    command = serve_command("/m", {"max_model_len": 4096}, 8000, "127.0.0.1", ["/m", "nonce"], program=["vllm"])
    assert command == [
        "vllm",
        "serve",
        "/m",
        "--host",
        "127.0.0.1",
        "--port",
        "8000",
        "--served-model-name",
        "/m",
        "nonce",
        "--max-model-len",
        "4096",
    ]


@pytest.mark.parametrize(
    ("args", "is_cpu", "flags_there", "expected"),
    [
        ({}, False, [MONITOR_FLAG], [MONITOR_FLAG]),
        ({"max_model_len": 4096}, False, [MONITOR_FLAG], [MONITOR_FLAG]),
        ({"jit_monitor_verbose": False}, False, [MONITOR_FLAG], []),
        ({"jit-monitor-verbose": True}, False, [MONITOR_FLAG], []),
        ({}, True, [MONITOR_FLAG], []),  # a CPU's worker has no such monitor
        ({}, False, [], []),  # an older vLLM
    ],
)
def test_each_kernel_that_is_compiled_while_serving_is_to_be_logged(monkeypatch, args, is_cpu, flags_there, expected):
    monkeypatch.setattr(command, "is_cpu_build", lambda *_: is_cpu)
    monkeypatch.setattr(command, "installed_forms", lambda *_: {flag: Form(is_switch=True) for flag in flags_there})
    assert monitor_words(args) == expected


@pytest.mark.parametrize("name", ["port", "host", "served-model-name", "served_model_name", "model", "uds"])
def test_what_benchbook_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(ExperimentError, match="is not yours to set"):
        flags({name: "x"})


def test_a_null_is_refused_instead_of_becoming_the_word_none() -> None:
    with pytest.raises(ExperimentError, match="'max_model_len' is null"):
        flags({"max_model_len": None})


@pytest.mark.parametrize(("name", "variable"), [("api_key", "VLLM_API_KEY"), ("hf-token", "HF_TOKEN")])
def test_a_secret_on_the_command_line_is_refused_and_the_message_names_its_variable(name: str, variable: str) -> None:
    with pytest.raises(ExperimentError, match=variable) as refusal:
        flags({name: "s3cret"})
    assert "s3cret" not in str(refusal.value)


def test_the_hub_is_reachable_only_when_a_model_has_to_be_downloaded() -> None:
    assert private_environment(needs_download=False)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in private_environment(needs_download=True)


def test_vllms_sockets_lie_in_a_folder_of_their_own_where_neither_the_shell_nor_ray_says_where(monkeypatch) -> None:
    for args in ({}, {"distributed_executor_backend": "mp"}, {"tensor_parallel_size": 2}):
        assert private_environment(needs_download=True, args=args)["VLLM_RPC_BASE_PATH"] == OWN_FOLDER
    for name in ("distributed_executor_backend", "data-parallel-backend"):  # Ray hands VLLM_* to its other machines
        assert "VLLM_RPC_BASE_PATH" not in private_environment(needs_download=True, args={name: "ray"})
    monkeypatch.setenv("VLLM_RPC_BASE_PATH", "/of/the/shell")
    assert "VLLM_RPC_BASE_PATH" not in private_environment(needs_download=True)


def test_what_is_dangerous_is_not_inherited_from_the_shell_of_the_owner() -> None:
    env = private_environment(needs_download=False)
    assert env["VLLM_SERVER_DEV_MODE"] == env["VLLM_ALLOW_INSECURE_SERIALIZATION"] == "0"


def test_what_the_shell_configures_vllm_with_is_told_but_for_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ATTENTION_BACKEND", "TORCH_SDPA")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("VLLM_API_KEY", "not-to-be-told")
    monkeypatch.setenv("SHELL_THEME", "dark")
    told = inherited_environment()
    assert told["VLLM_ATTENTION_BACKEND"] == "TORCH_SDPA" and told["OMP_NUM_THREADS"] == "3"
    assert "VLLM_API_KEY" not in told and "SHELL_THEME" not in told
