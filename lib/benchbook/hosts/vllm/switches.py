"""Switches: which texts say on and off, and the word by which vLLM reads a variable that is one as on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_ON, _OFF = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def on_or_off(value: Any) -> bool | None:
    """Return whether a switch of this value is on; None for what is neither on nor off."""
    text = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    return text in _ON if text in _ON | _OFF else None


def spelt_switch(text: str, on_words: Collection[str], *, is_number: bool, off_words: Collection[str] = ()) -> str:
    """Return the text that vLLM reads as `text` is meant, where it takes nothing but `on_words` for on.

    Nor, where there are any, but `off_words` for off. What it reads so already stays as it is. Raises ValueError, with
    the words, for a text that says neither on nor off.
    """
    if text in {*on_words, *off_words} or (is_number and text.strip().isdecimal()):
        return text
    is_on = on_or_off(text)
    words = sorted(word for word in on_words if word.lower() == word or word.lower() not in on_words)
    if is_on is None:
        raise ValueError(f"is a switch: write {' or '.join(words)} for on, 0 for off")
    if is_on:
        return words[0]
    return min(off_words, default="0" if is_number else text)  # what is not compared equal is off
