"""Which of a machine's GPUs a process may use: those that a variable of its environment names, in that order."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
ZE = "ZE_AFFINITY_MASK"  # of Intel's GPUs
_NO_CARD = ("", "-1", "NoDevFiles", "none", "void")  # these end the list, as the driver reads it

Card = TypeVar("Card")
Names = Callable[[Card], Collection[str]]  # a card's number, its UUID


def visible(
    cards: Sequence[Card], names_of: Names, env: Mapping[str, str] | None = None, variable: str = CUDA
) -> list[Card]:
    """Return those of `cards` that a process with `env` on top of this one's may use, each once; all where none is named."""
    names = named(env, variable)
    if names is None:
        return list(cards)
    meant = (card for name in names for card in _meant(name, cards, names_of))
    return list({id(card): card for card in meant}.values())


def not_here(
    cards: Sequence[Card], names_of: Names, env: Mapping[str, str] | None = None, variable: str = CUDA
) -> list[str]:
    """Return the names that none of `cards` has."""
    return [name for name in named(env, variable) or () if not _meant(name, cards, names_of)]


def repeated(
    cards: Sequence[Card], names_of: Names, env: Mapping[str, str] | None = None, variable: str = CUDA
) -> list[str]:
    """Return the names whose card a name before them has named, by the same name or by another one."""
    seen: set[object] = set()
    again = []
    for name in named(env, variable) or ():
        meant = {id(card) for card in _meant(name, cards, names_of)} or {name}
        again += [name] if meant & seen else []
        seen |= meant
    return again


def named(env: Mapping[str, str] | None = None, variable: str = CUDA) -> list[str] | None:
    """Return the names of cards that the variable lists; None where it is not set."""
    value = {**os.environ, **(env or {})}.get(variable)
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    return names[: next((place for place, name in enumerate(names) if name in _NO_CARD), len(names))]


def _meant(name: str, cards: Sequence[Card], names_of: Names) -> list[Card]:
    """Return the card of this name; else that whose UUID begins with it, which the driver takes as well."""
    exact = [card for card in cards if name in names_of(card)]
    begun = [card for card in cards if any(known.startswith(name) for known in names_of(card))]
    return exact or ([] if name.isdigit() else begun)
