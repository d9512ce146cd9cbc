"""How many sequences the KV cache of a host holds.

vLLM's log tells its size in tokens of which every layer keeps all. A layer with a sliding window keeps no more than the
window, so a model with such layers holds more sequences than those tokens say, up to twice as many where every second
layer has one. There the bytes tell; where the log has none, the tokens are counted in all layers, which is the most.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import from_json, to_json

from benchbook.judge.evidence import kv_cache_tokens
from benchbook.judge.model_config import UnknownShapeError, shape_of
from benchbook.judge.shape import ModelShape
from benchbook.records.host import HostFacts
from benchbook.records.settings import Settings, settings_of

_GIB, _ROUNDED_GIB = 2**30, 0.005  # the log has two decimals


def sequences_held(host: HostFacts, tokens: int) -> float | None:
    """Return how many sequences of `tokens` tokens the KV cache of a record's host holds; None where no log tells."""
    capacity = kv_cache_tokens(host)
    if not capacity or not tokens:
        return None
    settings = settings_of(host)
    shape = _sliding_shape(host, settings)
    if shape is None or settings.keeps_layers_alike:
        return capacity / tokens
    size_gib = host.facts.kv_cache_gib
    if not size_gib or settings.has_told_blocks:
        return capacity * shape.layers / shape.kept(tokens)
    # Each device holds the keys and values of its own heads; where there are fewer heads, some hold the same.
    size_bytes = (size_gib + _ROUNDED_GIB) * _GIB * min(settings.shards, shape.kv_heads)
    return size_bytes / (shape.kv_bytes_per_layer * shape.kept(tokens))


def _sliding_shape(host: HostFacts, settings: Settings) -> ModelShape | None:
    """Return the shape of a model with sliding layers, None for any other and for one that is not understood."""
    config = host.config or {}
    if not isinstance(config.get("sliding_window"), int):
        return None
    return _parsed_shape(to_json(config), settings.dtype, settings.kv_dtype)


@lru_cache(maxsize=256)  # all records of a launch hold the same
def _parsed_shape(config: bytes, dtype: str | None, kv_dtype: str | None) -> ModelShape | None:
    try:
        shape = shape_of(from_json(config), dtype=dtype, kv_dtype=kv_dtype)
    except UnknownShapeError:
        return None
    return shape if shape.sliding_layers else None
