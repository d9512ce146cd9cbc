"""Another Python environment: what is asked of it, what is brought there, and what is refused before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import fake_vllm
import pytest
from benchbook.hosts.engines import VLLM, engine_named
from benchbook.hosts.process import shell
from benchbook.hosts.process.pythons import HERE
from benchbook.hosts.server import VllmServer, find_server
from benchbook.hosts.vllm.command import flags, vllm_program
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.flags import known, unknown_variables
from benchbook.hosts.vllm.forms import installed_forms
from benchbook.hosts.vllm.random_loader import LOAD_FORMAT
from benchbook.measure.environments import environment_facts
from benchbook.terms.errors import ExperimentError
from other_python import make_environment


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("environments") / "next"
    return make_environment(folder, "0.99.1+cpu", ("--max-model-len", "--of-tomorrow"), ("VLLM_OF_TOMORROW",))


def script(path: Path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_our_own_interpreter_is_this_environment_however_it_is_named(tmp_path) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    assert vllm_python(str(wrapper)) is HERE
    assert vllm_python("") is HERE and vllm_python(sys.executable) is HERE
    assert engine_named("vllm", sys.executable) is VLLM
    assert HERE.shown == "" and HERE.version_of("no-such-package") is None


def test_another_one_is_asked_for_its_packages_and_not_ours(other) -> None:
    python = vllm_python(other)
    assert (python.path, python.version_of("vllm"), python.is_here) == (other, "0.99.1+cpu", False)
    assert str(python.folder_of("vllm")).startswith(str(Path(other).parents[1]))
    assert HERE.version_of("vllm") != "0.99.1+cpu"


def test_its_flags_and_variables_are_those_of_its_own_vllm(other) -> None:
    python, there = vllm_python(other), known(vllm_python(other))
    assert there.version == "0.99.1+cpu" and "--of-tomorrow" in there.flags and "--of-tomorrow" not in known().flags
    assert set(installed_forms(python)) == {"--max-model-len", "--of-tomorrow", "--middleware"}
    assert flags({"of_tomorrow": 7}, python) == ["--of-tomorrow", "7"]
    assert unknown_variables(["VLLM_OF_TOMORROW", "VLLM_LOGGING_LEVEL"], python) == ["VLLM_LOGGING_LEVEL"]
    assert unknown_variables(["VLLM_OF_TOMORROW", "VLLM_LOGGING_LEVEL"]) == ["VLLM_OF_TOMORROW"]
    assert vllm_program(python)[0] == other and vllm_program(HERE)[0] == sys.executable


def test_an_environment_of_another_engine_is_told_with_its_packages_and_needs_no_vllm(tmp_path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    path = str(tmp_path / "bare" / "bin" / "python")
    python = engine_named("transformers", path).python
    assert environment_facts(python) == {"python": path, "packages": {}} and environment_facts(HERE) == {}
    assert environment_facts(None) == {}


def test_a_flag_that_this_vllm_refuses_is_likened_to_its_own(other) -> None:
    log = "vllm serve: error: unrecognized arguments: --of-tomorow 3"
    assert engine_named("vllm", other).causes.ended(log, 2).hint == "did you mean --of-tomorrow?"
    assert "--of-tomorrow" not in (VLLM.causes.ended(log, 2).hint or "")


def test_what_is_started_there_gets_its_own_environment_and_of_ours_what_is_brought_along(other, monkeypatch) -> None:
    for name, value in {"PYTHONPATH": "/a/folder", "PYTHONHOME": "/usr", "VIRTUAL_ENV": "/ours"}.items():
        monkeypatch.setenv(name, value)
    env = shell.child_environment({"PYTHONPATH": "/of/the/launch"}, vllm_python(other))
    assert env["PATH"].split(os.pathsep)[0] == os.path.dirname(other)
    assert not {"PYTHONHOME", "VIRTUAL_ENV"} & set(env)
    brought, *rest = env["PYTHONPATH"].split(os.pathsep)
    assert rest == ["/of/the/launch"]
    assert sorted(path.name.partition("-")[0] for path in Path(brought).glob("[!.]*")) == ["benchbook", "benchbook"]
    assert shell.child_environment({"PATH": "/bin"}, vllm_python(other))["PATH"] == "/bin"


def test_the_vllm_there_finds_the_door_and_the_load_format(other) -> None:
    code = (
        "import importlib.metadata as m; from benchbook.hosts.vllm.door import Door; "
        "print(m.version('vllm'), *(p.name for p in m.entry_points(group='vllm.general_plugins')))"
    )
    env = shell.child_environment(python=vllm_python(other))
    done = subprocess.run([other, "-P", "-c", code], env=env, capture_output=True, text=True, check=True)
    version, *plugins = done.stdout.split()
    assert (
        version == "0.99.1+cpu" and plugins.count(LOAD_FORMAT) == 1
    )  # by a copy that is installed there as well, once


def test_a_server_of_another_environment_is_started_there_and_tells_its_version(other, fake_model, state_dir, tmp_path):
    engine = engine_named("vllm", other)
    server = VllmServer(fake_model, env=fake_vllm.scripted(), engine=engine, log_dir=tmp_path, ready_timeout_s=60.0)
    with server:
        assert server.argv[0] == other and server.version == "0.99.1"
    assert server.process.tree_pids() == []


def test_a_kept_server_of_another_environment_is_found_again_as_one(other, fake_model, state_dir, tmp_path):
    engine, scripted = engine_named("vllm", other), fake_vllm.scripted()
    server = VllmServer(fake_model, env=scripted, engine=engine, log_dir=tmp_path, name="kept", keep=True)
    with server:
        found = find_server("kept")
    assert found.engine.python == vllm_python(other) and found.version == "0.99.1"
    found.stop()
    assert server.process.tree_pids() == []


def test_a_server_that_tells_another_version_than_its_environment_has_is_refused(
    other, fake_model, state_dir, tmp_path
):
    scripted = fake_vllm.scripted(version=HERE.version_of("vllm"))
    server = VllmServer(
        fake_model, env=scripted, engine=engine_named("vllm", other), log_dir=tmp_path, ready_timeout_s=60.0
    )
    with pytest.raises(Exception, match="0.99.1"), server:
        pass


def test_what_is_no_python_or_has_no_vllm_is_refused_in_one_line(tmp_path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    broken = Path(make_environment(tmp_path / "broken"))
    (vllm_python(str(broken)).folder_of("vllm") / "config" / "__init__.py").write_text("import of_another_abi")
    said = "import sys; print({!r} if '--version' in sys.argv else {!r})".format
    blind = '{"prefix": "/old", "tag": "cpython-312", "folders": [], "origins": {}, "fault": "ImportError(7)"}'
    for path, told in {
        str(tmp_path / "nowhere"): "cannot be run: No such file or directory",
        script(tmp_path / "says", "print('hello')"): "is no Python: it says 'hello'",
        script(tmp_path / "silent", ""): "is no Python: it says 'nothing'",
        "/bin/ls": "is no Python: it says 'ls ",
        "/bin/bash": "is no Python: it says 'GNU bash",
        script(
            tmp_path / "old", said("Python 3.9.18", "")
        ): "is Python 3.9.18: what benchbook needs beside vLLM takes 3.11 or",
        script(tmp_path / "odd", said("Python 3.12.1", "hello")): "is no Python that can be asked: it says 'hello'",
        script(tmp_path / "blind", said("Python 3.12.1", blind)): "cannot be imported by",
        str(tmp_path / "bare" / "bin" / "python"): "has no vLLM: nothing of that name is installed in",
    }.items():
        with pytest.raises(ExperimentError) as refusal:
            vllm_python(path)
        assert told in str(refusal.value) and path in str(refusal.value) and "\n" not in str(refusal.value)
    with pytest.raises(ExperimentError, match="vLLM 0.31.0 of .* cannot be imported: .*of_another_abi") as refusal:
        installed_forms(vllm_python(str(broken)))
    assert "\n" not in str(refusal.value)
