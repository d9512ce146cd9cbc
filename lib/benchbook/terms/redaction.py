"""Secrets never reach a file we write: values that look like them, redaction and a scan; secret_names.py has the names.

An experiment file is refused by it, all that is written is redacted, reports are scanned.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchbook.terms.secret_names import is_secret_variable, noted_secrets

REDACTED = "<redacted>"
TAIL_LINES = 30  # of a log

_SHAPES = re.compile(
    r"\b(?:"  # once and not in each: a report is searched in a fifth of the time
    r"hf_[A-Za-z0-9]{20,}|api_org_[A-Za-z0-9]{20,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_-]{20,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"  # OpenAI and its like, Stripe
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|oas|agent|soat|imt)-[\w-]{16,}"  # GitLab
    r"|A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{16}\b"  # AWS access key id
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}"  # Google
    r"|nvapi-[\w-]{20,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}"
    r"|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|dckr_(?:pat|oat)_[\w-]{16,}|dop_v1_[0-9a-f]{20,}"
    r"|hv[sb]\.[\w-]{20,}|lsv2_[ps][tk]_\w{20,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"  # Slack
    r"|(?:(?<=earer )|(?<=EARER )|(?<=asic ))(?=[^\s\"']*[0-9])[\w+/.~-]{16,}=*"  # what a header names so
    r"|(?:(?<=AccountKey=)|(?<=SharedAccessKey=))[A-Za-z0-9+/]{20,}=*"  # Azure
    r"|eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # a JSON web token
    r")|-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?:[A-Z ]*-----(?:\\[nr]|[\sA-Za-z0-9+/=:,])*)?"
)
# An address tells what is one in it; the group is the secret itself.
_IN_ADDRESSES = (
    re.compile(r"://[^\s/?#@:\"'<>\\]*:([^\s/?#\"'<>\\]+)@(?=[\w\[])"),  # a password
    re.compile(r"://(?=[^\s/@]*[0-9])([\w~%.-]{16,})@(?=[\w\[])"),  # a token in its place
    re.compile(
        r"[?&](?:amp;)?(?:[\w.-]*(?:token|key|secret|passw(?:or)?d|signature|credential)|sig|auth)="
        r"([^&\s\"'<>#\\]{8,})",
        re.IGNORECASE,
    ),
)
_URL_PASSWORD = _IN_ADDRESSES[0]
_MIN_VALUE_CHARACTERS = 8  # a shorter value, such as EMPTY or 1, occurs in honest text ...
_PLAIN_WORD = re.compile(r"[a-z]{1,15}|[0-9]{1,9}")  # ... and so does one of these, such as postgres or a date


def redacted_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` with the values of secret names, and what has a secret's shape in the others, replaced."""
    return {name: REDACTED if is_secret_variable(name, value) else redacted(value) for name, value in env.items()}


def redacted(text: str, known: Iterable[str] = ()) -> str:
    """Return `text` without anything of a secret's shape and without the `known` secret values."""
    parts, end = [], 0
    for start, stop in _spans(text, known):
        parts += [text[end:start], REDACTED]
        end = stop
    return "".join([*parts, text[end:]])


def tail_of(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines of `text`, secrets redacted."""
    return redacted("\n".join(text.splitlines()[-lines:]), known_secrets())


def redact_file(path: Path, known: Iterable[str] = ()) -> None:
    """Write stars over the secrets in a file that another process has written; its length stays, so it may be read on."""
    with path.open("r+b") as file:
        text = file.read().decode("latin-1")  # a character for each byte
        for start, stop in _spans(text, [value.encode().decode("latin-1") for value in known]):
            file.seek(start)
            file.write(b"*" * (stop - start))


def known_secrets(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the secret values of this process's environment (or `env`): what must not stand in any file."""
    return _known_secrets(tuple((os.environ if env is None else env).items()), noted_secrets())


@functools.lru_cache(maxsize=16)  # each file that is written asks again of the same variables
def _known_secrets(env: tuple[tuple[str, str], ...], noted: frozenset[str]) -> tuple[str, ...]:
    """Return them as `noted` has it, by which `is_secret_variable` judges as well."""
    found = {value for name, value in env if is_secret_variable(name, value)}
    found |= {match[1] for _, value in env if "://" in value for match in _URL_PASSWORD.finditer(value)}
    return tuple(sorted(value for value in found if _is_telling(value)))


def find_secrets(text: str, known: Iterable[str] = ()) -> list[str]:
    """Return what in `text` looks like a secret, each shortened to its first four characters."""
    found = {text[start:stop] for start, stop in _spans(text, known)}
    return sorted(f"{value[:4]}…({len(value)} characters)" for value in found)


def secret_position(text: str) -> int | None:
    """Return the offset (characters) of the first thing in `text` with the shape of a secret, or None."""
    return next((start for start, _ in _spans(text)), None)


def _is_telling(value: str) -> bool:
    return len(value) >= _MIN_VALUE_CHARACTERS and not _PLAIN_WORD.fullmatch(value)


def _spans(text: str, known: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Return begin and end of each secret in `text`, in order; what overlaps is one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(_found(text, known)):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def _found(text: str, known: Iterable[str]) -> Iterator[tuple[int, int]]:
    for match in _SHAPES.finditer(text):
        yield match.span()
    for place in _IN_ADDRESSES:
        for match in place.finditer(text):
            yield match.span(1)
    for value in known:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))
