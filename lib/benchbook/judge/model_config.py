"""From a config.json to a model's shape. What the formulas do not cover is refused by name, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.judge.shape import ModelShape

# The keys of a config.json that a record keeps.
EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")  # by any of these a config.json tells them
CONFIG_KEYS = (
    "model_type",
    "dtype",
    "torch_dtype",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "n_shared_experts",
    "num_local_experts",
    "num_experts",
    "n_routed_experts",
    "num_experts_per_tok",
    "experts_per_token",
    "first_k_dense_replace",
    "decoder_sparse_step",
    "mlp_only_layers",
    "layer_types",
    "sliding_window",
    "use_sliding_window",
    "vocab_size",
    "tie_word_embeddings",
    "kv_lora_rank",
    "quantization_config",
)
_DTYPE_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
# Bytes a weight, with the scales: MXFP4 has 8 bits for 32 weights, NVFP4 8 for 16, 4-bit integers 20 for 128.
_QUANTIZED_BYTES = {
    "mxfp4": (4 + 8 / 32) / 8,
    "nvfp4": (4 + 8 / 16) / 8,
    "fp8": 1.0,
    "awq": (4 + 20 / 128) / 8,
    "gptq": (4 + 20 / 128) / 8,
}
_LARGEST = 10_000_000  # no model has as many layers, heads or words
_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_OTHERS = (
    "model_type",
    "dtype",
    "torch_dtype",
    "mlp_only_layers",
    "layer_types",
    "use_sliding_window",
    "tie_word_embeddings",
    "kv_lora_rank",
    "quantization_config",
)
# Of some models a list, one for each layer, which these formulas do not cover.
_COUNTS = tuple(key for key in dict.fromkeys((*_NEEDED, *EXPERT_KEYS, *CONFIG_KEYS)) if key not in _OTHERS)
_ATTENTION_NAMES = ("self_attn", "attn", "attention")


class UnknownShapeError(ValueError):
    """The model is built in a way that these formulas do not cover; the text says which."""


def shape_of(
    config: Mapping[str, Any], *, dtype: str | None = None, quantization: str | None = None, kv_dtype: str | None = None
) -> ModelShape:
    """Return the shape that a config.json describes, as vLLM was told to load it; raise UnknownShapeError by name.

    `dtype`, `quantization` and `kv_dtype` are the launch's own flags, None where it has none.
    """
    try:
        return _shape_of(config, dtype, quantization, kv_dtype)
    except (AttributeError, KeyError, TypeError, ArithmeticError) as error:
        raise UnknownShapeError(f"config.json holds what no such model has ({error})") from error


def _shape_of(
    config: Mapping[str, Any], dtype: str | None, quantization: str | None, kv_dtype: str | None
) -> ModelShape:
    if config.get("kv_lora_rank"):
        raise UnknownShapeError("multi-head latent attention is not covered")
    if lacking := [key for key in _NEEDED if not config.get(key)]:
        raise UnknownShapeError(f"config.json does not say {', '.join(lacking)}")
    told = {key: config[key] for key in _COUNTS if config.get(key)}
    if strange := [key for key, value in told.items() if type(value) is not int or not 0 < value < _LARGEST]:
        raise UnknownShapeError(f"config.json does not say {', '.join(strange)} in numbers that a model can have")
    layers, hidden, heads = config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"]
    window, sliding = _sliding(config, layers)
    experts = _first(config, *EXPERT_KEYS) or 0
    active = _first(config, "num_experts_per_tok", "experts_per_token") or 0
    if experts and not active:
        raise UnknownShapeError("config.json does not say how many experts a token takes")
    expert_intermediate = (_first(config, "moe_intermediate_size", "intermediate_size") or 0) if experts else 0
    compute = _compute_dtype(config, dtype)
    weight_format = _method(config.get("quantization_config") or {}) or quantization
    attention_bytes, mlp_bytes = _bytes_a_weight(config, weight_format, _DTYPE_BYTES[compute])
    return ModelShape(
        layers=layers,
        sliding_layers=sliding,
        window_tokens=window,
        hidden=hidden,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        dense_layers=_dense_layers(config, layers) if experts else layers,
        intermediate=config.get("intermediate_size") or 0,
        experts=experts,
        active_experts=active if experts else 0,
        expert_intermediate=expert_intermediate,
        shared_intermediate=config.get("shared_expert_intermediate_size")
        or (config.get("n_shared_experts") or 0) * expert_intermediate,
        vocabulary=config["vocab_size"],
        dtype=compute,
        weight_format=weight_format,
        attention_bytes=attention_bytes,
        mlp_bytes=mlp_bytes,
        head_bytes=_DTYPE_BYTES[compute],
        kv_bytes=1.0 if (kv_dtype or "").startswith("fp8") else _DTYPE_BYTES[compute],
    )


def _sliding(config: Mapping[str, Any], layers: int) -> tuple[int | None, int]:
    """Return the window (tokens) and how many layers have it."""
    kinds = [str(kind) for kind in config.get("layer_types") or []][:layers]
    if strange := sorted({kind for kind in kinds if "attention" not in kind or "linear" in kind}):
        raise UnknownShapeError(f"layers of kind {', '.join(strange)} are not covered")
    window = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return None, 0
    return window, sum("sliding" in kind for kind in kinds) if kinds else layers


def _dense_layers(config: Mapping[str, Any], layers: int) -> int:
    """Return how many layers of a mixture-of-experts model have a plain MLP instead."""
    step, only = config.get("decoder_sparse_step") or 1, set(config.get("mlp_only_layers") or [])
    first = config.get("first_k_dense_replace") or 0
    return sum(index in only or (index + 1) % step != 0 or index < first for index in range(layers))


def _compute_dtype(config: Mapping[str, Any], asked: str | None) -> str:
    named = asked if asked and asked != "auto" else config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    name = {"half": "float16", "float": "float32"}.get(str(named), str(named)).removeprefix("torch.")
    if name not in _DTYPE_BYTES:
        raise UnknownShapeError(f"the data type {name} is not covered")
    if name == "float32" and not asked:
        return "bfloat16"  # vLLM's automatic choice for a model saved in float32
    return name


def _bytes_a_weight(config: Mapping[str, Any], method: str | None, plain: float) -> tuple[float, float]:
    """Return bytes per weight of the attention and of the MLPs."""
    if method is None:
        return plain, plain
    if method not in _QUANTIZED_BYTES:
        raise UnknownShapeError(f"quantization {method} is not covered")
    quantized = config.get("quantization_config") or {}
    kept = [str(name) for name in quantized.get("modules_to_not_convert") or quantized.get("ignore") or []]
    # MXFP4 is vLLM's format for experts alone.
    attention_is_plain = method == "mxfp4" or any(name in _ATTENTION_NAMES or ".self_attn" in name for name in kept)
    return plain if attention_is_plain else _QUANTIZED_BYTES[method], _QUANTIZED_BYTES[method]


def _method(quantized: Mapping[str, Any]) -> str | None:
    """Return the name of the number format of a quantization_config, None where there is none."""
    method = quantized.get("quant_method")
    bits = quantized.get("bits") or quantized.get("w_bit")
    if method in ("awq", "gptq") and bits not in (None, 4):
        return f"{method} with {bits} bits"
    if method == "compressed-tensors":
        return _compressed(quantized)
    if method == "modelopt":
        return {"NVFP4": "nvfp4", "FP8": "fp8"}.get(str(quantized.get("quant_algo")), "modelopt")
    return method


def _compressed(quantized: Mapping[str, Any]) -> str:
    """Return the format of the weights in a compressed-tensors quantization_config; several are not told apart."""
    groups = [group.get("weights") or {} for group in (quantized.get("config_groups") or {}).values()]
    kinds = {(weights.get("type"), weights.get("num_bits")) for weights in groups}
    known = {("float", 8): "fp8", ("int", 4): "gptq"}
    return known.get(kinds.pop(), "compressed-tensors") if len(kinds) == 1 else "compressed-tensors"


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key)), None)
