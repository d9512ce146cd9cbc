"""What a shell has left over does not measure along: it is taken out and named, and what stays is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchbook.hosts.process import bytecode, pythons, search_path, shell
from benchbook.hosts.process.caches import CACHE_VARIABLE
from benchbook.hosts.vllm.command import inherited_environment

OWN = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def clean_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shell of the tests have no leftovers of its own."""
    for name in [name for name in os.environ if shell._why(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", OWN)
    monkeypatch.delenv(bytecode.PREFIX, raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_PORT", "tcp://10.43.1.39:8000"),
        ("VLLM_DP_MASTER_PORT", "29500"),
        ("VLLM_DP_SIZE", "8"),
        ("VLLM_HOST_IP", "10.0.0.7"),
        ("VLLM_RPC_PORT", "tcp://10.43.1.40:5570"),
        ("PROMETHEUS_MULTIPROC_DIR", "/tmp/metrics"),
        ("prometheus_multiproc_dir", "/tmp/metrics"),
        ("MASTER_ADDR", "node-17"),
        ("CUDA_LAUNCH_BLOCKING", "1"),
        ("PYTHONDEVMODE", "1"),
        ("PYTHONINSPECT", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("VLLM_API_KEY", "mine"),
    ],
)
def test_a_leftover_is_taken_out_and_named_and_a_launch_may_say_it(monkeypatch, name, value) -> None:
    monkeypatch.setenv(name, value)
    assert name not in shell.child_environment() and name not in inherited_environment()
    (line,) = shell.left_out()
    assert line.startswith(f"{name} of your shell is left out: ")
    assert shell.child_environment({name: "mine"})[name] == "mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_SERVICE_HOST", "10.43.1.39"),
        ("VLLM_LOGGING_LEVEL", "INFO"),
        ("EDITOR", "vi"),
        ("REDIS_PORT", "tcp://1:2"),
    ],
)
def test_what_spoils_nothing_stays(monkeypatch, name, value) -> None:
    monkeypatch.setenv(name, value)
    assert shell.left_out() == [] and shell.child_environment()[name] == value


def made(folder: Path, *files: str) -> str:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return str(folder)


@pytest.mark.parametrize(
    ("files", "hidden"),
    [
        (["json.py"], "json"),
        (["torch/__init__.py", "mine.py"], "torch"),
        (["sitecustomize.py"], "sitecustomize"),
        (["numpy.py", "pydantic/__init__.py", "requests.py", "yaml.py"], "numpy, pydantic, requests and 1 more"),
    ],
)
def test_a_folder_that_stands_before_what_is_installed_is_left_out(tmp_path, monkeypatch, files, hidden) -> None:
    folder = made(tmp_path / "src", *files)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, OWN]))
    assert shell.child_environment()["PYTHONPATH"] == OWN
    (line,) = shell.left_out()
    assert line.startswith("PYTHONPATH of your shell is left out") and f"{folder} stands before {hidden};" in line


@pytest.mark.parametrize("files", [["my_module.py"], ["a_package/__init__.py"], ["README.md", "data/x.csv"], []])
def test_a_folder_that_only_adds_stays_and_is_recorded(tmp_path, monkeypatch, files) -> None:
    folder = made(tmp_path / "src", *files)
    (tmp_path / "src").mkdir(exist_ok=True)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, "", str(tmp_path / "gone"), OWN]))
    assert shell.left_out() == []
    assert shell.child_environment()["PYTHONPATH"] == os.pathsep.join([folder, OWN])
    assert inherited_environment()["PYTHONPATH"] == folder


def test_benchbooks_own_folder_is_no_foreign_code() -> None:
    assert search_path.foreign() == "" and "PYTHONPATH" not in inherited_environment()


def test_the_folder_that_vllm_is_imported_from_stays_whatever_else_it_holds(tmp_path) -> None:
    folder = made(tmp_path / "vllm-src", "vllm/__init__.py", "setup.py", "json.py")
    (Path(folder) / "json.py").unlink()
    code = "from benchbook.hosts.process import search_path, shell; print(search_path.kept()); print(shell.left_out())"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, OWN])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [env["PYTHONPATH"], "[]"]


def test_a_launchs_own_search_path_comes_first_and_hides_nothing_that_we_need(tmp_path) -> None:
    assert shell.child_environment({"PYTHONPATH": "/plugins"})["PYTHONPATH"] == os.pathsep.join(["/plugins", OWN])


# --- Bytecode.


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Return a function that installs vllm and torch as folders of which some have bytecode and some may be written."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    writable: set[Path] = set()
    monkeypatch.setattr(bytecode.os, "access", lambda folder, mode: folder in writable)  # root may write anywhere

    def install(compiled: tuple[str, ...], writes: tuple[str, ...]) -> None:
        for name in ("vllm", "torch"):
            folder = tmp_path / "site" / name
            made(folder, "__init__.py")
            if name in compiled:
                made(folder / "__pycache__", f"__init__.{sys.implementation.cache_tag}.pyc")
            if name in writes:
                writable.add(folder)
        specs = {
            name: type("Spec", (), {"origin": str(tmp_path / "site" / name / "__init__.py")})
            for name in ("vllm", "torch")
        }
        monkeypatch.setattr(pythons.importlib.util, "find_spec", specs.get)
        bytecode.unkept.cache_clear()

    yield install
    bytecode.unkept.cache_clear()


@pytest.mark.parametrize(
    ("compiled", "writes", "unkept"),
    [
        (("vllm", "torch"), (), ""),
        ((), ("vllm", "torch"), ""),
        (("vllm",), ("torch",), ""),
        (("vllm",), ("vllm",), "torch"),
        ((), (), "vllm and torch"),
    ],
)
def test_bytecode_that_cannot_be_kept_beside_its_package_is_kept_in_our_cache_and_that_is_said(
    packages, tmp_path, compiled, writes, unkept
) -> None:
    packages(compiled, writes)
    place = str(tmp_path / "cache" / "bytecode")
    assert shell.child_environment().get(bytecode.PREFIX) == (place if unkept else None)
    said = f"Python's bytecode of {unkept}, which cannot be kept there, goes to {place}"
    assert shell.left_out() == ([said] if unkept else [])


def test_a_place_for_bytecode_that_the_shell_or_the_launch_names_stays(packages, monkeypatch) -> None:
    packages((), ())
    assert shell.child_environment({bytecode.PREFIX: "/mine"})[bytecode.PREFIX] == "/mine"
    monkeypatch.setenv(bytecode.PREFIX, "/shells")
    assert shell.child_environment()[bytecode.PREFIX] == "/shells" and shell.left_out() == []
