"""What vLLM hashes of its environment into the key of its cache of compiled code: nothing of it is new in each start."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchbook.hosts.process import processes
from benchbook.hosts.server import VllmServer

Make = Callable[..., VllmServer]
IGNORED = '        "VLLM_API_KEY",\n'  # a line of vLLM's list of what is not hashed, since 0.32
# What envs.py imports of vLLM and torch is stood in for: that alone would take seconds, and tells nothing of a key.
ASK = """
import json, sys, types
names = "torch vllm vllm.config vllm.config.utils vllm.utils vllm.utils.torch_utils".split()
sys.modules |= {name: types.ModuleType(name) for name in names}
sys.modules["torch"].version = types.SimpleNamespace(hip=None)
sys.modules["vllm.config.utils"].normalize_value = str
sys.modules["vllm.utils.torch_utils"].is_torch_equal_or_newer = lambda version: True
space = {"__name__": "envs"}
exec(compile(open(sys.argv[1]).read(), "envs.py", "exec"), space)
print(json.dumps(space["compile_factors"]()))
"""


@pytest.fixture(scope="module")
def envs() -> Path:
    """Return the installed vLLM's envs.py."""
    package = importlib.util.find_spec("vllm")
    if package is None:
        pytest.skip("no vLLM is installed")
    return Path(package.origin).with_name("envs.py")


@pytest.fixture(params=["installed", "older"])
def factors(request: pytest.FixtureRequest, envs: Path, tmp_path: Path) -> Callable[[VllmServer], dict[str, str]]:
    """Return a function that gives what a vLLM hashes of a server's environment: the installed one, or one before 0.32."""
    source = tmp_path / "envs.py"
    text = envs.read_text()
    assert IGNORED in text
    source.write_text(text if request.param == "installed" else text.replace(IGNORED, ""))

    def of(server: VllmServer) -> dict[str, str]:
        env = processes.environment_of(server.pid)
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(source)], env=env, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    return of


@pytest.mark.parametrize("env", [{}, {"VLLM_LOGGING_LEVEL": "DEBUG"}, {"VLLM_USE_FLASHINFER_SAMPLER": "0"}], ids=str)
def test_two_starts_of_a_launch_have_one_key_of_compiled_code_and_it_holds_no_secret(
    fake_server: Make, factors: Callable, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"VLLM_API_KEY": "a-key-of-the-shell", **env}.items():
        monkeypatch.setenv(name, value)
    with fake_server() as first, fake_server() as second:
        hashed = factors(first)
        assert len(hashed) > 100 and hashed == factors(second)
        text = json.dumps(hashed)
        assert not any(key in text for key in (first.api_key, second.api_key, "a-key-of-the-shell"))


def test_the_scripted_older_vllm_would_have_seen_a_key(factors: Callable, request: pytest.FixtureRequest) -> None:
    class Bare:
        pid = None

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    waiting = [sys.executable, "-S", "-c", "print(flush=True); input()"]
    with subprocess.Popen(waiting, env={**os.environ, "VLLM_API_KEY": "abc"}, **pipes) as process:
        process.stdout.readline()  # until it runs, its environment is still this process's
        Bare.pid = process.pid
        has_key = "abc" in factors(Bare).values()
        process.stdin.close()
    assert has_key == (request.node.callspec.params["factors"] == "older")
