"""Files and folders that somebody wants imported, read: figures, what adds nothing, and what is refused, each with its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from benchbook.numbers import sweep, tables
from benchbook.numbers.content import objects_of
from benchbook.numbers.figures import Figures
from benchbook.numbers.formats import figures_of, format_of
from benchbook.reading import read_bytes
from benchbook.records.runs import is_run
from benchbook.terms.errors import StoreError

_TABLES = (".csv", tables.PARQUET)
_READ = (".json", ".jsonl", ".ndjson", ".yaml", ".yml", *_TABLES)
_NO_TABLE = (
    "is a table that nobody knows: without counts and durations no figure can be judged; import the results it is of"
)
_NO_RESULT = f"is no result: those end in {', '.join(_READ)}"
_OURS = "is a run of benchbook, which needs no import: copy it to results/import/, or import what `benchbook export` makes of it"


@dataclass(frozen=True)
class Read:
    """What was read: figures, each with its file; sentences on what adds nothing, and on what is refused."""

    figures: list[tuple[Path, Figures]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    seen: dict[str, Path] = field(default_factory=dict)  # the files that were read, by their bytes


def read_files(paths: Sequence[Path]) -> Read:
    """Return what the files at `paths` tell, and those in folders there; a fault of one costs none of the others."""
    read = Read()
    for path in paths:
        if not path.is_dir():
            _read_file(path, read, is_named=True)
        elif is_run(path):
            read.refused.append(f"{path} {_OURS}")
        else:
            for file in sorted(_inside(path)):
                _read_file(file, read, is_named=False)
    return read


def _inside(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that may hold results, by their names."""
    for path in folder.rglob("*"):
        if path.suffix.lower() in _READ and path.is_file() and not path.name.startswith("."):
            yield path


def _read_file(path: Path, read: Read, is_named: bool) -> None:
    """Read one file. What is no result is refused where it was named, and left out where it lies in a folder."""
    try:
        if why := sweep.left_out(path):
            read.left_out.append(f"{path} {why}")
        elif why := _why_no_result(path):
            (read.refused if is_named else read.left_out).append(f"{path} {why}")
        elif (first := read.seen.setdefault(sha256(read_bytes(path)).hexdigest(), path)) != path:
            read.left_out.append(f"{path} is {first} again, byte for byte")
        elif path.suffix.lower() in _TABLES:
            read.figures.extend([(path, one) for one in tables.read_table(path)])
        else:
            _read_objects(path, read, is_named)
    except StoreError as error:
        read.refused.append(str(error))


def _why_no_result(path: Path) -> str:
    if path.suffix.lower() not in _READ:
        return _NO_RESULT
    return _NO_TABLE if path.suffix.lower() in _TABLES and not tables.is_table(path) else ""


def _read_objects(path: Path, read: Read, is_named: bool) -> None:
    objects = objects_of(path)
    if not is_named and not any(map(format_of, (told.content for told in objects))):
        read.left_out.append(f"{path} is of no format that is known")
        return
    found: list[Figures] = []
    for told in objects:
        if sweep.is_run(told) and told.content[sweep.NUMBER] == sweep.WARM_UP:
            read.left_out.append(f"{told.where} is the warm-up of a sweep")
            continue
        found += [sweep.of_sweep(one, told, path) if sweep.is_run(told) else one for one in figures_of(told)]
    read.figures.extend((path, one) for one in found)
