"""A model of the hub that is not here and cannot be fetched is refused at once, with the command that fetches it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from benchbook.hosts.model import hub
from benchbook.hosts.model.files import ModelFiles, commit_of, read_config, resolve_model
from benchbook.hosts.model.hub import hub_variables
from benchbook.hosts.server import VllmServer
from benchbook.plan.experiment import load_experiment
from benchbook.sweep.fetching import check_models
from benchbook.sweep.preflight import Preflight, preflight
from benchbook.terms.errors import ExperimentError, HostStartError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILE = """question: Which?
model: {model}
launches:
  a: {{args: {args}, env: {env}}}
benchmarks:
  - first_request: {{}}
"""


@pytest.fixture(autouse=True)
def off_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub be off and its cache empty."""
    for name in ("HF_HUB_CACHE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "https_proxy", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(
        "benchbook.hosts.model.hub_cache._hub_cache", lambda env: env.get("HF_HUB_CACHE", str(tmp_path / "hub"))
    )
    hub._connection_problem.cache_clear()


def checked(folder: Path, model: str, args: str = "{}", env: str = "{}") -> Preflight:
    path = folder / "exp.yaml"
    path.write_text(FILE.format(model=model, args=args, env=env))
    return Preflight(load_experiment(path), "0.32.0", True, True, ())


def cached(folder: Path, hub_id: str, *files: str, revision: str = "main") -> None:
    """Put files of a model into the cache as huggingface_hub does."""
    there = folder / "hub" / f"models--{hub_id.replace('/', '--')}"
    (there / "refs").mkdir(parents=True, exist_ok=True)
    (there / "refs" / revision).write_text(COMMIT)
    for name in files:
        path = there / "snapshots" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"weight_map": {"a": "absent.safetensors"}} if name.endswith("index.json") else {}))


@pytest.mark.parametrize(
    ("model", "args", "place", "command"),
    [
        ("{hub: Qwen/Qwen3-0.6B}", "{}", "exp.yaml:2: model.hub: ", "hf download Qwen/Qwen3-0.6B"),
        ("{hub: a/b, revision: v1.0}", "{}", "exp.yaml:2: model.hub: ", "hf download a/b --revision v1.0"),
        ("a/b", "{}", "exp.yaml:2: model: ", "hf download a/b"),
        (
            "tiny",
            "{tokenizer: a/tok, tokenizer_revision: x}",
            "launches.a.args.tokenizer: ",
            "hf download a/tok --revision x",
        ),
        (
            "tiny",
            "{speculative_config: {model: a/draft}}",
            "launches.a.args.speculative_config.model: ",
            "download a/draft",
        ),
        ("tiny", "{lora_modules: ['l=a/lora']}", "launches.a.args.lora_modules[0]: ", "hf download a/lora"),
    ],
)
def test_it_is_refused_where_it_is_named_with_the_command_that_fetches_it(
    tmp_path, model, args, place, command
) -> None:
    began_s = time.monotonic()
    with pytest.raises(ExperimentError) as refusal:
        check_models(checked(tmp_path, model, args))
    assert place in str(refusal.value) and "the hub is off (HF_HUB_OFFLINE=1)" in str(refusal.value)
    assert str(refusal.value).endswith(f"HF_HUB_OFFLINE=0 {command}" if command.startswith("hf") else command)
    assert time.monotonic() - began_s < 2


def test_a_data_set_of_the_hub_is_refused_with_its_command_unless_it_is_in_the_cache_or_a_folder(tmp_path) -> None:
    def sets(path: str) -> None:
        found = checked(tmp_path, "tiny")
        text = f"requests: {{it: {{dataset: hf, path: {path}}}}}\n"
        serve = "benchmarks:\n  - serve: {requests: it, max_concurrency: 1, num_prompts: 2}\n"
        found.experiment.path.write_text(found.experiment.source_text.replace("benchmarks:\n", text + serve))
        check_models(replace(found, experiment=load_experiment(found.experiment.path)))

    local = tmp_path / "gsm8k"
    local.mkdir()
    sets(str(local))
    with pytest.raises(ExperimentError) as refused:
        sets("openai/gsm8k")
    (line,) = str(refused.value).splitlines()
    assert "requests.it.path: 'openai/gsm8k'" in line and "the hub is off" in line
    assert line.endswith("HF_HUB_OFFLINE=0 hf download --repo-type dataset openai/gsm8k")
    snapshot = tmp_path / "hub" / "datasets--openai--gsm8k" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "test.parquet").write_text("")
    sets("openai/gsm8k")


def test_all_that_are_not_here_are_named_at_once(tmp_path) -> None:
    with pytest.raises(ExperimentError) as refusal:
        check_models(checked(tmp_path, "a/b", "{tokenizer: a/tok, spec_model: a/draft}"))
    assert len(str(refusal.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("files", "args", "is_here"),
    [
        (["config.json", "model.safetensors"], "{}", True),
        (["config.json", "model.gguf"], "{}", True),
        (["params.json", "consolidated.safetensors"], "{}", True),
        (["config.json"], "{}", False),
        (["config.json", "model.safetensors.index.json"], "{}", False),
        (["config.json"], "{load_format: dummy}", True),
        (["config.json"], "{load_format: DUMMY}", True),
        (["config.json"], "{load_format: Auto}", False),
    ],
)
def test_a_model_whose_weights_are_in_the_cache_is_here(tmp_path, files, args, is_here) -> None:
    cached(tmp_path, "a/b", *files)
    if is_here:
        assert check_models(checked(tmp_path, "a/b", args)) == []
    else:
        with pytest.raises(ExperimentError):
            check_models(checked(tmp_path, "a/b", args))


def test_another_revision_than_the_cached_one_is_not_here(tmp_path) -> None:
    cached(tmp_path, "a/b", "config.json", "model.safetensors")
    with pytest.raises(ExperimentError, match="--revision v2"):
        check_models(checked(tmp_path, "{hub: a/b, revision: v2}"))


def test_a_launchs_own_cache_and_switch_count(tmp_path) -> None:
    with pytest.raises(
        ExperimentError, match=r"TRANSFORMERS_OFFLINE=yes.*HF_HUB_CACHE=\S+ TRANSFORMERS_OFFLINE=0 hf download"
    ):
        env = f"{{HF_HUB_CACHE: {tmp_path}/elsewhere, HF_HUB_OFFLINE: 0, TRANSFORMERS_OFFLINE: 'yes'}}"
        check_models(checked(tmp_path, "a/b", env=env))


def test_a_hub_within_reach_is_a_note_that_it_is_downloaded(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        (note,) = check_models(checked(tmp_path, "a/b"))
    assert "a/b is not in the cache of this machine: it is downloaded first" in note


@pytest.mark.parametrize("variable", ["HF_ENDPOINT", "https_proxy", "HTTPS_PROXY"])
def test_a_hub_or_its_proxy_out_of_reach_is_refused(tmp_path, monkeypatch, variable) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody listens there once it is closed
    monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
    with pytest.raises(ExperimentError, match=r"127.0.0.1 cannot be reached \(Connection refused\)"):
        check_models(checked(tmp_path, "a/b"))


@pytest.mark.parametrize("model", ["tiny", "{shape: gpt-oss-20b}"])
def test_what_is_no_model_of_the_hub_is_not_asked_for(tmp_path, model) -> None:
    assert check_models(checked(tmp_path, model)) == []


def test_the_hub_stays_on_for_what_args_name_beside_a_model_of_this_machine(tmp_path, monkeypatch) -> None:
    here = ModelFiles("/models/mine", "mine", True, False, None, False)
    cached(tmp_path, "a/tok", "tokenizer.json")
    assert not hub.needs_download(here, {"tokenizer": "a/tok", "max_model_len": 4096}, {})
    monkeypatch.setattr(hub, "why_not", lambda *wanted: "")
    assert hub.needs_download(here, {"tokenizer": "a/other"}, {})


def test_by_hand_too_no_server_is_started_for_a_model_that_cannot_be_had(tmp_path) -> None:
    with pytest.raises(HostStartError, match="a/b is not in the cache of this machine, and the hub is off") as refusal:
        VllmServer("a/b")
    assert refusal.value.cause.code == "model_not_found" and "hf download a/b" in refusal.value.cause.evidence


def test_random_weights_need_no_more_of_the_hub_than_the_config(tmp_path) -> None:
    absent = ModelFiles("a/b", "a/b", False, True, None, True)
    with pytest.raises(HostStartError):
        hub.needs_download(absent, {"load_format": "dummy"}, {})
    cached(tmp_path, "a/b", "config.json")
    assert not hub.needs_download(absent, {"load_format": "dummy"}, {})


@pytest.mark.parametrize("revision", ["", "v2"])
def test_a_model_that_lies_in_download_dir_is_found_there_by_the_server_and_by_the_client(tmp_path, revision) -> None:
    cached(
        tmp_path / "models", "a/b", "config.json", "tokenizer.json", "model.safetensors", revision=revision or "main"
    )
    folder = tmp_path / "models" / "hub"
    path = tmp_path / "exp.yaml"
    model = f"{{hub: a/b, revision: {revision}}}" if revision else "a/b"
    path.write_text(FILE.format(model=model, args=f"{{download_dir: {folder}}}", env="{}"))
    found = preflight(load_experiment(path))
    assert (
        found.experiment.launch("a").env
        == {"HF_HUB_CACHE": str(folder)}
        == hub_variables(found.experiment.launch("a").env)
    )
    assert f"HF_HUB_CACHE={folder} is set for all commands" in "".join(found.notes)
    assert check_models(found) == []


@pytest.mark.parametrize("files", [["config.json", "tokenizer.json"], ["model.safetensors"], []])
def test_a_download_dir_without_the_whole_model_is_left_to_vllm(tmp_path, files) -> None:
    cached(tmp_path / "models", "a/b", *files)
    path = tmp_path / "exp.yaml"
    path.write_text(FILE.format(model="a/b", args=f"{{download_dir: {tmp_path}/models/hub}}", env="{}"))
    found = preflight(load_experiment(path))
    assert found.experiment.launch("a").env == {} and not found.notes
    with pytest.raises(ExperimentError, match="not in the cache"):
        check_models(found)


def in_download_dir(folder: Path, revision: str = "main") -> Preflight:
    path = folder / "exp.yaml"
    model = "a/b" if revision == "main" else f"{{hub: a/b, revision: {revision}}}"
    path.write_text(FILE.format(model=model, args=f"{{download_dir: {folder}/models/hub}}", env="{}"))
    return preflight(load_experiment(path))


@pytest.mark.parametrize("revision", ["main", "v2"])
@pytest.mark.parametrize("of_config", [("config.json", "tokenizer.json"), ("params.json",), ()])
def test_weights_in_download_dir_without_their_config_are_refused_off_line_and_it_is_said_why(
    tmp_path, revision, of_config
) -> None:
    cached(tmp_path, "a/b", *of_config, revision=revision)
    cached(tmp_path / "models", "a/b", "model.safetensors", revision=revision)
    with pytest.raises(ExperimentError, match="download_dir has its weights, which vLLM reads there on line alone"):
        check_models(in_download_dir(tmp_path, revision))
    with pytest.raises(HostStartError, match="download_dir has its weights"):
        VllmServer("a/b", args={"download_dir": f"{tmp_path}/models/hub", "revision": revision})


def test_a_download_dir_is_told_to_be_unheeded_where_the_model_is_whole_in_the_hubs_cache(tmp_path) -> None:
    cached(tmp_path, "a/b", "config.json", "model.safetensors")
    cached(tmp_path / "models", "a/b", "config.json", "model.safetensors")
    found = in_download_dir(tmp_path)
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / COMMIT
    (note,) = found.notes
    assert f"args.download_dir: is not heeded: the model is whole in {snapshot}, and off line vLLM loads that" in note
    assert found.experiment.launch("a").env == {} and check_models(found) == []


def test_a_download_dir_that_is_the_hubs_cache_is_no_matter(tmp_path) -> None:
    cached(tmp_path / "models", "a/b", "config.json", "model.safetensors")
    path = tmp_path / "exp.yaml"
    place = f"{tmp_path}/models/hub"
    path.write_text(FILE.format(model="a/b", args=f"{{download_dir: {place}}}", env=f"{{HF_HUB_CACHE: {place}}}"))
    assert preflight(load_experiment(path)).notes == ()


def test_what_a_start_has_fetched_is_named_by_its_commit(tmp_path) -> None:
    absent = resolve_model("a/b")
    assert absent.needs_download and commit_of(absent, {}, {}) is None
    cached(tmp_path, "a/b", "config.json")  # as vLLM leaves it where its weights go to download_dir
    assert commit_of(absent, {}, {}) == COMMIT and commit_of(absent, {"revision": "v9"}, {}) is None
    assert commit_of(resolve_model("tiny"), {}, {}) is None
    there = tmp_path / "hub" / "models--a--b"
    newer = "f" * 40  # which a start on line has fetched, since what stands beside the model was not here
    (there / "snapshots" / newer).mkdir()
    (there / "snapshots" / newer / "config.json").write_text("{}")
    (there / "refs" / "main").write_text(newer)
    assert commit_of(replace(absent, commit=COMMIT, needs_download=False), {}, {}) == newer


def test_the_config_of_a_model_is_found_in_the_cache_of_the_launch(tmp_path) -> None:
    cached(tmp_path / "elsewhere", "a/b", "config.json")
    assert read_config("a/b", None, {}) is None
    assert read_config("a/b", None, {"HF_HUB_CACHE": str(tmp_path / "elsewhere" / "hub")}) == {}


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("~/hf", "HF_HOME=~/hf HF"),
        ("~/my models", "HF_HOME=~/'my models' HF"),
        ("/data/hf", "HF_HOME=/data/hf HF"),
        ("/my data", "HF_HOME='/my data' HF"),
    ],
)
def test_the_command_that_fetches_is_one_that_a_shell_runs(tmp_path, home, said) -> None:
    with pytest.raises(ExperimentError) as refusal:
        check_models(checked(tmp_path, "a/b", env=f"{{HF_HOME: '{home}', HF_HUB_CACHE: {tmp_path}/none}}"))
    line = str(refusal.value).partition("network: ")[2]
    assert f"{said.removesuffix(' HF')} " in line
    spoken = line.replace("hf download a/b", "printenv HF_HOME")
    told = subprocess.run(
        ["bash", "-c", spoken],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": "/h", "PATH": os.environ["PATH"]},
    )
    assert told.stdout.strip() == home.replace("~", "/h")
