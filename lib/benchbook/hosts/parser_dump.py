"""Print, as JSON, what vLLM's own parser of `vllm serve` takes: run by the Python that has this vLLM, it imports it.

    python -P -m benchbook.hosts.parser_dump    →    {"--max-model-len": {"takes": ["int", "size", "auto"], …}, …}

What a flag takes is asked of the parser itself, by giving its type a few texts, and not guessed from its name.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import functools
import importlib
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

_FRONTENDS = (  # until 0.27, until 0.32, since
    "vllm.entrypoints.openai.cli_args",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.common.cli_args",
)
_MAX_DEPTH = 4  # of configs inside configs


def main() -> None:
    """Print the table of the installed vLLM's parser."""
    with contextlib.redirect_stdout(sys.stderr):  # what vLLM says while it is imported
        table = flag_table(serve_parser())
    print(json.dumps(table))


def serve_parser() -> argparse.ArgumentParser:
    """Return the parser of `vllm serve`, with its flags alone."""
    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:  # until 0.11
        from vllm.utils import FlexibleArgumentParser
    for name in _FRONTENDS:
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            return importlib.import_module(name).make_arg_parser(FlexibleArgumentParser())
    raise ModuleNotFoundError(f"none of {', '.join(_FRONTENDS)}")


def flag_table(parser: argparse.ArgumentParser) -> dict[str, dict[str, Any]]:
    """Return {'--flag': what it takes} for each of the parser's flags but --help; see `Form` in forms.py for the fields."""
    return {
        action.option_strings[0]: _form(action)
        for action in parser._actions
        if action.option_strings and action.dest != "help"
    }


def _form(action: argparse.Action) -> dict[str, Any]:
    name, *others = action.option_strings
    negative = "--no-" + name.removeprefix("--")
    return {
        "short": [other for other in others if other != negative],
        "is_switch": action.nargs == 0,
        "may_stand_alone": action.nargs == "?" and action.const is True,
        "has_negative": negative in others,
        "repeats": isinstance(action, argparse._AppendAction),
        "takes_several": action.nargs in ("+", "*"),
        "takes": [] if action.nargs == 0 else sorted(_takes(action)),
        "choices": sorted({str(choice) for choice in action.choices or () if choice is not None}),
        "members": _members(_engine_hints().get(action.dest)) if not action.choices else [],
        "options": _options(action),
    }


def _takes(action: argparse.Action) -> Iterator[str]:
    """Yield what the flag's type makes of texts of each kind."""
    if not isinstance(action, argparse._StoreAction | argparse._AppendAction) and action.nargs == "+":
        yield from ("text", "object")  # an action that reads its words itself, as --lora-modules does
        return
    read = action.type or str
    for kind, text, is_it in _PROBES:
        try:
            value = read(text)
        except (ValueError, TypeError, KeyError, argparse.ArgumentTypeError, SystemExit):
            continue
        except Exception as error:  # a config of vLLM that refuses to be empty, by pydantic's or its own error
            value, is_it = None, lambda _, kind=kind, error=error: kind == "object" and "alid" in type(error).__name__
        if is_it(value):
            yield kind


_PROBES = (
    ("int", "7", lambda value: type(value) is int),
    ("size", "7k", lambda value: value == 7000),
    ("auto", "auto", lambda value: value == -1),
    ("float", "0.5", lambda value: value == 0.5),
    ("object", "{}", lambda value: isinstance(value, Mapping) or dataclasses.is_dataclass(value)),
    ("array", "[]", lambda value: isinstance(value, list | tuple | set) and not value),
    ("commas", "7,8", lambda value: isinstance(value, list) and [str(item) for item in value] == ["7", "8"]),
    ("text", "some-text", lambda value: isinstance(value, str) and value == "some-text"),
    ("normalised", "Some-Text", lambda value: value == "some_text"),
)


def _options(action: argparse.Action) -> dict[str, Any] | None:
    """Return the names that the config behind a flag has, nested as they are; None where it is no config of vLLM's."""
    config = None
    with contextlib.suppress(Exception):  # it may be no config, or one that refuses to be empty
        config = type(action.type("{}"))
    if not dataclasses.is_dataclass(config):  # read as a mapping at first; then the flag has the config's name
        import vllm.config

        title = action.option_strings[0].removeprefix("--").replace("-", "")
        config = next((found for name, found in vars(vllm.config).items() if name.lower() == title), None)
    return _fields(config, 0) if isinstance(config, type) and dataclasses.is_dataclass(config) else None


def _fields(config: type, depth: int) -> dict[str, Any]:
    """Return {field: its own fields, its values, or None} of a dataclass, as its constructor takes them."""
    hints = _hints(config)
    return {
        field.name: _inner(hints.get(field.name), depth + 1)
        for field in dataclasses.fields(config)
        if field.init and not field.name.startswith("_")
    }


def _inner(hint: Any, depth: int) -> dict[str, Any] | list[str] | None:
    """Return the fields of the config that a hint names, the values that it lists, or None."""
    for part in (hint, *typing.get_args(hint)):
        if isinstance(part, type) and dataclasses.is_dataclass(part) and depth < _MAX_DEPTH:
            return _fields(part, depth)
    return _members(hint) or None


def _members(hint: Any) -> list[str]:
    """Return the texts that a hint lists, by an Enum or by Literals alone; [] where it takes any text."""
    parts, found, is_open = [hint], set(), False
    while parts:
        part = parts.pop()
        if isinstance(part, type) and issubclass(part, enum.Enum):  # read by name; 'auto' stands for none of them
            return sorted(
                {"auto", *part.__members__, *(str(member.value) for member in part if _is_plain(member.value))}
            )
        is_open = is_open or part is str
        if typing.get_origin(part) is typing.Literal:
            found |= {value for value in typing.get_args(part) if isinstance(value, str)}
        elif typing.get_origin(part) in (typing.Union, types.UnionType, typing.Annotated):
            parts += typing.get_args(part)
    return [] if is_open else sorted(found)


def _is_plain(value: Any) -> bool:
    """Return whether an Enum's value is one that people write, and not a class or its place."""
    return isinstance(value, int) or isinstance(value, str) and value.isidentifier()


@functools.cache
def _engine_hints() -> dict[str, Any]:
    from vllm.engine.arg_utils import AsyncEngineArgs

    return _hints(AsyncEngineArgs)


def _hints(config: type) -> dict[str, Any]:
    hints = {field.name: field.type for field in dataclasses.fields(config)}
    with contextlib.suppress(NameError, TypeError):  # a hint that only a type checker can resolve
        hints |= typing.get_type_hints(config)
    return hints


if __name__ == "__main__":
    main()
