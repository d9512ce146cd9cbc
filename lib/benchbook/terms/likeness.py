"""Which known name a misspelt one is.

`nearest` is for names with a meaning of their own: near enough that nothing else can be meant, or none at all. `alike` is
for names that somebody chose, of runs, launches and columns, where several that look like it may be told.

Names of vLLM that mean another thing differ in a word or a digit (…_MOE_FP4, …_MOE_INT4; enable, disable), so they are
compared word by word: a long word may have a slip or another ending, a short one and all digits must be the same.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_FILLERS = {"use", "num", "enable", "size"}  # words that people leave out or put in without meaning anything by it
_ENDINGS = ("ing", "ed", "es", "s", "e")
_MAX_CHARS = 100  # a longer word is nobody's slip
_LOOKED_AT = 64  # letters of a word, which keeps difflib fast on absurdly long ones


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` of which `word` is a misspelling; None where there is none."""
    found = [(slips, name) for name in names if (slips := _slips(word.lower(), name.lower())) is not None]
    return min(found, default=(0, None))[1] if len(word) <= _MAX_CHARS else None


def alike(word: str, names: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return those of `names` that look like `word` in any case, nearest first: `most` of them, of which a share of letters is the same."""
    by_look = {name.lower(): name for name in reversed([*names])}
    looks = difflib.get_close_matches(word[:_LOOKED_AT].lower(), by_look, n=most, cutoff=cutoff)
    return [by_look[look] for look in looks]


def did_you_mean(near: Sequence[str]) -> str:
    """Return "did you mean 'eager' or 'graphs'?", '' without any."""
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def no_such(what: str, name: str, known: Sequence[str]) -> str:
    """Return "no launch 'eagr'; did you mean 'eager'?", or which there are where none looks like it."""
    hint = did_you_mean(alike(name, known))
    return f"no {what} {name!r}" + (f"; {hint}" if hint else f" (it has: {', '.join(known)})")


def is_slip(word: str, wanted: str) -> bool:
    """Return whether a single word is `wanted` with one letter wrong, or, where it is short, twice or in another place."""
    is_near = word[:1] == wanted[:1] and abs(len(word) - len(wanted)) <= 1 and _distance(word, wanted) <= 1
    has_its_letters = len(word) >= len(wanted) and set(word) == set(wanted)
    return word != wanted and is_near and (len(wanted) >= 5 or has_its_letters)


def _slips(word: str, name: str) -> int | None:
    """Return how many slips make `word` out of `name`; None where they are two names."""
    if sorted(re.findall(r"\d", word)) != sorted(re.findall(r"\d", name)):
        return None
    words, wanted = (re.split(r"[-_.]+", text.strip("-_.")) for text in (word, name))
    if len(words) == len(wanted):
        slips = [_slips_of_word(one, other) for one, other in zip(words, wanted, strict=True)]
        return None if None in slips else sum(slips)
    if "".join(words) == "".join(wanted):
        return 0
    essential = [[part for part in parts if part not in _FILLERS] for parts in (words, wanted)]
    return 2 if essential[0] == essential[1] else None


def _slips_of_word(one: str, other: str) -> int | None:
    short, long = sorted((one, other), key=len)
    if short == long:
        return 0
    if len(short) < 3:
        return None
    if long.startswith(short) or _stem(short) == _stem(long) or short == _without_vowels(long):
        return 1
    allowed = 2 if len(short) >= 7 else 1 if len(short) >= 4 else 0
    distance = _distance(short, long) if len(long) - len(short) <= allowed else allowed + 1
    return distance if distance <= allowed else None


def _stem(word: str) -> str:
    return next((word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending) and len(word) > 4), word)


def _without_vowels(word: str) -> str:
    """Return the consonants, by which people shorten a word: lvl for level, spc for space."""
    return word[:1] + re.sub("[aeiou]", "", word[1:])


def _distance(one: str, other: str) -> int:
    """Return how many letters are added, left out, changed or swapped with the next."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(row[-1] + 1, before[j] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
