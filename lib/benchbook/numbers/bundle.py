"""A run as one file: a zip of its folder with the SHA-256 of each file, packed the same whenever it is packed.

MANIFEST.json at its beginning says of which run it is, what it holds, and what was left out with its hash.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchbook.reading import json_of, open_regular
from benchbook.records.files import HALF, make_folder, write_bytes, written_whole
from benchbook.records.header import RunState
from benchbook.records.runs import JOBS, LATEST, RUN_FILE, point_to
from benchbook.records.store import Store
from benchbook.records.typed import FolderName, refused
from benchbook.terms.errors import ExperimentError, StoreError
from benchbook.terms.redaction import find_secrets, known_secrets
from benchbook.terms.wording import counted

MANIFEST, FORMAT = "MANIFEST.json", 1
REQUESTS = "requests"  # the folder of frozen sets: text that may not be everybody's
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the least that a zip can say: when it was packed is nobody's business
_CHUNK = 1 << 20
_SHOWN = 5
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, OSError)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What a packed run says of itself."""

    model_config = ConfigDict(frozen=True, strict=True)

    format: int
    experiment: FolderName
    run: FolderName  # its folder
    files: dict[str, Sha256]
    left_out: dict[str, Sha256] = {}


def pack(store: Store, target: Path, with_requests: bool) -> Manifest:
    """Write the run in `store` to the zip `target`; ExperimentError where a file holds what looks like a secret.

    Without its requests a run tells which they were by their hash, and cannot be repeated with the same.
    """
    if store.header().state is RunState.RUNNING:
        raise ExperimentError(f"{store.run_dir} is being written: export it when it has ended")
    paths = sorted(_files(store.run_dir))
    _refuse_secrets(store.run_dir, paths)
    hashes = {path: _sha256_of(store.run_dir / path) for path in paths}
    kept = {path: digest for path, digest in hashes.items() if with_requests or not path.startswith(f"{REQUESTS}/")}
    manifest = Manifest(
        format=FORMAT,
        experiment=store.run_dir.parent.name,
        run=store.run_dir.name,
        files=kept,
        left_out={path: digest for path, digest in hashes.items() if path not in kept},
    )
    with written_whole(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(MANIFEST), json.dumps(manifest.model_dump(), indent=1, sort_keys=True))
        for path in kept:
            with (
                open_regular(store.run_dir / path) as source,
                archive.open(_entry(path), "w", force_zip64=True) as file,
            ):
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
    return manifest


def unpack(source: Path, results_dir: Path) -> Store:
    """Return the run of the zip `source`, unpacked where it belongs; StoreError for one that is damaged or there already."""
    with open_regular(source) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                manifest = _manifest(archive, source)
                folder = results_dir / manifest.experiment / manifest.run
                if os.path.lexists(folder):
                    raise StoreError(f"{source} holds the run {folder}, which is there already")
                _check(archive, manifest, source)
                for path in manifest.files:
                    make_folder((folder / path).parent)
                    write_bytes(folder / path, archive.read(path))
        except _BROKEN as error:
            raise StoreError(f"{source} is cut or is no run that benchbook packed: {error}") from error
    point_to(folder.parent / LATEST, folder.name)
    return Store(folder)


def is_packed(path: Path) -> bool:
    """Return whether a file is a zip, by its name."""
    return path.suffix.lower() == ".zip"


def _manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise StoreError(f"{source} has no {MANIFEST}: it is no run that benchbook packed")
    try:
        found = Manifest.model_validate(json_of(archive.read(MANIFEST), f"{source}, {MANIFEST}"))
    except ValidationError as error:
        raise StoreError(f"{source}, {MANIFEST}: {refused(error)[0].text}") from error
    if found.format != FORMAT:
        raise StoreError(f"{source} is packed in format {found.format}; this benchbook reads {FORMAT}")
    names = [found.experiment, found.run, *found.files]
    if bad := [
        name for name in names if not name or ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name
    ]:
        raise StoreError(f"{source}, {MANIFEST}: {bad[0]!r} leads out of the run")
    if RUN_FILE not in found.files:
        raise StoreError(f"{source} has no {RUN_FILE}")
    return found


def _check(archive: zipfile.ZipFile, manifest: Manifest, source: Path) -> None:
    """Raise StoreError for a file that is missing, or whose bytes are not those that were packed."""
    there = set(archive.namelist())
    for path, digest in manifest.files.items():
        if path not in there:
            raise StoreError(f"{source} lacks {path}, which its {MANIFEST} names")
        with archive.open(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise StoreError(f"{source}: {path} is not what was packed: its SHA-256 is another")


def _files(folder: Path) -> Iterator[str]:
    """Yield the regular files of a run, by their path in it, but for those of its jobs, in which nobody can look for secrets."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if inside.parts[0] == JOBS or path.name.endswith((HALF, ".lock")):
            continue
        if path.is_file() and not path.is_symlink():
            yield inside.as_posix()


def _refuse_secrets(folder: Path, paths: list[str]) -> None:
    known, found = known_secrets(), []
    for path in paths:
        if secrets := find_secrets(_text_of(folder / path), known):
            found.append(f"{path}: {secrets[0]}")
    if found:
        more = f", and in {len(found) - _SHOWN} more files" if len(found) > _SHOWN else ""
        raise ExperimentError(
            f"{folder} holds what looks like {counted(len(found), 'secret')}: {'; '.join(found[:_SHOWN])}{more}; nothing is "
            "written: remove them first"
        )


def _text_of(path: Path) -> str:
    with open_regular(path) as stream:
        content = stream.read()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except _BROKEN:
            pass  # damaged: it is looked at as it is
    return content.decode("utf-8", "replace")


def _sha256_of(path: Path) -> str:
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry
