"""The names that a vLLM's source declares, of any version from 0.8 on, read without importing it.

Flags, VLLM_* variables, the options of its configs, and the values that options, variables and registries list.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchbook.hosts.vllm.source_variables import (
    READERS_OF_LISTS,
    choices_of,
    choosing,
    looked_up,
    numbers_of,
    reading_of,
    switches_of,
    takes_any_case,
    texts,
)

ENGINE = "engine/arg_utils.py"
FRONTENDS = (  # until 0.27, until 0.32, since
    "entrypoints/openai/cli_args.py",
    "entrypoints/launchers/cli_args.py",
    "entrypoints/common/cli_args.py",
)
VARIABLES = "envs.py"
CONFIGS = ("config.py", "config/*.py")  # the first until 0.10
BACKENDS = (  # of attention; the first until 0.11, the second until 0.14
    "platforms/interface.py",
    "attention/backends/registry.py",
    "v1/attention/backends/registry.py",
)
_ENGINE_CLASSES = ("EngineArgs", "AsyncEngineArgs")
_FRONTEND_CLASSES = ("BaseFrontendArgs", "FrontendArgs")
_VALUES = (  # beside CONFIGS, where named lists of values stand
    ENGINE,
    *BACKENDS,
    "model_executor/layers/quantization/__init__.py",
    "model_executor/model_loader/__init__.py",
    "transformers_utils/config.py",
    "reasoning/__init__.py",
    "tool_parsers/__init__.py",
    "entrypoints/openai/tool_parsers/__init__.py",
)
_FACTORIES = (
    "distributed/kv_transfer/kv_connector/factory.py",
    "distributed/ec_transfer/ec_connector/factory.py",
)


@dataclass(frozen=True)
class Source:
    """What one vLLM's source declares; a set is empty where it could not be read."""

    engine_flags: frozenset[str]  # '--max-model-len': of the server and of the offline benchmarks
    server_flags: frozenset[str]  # those that only `vllm serve` has besides
    variables: frozenset[str]  # 'VLLM_LOGGING_LEVEL'
    options: Mapping[str, frozenset[str]]  # 'CompilationConfig': its fields
    values: Mapping[str, frozenset[str]]  # 'MoEBackend', 'AttentionBackendEnum', 'VLLM_KV_CACHE_LAYOUT': what they list
    numbers: Mapping[str, str]  # 'VLLM_CPU_KVCACHE_SPACE': 'int', one of int, float and switch (1 or 0)
    any_case: frozenset[str]  # variables whose listed values are taken in capitals or not; of others, as they are spelt
    comma_lists: frozenset[str]  # variables that take several of their values, with commas
    switches: Mapping[str, frozenset[str]]  # 'VLLM_ROCM_USE_AITER': the texts that are on; any other is off in silence
    off_words: Mapping[str, frozenset[str]]  # 'VLLM_TRITON_USE_TD': of those that also look for off, the texts that are
    deprecated: frozenset[str]  # flags, options ('Config.field') and variables of which the source says so


def read_source(package: Path) -> Source:
    """Return what the vLLM in the folder `package` declares."""
    engine = _classes(_parsed(package / ENGINE), _ENGINE_CLASSES)
    frontends = [_parsed(package / path) for path in FRONTENDS]
    fields = {name for tree in frontends for node in _classes(tree, _FRONTEND_CLASSES) for name in _fields(node)}
    literal = {flag for tree in frontends for flag in _literal_flags(tree)}
    engine_flags = {flag for node in engine for flag in _literal_flags(node)}
    own = {flag for node in engine if node.name == "AsyncEngineArgs" for flag in _literal_flags(node)}
    envs, configs = _parsed(package / VARIABLES), [_parsed(path) for path in _files(package, CONFIGS)]
    variables = dict(_table(envs, "environment_variables"))
    reading = {name: reading_of(value, envs) for name, value in variables.items()}
    lists = [*configs, *(_parsed(package / path) for path in _VALUES)]
    return Source(
        engine_flags=frozenset(engine_flags - own),
        server_flags=frozenset({"--" + name.replace("_", "-") for name in fields} | literal | own),
        variables=frozenset(variables),
        options={node.name: frozenset(_fields(node)) for tree in configs for node in _config_classes(tree)},
        values=_lists_of_values(lists) | choices_of(variables) | _registrations(package),
        numbers=dict(numbers_of(reading)),
        any_case=frozenset(name for name, call in choosing(variables) if takes_any_case(call)),
        comma_lists=frozenset(name for name, call in choosing(variables) if ast.unparse(call.func) in READERS_OF_LISTS),
        switches=dict(switches_of(reading)) | dict(looked_up(reading, True)),
        off_words=dict(looked_up(reading, False)),
        deprecated=frozenset(_deprecated(engine, configs, package / VARIABLES, variables)),
    )


def source_files(package: Path) -> list[Path]:
    """Return the files that say which flags, variables and options there are."""
    names = [ENGINE, *FRONTENDS, VARIABLES]
    return [path for path in (*(package / name for name in names), *_files(package, CONFIGS)) if path.is_file()]


def _files(package: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in package.glob(pattern))


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes() if path.is_file() else b"")


def _classes(tree: ast.Module, names: tuple[str, ...]) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in names]


def _config_classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Config")]


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Yield the fields of a dataclass that its constructor takes."""
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and not field.target.id.startswith("_"):
            keywords = field.value.keywords if isinstance(field.value, ast.Call) else []
            if not any(word.arg == "init" and ast.unparse(word.value) == "False" for word in keywords):
                yield field.target.id


def _literal_flags(tree: ast.AST) -> Iterator[str]:
    """Yield each '--flag' that stands in a call of add_argument."""
    for call in _calls(tree, "add_argument"):
        yield from (text for text in texts(call.args) if text.startswith("--"))


def _calls(tree: ast.AST, method: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
            yield node


def _table(tree: ast.Module, name: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield the items of the module's dictionary `name`."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            pairs = zip(node.value.keys, node.value.values, strict=True)
            yield from ((key.value, value) for key, value in pairs if isinstance(key, ast.Constant))


def _lists_of_values(trees: list[ast.Module]) -> dict[str, frozenset[str]]:
    """Return the members of each module's enumerations, its Literal types and its tables of what is registered or deprecated."""
    found: dict[str, frozenset[str]] = {}
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
            members = [field.targets[0].id for field in node.body if isinstance(field, ast.Assign)]
            found[node.name] = frozenset(name for name in members if not name.startswith("_"))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Literal":
                found[name] = frozenset(_literal_values(value, found))
            elif isinstance(value, ast.Dict) and name.endswith("_TO_REGISTER"):
                found[name] = frozenset(texts(value.keys))
            elif isinstance(value, ast.List) and name.startswith("DEPRECATED_"):
                found[name] = frozenset(texts(value.elts))
    return {name: values for name, values in found.items() if values}


def _registrations(package: Path) -> dict[str, frozenset[str]]:
    """Return the names that each factory has its classes registered under: 'KVConnectorFactory'."""
    found: dict[str, set[str]] = {}
    for call in (call for path in _FACTORIES for call in _calls(_parsed(package / path), "register_connector")):
        found.setdefault(ast.unparse(call.func.value), set()).update(texts(call.args)[:1])
    return {name: frozenset(values) for name, values in found.items()}


def _literal_values(literal: ast.Subscript, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Yield what a Literal lists, with the values of the Literals inside it."""
    items = literal.slice.elts if isinstance(literal.slice, ast.Tuple) else [literal.slice]
    yield from (str(item.value) for item in items if isinstance(item, ast.Constant))
    for item in items:
        yield from known.get(item.id, ()) if isinstance(item, ast.Name) else ()


def _deprecated(
    engine: list[ast.ClassDef], configs: list[ast.Module], envs: Path, variables: Mapping[str, ast.expr]
) -> Iterator[str]:
    for call in (call for node in engine for call in _calls(node, "add_argument")):
        if any(word.arg == "deprecated" or "eprecated" in ast.unparse(word.value) for word in call.keywords):
            yield from texts(call.args)
    for node in (node for tree in configs for node in _config_classes(tree)):
        for field, after in zip(node.body, node.body[1:]):
            told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            if isinstance(field, ast.AnnAssign) and "eprecated" in str(told):
                yield f"{node.name}.{field.target.id}"
    lines, end = envs.read_text(encoding="utf-8").splitlines() if envs.is_file() else [], 0
    for name, value in variables.items():  # each with the comment above it
        if "eprecated" in "\n".join(lines[end : value.end_lineno]):
            yield name
        end = value.end_lineno
