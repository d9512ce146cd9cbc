"""vLLM's own result file beside a record, as far as anything of ours reads its lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from benchbook.reading import read_json
from benchbook.records.typed import OPEN, Number, refused
from benchbook.terms.errors import StoreError

_OF_REQUESTS = ("start_times", "ttfts", "itls")  # one entry a request each


class _Raw(TypedDict, total=False):
    __pydantic_config__ = OPEN
    start_times: list[Number]
    ttfts: list[Number]
    itls: list[list[Number]]
    latencies: list[Number]  # of requests or of iterations
    queue_times: list[Number]
    input_lens: list[Number]
    output_lens: list[Number]
    errors: list[Any]  # a text each, and a null in some versions
    percentiles: dict[str, Number]


_RAW = TypeAdapter(_Raw)


def read_raw(path: Path) -> dict[str, Any]:
    """Return the result in `path`; raise StoreError where it is missing, cut, or its lists are of several."""
    raw = read_json(path)
    try:
        _RAW.validate_python(raw)
    except ValidationError as error:
        raise StoreError(f"{path} is not a benchmark's result: {refused(error)[0].text}") from error
    lengths = {key: len(raw[key]) for key in _OF_REQUESTS if raw.get(key)}
    if len(set(lengths.values())) > 1:
        raise StoreError(f"{path} is not of one measurement: {', '.join(f'{n} {key}' for key, n in lengths.items())}")
    return raw
