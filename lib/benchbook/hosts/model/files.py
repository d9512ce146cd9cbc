"""Which model files a reference stands for: an embedded one, a shape, a folder, or a model of the hub."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchbook.hosts.model import footprint, shapes, tiny_model
from benchbook.hosts.model.hub_cache import CONFIGS, hub_folder, hub_snapshot, json_object
from benchbook.hosts.process.caches import built, cache_dir
from benchbook.system_faults import line_of
from benchbook.terms.errors import Cause, ExperimentError, HostStartError
from benchbook.terms.load_formats import makes_weights

# The embedded models with their folders' names: raise the number when tiny_model.py changes what it writes.
EMBEDDED = {"tiny": "tiny-2", "tiny-moe": "tiny-moe-1"}
BUILD_LIMIT_S = 300.0
# What turns text into tokens and back, in the forms that transformers knows.
_TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "special_tokens_map.json",
    "added_tokens.json",
)
SMALL_FILE_BYTES = 4 << 20  # up to this size all of a file's bytes are hashed, above it some pieces of them
_PIECES, _PIECE_BYTES = 16, 1 << 16  # from the first byte to the last: another training changes nearly all of them


@dataclass(frozen=True)
class ModelFiles:
    """A model as vLLM is told to load it."""

    path: str  # what `vllm serve` gets: an absolute folder, or a hub id
    name: str  # what people call it
    is_local: bool  # a folder, so nothing is ever downloaded
    random_weights: bool  # True: speed is meaningful, text is not
    content_sha256: str | None  # of what will be loaded; None while it is not on this machine
    needs_download: bool
    commit: str | None = (
        None  # of the hub: what its revision stands for here; None for a folder, or while it is not here
    )


def resolve_model(ref: str, args: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None) -> ModelFiles:
    """Return the files behind `ref`: "tiny", "tiny-moe" or "shape:NAME" (made now if need be), a folder, or a hub id.

    Of the launch's `args` the revision and the load format count; `env` is that of the process that will load the files:
    its HF_HOME or HF_HUB_CACHE says where the hub's lie.

    "tiny" is always the embedded model; a folder of that name is written "./tiny". A shape has no weights: vLLM needs a
    load format that makes them.
    """
    args = args or {}
    revision, is_made = args.get("revision"), makes_weights(args)
    if ref in EMBEDDED:
        folder = build_embedded(ref)
        return ModelFiles(str(folder), ref, True, True, content_sha256(folder), False)
    if ref.startswith(shapes.PREFIX):
        name = ref.removeprefix(shapes.PREFIX)
        folder = shapes.build_shape(name)
        return ModelFiles(str(folder), f"{name} shape", True, True, content_sha256(folder), False)
    folder = Path(os.path.expanduser(ref))
    if os.path.isdir(folder):
        if not os.path.isfile(folder / "config.json"):
            raise ExperimentError(f"model {ref!r} is a folder without a config.json")
        has_random = is_made or has_random_weights(str(folder))
        return ModelFiles(str(folder.resolve()), folder.resolve().name, True, has_random, content_sha256(folder), False)
    if ref.startswith((".", "/", "~")) or ref.count("/") > 1:
        raise ExperimentError(f"model {ref!r} looks like a folder, and there is none (from {Path.cwd()})")
    snapshot = hub_snapshot(ref, revision, env)
    digest = content_sha256(snapshot) if snapshot else None
    commit = snapshot.name if snapshot else None
    return ModelFiles(ref, ref, False, is_made, digest, needs_download=snapshot is None, commit=commit)


def content_sha256(folder: Path) -> str:
    """Return a hash over the names and sizes of the files in `folder`, over the bytes of the small ones and pieces of the others.

    Raises ExperimentError when one cannot be read. Cheap for weights of any size; hidden files do not count. A large file
    that was trained further has the same size and other bytes everywhere; one that differs in a few bytes may pass as equal.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.rglob("*") if os.path.isfile(path)):
            name, size_bytes = path.relative_to(folder).as_posix(), path.stat().st_size
            if any(part.startswith(".") for part in Path(name).parts):
                continue
            digest.update(f"{name}\0{size_bytes}\0".encode(errors="surrogateescape"))
            digest.update(
                hashlib.sha256(path.read_bytes() if size_bytes <= SMALL_FILE_BYTES else _pieces(path)).digest()
            )
    except OSError as error:
        raise ExperimentError(f"the model in {folder} cannot be read: {line_of(error)}") from error
    return digest.hexdigest()


def _pieces(path: Path) -> bytes:
    """Return evenly spaced pieces of a file, its beginning and its end among them."""
    with path.open("rb") as file:
        last = max(0, file.seek(0, os.SEEK_END) - _PIECE_BYTES)
        pieces = []
        for number in range(_PIECES):
            file.seek(last * number // (_PIECES - 1))
            pieces.append(file.read(_PIECE_BYTES))
    return b"".join(pieces)


def tokenizer_sha256(path: str) -> str | None:
    """Return a hash over the tokenizer's files in a folder or in the hub's cache; None where there are none here.

    Equal for copies of one tokenizer in two folders, whatever weights lie beside it.
    """
    folder = Path(path) if os.path.isdir(path) else hub_folder(path, "tokenizer_config.json", None)
    files = sorted({file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)}) if folder else []
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        with contextlib.suppress(OSError):  # a link to nothing, a folder of that name
            digest.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def build_embedded(name: str) -> Path:
    """Return the folder of an embedded model, built first when it is not in the cache (seconds, no network)."""
    return built(EMBEDDED[name], partial(_build_into, name))


def _build_into(name: str, folder: Path) -> None:
    command = [sys.executable, "-P", "-m", "benchbook.hosts.model.tiny_model", name, str(folder)]
    search_path = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": search_path}
    done = subprocess.run(
        command, env=env, capture_output=True, encoding="utf-8", errors="replace", timeout=BUILD_LIMIT_S
    )
    if done.returncode != 0:
        evidence = (done.stderr.strip().splitlines() or ["no output"])[-1]
        cause = Cause("crashed", evidence, "torch and transformers must be importable")
        raise HostStartError(f"the embedded model could not be built in {folder.parent}: {evidence}", cause)


def commit_of(files: ModelFiles, args: Mapping[str, Any], env: Mapping[str, str]) -> str | None:
    """Return the commit of the hub that a host has loaded, which may have fetched it at its start; None for a folder."""
    if files.is_local:
        return None
    found = (hub_folder(files.path, name, args.get("revision"), env) for name in CONFIGS)
    return next((folder.name for folder in found if folder), files.commit)


def read_config(path: str, revision: str | None = None, env: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Return the config.json of a folder or of a hub model in the cache of a process with `env`.

    That of its text model where it has several; None while there is none on this machine, or where it cannot be read.
    """
    folder = Path(path) if os.path.isdir(path) else hub_folder(path, "config.json", revision, env)
    config = json_object(folder / "config.json") if folder else None
    if config is None:
        return None
    return _of_text(config)


def _of_text(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config.json as that of its text model; what quantized the whole model stands beside that one's own part."""
    return {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else config


def weight_file_bytes(path: str) -> int | None:
    """Return the size of the files of weights in a folder or in the hub's cache; None while they are not on this machine."""
    folder = Path(path) if os.path.isdir(path) else hub_snapshot(path, None)
    return footprint.file_bytes(folder) if folder else None


def planned_path(ref: str) -> str:
    """Return what `vllm serve` will get for `ref`, without making or looking for anything."""
    if ref.startswith(shapes.PREFIX):
        return str(shapes.shape_folder(ref.removeprefix(shapes.PREFIX)))
    return str(cache_dir() / EMBEDDED[ref]) if ref in EMBEDDED else ref


def has_random_weights(path: str) -> bool:
    """Return whether what `path` serves has random weights: an embedded model or a copy of it, by its mark, or a shape."""
    if Path(path) in {cache_dir() / folder for folder in EMBEDDED.values()} or shapes.is_shape_folder(Path(path)):
        return True
    return os.path.isdir(path) and (read_config(path) or {}).get("random_weights") is True


def config_of(ref: str) -> tuple[dict[str, Any] | None, Path | None]:
    """Return the config.json behind `ref` and its folder, as far as they are known without building or downloading."""
    if ref.startswith(shapes.PREFIX):
        return dict(shapes.shape_named(ref.removeprefix(shapes.PREFIX)).config), None
    published = next((shape for shape in shapes.SHAPES.values() if shape.hub_id == ref), None)
    if published is not None:
        return dict(published.config), None
    folder = Path(os.path.expanduser(planned_path(ref)))
    config = json_object(folder / "config.json")
    return (None, None) if config is None else (config, folder)


def known_config(ref: str, revision: str | None = None, env: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Return the config.json behind `ref`, of the hub's cache too, as far as it is known without building or downloading.

    That of its text model where it has several; None where it is not known.
    """
    if ref in EMBEDDED:
        return dict(tiny_model.CONFIGS[ref])
    config, _ = config_of(ref)
    return read_config(ref, revision, env) if config is None else _of_text(config)
