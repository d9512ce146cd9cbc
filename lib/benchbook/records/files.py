"""Files that are whole or not there: atomic writes, strict JSON, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from benchbook.reading import read_json as read_json  # reading stands lower, where hosts can have it too
from benchbook.system_faults import hint_of
from benchbook.terms.errors import StoreError
from benchbook.terms.redaction import known_secrets, redacted

_PLAIN = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
_HALF = ".tmp"  # behind the name of a file that is being written
_GONE = "; the folder has gone; was it deleted while the run was going on?"


def write_text(path: Path, text: str) -> None:
    """Write `text` without secrets; a reader sees the old file or the whole new one. Raises StoreError with a hint."""
    # A server's answer may hold half of a surrogate pair, which is no text that a file could hold.
    write_bytes(path, redacted(text, known_secrets()).encode(errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the whole new one; raise StoreError with a hint."""
    with written_whole(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Inside, what becomes the file at `path` is written; a reader sees the old one or, after the block, the new one.

    Raises StoreError with a hint. A block that raises leaves the old one.
    """
    temporary = path.with_name(path.name + _HALF)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        hint = _GONE if error.errno == errno.ENOENT else hint_of(error)
        raise StoreError(f"cannot write {path}: {error.strerror}{hint}") from error
    finally:
        _remove_quietly(temporary)


def write_json(path: Path, payload: Mapping[str, Any]) -> None:
    """Write `payload` as JSON, atomically; NaN and infinity are refused because other readers choke on them."""
    write_text(path, json_text(payload))


def json_text(payload: Mapping[str, Any]) -> str:
    """Return `payload` as files of ours hold it: a line a value, in the order of names.

    To the byte what json.dumps makes of it with indent=2 and sort_keys=True, which takes up to twice as long: a run of many cases
    writes its header again and again.
    """
    return _json(payload, "\n") + "\n"


def _json(value: Any, line: str) -> str:
    """Return `value` as JSON; `line` is the end of a line with the indent of the next one."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int or kind is float and isfinite(value):
        return repr(value)
    if not value or not isinstance(value, (dict, list, tuple)):
        return _PLAIN.encode(value)
    inner = line + "  "
    if isinstance(value, dict):
        items = [f"{encode_basestring(_name(key))}: {_json(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(items)}{line}}}"
    return f"[{inner}{f',{inner}'.join([_json(item, inner) for item in value])}{line}]"


def _name(key: Any) -> str:
    return key if isinstance(key, str) else next(iter(json.loads(_PLAIN.encode({key: 0}))))


def make_folder(path: Path) -> Path:
    """Create `path` with its parents and return it; raise StoreError with a hint."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create the folder {path}: {error.strerror}{hint_of(error)}") from error
    return path


def remove_half_written(folder: Path) -> None:
    """Remove the files in `folder` at which a writer was killed: nobody reads them, and nobody else writes them on."""
    for path in folder.glob(f"*{_HALF}"):
        _remove_quietly(path)


def _remove_quietly(path: Path) -> None:
    """Remove a half-written file; when even that fails, the write's own error is the one worth showing."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
