"""What each field of a config of vLLM's takes, asked of the config itself: run by the Python that has this vLLM, imports it."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import pathlib
import types
import typing
from typing import Any

from benchbook.hosts.vllm.kinds import ANY_CASE, ANY_DASH, AS_WRITTEN, CHOICE, MEMBER, Bounds, Option, option_problem

_MAX_DEPTH = 4  # of configs inside configs
PROBES = ("some-text", "7", 7, 0.5, True, [], ["some-text"], [7], [0.5], [{}], {})
_PLAIN = {int: "int", float: "float", bool: "bool", str: "text", pathlib.Path: "text"}


@functools.cache
def fields_of(config: type, depth: int) -> dict[str, Option]:
    """Return what each field of a dataclass takes, as its constructor is given them."""
    hints = hints_of(config)
    return {
        field.name: _option(config, field.name, hints.get(field.name), depth + 1)
        for field in dataclasses.fields(config)
        if field.init and not field.name.startswith("_")
    }


def _option(config: type, name: str, hint: Any, depth: int) -> Option:
    """Return what one field takes: its hint is believed where the config itself refuses all that the hint does."""
    inner = next((part for part in parts_of(hint) if dataclasses.is_dataclass(part)), None)
    options = fields_of(inner, depth) if inner and depth < _MAX_DEPTH else None
    members, numbers = heard_members(config, name, hint), _heard(config, name, _numbers(hint))
    compared = compared_as(config, name, members)
    may_be_null = not refuses(config, name, None)
    said = Option(kinds_of(hint), members, numbers, compared, bounds_of(config, name), options, may_be_null)
    is_believed = all(refuses(config, name, value) for value in PROBES if option_problem(value, said))
    return said if is_believed else dataclasses.replace(said, kinds=())


def bounds_of(config: type, name: str) -> Bounds:
    """Return the bounds of a field that the config itself keeps."""
    field = getattr(config, "__pydantic_fields__", {}).get(name)
    found = [
        (kind, getattr(said, kind))
        for said in getattr(field, "metadata", ())
        for kind in ("ge", "gt", "le", "lt")
        if getattr(said, kind, None) is not None
    ]
    outside = {"ge": -1, "le": 1}  # a step over the bound; on it for gt and lt
    return [(kind, limit) for kind, limit in found if refuses(config, name, limit + outside.get(kind, 0))]


def refuses(config: type, name: str, value: Any) -> bool:
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


def kinds_of(hint: Any) -> list[str]:
    """Return the kinds (kinds.py) that a hint names; [] where a part of it is none of them."""
    found = [_kind(part) for part in parts_of(hint) if part is not types.NoneType]
    return [] if None in found else list(dict.fromkeys(found))


def _kind(part: Any) -> str | None:
    origin = typing.get_origin(part) or part
    if origin in (list, tuple, set):
        inner = kinds_of(typing.get_args(part)[0]) if origin is list and typing.get_args(part) else []
        return f"list of {inner[0]}" if len(inner) == 1 and inner[0] in _PLAIN.values() else "list"
    if origin is dict or dataclasses.is_dataclass(part):
        return "mapping"
    if isinstance(part, type) and issubclass(part, enum.Enum):
        return MEMBER
    return CHOICE if origin is typing.Literal else _PLAIN.get(part)


def parts_of(hint: Any) -> list[Any]:
    """Return what a hint is one of: the parts of a union, of unions in it too."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [inner for part in typing.get_args(hint) for inner in parts_of(part)]
    return parts_of(typing.get_args(hint)[0]) if typing.get_origin(hint) is typing.Annotated else [hint]


def members_of(hint: Any) -> list[str]:
    """Return the texts that a hint lists, by an Enum or by Literals alone; [] where it takes any text."""
    parts, found = parts_of(hint), set()
    for part in parts:
        if isinstance(part, type) and issubclass(part, enum.Enum):  # read by name; 'auto' stands for none of them
            return sorted(
                {"auto", *part.__members__, *(str(member.value) for member in part if _is_plain(member.value))}
            )
        if typing.get_origin(part) is typing.Literal:
            found |= {str(value) for value in typing.get_args(part) if isinstance(value, str | int)}
    return [] if str in parts else sorted(found)


def heard_members(config: type, name: str, hint: Any) -> list[str]:
    """Return the texts that a hint lists; of an Enum's those which the config takes, which may be names or values."""
    members = members_of(hint)
    return _heard(config, name, members) if _enums(hint) else members


def _enums(hint: Any) -> list[type[enum.Enum]]:
    return [part for part in parts_of(hint) if isinstance(part, type) and issubclass(part, enum.Enum)]


def _numbers(hint: Any) -> list[int]:
    """Return the whole numbers that stand for members of the Enum that a hint names."""
    return [int(member.value) for found in _enums(hint) for member in found if isinstance(member.value, int)]


def _heard(config: type, name: str, values: list[Any]) -> list[Any]:
    """Return those of the values of a field that the config takes; all of them where it takes none."""
    return [value for value in values if not refuses(config, name, value)] or values


def compared_as(config: type | None, name: str, members: list[str]) -> str:
    """Return how a config compares texts with the members of a field: tried on one that has a word's end, if any has."""
    worded = [one for one in members if one.swapcase() != one]
    member = max(worded, key=lambda one: bool({"_", "-"} & {*one}), default="")
    if not member or config is None or refuses(config, name, member):  # for another reason
        return ANY_DASH
    other = member.swapcase()
    if refuses(config, name, other):
        return AS_WRITTEN
    return ANY_CASE if refuses(config, name, other.translate(str.maketrans("_-", "-_"))) else ANY_DASH


def _is_plain(value: Any) -> bool:
    """Return whether an Enum's value is one that people write, and not a class or its place."""
    return isinstance(value, int) or isinstance(value, str) and value.isidentifier()


def hints_of(config: type) -> dict[str, Any]:
    """Return the hint of each field of a dataclass, resolved where that can be done."""
    hints = {field.name: field.type for field in dataclasses.fields(config)}
    with contextlib.suppress(NameError, TypeError):  # a hint that only a type checker can resolve
        hints |= typing.get_type_hints(config)
    return hints
