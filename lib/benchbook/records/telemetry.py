"""A case's samples of server and GPU, in one compressed file beside its record."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbook.errors import StoreError
from benchbook.records.files import write_bytes

TELEMETRY_FILE = "telemetry.json.gz"
TELEMETRY_VERSION = 1


def write_telemetry(path: Path, samples: Mapping[str, Any]) -> None:
    """Write the samples atomically; the same samples give the same bytes."""
    text = json.dumps({"schema_version": TELEMETRY_VERSION, **samples}, separators=(",", ":"), allow_nan=False)
    write_bytes(path, gzip.compress(text.encode(), mtime=0))


def read_telemetry(path: Path) -> dict[str, Any]:
    """Return the samples in `path`; raise StoreError when the file is missing or damaged."""
    try:
        return json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error
