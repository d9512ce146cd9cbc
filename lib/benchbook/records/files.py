"""Files that are whole or not there: atomic writes, strict JSON, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from benchbook.reading import read_json as read_json  # reading stands lower, where hosts can have it too
from benchbook.system_faults import hint_of
from benchbook.terms.errors import StoreError
from benchbook.terms.redaction import known_secrets, redacted

HALF = ".tmp"  # behind the name of a file that is being written
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
    temporary = path.with_name(path.name + HALF)
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
    """Return `payload` as files of ours hold it: a line a value, in the order of names."""
    return json.dumps(payload, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def make_folder(path: Path) -> Path:
    """Create `path` with its parents and return it; raise StoreError with a hint."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create the folder {path}: {error.strerror}{hint_of(error)}") from error
    return path


def remove_half_written(folder: Path) -> None:
    """Remove the files in `folder` at which a writer was killed: nobody reads them, and nobody else writes them on."""
    for path in folder.glob(f"*{HALF}"):
        _remove_quietly(path)


def _remove_quietly(path: Path) -> None:
    """Remove a half-written file; when even that fails, the write's own error is the one worth showing."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
