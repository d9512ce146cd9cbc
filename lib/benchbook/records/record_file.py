"""One record in its file: written atomically, read back whole or refused in a line, of any format that there was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from benchbook.reading import read_bytes
from benchbook.records.files import write_json
from benchbook.records.in_common import record_in
from benchbook.records.parts import Workload
from benchbook.records.raw import read_raw
from benchbook.records.record import IMPORTED, Record, verdict_of
from benchbook.records.typed import Time, Versioned, refused
from benchbook.records.upgrade import RECORD_FORMAT, upgraded_record
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import StoreError


class _Written(TypedDict):  # what a record that is read must have, and a published figure may not
    workload: Workload
    started_utc: Time
    ended_utc: Time


_WRITTEN = TypeAdapter(_Written)
_OF_TODAY = f'"schema_version": {RECORD_FORMAT}'.encode()  # as we write it: such a record needs no second look


def write_record(path: Path, record: Record) -> None:
    """Write one record, atomically."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path | str) -> Record:
    """Return the record in `path`; raise StoreError when it is missing, cut, ill-typed or of another format."""
    return record_of(read_bytes(path), path)


def record_of(content: bytes, path: Path | str) -> Record:
    """Return the record in `content`, which stands at `path`, as `read_record` does."""
    try:
        if content.rfind(_OF_TODAY) < 0:  # it stands near the end
            content = _upgraded(content, path)
        record = record_in(content)
        _WRITTEN.validate_python({name: getattr(record, name) for name in _Written.__annotations__})
    except ValidationError as error:
        raise StoreError(f"{path} is not a whole record: {refused(error)[0].text}") from error
    if record.is_measured and record.verdict is not (told := verdict_of(record.reasons)):
        raise StoreError(f"{path} is not a whole record: it is {record.verdict}, and its reasons make it {told}")
    lacking = [name for name in BENCHMARKS[record.benchmark].needed if name not in record.workload]
    if lacking and record.way != IMPORTED:  # others do not tell all
        raise StoreError(f"{path} is not a whole record: workload.{lacking[0]} is missing")
    return record


def _upgraded(content: bytes, path: Path | str) -> bytes:
    """Return the record in `content`, of any format that there was, as one of today's; raise StoreError for others."""
    written = Versioned.model_validate_json(content).schema_version
    if not 1 <= written <= RECORD_FORMAT:
        raise StoreError(f"{path} is a record of format {written}; this benchbook reads 1 to {RECORD_FORMAT}")
    return to_json(upgraded_record(from_json(content)))


@dataclass(frozen=True)
class Saved:
    """A record on disk, with vLLM's raw file beside it: what the measuring functions return to a notebook."""

    record: Record
    path: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of the notebook when it was measured

    def __repr__(self) -> str:
        return f"<{self.record.verdict.value} {self.record.benchmark} in {self.path.parent.name}/{self.path.name}>"

    def raw(self) -> dict[str, Any]:
        """Return vLLM's own result file."""
        return read_raw(self.path.with_name(self.record.raw_file))
