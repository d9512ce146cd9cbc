"""What /v1/models says, checked: whoever answers may be a router, a gateway or no model server at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 4096  # characters of a name or a path, which the file system bounds as well
_MAX_NAMED = 10


@dataclass(frozen=True)
class Card:
    """One served name: `root` is where its files lie on the server, `parent` the name of an adapter's own model."""

    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


def cards_of(listing: Any) -> list[Card]:
    """Return the cards in the parsed answer of /v1/models; raise ValueError when it lists no models.

    What a card says beside its name counts only in its proper form: a root that no path can be is none.
    """
    entries = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"it lists no models: {str(listing)[:200]!r}")
    cards = [
        Card(_text(entry.get("id")) or "", _text(entry.get("root")), _text(entry.get("parent")), _length(entry))
        for entry in entries
    ]
    if not cards or not all(card.id for card in cards):
        raise ValueError(f"it lists no model, or one without a name: {str(entries)[:200]!r}")
    return cards


def named(names: Sequence[str]) -> str:
    """Return the names for a sentence, the first ten of them."""
    return ", ".join(names[:_MAX_NAMED]) + (f" and {len(names) - _MAX_NAMED:,} more" if names[_MAX_NAMED:] else "")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable() else None


def _length(entry: dict[str, Any]) -> int | None:
    length = entry.get("max_model_len")
    return length if type(length) is int and 0 < length < 2**53 else None
