"""The benchmark's client knows what the launch knows, and nothing of the shell measures along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.hosts.model.files import resolve_model
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.model.hub_cache import CACHE_VARIABLES, _hub_cache
from benchbook.hosts.process import guardian, shell
from benchbook.hosts.process.shell import child_environment, left_out, no_proxy
from benchbook.hosts.vllm.tokenizers import args_of, client_words
from benchbook.plan.experiment import load_experiment

FILE = """question: q
model: {model}
launches: {{a: {{}}}}
benchmarks: [{{first_request: {{}}}}]
"""


@pytest.fixture
def hub(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a hub cache that holds two commits of one model, main at the first."""
    repo = tmp_path / "hf" / "hub" / "models--some--model"
    for commit in ("1" * 40, "2" * 40):
        folder = repo / "snapshots" / commit
        folder.mkdir(parents=True)
        for name in ("config.json", "tokenizer_config.json", "model.safetensors"):
            (folder / name).write_text("{}")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("1" * 40)
    return {"HF_HOME": str(tmp_path / "hf")}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, ["--tokenizer", "/m"]),
        ({"trust_remote_code": True}, ["--tokenizer", "/m", "--trust-remote-code"]),
        ({"tokenizer_mode": "mistral"}, ["--tokenizer", "/m", "--tokenizer-mode", "mistral"]),
        ({"tokenizer": "some/other"}, ["--tokenizer", "some/other"]),
    ],
)
def test_what_a_launch_says_of_the_tokenizer_is_said_to_the_client(args, words):
    assert client_words(args, "/m", {}) == words


def test_the_revision_of_a_hub_model_is_said_to_the_client_by_its_folder(hub):
    tokenizer = client_words({"revision": "2" * 40}, "some/model", hub)[1]
    assert Path(tokenizer).name == "2" * 40
    assert Path(client_words({"revision": "main"}, "some/model", hub)[1]).name == "1" * 40
    assert client_words({"revision": "3" * 40}, "some/model", hub)[1] == "some/model"
    other = client_words({"tokenizer": "some/other", "revision": "2" * 40}, "some/model", hub)
    assert other == ["--tokenizer", "some/other"], "the revision is the model's, not that of another tokenizer"


def test_a_servers_own_command_tells_the_same_as_its_launch():
    argv = ["vllm", "serve", "/m", "--tokenizer-mode", "slow", "--trust-remote-code", "--revision", "abc"]
    assert args_of(argv) == {"trust_remote_code": True, "tokenizer_mode": "slow", "revision": "abc"}
    assert args_of([]) == {}


def test_a_revision_in_the_file_reaches_every_command(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(FILE.format(model="{hub: some/model, revision: v1.0}"))
    assert load_experiment(path).launches[0].args == {"revision": "v1.0"}
    path.write_text(FILE.format(model="{hub: some/model}"))
    assert load_experiment(path).launches[0].args == {}


def test_a_model_is_looked_for_where_its_process_will_look_and_its_commit_is_told(hub):
    assert resolve_model("some/model", {"revision": "main"}, hub).commit == "1" * 40
    assert (
        resolve_model("some/model", {"revision": "2" * 40}, {"HF_HUB_CACHE": hub["HF_HOME"] + "/hub"}).commit
        == "2" * 40
    )
    assert resolve_model("some/model").needs_download


@pytest.mark.parametrize(
    ("shell", "env", "place"),
    [
        ({}, {"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
        ({}, {"XDG_CACHE_HOME": "/a"}, "/a/huggingface/hub"),
        ({}, {"HF_HOME": "/a", "HF_HUB_CACHE": "/b"}, "/b"),
        ({"HF_HUB_CACHE": "/shell"}, {"HF_HOME": "/a"}, "/shell"),
        ({"HF_HUB_CACHE": "/shell"}, {"OMP_NUM_THREADS": "1"}, None),
    ],
)
def test_the_cache_of_a_process_is_where_the_hubs_own_library_finds_it(monkeypatch, shell, env, place):
    for name in CACHE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    assert _hub_cache(env) == place
    if place:
        code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
        whole = {**os.environ, **env}
        done = subprocess.run([sys.executable, "-c", code], env=whole, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == place


def test_where_the_hub_is_goes_to_the_client_and_its_token_does_not():
    env = {"HF_HOME": "/data", "HF_TOKEN": "hf_secret", "OMP_NUM_THREADS": "1"}
    assert hub_variables(env) == {"HF_HOME": "/data"}


@pytest.mark.parametrize(
    "env",
    [
        {"VLLM_USE_MODELSCOPE": "True", "MODELSCOPE_CACHE": "/ms"},
        {"MODELSCOPE_DOMAIN": "ms.example", "MODELSCOPE_CACHE": "/ms"},
        {"HF_ENDPOINT": "https://mirror.example", "TRANSFORMERS_OFFLINE": "1"},
        {"HUGGINGFACE_HUB_CACHE": "/hub"},
    ],
)
def test_whichever_hub_a_launch_has_the_client_has_it_too_without_its_token(env):
    others = {"MODELSCOPE_API_TOKEN": "abc", "VLLM_LOGGING_LEVEL": "INFO", "MODEL": "x"}
    assert hub_variables({**env, **others}) == env


def test_what_spoils_a_server_is_not_inherited_and_is_named(monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("VLLM_PORT", "tcp://10.43.1.39:8000")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/somewhere")
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    environment = child_environment()
    assert "VLLM_PORT" not in environment and "PROMETHEUS_MULTIPROC_DIR" not in environment
    assert environment["VLLM_LOGGING_LEVEL"] == "INFO"
    assert [line.split()[0] for line in left_out()] == ["PROMETHEUS_MULTIPROC_DIR", "VLLM_PORT"]


def test_a_shell_without_leftovers_has_nothing_to_tell(monkeypatch):
    for name in shell._SPOILERS:
        monkeypatch.delenv(name, raising=False)
    assert left_out() == []


def test_a_process_of_ours_starts_without_what_spoils_it_unless_its_launch_sets_it(tmp_path, state_dir, monkeypatch):
    monkeypatch.setenv("VLLM_PORT", "tcp://10.43.1.39:8000")
    for env, expected in (({}, None), ({"VLLM_PORT": "5000"}, "5000")):
        log = tmp_path / f"{expected}.log"
        code = "import json, os; print(json.dumps(os.environ.get('VLLM_PORT')))"
        process = guardian.spawn(["python3", "-c", code], env=env, log_path=log, name="x", kind="client")
        assert process.wait(10) == 0
        assert json.loads(log.read_text()) == expected


def test_no_proxy_of_the_shell_stands_before_a_server_and_what_was_excepted_stays(monkeypatch):
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert no_proxy(["10.0.0.5"]) == dict.fromkeys(
        ("no_proxy", "NO_PROXY"), "example.org,127.0.0.1,localhost,::1,10.0.0.5"
    )
