"""Seeded damage to files: bytes that are lost or turned, values that are others, things that are no files."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_INFINITE, _NO_NUMBER = "<Infinity>", "<NaN>"  # stand for what Python's json writes unquoted
VALUES: tuple[Any, ...] = (
    None, "", "x", "12", True, False, 0, -1, 1, 7, -0.5, 1e-320, 1e16, 1.7e308, 10**30, _INFINITE, _NO_NUMBER, [], {}, [None],
    [[]], [1, "2"], {"": 0}, {"a": {"b": []}}, "../../etc/passwd", "[/red]", "[bold]x", "\x1b[2J", "\u202egpj.exe", "\ud800",
    "a\nb", "é" * 300, "2026-11-23T20:15:00", "yesterday", "<script>alert(1)</script>", "~nobody/x", "x" * 5000, "9" * 400,
)  # fmt: skip


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """Return `content` with a part cut off, lost, doubled, zeroed or turned, or something else in its place."""
    if not content:
        return b"\x00"
    start, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    end = min(end, start + draw.choice((1, 8, 200, len(content))))
    kind = draw.randrange(8)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[end:]
    if kind == 2:
        return content[:end] + content[start:]
    if kind == 3:
        return content[:start] + bytes(end - start) + content[end:]
    if kind == 4:
        turned = bytearray(content)
        for _ in range(draw.choice((1, 1, 3, 30))):
            turned[draw.randrange(len(turned))] ^= 1 << draw.randrange(8)
        return bytes(turned)
    if kind == 5:
        return content[:start] + draw.randbytes(draw.choice((1, 4, 64))) + content[end:]
    if kind == 6:
        return draw.choice(
            (b"", b"[]", b"{}", b"null", b"7", b'"x"', b"\xff", b"NaN", b"[" * 30_000, b'{"a":' * 30_000)
        )
    return content.decode(errors="replace").encode(draw.choice(("utf-16", "utf-8-sig", "utf-32")))


def mutated_value(content: Any, draw: random.Random) -> Any:
    """Return the JSON value `content` with one to three of its parts replaced, removed, doubled or added."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(content))
        if not places:
            return draw.choice(VALUES)
        holder, step = draw.choice(places)
        kind = draw.randrange(6)
        if kind == 0:
            del holder[step]
        elif kind == 1 and isinstance(holder, list):
            holder.append(holder[step])
        elif kind == 1:
            holder[draw.choice(("", "surprise", "x" * 300, "\u202e"))] = draw.choice(VALUES)
        elif kind == 2 and isinstance(holder, dict):
            holder[step] = holder[draw.choice(list(holder))]  # of another key
        else:
            holder[step] = draw.choice(VALUES)
    return content


def as_json(content: Any) -> bytes:
    """Return `content` as JSON, with what JSON has no word for."""
    text = json.dumps(content).replace(f'"{_INFINITE}"', "Infinity").replace(f'"{_NO_NUMBER}"', "NaN")
    return text.encode()


def damage(path: Path, draw: random.Random, others: list[Path]) -> str:
    """Damage the file at `path` and return how: by bytes, by values, or by something else in its place."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 2**30:
        return "damaged before"
    how = draw.choice(("bytes", "value", "value", "value", "value", "other", "thing"))
    zipped = path.suffix == ".gz" and draw.random() < 0.7
    content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    if how == "bytes":
        changed = mutated_bytes(content, draw)
    elif how == "value":
        try:
            changed = as_json(mutated_value(json.loads(content), draw))
        except ValueError:
            changed = mutated_bytes(content, draw)
    elif how == "other":
        changed = draw.choice(others).read_bytes() if others else b""
    else:
        return put_thing(path, draw)
    path.write_bytes(gzip.compress(changed, mtime=0) if zipped else changed)
    return how


def put_thing(path: Path, draw: random.Random) -> str:
    """Put in the place of the file at `path` what is none; return what."""
    path.unlink()
    thing = draw.choice(("nothing", "FIFO", "folder", "device", "link to nothing", "link to itself", "hole"))
    if thing == "FIFO":
        os.mkfifo(path)
    elif thing == "folder":
        path.mkdir()
    elif thing == "device":
        path.symlink_to(draw.choice(("/dev/zero", "/dev/null", "/dev/full")))
    elif thing == "link to nothing":
        path.symlink_to("gone")
    elif thing == "link to itself":
        path.symlink_to(path)
    elif thing == "hole":
        with path.open("wb") as stream:
            stream.truncate(8 * 1024**4)
    return thing


def damage_folder(run_dir: Path, draw: random.Random) -> list[str]:
    """Damage one to four files of a run's folder, or a folder in it; return what was done to which."""
    files = sorted(path for path in run_dir.rglob("*") if path.is_file())
    told = []
    for path in draw.sample(files, min(len(files), draw.choice((1, 1, 2, 4)))):
        if draw.random() < 0.35:
            path = run_dir / "run.json"
        small = [other for other in files if other.is_file() and other.stat().st_size < 2**30]
        same = [other for other in small if other.name == path.name and other != path]
        told.append(f"{path.relative_to(run_dir)}: {damage(path, draw, same)}")
    if draw.random() < 0.1:
        folder = draw.choice(sorted(path for path in run_dir.rglob("*") if path.is_dir()))
        shutil.rmtree(folder)
        if draw.random() < 0.7:
            folder.write_text("not a folder")
        told.append(f"{folder.relative_to(run_dir)}: gone")
    return told


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place in `content`: what holds it, and its key or number there."""
    if isinstance(content, dict | list):
        for step in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, step
            yield from _places(content[step])
