"""What an installed vLLM knows: its flags, its VLLM_* variables and the options of its compilation_config.

Read from its source text, since importing vLLM to ask it costs seconds, and kept in the cache folder by version: read
the first time in half a second, later in a few milliseconds.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchbook.hosts.process.caches import cache_dir, remember, remembered
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm import source, source_variables, switches
from benchbook.terms.likeness import nearest

# Where the values of each arg are registered that a plugin may add to, by the names of vLLM's own tables.
_REGISTERED = {
    "tool_call_parser": "_TOOL_PARSERS_TO_REGISTER",
    "reasoning_parser": "_REASONING_PARSERS_TO_REGISTER",
    "quantization": "QuantizationMethods",
    "load_format": "LoadFormats",
    "tokenizer_mode": "TokenizerMode",
    "config_format": "ConfigFormat",
    "distributed_executor_backend": "DistributedExecutorBackend",
    "kv_connector": "KVConnectorFactory",
    "ec_connector": "ECConnectorFactory",
}
_DEPRECATED = "DEPRECATED_QUANTIZATION_METHODS"


@dataclass(frozen=True)
class Known:
    """The names that one version of vLLM knows; a set is empty where its source could not be read."""

    version: str  # e.g. '0.32.0+cpu'
    engine_flags: frozenset[str]  # '--max-model-len': of the server and of the offline benchmarks
    server_flags: frozenset[str]  # those that only `vllm serve` has besides
    variables: frozenset[str]  # 'VLLM_LOGGING_LEVEL'
    compilation_options: frozenset[str]  # 'cudagraph_mode'
    variable_values: frozenset[str] = frozenset()  # 'VLLM_KV_CACHE_LAYOUT=NHD': all values of those that list theirs
    variable_numbers: frozenset[str] = frozenset()  # 'VLLM_CPU_KVCACHE_SPACE=int', or float, or switch: which number
    registered: frozenset[str] = frozenset()  # 'tool_call_parser=hermes', 'load_format=dummy': all that are registered
    deprecated_quantization: frozenset[str] = frozenset()  # refused without allow_deprecated_quantization
    variable_switches: frozenset[str] = frozenset()  # 'VLLM_SKIP_P2P_CHECK=1': all texts that are on, of those compared
    variable_off_words: frozenset[str] = frozenset()  # 'VLLM_TRITON_USE_TD=0': of those that take no other for off
    any_case: frozenset[str] = frozenset()  # variables whose listed values may be in capitals or not
    comma_lists: frozenset[str] = frozenset()  # variables that take several of their listed values

    @property
    def flags(self) -> frozenset[str]:
        """All long flags of `vllm serve`, without the --no- forms."""
        return self.engine_flags | self.server_flags

    def values_of(self, variable: str) -> list[str]:
        """Return the values that a variable may have; [] where it lists none."""
        return _behind(variable, self.variable_values)

    def registered_of(self, arg: str) -> list[str]:
        """Return the names that are registered for tool_call_parser, load_format and their like; [] for any other arg."""
        return _behind(arg, self.registered)

    def number_of(self, variable: str) -> str:
        """Return which number a variable must be: int, float, or switch for 1 and 0; '' where it may be any text."""
        return next(iter(_behind(variable, self.variable_numbers)), "")

    def on_words(self, variable: str) -> list[str]:
        """Return the texts by which vLLM reads a variable as on; [] where it is no switch, or takes others as well."""
        return ["1"] if self.number_of(variable) == "switch" else _behind(variable, self.variable_switches)

    def off_words(self, variable: str) -> list[str]:
        """Return the texts by which vLLM reads a switch as off; [] where it takes any that is not on."""
        return _behind(variable, self.variable_off_words)


def _pairs(texts: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset(f"{name}={text}" for name, each in texts.items() for text in each)


def _behind(name: str, pairs: frozenset[str]) -> list[str]:
    """Return what stands for `name` in 'name=what' pairs, sorted."""
    return _by_name(pairs).get(name, [])[:]


@functools.cache
def _by_name(pairs: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, _, what in (pair.partition("=") for pair in sorted(pairs)):
        found.setdefault(name, []).append(what)
    return found


@functools.cache
def known(python: Python = HERE) -> Known | None:
    """Return what the vLLM that is installed for `python` knows; None when none is."""
    package, version = python.folder_of("vllm"), python.version_of("vllm")
    return _cached(package, version) if package and version else None


def source_state(python: Python = HERE) -> str:
    """Return a hash that changes with the installed vLLM's source of flags; '' where none is installed."""
    package = python.folder_of("vllm")
    return _state(package) if package else ""


def read_known(package: Path, version: str) -> Known:
    """Return what the vLLM whose source lies in the folder `package` knows."""
    there = source.read_source(package)
    return Known(
        version=version,
        engine_flags=there.engine_flags,
        server_flags=there.server_flags,
        variables=there.variables,
        compilation_options=there.options.get("CompilationConfig", frozenset()),
        variable_values=frozenset(
            f"{name}={value}" for name in there.variables for value in there.values.get(name, ())
        ),
        variable_numbers=frozenset(f"{name}={kind}" for name, kind in there.numbers.items()),
        registered=frozenset(
            f"{arg}={name}" for arg, table in _REGISTERED.items() for name in there.values.get(table, ())
        ),
        deprecated_quantization=there.values.get(_DEPRECATED, frozenset()),
        variable_switches=_pairs(there.switches),
        variable_off_words=_pairs(there.off_words),
        any_case=there.any_case,
        comma_lists=there.comma_lists,
    )


def nearest_flag(flag: str, python: Python = HERE) -> str | None:
    """Return the known flag that looks most like `flag`, spelled with - or _; None when none comes near."""
    wanted = "--" + flag.lstrip("-").partition("=")[0].replace("_", "-").lower()
    there = known(python)
    return nearest(wanted, there.flags) if there else None


def is_vllms(variable: str) -> bool:
    """Return whether a variable is named as vLLM's own are."""
    return variable.startswith("VLLM_")


@functools.cache
def plugins(python: Python = HERE) -> frozenset[str]:
    """Return the packages of `python` that plug into vLLM, benchbook apart: what they register, no source of vLLM tells."""
    groups = ("vllm.general_plugins", "vllm.platform_plugins")
    found = {plugin.module for group in groups for plugin in python.plugins(group)}
    return frozenset({module.partition(".")[0] for module in found} - {"vllm", __package__.partition(".")[0]})


def is_read(variable: str, python: Python = HERE) -> bool:
    """Return whether the vLLM of `python`, or a plugin of it that is installed there, names a variable in its source.

    Some are read outside the table of variables. benchbook is such a plugin, but only names them, as examples or old.
    """
    return variable in _named_anywhere(python)


@functools.cache
def _named_anywhere(python: Python) -> frozenset[str]:
    packages = {folder for name in {"vllm", *plugins(python)} if (folder := python.folder_of(name))}
    sources = (path.read_bytes() for package in packages for path in package.rglob("*.py"))
    return frozenset(word.decode() for source in sources for word in re.findall(rb"\bVLLM_\w+", source))


def unknown_variables(env: Iterable[str], python: Python = HERE) -> list[str]:
    """Return the variables that are named as vLLM's own are, and that the one of `python` does not have."""
    there = known(python)
    return sorted(name for name in env if there and is_vllms(name) and name not in there.variables)


def _cached(package: Path, version: str) -> Known:
    # What another benchbook kept may lack what this one reads.
    readers = (__file__, *(module.__file__ for module in (source, source_variables, switches)))
    asked = hashlib.sha256(b"".join(Path(file).read_bytes() for file in readers)).hexdigest()[:8]
    path = cache_dir() / f"known-{version}-{_state(package)}-{asked}.json"
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
    names = (there.version, *(name for field in fields(there)[1:] for name in getattr(there, field.name)))
    return there if all(isinstance(name, str) for name in names) else None


def _state(package: Path) -> str:
    """Return a hash of size and time of the files that are read: an edited installation is read again."""
    parts = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in source.source_files(package)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
