"""A model's shape: what one token must read and compute, from the facts of its config.json.

    per layer   q, k, v and output projections: hidden · (heads + 2 · kv_heads) · head_dim + heads · head_dim · hidden
                a gated MLP, or each expert of one: 3 · hidden · intermediate
    once        the output head: hidden · vocabulary

Left out, for they weigh under a percent: norms, biases, routers, and the embedding, of which a token reads one row.
What the formulas do not cover is refused by name, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The keys of a config.json that a record keeps.
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
_ATTENTION_NAMES = ("self_attn", "attn", "attention")


class UnknownShapeError(ValueError):
    """The model is built in a way that these formulas do not cover; the text says which."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the formulas need of a model. Bytes are those of one weight, or of one number in the KV cache."""

    layers: int
    sliding_layers: int  # of `layers`: attend to the last `window_tokens` only
    window_tokens: int | None
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    dense_layers: int  # of `layers`: with an MLP of `intermediate`; the others have experts
    intermediate: int
    experts: int  # 0: no expert layers
    active_experts: int
    expert_intermediate: int
    shared_intermediate: int  # of an expert that every token takes, 0 without one
    vocabulary: int
    dtype: str  # of the activations
    weight_format: str | None  # of quantized weights, such as fp8 or mxfp4
    attention_bytes: float
    mlp_bytes: float
    head_bytes: float
    kv_bytes: float

    @property
    def attention_weights(self) -> int:
        """Return the weights of one layer's four projections."""
        into = self.hidden * (self.heads + 2 * self.kv_heads) * self.head_dim
        return into + self.heads * self.head_dim * self.hidden

    @property
    def expert_weights(self) -> int:
        """Return the weights of one expert of one layer."""
        return 3 * self.hidden * self.expert_intermediate

    @property
    def active_weights(self) -> int:
        """Return the weights that one token is multiplied with, the output head left out."""
        expert_layers = self.layers - self.dense_layers
        dense = self.dense_layers * 3 * self.hidden * self.intermediate
        shared = expert_layers * 3 * self.hidden * self.shared_intermediate
        return (
            self.layers * self.attention_weights
            + dense
            + shared
            + expert_layers * self.active_experts * self.expert_weights
        )

    def read_experts(self, tokens: float) -> float:
        """Return how many of a layer's experts `tokens` tokens are expected to need: E · (1 − (1 − k/E)^tokens).

        Each token takes k of E experts, drawn evenly. A trained router draws less evenly and needs fewer.
        """
        if not self.experts:
            return 0.0
        return self.experts * (1 - (1 - self.active_experts / self.experts) ** tokens)

    def weight_bytes(self, tokens: float) -> float:
        """Return the bytes of weights that a step with `tokens` tokens must read once, the output head included."""
        expert_layers = self.layers - self.dense_layers
        mlp = self.dense_layers * 3 * self.hidden * self.intermediate
        mlp += expert_layers * 3 * self.hidden * self.shared_intermediate
        mlp += expert_layers * self.read_experts(tokens) * self.expert_weights
        attention = self.layers * self.attention_weights * self.attention_bytes
        return attention + mlp * self.mlp_bytes + self.hidden * self.vocabulary * self.head_bytes

    def attended(self, first: int, last: int) -> float:
        """Return over how many earlier tokens the layers attend, summed over layers and positions `first` to `last`.

        A full layer at position n attends to n tokens, a sliding one to at most its window.
        """
        full = _sum_to(last) - _sum_to(first - 1)
        window = self.window_tokens or 0
        sliding = _capped_sum(last, window) - _capped_sum(first - 1, window)
        return (self.layers - self.sliding_layers) * full + self.sliding_layers * sliding

    @property
    def kv_bytes_per_layer(self) -> float:
        """Return the bytes of keys and values that one token holds in one layer."""
        return 2 * self.kv_heads * self.head_dim * self.kv_bytes


def shape_of(
    config: Mapping[str, Any], *, dtype: str | None = None, quantization: str | None = None, kv_dtype: str | None = None
) -> ModelShape:
    """Return the shape that a config.json describes, as vLLM was told to load it; raise UnknownShapeError by name.

    `dtype`, `quantization` and `kv_dtype` are the launch's own flags, None where it has none.
    """
    if config.get("kv_lora_rank"):
        raise UnknownShapeError("multi-head latent attention is not covered")
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    if lacking := [key for key in needed if not config.get(key)]:
        raise UnknownShapeError(f"config.json does not say {', '.join(lacking)}")
    layers, hidden, heads = config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"]
    window, sliding = _sliding(config, layers)
    experts = _first(config, "num_local_experts", "num_experts", "n_routed_experts") or 0
    active = _first(config, "num_experts_per_tok", "experts_per_token") or 0
    if experts and not active:
        raise UnknownShapeError("config.json does not say how many experts a token takes")
    expert_intermediate = (_first(config, "moe_intermediate_size", "intermediate_size") or 0) if experts else 0
    compute = _compute_dtype(config, dtype)
    weight_format = _method(config.get("quantization_config") or {}) or quantization
    attention_bytes, mlp_bytes = _weight_bytes(config, weight_format, _DTYPE_BYTES[compute])
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


def _weight_bytes(config: Mapping[str, Any], method: str | None, plain: float) -> tuple[float, float]:
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
    if method == "modelopt":
        return {"NVFP4": "nvfp4", "FP8": "fp8"}.get(str(quantized.get("quant_algo")), "modelopt")
    return method


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key)), None)


def _sum_to(last: int) -> float:
    return last * (last + 1) / 2


def _capped_sum(last: int, cap: int) -> float:
    """Return the sum of min(n, cap) for n from 1 to `last`."""
    return _sum_to(last) if last <= cap else _sum_to(cap) + (last - cap) * cap
