"""An engine is found by its name, and one that cannot be had is said to be so in a line."""

from __future__ import annotations

import sys

import pytest
from benchbook.hosts import engines
from benchbook.hosts.engines import VLLM, engine_named
from benchbook.terms.errors import ExperimentError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs an engine "other" whose face has the place `place`, in a module of that `code`."""

    def install(place, code=""):
        (tmp_path / "other_wing.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "other_wing", raising=False)
        monkeypatch.setattr(engines, "other_engines", lambda: {"other": place})

    return install


def test_vllm_is_there_and_another_is_what_its_place_says(installed):
    installed("other_wing:FACE", "from benchbook.hosts.vllm.wing import VLLM\nFACE = VLLM")
    assert engine_named("vllm") is VLLM is engine_named("other")


@pytest.mark.parametrize(
    ("place", "code", "why"),
    [
        ("no_such_module:FACE", "", "No module named 'no_such_module'"),
        ("other_wing:FACE", "", "no attribute 'FACE'"),
        ("other_wing:FACE", "raise SystemError('broken')", "SystemError"),
        ("other_wing:FACE", "FACE = 7", "is no Engine"),
        ("other_wing", "FACE = 7", "cannot be loaded"),
    ],
)
def test_an_engine_that_cannot_be_loaded_is_said_to_be_so_in_a_line(installed, place, code, why):
    installed(place, code)
    with pytest.raises(ExperimentError, match=why) as refused:
        engine_named("other")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["toy", "", "vLLM"])
def test_an_engine_that_is_not_installed_here_is_named(name):
    with pytest.raises(ExperimentError, match=f"the engine {name!r} is not installed here"):
        engine_named(name)
