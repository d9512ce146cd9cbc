"""What server and GPUs did in the repeat that ended last, a line a quantity: its course in eight heights, and its most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchbook.records.telemetry import read_telemetry
from benchbook.terms.errors import StoreError
from benchbook.terms.wording import number_text, percent_text

WIDTH = 40
_HEIGHTS = "▁▂▃▄▅▆▇█"
_SERVER = (("running", "running"), ("waiting", "waiting"), ("kv_use_ratio", "KV cache"))
_MOST_GPUS = 8


@dataclass(frozen=True)
class Spark:
    """The course of one quantity."""

    label: str
    line: str
    most: str

    @property
    def text(self) -> str:
        """Return it as one line."""
        return f"{self.label:<8} {self.line} {self.most}"


@lru_cache(maxsize=4)
def sparks_of(path: str) -> tuple[Spark, ...]:
    """Return the courses in the samples at `path`; () for '', and where they cannot be read."""
    try:
        samples = read_telemetry(Path(path)) if path else None
    except StoreError:
        samples = None
    if samples is None:
        return ()
    server = samples["server"] or {}
    columns = [(label, server[key], key == "kv_use_ratio", "") for key, label in _SERVER if key in server]
    for gpu in samples["gpus"][:_MOST_GPUS]:
        columns.append((f"GPU {gpu['index']}", gpu["power_w"] or (), False, " W"))
    return tuple(
        Spark(
            label,
            spark_line(known),
            f"at most {percent_text(max(known)) if is_share else number_text(max(known))}{unit}",
        )
        for label, values, is_share, unit in columns
        if (known := [value for value in values if value is not None])
    )


def spark_line(values: Sequence[float], width: int = WIDTH) -> str:
    """Return the course of `values` from 0 to their most, of each part of the time its highest: '▁▃█▂'."""
    top = max(values)
    count = min(width, len(values))
    edges = [len(values) * place // count for place in range(count + 1)]
    highest = [max(values[first:last]) for first, last in zip(edges, edges[1:])]
    return "".join(_HEIGHTS[round((len(_HEIGHTS) - 1) * max(0.0, each) / top) if top > 0 else 0] for each in highest)
