"""The engine flags that the installed vLLM knows, read from its source text: importing vLLM to ask it costs seconds."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import re
from pathlib import Path

# Where `vllm serve` declares its flags, as fields of these classes or as literal "--flags".
_SOURCES = ("engine/arg_utils.py", "entrypoints/launchers/cli_args.py", "entrypoints/openai/cli_args.py")
_CLASSES = {"EngineArgs", "AsyncEngineArgs", "BaseFrontendArgs", "FrontendArgs"}
_LITERAL_FLAG = re.compile(r"""["'](--[a-z][a-z0-9-]*)["']""")


@functools.cache
def known_flags() -> frozenset[str]:
    """Return the long flags of `vllm serve`, without the --no- forms; empty when no vLLM is installed."""
    package = importlib.util.find_spec("vllm")
    if package is None or package.origin is None:
        return frozenset()
    flags: set[str] = set()
    for source in _SOURCES:
        path = Path(package.origin).parent / source
        if path.is_file():
            flags |= _flags_in(path.read_text())
    return frozenset(flags)


def nearest_flag(flag: str) -> str | None:
    """Return the known flag that looks most like `flag`, spelled with - or _; None when none comes near."""
    wanted = "--" + flag.lstrip("-").partition("=")[0].replace("_", "-").lower()
    nearest = difflib.get_close_matches(wanted, sorted(known_flags()), n=1)
    return nearest[0] if nearest else None


def is_known(name: str) -> bool:
    """Return whether vLLM knows the argument `name`, with or without a leading no_; True when that cannot be told."""
    flag = "--" + name.partition(".")[0].replace("_", "-")
    flags = known_flags()
    return not flags or flag in flags or ("--" + flag.removeprefix("--no-")) in flags


def _flags_in(source: str) -> set[str]:
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name in _CLASSES)
    fields = (field.target.id for node in classes for field in node.body if isinstance(field, ast.AnnAssign))
    return {"--" + field.replace("_", "-") for field in fields} | set(_LITERAL_FLAG.findall(source))
