"""What a published checkpoint holds, from its config.json: each tensor's name, shape and format, and what a random one is.

Random weights that behave keep every activation near unit size, whatever the width: matrices are drawn from
N(0, 1/fan_in), embeddings have unit scale, norms are 1, biases and attention sinks 0. Then a router's logits depend on
the token, experts are used evenly, and different prompts get different answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CONSTANT, NORMAL, BITS = "constant", "normal", "bits"  # how a tensor is filled
FP8, FLOAT32, UINT8 = "float8_e4m3fn", "float32", "uint8"  # formats, by torch's names
MXFP4_BLOCK = 32  # numbers of four bits that share a scale
_MXFP4_SPREAD = math.sqrt(sum(x * x for x in (0, 0.5, 1, 1.5, 2, 3, 4, 6)) / 8)  # of e2m1 numbers, all patterns alike
_UINT8_ONE = 127  # an e8m0 scale of 1


class UnknownCheckpointError(ValueError):
    """The model's checkpoint is laid out in a way that is not known here; the text says which."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint, whole, whatever a worker of several keeps of it."""

    name: str
    shape: tuple[int, ...]
    fill: str  # CONSTANT, NORMAL or BITS: any pattern of its format
    value: float = 0.0  # the constant, or the standard deviation
    format: str | None = None  # None: the model's own


def tensors_of(config: Mapping[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors of the checkpoint that `config`, a config.json, belongs to; raise UnknownCheckpointError."""
    kind = config.get("model_type")
    if kind not in _LAYERS:
        raise UnknownCheckpointError(f"no random weights for models of type {kind!r} (known: {', '.join(_LAYERS)})")
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield Tensor("model.embed_tokens.weight", (vocabulary, hidden), NORMAL, 1.0)
    for index in range(config["num_hidden_layers"]):
        yield from _LAYERS[kind](_Config(config, index), f"model.layers.{index}")
    yield _norm("model.norm", hidden)
    if not config.get("tie_word_embeddings"):
        yield _matrix("lm_head", vocabulary, hidden)


class _Config:
    """One layer's view of a config.json."""

    def __init__(self, config: Mapping[str, Any], index: int) -> None:
        self._config, self.index = config, index
        self.hidden: int = config["hidden_size"]
        self.heads: int = config["num_attention_heads"]
        self.kv_heads: int = config.get("num_key_value_heads") or self.heads
        self.head_dim: int = config.get("head_dim") or self.hidden // self.heads
        self.intermediate: int = config["intermediate_size"]
        self.experts: int = self.get("num_local_experts", "num_experts") or 0
        self.kind: str = config["model_type"]

    def get(self, *keys: str) -> Any:
        """Return the first value that is set, None without one."""
        return next((self._config[key] for key in keys if self._config.get(key)), None)

    @property
    def quantization(self) -> str | None:
        """Return the format of the quantized weights, None without any; raise UnknownCheckpointError for one not known."""
        method = (self.get("quantization_config") or {}).get("quant_method")
        known = {"gpt_oss": {"mxfp4": "mxfp4", "gpt_oss_mxfp4": "mxfp4"}}.get(self.kind, {"fp8": "fp8"})
        if method is not None and method not in known:
            raise UnknownCheckpointError(f"no random weights for {self.kind} in {method}")
        return known.get(method)

    @property
    def has_experts(self) -> bool:
        """Return whether this layer's MLP is a mixture of experts."""
        step, dense = self.get("decoder_sparse_step") or 1, self.get("mlp_only_layers") or ()
        return bool(self.experts) and self.index not in dense and (self.index + 1) % step == 0

    def linear(self, name: str, rows: int, columns: int) -> Iterator[Tensor]:
        """Yield the matrix `name`, in FP8 with its scales where the checkpoint is quantized so."""
        quantized = self.get("quantization_config") or {}
        kept = any(part in name for part in quantized.get("modules_to_not_convert") or ())
        if self.quantization in (None, "mxfp4") or kept:  # MXFP4 is a format of experts alone
            yield _matrix(name, rows, columns)
            return
        if quantized.get("activation_scheme", "dynamic") != "dynamic":
            raise UnknownCheckpointError("no random weights for fp8 with static scales of its inputs")
        yield Tensor(f"{name}.weight", (rows, columns), NORMAL, 1.0, FP8)
        block, scale = quantized.get("weight_block_size"), columns**-0.5
        if block:
            shape = (math.ceil(rows / block[0]), math.ceil(columns / block[1]))
            yield Tensor(f"{name}.weight_scale_inv", shape, CONSTANT, scale, FLOAT32)
        else:
            yield Tensor(f"{name}.weight_scale", (), CONSTANT, scale, FLOAT32)


def _llama_like(config: _Config, layer: str) -> Iterator[Tensor]:
    """Yield one layer of the Llama family: Llama, Mistral, and the dense and mixed Qwens, by what their configs say."""
    attention_bias = config.kind == "qwen2" or bool(config.get("attention_bias"))
    yield from _attention(config, f"{layer}.self_attn", attention_bias, attention_bias and config.kind != "qwen2")
    if config.kind.startswith("qwen3"):
        for name in ("q_norm", "k_norm"):
            yield _norm(f"{layer}.self_attn.{name}", config.head_dim)
    yield from _norms(config, layer)
    if not config.has_experts:
        yield from _mlp(config, f"{layer}.mlp", config.intermediate)
        return
    yield _matrix(f"{layer}.mlp.gate", config.experts, config.hidden)
    for expert in range(config.experts):
        yield from _mlp(config, f"{layer}.mlp.experts.{expert}", config.get("moe_intermediate_size"))


def _gpt_oss(config: _Config, layer: str) -> Iterator[Tensor]:
    """Yield one layer of the gpt-oss family: all experts in one tensor, gate and up interleaved row by row."""
    experts, hidden, inner = config.experts, config.hidden, config.intermediate
    yield from _attention(config, f"{layer}.self_attn", True, True)
    yield Tensor(f"{layer}.self_attn.sinks", (config.heads,), CONSTANT)
    yield from _norms(config, layer)
    yield _matrix(f"{layer}.mlp.router", experts, hidden)
    yield Tensor(f"{layer}.mlp.router.bias", (experts,), CONSTANT)
    for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
        path = f"{layer}.mlp.experts.{name}"
        if config.quantization is None:
            yield Tensor(path, (experts, columns, rows), NORMAL, columns**-0.5)
        else:
            yield from _mxfp4(path, experts, rows, columns)
        yield Tensor(f"{path}_bias", (experts, rows), CONSTANT)


def _mxfp4(path: str, experts: int, rows: int, columns: int) -> Iterator[Tensor]:
    """Yield blocks of any four bits, and the power of two that brings a row nearest to unit gain (2^-7 at 2,880)."""
    exponent = round(math.log2(columns**-0.5 / _MXFP4_SPREAD))
    blocks = columns // MXFP4_BLOCK
    yield Tensor(f"{path}_blocks", (experts, rows, blocks, MXFP4_BLOCK // 2), BITS, format=UINT8)
    yield Tensor(f"{path}_scales", (experts, rows, blocks), CONSTANT, _UINT8_ONE + exponent, UINT8)


def _attention(config: _Config, path: str, bias: bool, output_bias: bool) -> Iterator[Tensor]:
    inner = config.heads * config.head_dim
    for name, heads in (("q_proj", config.heads), ("k_proj", config.kv_heads), ("v_proj", config.kv_heads)):
        yield from config.linear(f"{path}.{name}", heads * config.head_dim, config.hidden)
        if bias:
            yield Tensor(f"{path}.{name}.bias", (heads * config.head_dim,), CONSTANT)
    yield from config.linear(f"{path}.o_proj", config.hidden, inner)
    if output_bias:
        yield Tensor(f"{path}.o_proj.bias", (config.hidden,), CONSTANT)


def _norms(config: _Config, layer: str) -> Iterator[Tensor]:
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield _norm(f"{layer}.{name}", config.hidden)


def _mlp(config: _Config, path: str, intermediate: int) -> Iterator[Tensor]:
    for name in ("gate_proj", "up_proj"):
        yield from config.linear(f"{path}.{name}", intermediate, config.hidden)
    yield from config.linear(f"{path}.down_proj", config.hidden, intermediate)


def _norm(path: str, width: int) -> Tensor:
    return Tensor(f"{path}.weight", (width,), CONSTANT, 1.0)


def _matrix(path: str, rows: int, columns: int) -> Tensor:
    return Tensor(f"{path}.weight", (rows, columns), NORMAL, columns**-0.5)


DENSE_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_LAYERS = {
    **dict.fromkeys(DENSE_TYPES, _llama_like),
    "qwen3_moe": _llama_like,
    "gpt_oss": _gpt_oss,
}
