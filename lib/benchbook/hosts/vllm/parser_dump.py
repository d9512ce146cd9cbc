"""Print, as JSON, what vLLM's own parser of `vllm serve` takes: run by the Python that has this vLLM, it imports it.

    python -P -m benchbook.hosts.vllm.parser_dump    →    {"--max-model-len": {"takes": ["int", "size", "auto"], …}, …}
    python -P -m benchbook.hosts.vllm.parser_dump datasets    →    the same of the data sets of vLLM's benchmarks

What a flag takes is asked of the parser itself, by giving its type a few texts, and not guessed from its name.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import importlib
import json
import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from benchbook import collector
from benchbook.hosts.vllm.config_fields import (
    PROBES,
    bounds_of,
    compared_as,
    fields_of,
    heard_members,
    hints_of,
    kinds_of,
    members_of,
    parts_of,
    refuses,
)
from benchbook.hosts.vllm.kinds import ANY_DASH, Bounds, Option, option_problem

DATASETS = "datasets"  # the argument that asks for theirs
_FRONTENDS = (  # until 0.27, until 0.32, since
    "vllm.entrypoints.openai.cli_args",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.common.cli_args",
)


def main() -> None:
    """Print the table of the installed vLLM's parser."""
    with contextlib.redirect_stdout(sys.stderr):  # what vLLM says while it is imported
        table = flag_table(dataset_parser() if DATASETS in sys.argv[1:] else serve_parser())
    print(json.dumps(table))


@collector.at_rest()
def serve_parser() -> argparse.ArgumentParser:
    """Return the parser of `vllm serve`, with its flags alone."""
    for name in _FRONTENDS:
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            return importlib.import_module(name).make_arg_parser(_empty_parser())
    raise ModuleNotFoundError(f"none of {', '.join(_FRONTENDS)}")


def dataset_parser() -> argparse.ArgumentParser:
    """Return a parser with the flags alone by which `vllm bench` is told of a data set."""
    from vllm.benchmarks.datasets import add_dataset_parser

    parser = _empty_parser()
    add_dataset_parser(parser)
    return parser


def _empty_parser() -> argparse.ArgumentParser:
    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:  # until 0.11
        from vllm.utils import FlexibleArgumentParser
    return FlexibleArgumentParser()


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
        "takes": [] if action.nargs == 0 else sorted(_meant(set(_takes(action)), action)),
        "choices": sorted({str(choice) for choice in action.choices or () if choice is not None}, key=_in_order),
        "members": [] if action.choices else _members_of(action),
        "compared": ANY_DASH if action.choices else compared_as(*_filled(action), _members_of(action)),
        "bounds": _bounds_of(action),
        "options": _options(action),
        "values": _values(action),
    }


def _in_order(text: str) -> tuple[int, str]:
    return (int(text) if text.isdecimal() else -1, text)


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


def _meant(takes: set[str], action: argparse.Action) -> set[str]:
    """Return what a flag takes that is read as any JSON: a list or a mapping, where its hint knows no more.

    No text beside a mapping, where the config takes none that the parser lets through.
    """
    owner, name = _filled(action)
    if {"object", "text"} <= takes and owner and refuses(owner, name, "some-text"):
        takes = takes - {"text"}
    kinds = {kind.partition(" ")[0] for kind in kinds_of(_hint_of(action))}
    form = {"mapping": "object", "list": "array"}.get(*kinds) if len(kinds) == 1 else None
    return {form} if {"object", "array", form} <= takes else takes


def _options(action: argparse.Action) -> dict[str, Any] | None:
    """Return what the options of the config behind a flag take, nested as they are; None where it is no config of vLLM's."""
    config = config_of(action)
    return config and {name: dataclasses.asdict(option) for name, option in fields_of(config, 0).items()}


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


def _bounds_of(action: argparse.Action) -> Bounds:
    """Return the bounds of the field that a flag fills in a config that engines have, whatever else is set."""
    return next((found for owner in _owners() if (found := bounds_of(owner, action.dest))), [])


def _members_of(action: argparse.Action) -> list[str]:
    """Return the texts that a flag takes, as the config reads them which it fills."""
    hint, (owner, name) = _hint_of(action), _filled(action)
    return heard_members(owner, name, hint) if owner else members_of(hint)


def _values(action: argparse.Action) -> dict[str, Any]:
    """Return what each value of the mapping that a flag takes must be; anything where the config takes more than the hint."""
    parts = [part for part in parts_of(_hint_of(action)) if typing.get_origin(part) is dict]
    said, (owner, name) = Option(kinds_of(typing.get_args(parts[0])[1]) if parts else ()), _filled(action)
    wrong = [{"benchbook": value} for value in PROBES if option_problem(value, said)]
    is_believed = owner is not None and all(refuses(owner, name, value) for value in wrong)
    return dataclasses.asdict(said if is_believed else Option())


def _filled(action: argparse.Action) -> tuple[type | None, str]:
    """Return the config that engines have with the field that a flag fills, None where there is none, and that field."""
    import vllm.config

    holder, name = _ELSEWHERE.get(action.dest, ("", action.dest))
    owners = [found] if (found := getattr(vllm.config, holder, None)) else _owners()
    return next((owner for owner in owners if name in owner.__dataclass_fields__), None), name


def _owners() -> list[type]:
    import vllm.config

    return [found for name in _OWNERS if (found := getattr(vllm.config, name, None))]


# Flags that stand for a field of another config, or of another name.
_ELSEWHERE = {
    "attention_backend": ("AttentionConfig", "backend"),
    "mm_encoder_attn_backend": ("MultiModalConfig", "mm_encoder_attn_backend"),
}
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


def _hint_of(action: argparse.Action) -> Any:
    """Return the hint of the field that a flag fills, of the engine's args or of the server's."""
    return _all_hints().get(action.dest)


@functools.cache
def _all_hints() -> dict[str, Any]:
    from vllm.engine.arg_utils import AsyncEngineArgs

    frontends = [getattr(module, "FrontendArgs", None) for module in map(sys.modules.get, _FRONTENDS)]
    return {name: hint for args in (*filter(None, frontends), AsyncEngineArgs) for name, hint in hints_of(args).items()}


if __name__ == "__main__":
    main()
