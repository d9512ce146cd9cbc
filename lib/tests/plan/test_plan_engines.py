"""A launch may say which engine it is: vLLM where it says nothing, else one that is installed."""

from __future__ import annotations

import pytest
from benchbook.hosts import engines
from benchbook.plan import launches
from benchbook.plan.experiment import load_experiment
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError

FILE = """
question: Which engine?
model: tiny
launches: {{a: {{{engine}}}}}
benchmarks: [{{first_request: {{max_tokens: 4}}}}]
"""


@pytest.fixture
def launch_of(tmp_path, monkeypatch):
    """Return a function that reads a file whose launch has the text `engine`, with two engines installed."""
    monkeypatch.setattr(launches, "other_engines", lambda: {"sglang": "wing:SGLANG", "toy": "toys:TOY"})

    def read(engine):
        (path := tmp_path / "which.yaml").write_text(FILE.format(engine=engine))
        return load_experiment(path).launch("a")

    return read


@pytest.mark.parametrize(
    ("said", "engine"), [("", "vllm"), ("engine: vllm", "vllm"), ("engine: sglang", "sglang"), ("engine: toy", "toy")]
)
def test_a_launch_is_of_vllm_or_of_the_engine_that_it_names(launch_of, said, engine):
    launch = launch_of(said)
    assert launch.engine == engine and launch.settings.get("engine", "vllm") == engine


@pytest.mark.parametrize("name", ["vlm", "sglan", "toys", "tgi", "VLLM"])
def test_an_engine_that_is_not_there_is_refused_with_those_that_are(launch_of, name):
    with pytest.raises(ExperimentError, match=r"which.yaml:4: launches.a.engine: .*unknown engine") as refused:
        launch_of(f"engine: {name}")
    assert any(there in str(refused.value) for there in ("vllm", "sglang", "toy"))


def test_an_engine_that_cannot_be_loaded_refuses_the_run_at_its_line(launch_of, tmp_path, monkeypatch):
    launch_of("engine: toy")
    monkeypatch.setattr(engines, "other_engines", lambda: {"toy": "no_such_module:TOY"})
    with pytest.raises(ExperimentError, match=r"which.yaml:4: launches.a.engine: .*toy.* cannot be loaded"):
        preflight_of(tmp_path / "which.yaml")


@pytest.mark.parametrize("value", ["7", "[vllm]", "{name: vllm}"])
def test_an_engine_is_named_by_a_text(launch_of, value):
    with pytest.raises(ExperimentError, match="which.yaml:4: launches.a.engine"):
        launch_of(f"engine: {value}")


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a file whose launch has the text `keys`, with the engines that are there."""

    def read(keys):
        (path := tmp_path / "which.yaml").write_text(FILE.format(engine=keys))
        return load_experiment(path).launch("a")

    return read


@pytest.mark.parametrize("engine", ["sglang", "transformers", "llamacpp", "trtllm"])
def test_an_engines_args_are_its_own_and_so_are_its_names_for_what_vllm_calls_otherwise(read, engine):
    launch = read(f"engine: {engine}, args: {{config: a.yaml, api_server_count: 2, x: [1, 2]}}")
    assert launch.engine == engine and launch.args == {"config": "a.yaml", "api_server_count": 2, "x": [1, 2]}


@pytest.mark.parametrize(
    ("keys", "engine", "words"),
    [
        ('command: [s, --port, "{port}"]', "command", ("s", "--port", "{port}")),
        ('engine: vllm, command: [docker, run, -p, "127.0.0.1:{port}:8000", i]', "vllm", ("docker", "run", "-p", "127.0.0.1:{port}:8000", "i")),
        ('command: [env, "PORT={port}", s, 1.10, "{model}"], env: {A: 1}', "command", ("env", "PORT={port}", "s", "1.10", "{model}")),
    ],
)  # fmt: skip
def test_a_command_is_the_whole_of_what_is_started_and_its_engine_what_it_speaks(read, keys, engine, words):
    launch = read(keys)
    assert (launch.engine, launch.command) == (engine, words)
    assert launch.settings["command"].startswith(words[0])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("command: [s]", "has no {port}"),
        ("command: []", "must be a list of words"),
        ("command: 7", "must be a list of words"),
        ("command: [s, {port}]", "stands in quotes"),
        ('command: [s, "{port}", "{prot}"]', "{prot} is none of"),
        ('command: [s, "{port}", --api-key, sesame-open-1234]', "looks like a secret"),
        ('command: [s, "{port}", HF_TOKEN=abcdef1234567890]', "looks like a secret"),
        ('command: [podman, run, -d, i, "{port}"]', "without its log"),
        ('command: [docker, run, --name, x, i, "{port}"]', "is not yours to set"),
        ('command: [s, "{port}"], args: {a: 1}', "stands beside command"),
        ('command: [s, "{port}"], python: /usr/bin/python3', "stands beside command"),
        ("engine: command", r"needs a command"),
        ("program: vllm", "is for other engines"),
        ("engine: sglang, program: [a, b], python: /usr/bin/python3", "name one of them"),
        ("engine: sglang, model: {shape: gpt-oss-120b}", "vLLM alone is told of a shape"),
    ],
)
def test_a_command_or_a_program_that_cannot_be_is_refused_where_it_stands(read, keys, problem):
    with pytest.raises(ExperimentError) as refused:
        read(keys)
    assert problem in str(refused.value) and "which.yaml:4: launches.a" in str(refused.value)
    assert "sesame" not in str(refused.value) and "abcdef123" not in str(refused.value)


def test_what_is_not_known_of_an_engine_is_told_by_its_plan(read, tmp_path):
    read("engine: sglang, args: {mem_fraction_static: 0.8}")
    notes = " ".join(preflight_of(tmp_path / "which.yaml").notes)
    assert "not run here" in notes and "which args SGLang has is not known here" in notes and "for a key" in notes
