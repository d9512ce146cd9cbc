"""How one old name of vLLM is told: what it is called, since which version it is gone, and what says the same today.

A name in capitals is a variable, another a flag; an option inside a config has its way there: 'pooler_config.softmax'.
A version is the first one that does not know the name any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbook.hosts.vllm.switches import on_or_off

CONFIG = "config.json"  # the name in what a launch says under which stands what is known of its model
Settings = Mapping[str, Any]  # {"attention_config.flash_attn_version": 3, "VLLM_TRITON_USE_TD": "1"}


class Refused(Exception):
    """What an old name asked for cannot be had from this vLLM; the text says why, and what may be set instead."""

    old = ""  # which name


@dataclass(frozen=True)
class Translation:
    """One old name: until when it was known, what to set instead for a value, and why."""

    old: str
    unknown_since: str  # the first version without it
    becomes: Callable[[Any, Settings], Settings]  # of its value and of what the launch says besides; raises Refused
    reason: str
    until: str | None = None  # the first version for which another entry holds


@dataclass(frozen=True)
class OldValue:
    """One value that some names took: until when, and what says the same; None where nothing does."""

    names: tuple[str, ...]
    old: str
    unknown_since: str
    new: str | None
    reason: str


def is_variable(name: str) -> bool:
    """Return whether a name is that of a variable, and not of a flag or option."""
    return name.isupper()


def ways(args: Mapping[str, Any], way: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value in `args` with its way: ('pooler_config', {...}), ('pooler_config.task', 'embed')."""
    for name, value in args.items():
        yield way + name, value
        if isinstance(value, Mapping):
            yield from ways(value, f"{way}{name}.")


def is_on(value: Any) -> bool:
    """Return whether a switch or variable of this value is on."""
    return on_or_off(value) is True


def switch(old: str, value: Any) -> bool:
    """Return whether an old switch of this value was on; raises Refused for a value that says neither on nor off."""
    if on_or_off(value) is None:
        raise Refused(f"is a switch: write {'1 or 0' if is_variable(old) else 'true or false'}")
    return is_on(value)


def renamed(old: str, since: str, new: str, why: str = "", until: str | None = None) -> Translation:
    """Return the entry of a name whose values are the same under `new`."""
    return Translation(old, since, lambda value, _: {new: value}, _gone(since, why or f"it is {new} now"), until)


def left_out(old: str, since: str, why: str) -> Translation:
    """Return the entry of a name that steers nothing any more, whatever its value is."""
    return Translation(old, since, lambda value, _: {}, _gone(since, why))


def refused(old: str, since: str, why: str) -> Translation:
    """Return the entry of a name that nothing replaces word for word; `why` says what may be set instead."""
    return Translation(old, since, lambda value, _: _refuse(_gone(since, why)), why)


def only(old: str, since: str, harmless: str, why: str, instead: str) -> Translation:
    """Return the entry of a name that is left out where its value is `harmless` (or 'one|another'), else refused."""

    def becomes(value: Any, _: Settings) -> Settings:
        return {} if _is_among(value, harmless.split("|")) else _refuse(_gone(since, instead))

    return Translation(old, since, becomes, _gone(since, why))


def switched(
    old: str, since: str, on: Settings, why: str = "", off: Settings | str = "", until: str | None = None
) -> Translation:
    """Return the entry of a switch: what stands for on and for off, by default nothing; a text is why off is refused."""

    def becomes(value: Any, _: Settings) -> Settings:
        if switch(old, value):
            return on
        return (_refuse(_gone(since, off)) if off else {}) if isinstance(off, str) else off

    named = " and ".join(f"{name}: {_text(value)}" for name, value in on.items())
    return Translation(old, since, becomes, _gone(since, why or f"it is {named} now"), until)


def chosen(old: str, since: str, values: Mapping[str, Settings], why: str) -> Translation:
    """Return the entry of a name each of whose values became something else; others are refused."""

    def becomes(value: Any, _: Settings) -> Settings:
        if _text(value) not in values:
            _refuse(f"took one of {', '.join(values)}; {_gone(since, why)}")
        return values[_text(value)]

    return Translation(old, since, becomes, _gone(since, why))


def converted(
    old: str, since: str, new: str, convert: Callable[[str], Any], why: str = "", until: str | None = None
) -> Translation:
    """Return the entry of a variable whose text is a value of another type under `new`."""

    def becomes(value: Any, _: Settings) -> Settings:
        try:
            return {new: convert(str(value))}
        except ValueError:
            _refuse(f"is no value of {new}, which it is since {_short(since)}")

    return Translation(old, since, becomes, _gone(since, why or f"it is {new} now"), until)


def _is_among(value: Any, texts: Sequence[str]) -> bool:
    """Return whether a value is one of the texts, or says on or off as one of them does that is true or false."""
    switches = {on_or_off(text) for text in texts if text.lower() in ("true", "false")}
    return _text(value) in texts or on_or_off(value) in switches


def _gone(since: str, why: str) -> str:
    return f"gone since {_short(since)}: {why}"


def _short(version: str) -> str:
    return version.removesuffix(".0")


def _refuse(why: str) -> Any:
    raise Refused(why)


def _text(value: Any) -> str:
    return {"True": "true", "False": "false"}.get(repr(value), str(value))
