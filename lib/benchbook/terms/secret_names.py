"""Which names hold secrets, of variables and of keys in a file, and where in an arg's value one stands.

A name alone does not tell: allow_credentials is a switch, image_token a word of a vocabulary, and max_num_batched_token
a misspelt number.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.terms.likeness import is_slip
from benchbook.terms.sizes import size_of

# Of these a number is a secret too.
_STRONG = (
    r"passw(or)?d|passphrase|passcode|secret|(^|_)(pass|pin|pw)$|_pwd$"
    r"|(api|access|account|auth|encryption|master|private|signing|ssh|storage)_?keys?(_?id)?$"
)
_ACCESS_TOKEN = r"(^|_)(access|api|auth|bearer|bot|hf|hub|id|oauth|personal|refresh|session|user)_?token$|^token$"
_IN_A_FILE = re.compile(
    rf"{_STRONG}|{_ACCESS_TOKEN}|_token$|credential|(^|_)auth(orization)?(_header)?$|(^|_)(cookie|jwt|dsn)$"
)
_IN_AN_ENVIRONMENT = re.compile(rf"{_IN_A_FILE.pattern}|(^|_)(creds?|pat|psk|sas|bearer|keys?)$")
_STRONG_SOUND = re.compile(r"key|secret|passw|cred|(^|_)(pass|pin|pw)(_|$)")
_SOUND = re.compile(rf"{_STRONG_SOUND.pattern}|token|auth")
# Of which a variable's name, or one inside a config, may have a slip.
_STRONG_WORDS, _WEAK_WORDS = ("password", "passwd", "secret", "key", "apikey"), ("token", "credential", "credentials")
_STRONG_NAME, _ACCESS_NAME = re.compile(_STRONG), re.compile(_ACCESS_TOKEN)
_noted: set[str] = set()  # variables that were named as holding one, whatever they are called
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w.+/=~-]{16,}")  # unlike <image>, [PAD] and </s>


def note_secret(variable: str) -> None:
    """Have the value of this environment variable taken for a secret from now on, whatever the variable's name sounds like."""
    _noted.add(variable)


def noted_secrets() -> frozenset[str]:
    """Return the variables that were named so until now."""
    return frozenset(_noted)


def is_secret_name(name: str) -> bool:
    """Return whether a variable or key of this name may hold a secret (HF_TOKEN, REGISTRY_AUTH, password ...)."""
    return _IN_AN_ENVIRONMENT.search(_plain(name)) is not None or _is_misspelt(name, "text")


def sounds_secret(name: str, value: Any) -> bool:
    """Return whether a name that nobody knows may be meant for that of a secret: api_kye, hub_tokens, my_passwords."""
    if value is None or isinstance(value, bool):
        return False
    sounds = _STRONG_SOUND if _is_number(value) else _SOUND
    return sounds.search(_plain(name)) is not None or _is_misspelt(name, value)


def is_secret_variable(name: str, value: Any) -> bool:
    """Return whether an environment's `value` under this name, or one it is a slip of, is a secret.

    HF_HUB_DISABLE_IMPLICIT_TOKEN=1 is none.
    """
    is_named = name in _noted or _is_misspelt(name, value)
    return _is_secret(_IN_AN_ENVIRONMENT, name, value) or _has_text(value) and is_named


def holds_secret(name: str, value: Any) -> bool:
    """Return whether the `value` of the arg `name` is a secret, or holds one anywhere."""
    return next(secret_ways(name, value), None) is not None


def secret_ways(name: str, value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to each secret in the `value` of the arg `name`, () for the value itself; a text may be JSON."""
    is_nested = bool(way) or "." in name
    if _is_secret(_IN_A_FILE, name, value) and not (is_nested and _is_vocabulary(name, value)):
        yield way
    elif is_nested and isinstance(value, str) and _RANDOM.fullmatch(value) and _is_misspelt(name, value):
        yield way
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from secret_ways(str(key), item, (*way, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from secret_ways(name, item, (*way, index))
    elif isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and holds_secret(name, _unpacked(value)):
        yield way


def _is_secret(names: re.Pattern[str], name: str, value: Any) -> bool:
    if not _has_text(value):
        return False
    return (_STRONG_NAME if _is_number(value) else names).search(_plain(name)) is not None


def _is_misspelt(name: str, value: Any) -> bool:
    """Return whether a word of the name is a slip of what a secret is called: HF_TOKNE, api_kye."""
    return _is_slip(name, _STRONG_WORDS if _is_number(value) else _STRONG_WORDS + _WEAK_WORDS)


@functools.lru_cache(maxsize=4096)
def _is_slip(name: str, wanted: tuple[str, ...]) -> bool:
    words = [word for word in _plain(name).split("_") if word != "tokens"]  # which are counted, or a vocabulary's
    return any(is_slip(word, secret) for word in words for secret in wanted)


def _is_vocabulary(name: str, value: Any) -> bool:
    """Return whether a config's `value` is a word of a model's vocabulary, as {image_token: <image>}, by its looks."""
    plain = _plain(name)
    is_token = plain.endswith("_token") and not _ACCESS_NAME.search(plain) and not _STRONG_NAME.search(plain)
    return is_token and isinstance(value, str) and not _RANDOM.fullmatch(value)


def _is_number(value: Any) -> bool:
    text = str(value)
    try:
        float(text)
    except ValueError:
        return size_of(text) is not None
    return True


def _has_text(value: Any) -> bool:
    """Return whether a value can be a secret: no switch, no list, not empty."""
    return not (value is None or isinstance(value, bool | list | dict) or str(value).lower() in ("", "true", "false"))


def _plain(name: str) -> str:
    return re.sub(r"[-. ]", "_", name.lower())


def _unpacked(text: str) -> Any:
    """Return what a text in JSON stands for, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
