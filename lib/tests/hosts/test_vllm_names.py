"""The script that compares two versions of vLLM finds what was renamed, and says what benchbook makes of it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "vllm_names.py"
OLD = {
    "engine/arg_utils.py": """
class EngineArgs:
    def add_cli_args(parser):
        parser.add_argument("--swap-space")
        parser.add_argument("--seed")
""",
    "entrypoints/openai/cli_args.py": "class FrontendArgs:\n    disable_log_requests: bool = False\n",
    "envs.py": """
environment_variables: dict = {
    "VLLM_RPC_TIMEOUT": lambda: 1,
    # Deprecated: use another.
    "VLLM_OLD": lambda: 1,
    "VLLM_LAYOUT": env_with_choices("VLLM_LAYOUT", None, ["a", "b"]),
}
""",
    "config/compilation.py": """
Kind = Literal["x", "y"]
class CompilationConfig:
    level: int = 0
    kind: Kind = "x"
""",
    "v1/attention/backends/registry.py": "class AttentionBackendEnum(Enum):\n    XFORMERS = 'x'\n    FLASH_ATTN = 'f'\n",
}
NEW = {
    "engine/arg_utils.py": OLD["engine/arg_utils.py"].replace('"--swap-space"', '"--compilation-config"'),
    "entrypoints/common/cli_args.py": "class FrontendArgs:\n    enable_log_requests: bool = False\n",
    "envs.py": """
environment_variables: dict = {
    # Deprecated: use another.
    "VLLM_OLD": lambda: 1,
    # Deprecated as well.
    "VLLM_LAYOUT": env_with_choices("VLLM_LAYOUT", None, ["a"]),
}
""",
    "config/compilation.py": OLD["config/compilation.py"].replace("level", "mode").replace('"x", "y"', '"y"'),
    "v1/attention/backends/registry.py": "class AttentionBackendEnum(Enum):\n    FLASH_ATTN = 'f'\n",
}


def tree(folder: Path, sources: dict[str, str]) -> Path:
    for name, text in sources.items():
        (folder / "vllm" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "vllm" / name).write_text(text)
    return folder


def compared(old: Path, new: Path) -> tuple[str, int]:
    done = subprocess.run([sys.executable, SCRIPT, old, new], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout, done.returncode


def test_what_is_gone_new_and_deprecated_is_said_with_what_becomes_of_it(tmp_path: Path) -> None:
    told, code = compared(tree(tmp_path / "old", OLD), tree(tmp_path / "new", NEW))
    assert code == 1
    for line in (
        "  disable_log_requests: gone since 0.17: requests are not logged unless enable_log_requests is set",
        "  swap_space: gone since 0.18: only the engine V0 swapped; V1 computes preempted requests again",
        "  VLLM_RPC_TIMEOUT: gone since 0.23: nothing waits by it any more",
        "  CompilationConfig.level: gone since 0.18: it is compilation_config.mode now",
        "  AttentionBackendEnum = XFORMERS: refused; FLASH_ATTN, FLASHINFER or TRITON_ATTN instead",
        "  Kind = x: NO ENTRY",
        "2 flags that are new",
        "  enable_log_requests",
        "1 deprecated since",
        "  VLLM_LAYOUT",
    ):
        assert line in told.splitlines()


def test_a_version_has_nothing_to_tell_of_itself(tmp_path: Path) -> None:
    folder = tree(tmp_path, OLD)
    assert compared(folder, folder / "vllm") == ("\n", 0)


@pytest.mark.parametrize("kind", ["vllm.whl", "vllm.tar.gz"])
def test_wheels_and_sdists_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    folder, packed = tree(tmp_path / "new", NEW), tmp_path / kind
    if kind.endswith(".whl"):
        with zipfile.ZipFile(packed, "w") as wheel:
            for path in folder.rglob("*.py"):
                wheel.write(path, path.relative_to(folder))
    else:
        with tarfile.open(packed, "w:gz") as sdist:
            sdist.add(folder, "vllm-1.0")
    old = tree(tmp_path / "old", OLD)
    assert compared(old, packed) == compared(old, folder)
