"""A case's samples of server and GPU, in one compressed file beside its record."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from benchbook.reading import json_of, read_bytes
from benchbook.records.files import write_bytes
from benchbook.records.typed import OPEN, Number, Numbers, refused
from benchbook.terms.errors import StoreError

TELEMETRY_FILE = "telemetry.json.gz"
TELEMETRY_VERSION = 1
_MOST_BYTES = 1024**3  # unpacked: a sample of each second of a month


class GpuSamples(TypedDict):
    """The samples of one GPU: a list a quantity, None for one that the driver does not tell."""

    __pydantic_config__ = OPEN
    index: int
    name: str | None
    t_s: list[Number]
    power_w: Numbers | None
    energy_j: Numbers | None
    sm_clock_mhz: Numbers | None
    temperature_c: Numbers | None
    memory_used_gib: Numbers | None
    utilisation_pct: Numbers | None
    throttle: list[str | None] | None


class Telemetry(TypedDict):
    """All samples of a case, on the clock of its requests."""

    __pydantic_config__ = OPEN
    period_s: Number
    zero_perf_counter_s: Number
    server: dict[str, Numbers] | None
    gpus: list[GpuSamples]


_TELEMETRY = TypeAdapter(Telemetry)


def write_telemetry(path: Path, samples: Mapping[str, Any]) -> None:
    """Write the samples atomically; the same samples give the same bytes."""
    text = json.dumps({"schema_version": TELEMETRY_VERSION, **samples}, separators=(",", ":"), allow_nan=False)
    write_bytes(path, gzip.compress(text.encode(), mtime=0))


def read_telemetry(path: Path) -> Telemetry:
    """Return the samples in `path`; raise StoreError when the file is missing or damaged."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_bytes(path))) as stream:
            content = stream.read(_MOST_BYTES)
            if stream.read(1):
                raise StoreError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes")
        samples = _TELEMETRY.validate_python(json_of(content, path))
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    except ValidationError as error:
        raise StoreError(f"{path} does not hold samples: {refused(error)[0].text}") from error
    for columns in (samples["server"] or {}, *samples["gpus"]):
        lengths = {len(column) for column in columns.values() if isinstance(column, list)}
        if columns and ("t_s" not in columns or len(lengths) > 1):
            raise StoreError(f"{path} does not hold samples: their columns have {sorted(lengths)} rows")
    return samples
