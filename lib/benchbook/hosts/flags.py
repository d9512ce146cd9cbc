"""What the installed vLLM knows: its flags, its VLLM_* variables and the options of its compilation_config.

Read from its source text, since importing vLLM to ask it costs seconds, and kept in the cache folder by version: read
the first time in 0.2 s, later in a few milliseconds.
"""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.caches import cache_dir, remember, remembered

_ENGINE = "engine/arg_utils.py"
_FRONTENDS = ("entrypoints/launchers/cli_args.py", "entrypoints/openai/cli_args.py")  # the second until 0.27
_VARIABLES = "envs.py"
_COMPILATION = "config/compilation.py"
_ENGINE_CLASSES = ("EngineArgs", "AsyncEngineArgs")
_FRONTEND_CLASSES = ("BaseFrontendArgs", "FrontendArgs")


@dataclass(frozen=True)
class Known:
    """The names that one version of vLLM knows; a set is empty where its source could not be read."""

    version: str  # e.g. '0.32.0+cpu'
    engine_flags: frozenset[str]  # '--max-model-len': of the server and of the offline benchmarks
    server_flags: frozenset[str]  # those that only `vllm serve` has besides
    variables: frozenset[str]  # 'VLLM_LOGGING_LEVEL'
    compilation_options: frozenset[str]  # 'cudagraph_mode'

    @property
    def flags(self) -> frozenset[str]:
        """All long flags of `vllm serve`, without the --no- forms."""
        return self.engine_flags | self.server_flags


@functools.cache
def known() -> Known | None:
    """Return what the installed vLLM knows; None when no vLLM is installed."""
    package = _package()
    if package is None:
        return None
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return None
    return _cached(package, version)


def source_state() -> str:
    """Return a hash that changes with the installed vLLM's source of flags; '' where none is installed."""
    package = _package()
    return _state(package) if package else ""


def read_known(package: Path, version: str) -> Known:
    """Return what the vLLM whose source lies in the folder `package` knows."""
    engine = _classes(package / _ENGINE, _ENGINE_CLASSES)
    frontends = [package / path for path in _FRONTENDS]
    server = {name for path in frontends for node in _classes(path, _FRONTEND_CLASSES) for name in _fields(node)}
    literal = {flag for path in frontends for flag in _literal_flags(_parsed(path))}
    engine_flags = {flag for node in engine for flag in _literal_flags(node)}
    own = {flag for node in engine if node.name == "AsyncEngineArgs" for flag in _literal_flags(node)}
    return Known(
        version=version,
        engine_flags=frozenset(engine_flags - own),
        server_flags=frozenset({"--" + name.replace("_", "-") for name in server} | literal | own),
        variables=frozenset(_table_keys(_parsed(package / _VARIABLES), "environment_variables")),
        compilation_options=frozenset(
            name for node in _classes(package / _COMPILATION, ("CompilationConfig",)) for name in _fields(node)
        ),
    )


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that looks most like `word`; None when none comes near."""
    found = difflib.get_close_matches(word[:64], sorted(names), n=1)
    return found[0] if found else None


def nearest_flag(flag: str) -> str | None:
    """Return the known flag that looks most like `flag`, spelled with - or _; None when none comes near."""
    wanted = "--" + flag.lstrip("-").partition("=")[0].replace("_", "-").lower()
    there = known()
    return nearest(wanted, there.flags) if there else None


def _package() -> Path | None:
    """Return the folder of the installed vLLM's source, without importing it."""
    spec = importlib.util.find_spec("vllm")
    return Path(spec.origin).parent if spec and spec.origin else None


def _cached(package: Path, version: str) -> Known:
    path = cache_dir() / f"known-{version}-{_state(package)}.json"
    there = _known_of(remembered(path) or {})
    if there is None:
        there = read_known(package, version)
        remember(path, {key: value if key == "version" else sorted(value) for key, value in asdict(there).items()})
    return there


def _known_of(kept: dict[str, Any]) -> Known | None:
    """Return what was kept of a vLLM; None where that is nothing, or damaged."""
    try:
        names = {key: frozenset(value) for key, value in kept.items() if key != "version" and isinstance(value, list)}
        there = Known(version=kept["version"], **names)
    except (KeyError, TypeError):
        return None
    names = (there.version, *there.flags, *there.variables, *there.compilation_options)
    return there if all(isinstance(name, str) for name in names) else None


def _state(package: Path) -> str:
    """Return a hash of size and time of the files that are read: an edited installation is read again."""
    parts = []
    for name in (_ENGINE, *_FRONTENDS, _VARIABLES, _COMPILATION):
        path = package / name
        if path.is_file():
            parts.append(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes() if path.is_file() else b"")


def _classes(path: Path, names: tuple[str, ...]) -> list[ast.ClassDef]:
    return [node for node in _parsed(path).body if isinstance(node, ast.ClassDef) and node.name in names]


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Yield the fields of a dataclass that its constructor takes."""
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and not field.target.id.startswith("_"):
            keywords = field.value.keywords if isinstance(field.value, ast.Call) else []
            if not any(word.arg == "init" and ast.unparse(word.value) == "False" for word in keywords):
                yield field.target.id


def _literal_flags(tree: ast.AST) -> Iterator[str]:
    """Yield each '--flag' that stands in a call of add_argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            texts = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
            yield from (text for text in texts if isinstance(text, str) and text.startswith("--"))


def _table_keys(tree: ast.Module, name: str) -> Iterator[str]:
    """Yield the keys of the module's dictionary `name`."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            yield from (key.value for key in node.value.keys if isinstance(key, ast.Constant))
