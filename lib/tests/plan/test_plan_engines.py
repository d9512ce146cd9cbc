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
