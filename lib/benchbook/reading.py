"""Files that anybody may have damaged, read: regular ones only, of a size that fits, as JSON that other readers take.

Whatever is wrong with one is a StoreError that names it: a FIFO that would hang its reader, a device without an end, a
cut file, a nesting that exhausts the stack.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from benchbook.terms.errors import StoreError

MOST_BYTES = 4 * 1024**3  # raw files of the longest benchmarks have one
MOST_WRITTEN_BYTES = 64 * 1024  # of what a person writes: an experiment, a remark
_KINDS = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "FIFO"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))


def open_regular(path: Path | str, buffering: int = -1) -> BinaryIO:
    """Return the regular file at `path`, open for reading; StoreError for everything else, without waiting for it."""
    try:
        stream = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering)
    except (OSError, ValueError) as error:  # of a name with a NUL in it
        raise _unreadable(path, error) from error
    mode = os.fstat(stream.fileno()).st_mode
    if not stat.S_ISREG(mode):
        stream.close()
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "special file")
        raise StoreError(f"{path} is a {kind} and not a file")
    return stream


def read_bytes(path: Path | str, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what is in the regular file at `path`; raise StoreError where there is none of at most `most_bytes`."""
    with open_regular(path, buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most_bytes:
            raise StoreError(f"{path} has {size:,} bytes: more than anything of ours")
        try:
            return stream.read()
        except (OSError, MemoryError) as error:  # a hole of some GiB
            raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: Exception) -> StoreError:
    said = getattr(error, "strerror", None) or str(error) or "it does not fit into memory"
    return StoreError(f"cannot read {path}: {said}")


def json_of(content: bytes, path: Path | str) -> Any:
    """Return what the JSON in `content` says; a StoreError about one that is none names `path`, where it is from."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is cut or damaged: {error}") from error


def read_json(path: Path | str) -> dict[str, Any]:
    """Return the JSON object in the file at `path`; raise StoreError where there is none."""
    payload = json_of(read_bytes(path), path)
    if not isinstance(payload, dict):
        raise StoreError(f"{path} holds a {type(payload).__name__}, not a JSON object")
    return payload


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
