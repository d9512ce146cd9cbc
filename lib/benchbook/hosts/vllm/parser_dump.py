"""Print, as JSON, what vLLM's own parser of `vllm serve` takes: run by the Python that has this vLLM, it imports it.

    python -P -m benchbook.hosts.vllm.parser_dump    →    {"--max-model-len": {"takes": ["int", "size", "auto"], …}, …}

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
import pathlib
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.hosts.vllm.kinds import ANY_CASE, ANY_DASH, AS_WRITTEN, CHOICE, MEMBER, Bounds, Option, option_problem

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
        "takes": [] if action.nargs == 0 else sorted(_meant(set(_takes(action)), _hint_of(action))),
        "choices": sorted({str(choice) for choice in action.choices or () if choice is not None}),
        "members": [] if action.choices else _members_of(action),
        "compared": ANY_DASH if action.choices else _compared(_owner(action), action.dest, _members_of(action)),
        "bounds": _bounds_of(action),
        "options": _options(action),
        "values": _values(action),
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


def _meant(takes: set[str], hint: Any) -> set[str]:
    """Return what a flag takes that is read as any JSON: a list or a mapping, where its hint knows no more."""
    kinds = {kind.partition(" ")[0] for kind in _kinds(hint)}
    form = {"mapping": "object", "list": "array"}.get(*kinds) if len(kinds) == 1 else None
    return {form} if {"object", "array", form} <= takes else takes


def _options(action: argparse.Action) -> dict[str, Any] | None:
    """Return what the options of the config behind a flag take, nested as they are; None where it is no config of vLLM's."""
    config = config_of(action)
    return config and {name: dataclasses.asdict(option) for name, option in _fields(config, 0).items()}


def config_of(action: argparse.Action) -> type | None:
    """Return the dataclass of vLLM's that a flag's mapping becomes, by the parser itself or later; None where it is none."""
    config = None
    with contextlib.suppress(Exception):  # it may be no config, or one that refuses to be empty
        config = type(action.type("{}"))
    if not dataclasses.is_dataclass(config):  # read as a mapping at first; then the flag has the config's name
        import vllm.config

        title = action.option_strings[0].removeprefix("--").replace("-", "")
        config = next((found for name, found in vars(vllm.config).items() if name.lower() == title), None)
    return config if isinstance(config, type) and dataclasses.is_dataclass(config) else None


@functools.cache
def _fields(config: type, depth: int) -> dict[str, Option]:
    """Return what each field of a dataclass takes, as its constructor is given them."""
    hints = _hints(config)
    return {
        field.name: _option(config, field.name, hints.get(field.name), depth + 1)
        for field in dataclasses.fields(config)
        if field.init and not field.name.startswith("_")
    }


def _option(config: type, name: str, hint: Any, depth: int) -> Option:
    """Return what one field takes: its hint is believed where the config itself refuses all that the hint does."""
    inner = next((part for part in _parts(hint) if dataclasses.is_dataclass(part)), None)
    options = _fields(inner, depth) if inner and depth < _MAX_DEPTH else None
    members, numbers = _heard_members(config, name, hint), _heard(config, name, _numbers(hint))
    compared = _compared(config, name, members)
    said = Option(_kinds(hint), members, numbers, compared, _bounds(config, name), options)
    is_believed = all(_refuses(config, name, value) for value in _OPTION_PROBES if option_problem(value, said))
    return said if is_believed else dataclasses.replace(said, kinds=())


_OPTION_PROBES = ("some-text", "7", 7, 0.5, True, [], ["some-text"], [7], [0.5], [{}], {})


def _bounds_of(action: argparse.Action) -> Bounds:
    """Return the bounds of the field that a flag fills in a config that engines have, whatever else is set."""
    return next((found for owner in _owners() if (found := _bounds(owner, action.dest))), [])


def _members_of(action: argparse.Action) -> list[str]:
    """Return the texts that a flag takes, as the config reads them which it fills."""
    hint, owner = _hint_of(action), _owner(action)
    return _heard_members(owner, action.dest, hint) if owner else _members(hint)


def _values(action: argparse.Action) -> dict[str, Any]:
    """Return what each value of the mapping that a flag takes must be; anything where the config takes more than the hint."""
    parts = [part for part in _parts(_hint_of(action)) if typing.get_origin(part) is dict]
    said, owner = Option(_kinds(typing.get_args(parts[0])[1]) if parts else ()), _owner(action)
    wrong = [{"benchbook": value} for value in _OPTION_PROBES if option_problem(value, said)]
    is_believed = owner is not None and all(_refuses(owner, action.dest, value) for value in wrong)
    return dataclasses.asdict(said if is_believed else Option())


def _owner(action: argparse.Action) -> type | None:
    """Return the config that engines have with the field that a flag fills."""
    return next((found for found in _owners() if action.dest in found.__dataclass_fields__), None)


def _owners() -> list[type]:
    import vllm.config

    return [found for name in _OWNERS if (found := getattr(vllm.config, name, None))]


_OWNERS = (
    "VllmConfig",
    "UVAOffloadConfig",
    "PrefetchOffloadConfig",
    "ModelConfig",
    "CacheConfig",
    "ParallelConfig",
    "SchedulerConfig",
    "LoadConfig",
    "ObservabilityConfig",
    "LoRAConfig",
)


def _bounds(config: type, name: str) -> Bounds:
    """Return the bounds of a field that the config itself keeps."""
    field = getattr(config, "__pydantic_fields__", {}).get(name)
    found = [
        (kind, getattr(said, kind))
        for said in getattr(field, "metadata", ())
        for kind in ("ge", "gt", "le", "lt")
        if getattr(said, kind, None) is not None
    ]
    outside = {"ge": -1, "le": 1}  # a step over the bound; on it for gt and lt
    return [(kind, limit) for kind, limit in found if _refuses(config, name, limit + outside.get(kind, 0))]


def _refuses(config: type, name: str, value: Any) -> bool:
    """Return whether the config refuses this value of this field; one that is no option keeps it from being made."""
    try:
        config(**{name: value, "benchbook": None})
    except KeyError:  # of an Enum, whose member the config looks up by name
        return True
    except ValueError as error:  # pydantic's
        return any(found["loc"][:1] == (name,) for found in getattr(error, "errors", list)())
    except Exception:  # a dataclass that looks at none of its values
        return False
    return False


def _kinds(hint: Any) -> list[str]:
    """Return the kinds (kinds.py) that a hint names; [] where a part of it is none of them."""
    found = [_kind(part) for part in _parts(hint) if part is not types.NoneType]
    return [] if None in found else list(dict.fromkeys(found))


def _kind(part: Any) -> str | None:
    origin = typing.get_origin(part) or part
    if origin in (list, tuple, set):
        inner = _kinds(typing.get_args(part)[0]) if origin is list and typing.get_args(part) else []
        return f"list of {inner[0]}" if len(inner) == 1 and inner[0] in _PLAIN.values() else "list"
    if origin is dict or dataclasses.is_dataclass(part):
        return "mapping"
    if isinstance(part, type) and issubclass(part, enum.Enum):
        return MEMBER
    return CHOICE if origin is typing.Literal else _PLAIN.get(part)


_PLAIN = {int: "int", float: "float", bool: "bool", str: "text", pathlib.Path: "text"}


def _parts(hint: Any) -> list[Any]:
    """Return what a hint is one of: the parts of a union, of unions in it too."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [inner for part in typing.get_args(hint) for inner in _parts(part)]
    return _parts(typing.get_args(hint)[0]) if typing.get_origin(hint) is typing.Annotated else [hint]


def _members(hint: Any) -> list[str]:
    """Return the texts that a hint lists, by an Enum or by Literals alone; [] where it takes any text."""
    parts, found = _parts(hint), set()
    for part in parts:
        if isinstance(part, type) and issubclass(part, enum.Enum):  # read by name; 'auto' stands for none of them
            return sorted(
                {"auto", *part.__members__, *(str(member.value) for member in part if _is_plain(member.value))}
            )
        if typing.get_origin(part) is typing.Literal:
            found |= {str(value) for value in typing.get_args(part) if isinstance(value, str | int)}
    return [] if str in parts else sorted(found)


def _heard_members(config: type, name: str, hint: Any) -> list[str]:
    """Return the texts that a hint lists; of an Enum's those which the config takes, which may be names or values."""
    members = _members(hint)
    return _heard(config, name, members) if _enums(hint) else members


def _enums(hint: Any) -> list[type[enum.Enum]]:
    return [part for part in _parts(hint) if isinstance(part, type) and issubclass(part, enum.Enum)]


def _numbers(hint: Any) -> list[int]:
    """Return the whole numbers that stand for members of the Enum that a hint names."""
    return [int(member.value) for found in _enums(hint) for member in found if isinstance(member.value, int)]


def _heard(config: type, name: str, values: list[Any]) -> list[Any]:
    """Return those of the values of a field that the config takes; all of them where it takes none."""
    return [value for value in values if not _refuses(config, name, value)] or values


def _compared(config: type | None, name: str, members: list[str]) -> str:
    """Return how a config compares texts with the members of a field: tried on one that has a word's end, if any has."""
    worded = [one for one in members if one.swapcase() != one]
    member = max(worded, key=lambda one: bool({"_", "-"} & {*one}), default="")
    if not member or config is None or _refuses(config, name, member):  # for another reason
        return ANY_DASH
    other = member.swapcase()
    if _refuses(config, name, other):
        return AS_WRITTEN
    return ANY_CASE if _refuses(config, name, other.translate(str.maketrans("_-", "-_"))) else ANY_DASH


def _is_plain(value: Any) -> bool:
    """Return whether an Enum's value is one that people write, and not a class or its place."""
    return isinstance(value, int) or isinstance(value, str) and value.isidentifier()


def _hint_of(action: argparse.Action) -> Any:
    """Return the hint of the field that a flag fills, of the engine's args or of the server's."""
    return _all_hints().get(action.dest)


@functools.cache
def _all_hints() -> dict[str, Any]:
    from vllm.engine.arg_utils import AsyncEngineArgs

    frontends = [getattr(module, "FrontendArgs", None) for module in map(sys.modules.get, _FRONTENDS)]
    return {name: hint for args in (*filter(None, frontends), AsyncEngineArgs) for name, hint in _hints(args).items()}


def _hints(config: type) -> dict[str, Any]:
    hints = {field.name: field.type for field in dataclasses.fields(config)}
    with contextlib.suppress(NameError, TypeError):  # a hint that only a type checker can resolve
        hints |= typing.get_type_hints(config)
    return hints


if __name__ == "__main__":
    main()
