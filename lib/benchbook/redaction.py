"""Secrets never reach a file we write: names that hold them, values that look like them, redaction and a scan.

Like errors.py this belongs to no room: an experiment file is refused by it, environments are redacted, reports scanned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

REDACTED = "<redacted>"

# Matches HF_TOKEN, api-key, AWS_SECRET_ACCESS_KEY; not max_num_batched_tokens, tokenizer, long_prefill_token_threshold.
_SECRET_NAME = re.compile(
    r"(^|_)token$|secret|passw(or)?d|passphrase|credential|(^|_)authorization$|(api|access|private|auth)_?key$"
)
_SECRET_SHAPES = re.compile(
    r"\b(?:"  # once and not in each: a report is searched in a fifth of the time
    r"hf_[A-Za-z0-9]{20,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_-]{20,}"  # OpenAI and its like
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|AKIA[0-9A-Z]{16}\b"  # AWS access key id
    r"|xox[abpr]-[A-Za-z0-9-]{10,}"  # Slack
    r"|eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # a JSON web token
    r")|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_MIN_VALUE_CHARACTERS = 8  # a shorter value, such as EMPTY or 1, occurs in honest text


def is_secret_name(name: str) -> bool:
    """Return whether a variable or key of this name holds a secret (HF_TOKEN, OPENAI_API_KEY, password ...)."""
    return _SECRET_NAME.search(name.lower().replace("-", "_")) is not None


def redacted_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` with the values of secret names, and values of a secret's shape, replaced."""
    return {name: REDACTED if is_secret_name(name) else redacted(value) for name, value in env.items()}


def redacted(text: str, known: Iterable[str] = ()) -> str:
    """Return `text` without anything of a secret's shape and without the `known` secret values."""
    for value in known:
        text = text.replace(value, REDACTED)
    return _SECRET_SHAPES.sub(REDACTED, text)


def known_secrets(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the secret values of this process's environment (or `env`): what must not stand in any file."""
    env = os.environ if env is None else env
    return tuple(
        sorted({value for name, value in env.items() if is_secret_name(name) and len(value) >= _MIN_VALUE_CHARACTERS})
    )


def find_secrets(text: str, known: Iterable[str] = ()) -> list[str]:
    """Return what in `text` looks like a secret, each shortened to its first four characters."""
    found = [match.group(0) for match in _SECRET_SHAPES.finditer(text)]
    found += [value for value in known if value in text]
    return sorted({f"{value[:4]}…({len(value)} characters)" for value in found})


def secret_position(text: str) -> int | None:
    """Return the offset (characters) of the first thing in `text` with the shape of a secret, or None."""
    match = _SECRET_SHAPES.search(text)
    return match.start() if match else None
