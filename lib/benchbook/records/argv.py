"""The flags of a command that a record holds, by the names that experiments give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType


def flags_of(argv: Iterable[str] | None) -> Mapping[str, str | None]:
    """Return {'kv_cache_dtype': 'fp8'} of `--kv-cache-dtype fp8` or `--kv-cache-dtype=fp8`; {} without a command.

    Of a flag that is there twice the last one counts, as for vLLM's parser. One without a value of its own has the next
    word, at the end None.
    """
    return _parsed(tuple(argv or ()))


@lru_cache(maxsize=256)  # all records of a start hold the same command
def _parsed(words: tuple[str, ...]) -> Mapping[str, str | None]:
    found: dict[str, str | None] = {}
    for word, following in zip(words, [*words[1:], None]):
        if word.startswith("-"):
            name, has_value, value = word.partition("=")
            found[name.lstrip("-").replace("-", "_")] = value if has_value else following
    return MappingProxyType(found)
