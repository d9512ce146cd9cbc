"""How much memory a model needs, from its config.json: weights and KV cache, in bytes.

Only families whose layers are known here are computed; for others the answer is None, never a guess.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

BF16_BYTES = 2.0
MXFP4_BYTES = 4.25 / 8  # four bits a weight, and one byte of scale for 32 of them
DENSE_TYPES = ("llama", "mistral", "qwen2", "qwen3")
GIB = 2**30


def _unless_strange(compute: Callable[..., int | None]) -> Callable[..., int | None]:
    """Return `compute`, with None for a config.json that holds something else than the numbers it needs."""

    @functools.wraps(compute)
    def computed(*arguments: Any) -> int | None:
        try:
            found = compute(*arguments)
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
            return None
        return found if found and found > 0 else None

    return computed


def weight_bytes(config: Mapping[str, Any], folder: Path | None = None) -> int | None:
    """Return the size of the weights: of the files in `folder` if there are any, else computed; None when unknown."""
    if folder and (of_files := file_bytes(folder)):
        return of_files
    return _computed_bytes(config)


def file_bytes(folder: Path) -> int | None:
    """Return the size of the files of weights in `folder`, None without any."""
    return sum(os.path.getsize(path) for path in folder.glob("*.safetensors") if os.path.isfile(path)) or None


@_unless_strange
def _computed_bytes(config: Mapping[str, Any]) -> int | None:
    kind, quantization = config.get("model_type"), (config.get("quantization_config") or {}).get("quant_method")
    if kind == "gpt_oss" and quantization in (None, "mxfp4"):
        experts = _expert_weights(config) * (MXFP4_BYTES if quantization else BF16_BYTES)
        return round(experts + BF16_BYTES * (_shared_weights(config) + _expert_biases(config)))
    if kind in DENSE_TYPES and quantization is None:
        hidden, layers = config["hidden_size"], config["num_hidden_layers"]
        return round(BF16_BYTES * (_shared_weights(config) + layers * 3 * hidden * config["intermediate_size"]))
    return None


@_unless_strange
def kv_bytes(config: Mapping[str, Any], tokens: int, kv_cache_dtype: str = "auto") -> int | None:
    """Return the least KV cache (bytes) of one sequence of `tokens` tokens; None when unknown.

    2 (keys, values) × KV heads × head size × bytes × tokens a layer; a sliding layer keeps no more than its window.
    """
    if config.get("model_type") not in (*DENSE_TYPES, "gpt_oss"):
        return None
    value_bytes = 1 if kv_cache_dtype.startswith("fp8") else BF16_BYTES
    window = config.get("sliding_window") or tokens
    kinds = config.get("layer_types")
    sliding = kinds.count("sliding_attention") if kinds else 0
    layers = len(kinds) if kinds else config["num_hidden_layers"]
    kept = sliding * min(tokens, window) + (layers - sliding) * tokens
    return round(2 * _kv_heads(config) * _head_size(config) * value_bytes * kept)


def _shared_weights(config: Mapping[str, Any]) -> int:
    """Return the number of weights outside the (dense or expert) feed-forward part."""
    hidden, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], _kv_heads(config)
    size, vocabulary = _head_size(config), config["vocab_size"]
    attention = hidden * size * (2 * heads + 2 * kv_heads) + 2 * hidden
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return config["num_hidden_layers"] * attention + embeddings + hidden


def _expert_weights(config: Mapping[str, Any]) -> int:
    per_expert = 3 * config["hidden_size"] * config["intermediate_size"]
    return config["num_hidden_layers"] * config["num_local_experts"] * per_expert


def _expert_biases(config: Mapping[str, Any]) -> int:
    """Return the experts' biases and the router."""
    per_expert = 2 * config["intermediate_size"] + 2 * config["hidden_size"]
    return config["num_hidden_layers"] * config["num_local_experts"] * per_expert


def _kv_heads(config: Mapping[str, Any]) -> int:
    return config.get("num_key_value_heads") or config["num_attention_heads"]


def _head_size(config: Mapping[str, Any]) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
