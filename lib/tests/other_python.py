"""Another Python environment for tests: a real interpreter of its own, and a vLLM there that knows what a test says.

Its `serve` and `bench` are the scripted ones of fake_package/. benchbook is not installed in it.
"""

from __future__ import annotations

import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

_MAIN = Path(__file__).with_name("fake_package") / "vllm" / "entrypoints" / "cli" / "main.py"
_PROGRAM = """
import runpy

if __name__ == "__main__":
    runpy.run_path({main!r}, run_name="__main__")
"""
_ENGINE = """
from dataclasses import dataclass


@dataclass
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        {flags}
        return parser


@dataclass
class AsyncEngineArgs(EngineArgs):
    pass
"""
_FRONTEND = """
from dataclasses import dataclass, field

from vllm.engine.arg_utils import EngineArgs


@dataclass
class FrontendArgs:
    middleware: list = field(default_factory=list)


def make_arg_parser(parser):
    parser.add_argument("--middleware", action="append")
    return EngineArgs.add_cli_args(parser)
"""


def make_environment(
    folder: Path, version: str = "0.31.0", flags: Sequence[str] = ("--max-model-len",), variables: Sequence[str] = ()
) -> str:
    """Make an environment in `folder` whose vLLM of `version` has these flags, each of a whole number, and variables.

    Returns the path of its Python.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    added = "\n        ".join(f"parser.add_argument({flag!r}, type=int)" for flag in flags)
    table = ", ".join(f"{name!r}: lambda: os.getenv({name!r})" for name in variables)
    files = {
        "vllm/__init__.py": "",
        "vllm/config/__init__.py": "",
        "vllm/utils/__init__.py": "",
        "vllm/utils/argparse_utils.py": "from argparse import ArgumentParser as FlexibleArgumentParser\n",
        "vllm/engine/__init__.py": "",
        "vllm/engine/arg_utils.py": _ENGINE.format(flags=added or "pass"),
        "vllm/envs.py": f"import os\n\nenvironment_variables: dict = {{{table}}}\n",
        "vllm/entrypoints/__init__.py": "",
        "vllm/entrypoints/cli/__init__.py": "",
        "vllm/entrypoints/cli/main.py": _PROGRAM.format(main=str(_MAIN)),
        "vllm/entrypoints/openai/__init__.py": "",
        "vllm/entrypoints/openai/cli_args.py": _FRONTEND,
        f"vllm-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n",
        # What its vLLM would bring, pydantic among it, is ours; its own packages come before.
        "others.pth": sysconfig.get_paths()["purelib"] + "\n",
    }
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder / "bin" / "python")
