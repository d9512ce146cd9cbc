"""A model's shape: what one token must read and compute.

    per layer   q, k, v and output projections: hidden · (heads + 2 · kv_heads) · head_dim + heads · head_dim · hidden
                a gated MLP, or each expert of one: 3 · hidden · intermediate
    once        the output head: hidden · vocabulary

Left out, for they weigh under a percent: norms, biases, routers, and the embedding, of which a token reads one row.

Which experts a step reads depends on the router. Three answers, from what is sure to what was seen:

    sure      k of E, those of one token: no step reads fewer, so nothing is faster
    even      E · (1 − (1 − k/E)^tokens), what is expected of tokens that draw evenly; a trained router needs fewer
    counted   what steps of the model were seen to read
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SURE, EVEN, COUNTED = "sure", "even", "counted"  # which experts a step reads


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
    counted: tuple[tuple[float, float], ...] = ()  # (tokens in a step, experts of a layer that it reads), as counted

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
    def active_attention(self) -> int:
        """Return the weights of all projections, with each of which every token is multiplied."""
        return self.layers * self.attention_weights

    @property
    def active_mlp(self) -> int:
        """Return the weights of MLPs that one token is multiplied with: the dense ones and those of its experts."""
        expert_layers = self.layers - self.dense_layers
        dense = self.dense_layers * 3 * self.hidden * self.intermediate
        shared = expert_layers * 3 * self.hidden * self.shared_intermediate
        return dense + shared + expert_layers * self.active_experts * self.expert_weights

    @property
    def attention_format(self) -> str | None:
        """Return the number format of quantized projections, None where they are of the activations' type."""
        return self.weight_format if self.attention_bytes < self.head_bytes else None

    @property
    def routings(self) -> tuple[str, ...]:
        """Return which answers there are to how many experts a step reads, the sure one first; it alone if dense."""
        if not self.experts:
            return (SURE,)
        return (SURE, EVEN, COUNTED) if self.counted else (SURE, EVEN)

    def read_experts(self, tokens: float, routing: str) -> float:
        """Return how many of a layer's experts a step with `tokens` tokens reads, by one of `routings`.

        Between two counts and beyond the last, it is what even routing needs times how much of that was counted.
        """
        if routing == SURE:
            return self.active_experts
        even = self.experts * (1 - (1 - self.active_experts / self.experts) ** tokens)
        if routing == EVEN:
            return even
        at = [math.log(count) for count, _ in self.counted]
        shares = [experts / self.read_experts(count, EVEN) for count, experts in self.counted]
        return even * _interpolated(math.log(max(tokens, 1)), at, shares)

    def read_bytes(self, tokens: float, routing: str) -> float:
        """Return the bytes of weights that a step with `tokens` tokens must read once, the output head included."""
        expert_layers = self.layers - self.dense_layers
        mlp = self.dense_layers * 3 * self.hidden * self.intermediate
        mlp += expert_layers * 3 * self.hidden * self.shared_intermediate
        mlp += expert_layers * self.read_experts(tokens, routing) * self.expert_weights
        attention = self.active_attention * self.attention_bytes
        return attention + mlp * self.mlp_bytes + self.hidden * self.vocabulary * self.head_bytes

    def attended(self, first: int, last: int) -> float:
        """Return over how many earlier tokens the layers attend, summed over layers and positions `first` to `last`.

        A full layer at position n attends to n tokens, a sliding one to at most its window.
        """
        full = _sum_to(last) - _sum_to(first - 1)
        window = self.window_tokens or 0
        sliding = _capped_sum(last, window) - _capped_sum(first - 1, window)
        return (self.layers - self.sliding_layers) * full + self.sliding_layers * sliding

    def kept(self, tokens: int) -> int:
        """Return of how many tokens a sequence of `tokens` keeps keys and values, summed over layers."""
        window = min(tokens, self.window_tokens or tokens)
        return (self.layers - self.sliding_layers) * tokens + self.sliding_layers * window

    @property
    def kv_bytes_per_layer(self) -> float:
        """Return the bytes of keys and values that one token holds in one layer."""
        return 2 * self.kv_heads * self.head_dim * self.kv_bytes

    def sequence_kv_bytes(self, tokens: int) -> float:
        """Return the KV cache (bytes) of one sequence of `tokens` tokens, over all layers."""
        return self.kept(tokens) * self.kv_bytes_per_layer


def _interpolated(x: float, at: Sequence[float], values: Sequence[float]) -> float:
    """Return the value at `x` of the line through (at, values), level beyond its ends."""
    if x <= at[0]:
        return values[0]
    for (left, low), (right, high) in pairwise(zip(at, values)):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return values[-1]


def _sum_to(last: int) -> float:
    return last * (last + 1) / 2


def _capped_sum(last: int, cap: int) -> float:
    """Return the sum of min(n, cap) for n from 1 to `last`."""
    return _sum_to(last) if last <= cap else _sum_to(cap) + (last - cap) * cap
