"""What a model cannot be served with: parallel sizes into which it cannot be cut, and sequences longer than it takes.

Read off vLLM's configs and of its layers. A rule holds only where the launch and the model's config.json tell all that
it asks: what passes here may still be refused there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from benchbook.hosts.model.checkpoints import DENSE_TYPES
from benchbook.hosts.vllm.overrides import COMMON_TYPES, overridden
from benchbook.hosts.vllm.renaming import is_on, ways
from benchbook.hosts.vllm.rope import PARAMETERS, UNSCALED, kind_of
from benchbook.hosts.vllm.said import Said
from benchbook.terms.sizes import size_of

PERMIT = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
_OTHER_CONFIG = ("hf_config_path", "config_format")  # with these vLLM goes by another config.json
_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_METHOD = ("speculative_config.method", "spec_method")
_TOKENS = ("speculative_config.num_speculative_tokens", "spec_tokens")
_WITHOUT_DRAFT = ("mtp", "dspark", "ngram", "ngram_gpu", "suffix", "extract_hidden_states")
# Quantizations whose scales come with the weights, and the files beside config.json that may tell of them.
_OF_CHECKPOINTS = (
    *("awq", "auto_awq", "awq_marlin", "gptq", "auto_gptq", "gptq_marlin", "moe_wna16", "inc"),
    *("compressed-tensors", "modelopt", "modelopt_fp4", "modelopt_mixed", "quark"),
)
_QUANTIZED_BY = ("quantize_config.json", "quant_config.json", "quantization_config.json", "hf_quant_config.json")
_PARTITION = "VLLM_PP_LAYER_PARTITION"
_ONE_RANK = "needs data_parallel_size: more than one"
UNCHUNKED = "while enable_chunked_prefill is off, cannot be less than"
Config = Mapping[str, Any]
Told = Iterator[tuple[str, str]]


def misfits(args: Mapping[str, Any], env: Mapping[str, str], config: Config | None) -> Told:
    """Yield each name of `args` (full ones) or of `env` that the model cannot be served with, and why.

    `config` is its config.json, None while that is not known: then only numbers of ranks that fit no model are told.
    """
    said = Said(args, env)
    for rule in (_ranks, _shards, _experts, _lengths, _drafts):
        yield from rule(said, _counted(said, config))


def unquantized(args: Mapping[str, Any], config: Config | None, files: Collection[str] | None) -> Told:
    """Yield a quantization that a checkpoint brings with it, where this one has none; `files` are those of its folder.

    Where config.json or folder (None) is not known, nothing is told. What quantizes any weights at loading is fine.
    """
    overrides = args.get("hf_overrides")
    told = [*(config or {}), *(overrides if isinstance(overrides, Mapping) else ())]
    has_it = any(name.startswith(("quantization_config", "compression_config", "speculators_config")) for name in told)
    if config is None or files is None or has_it or any(name in files for name in _QUANTIZED_BY):
        return
    if args.get("quantization") in _OF_CHECKPOINTS:
        yield "quantization", "needs a checkpoint quantized by it, and the config.json has no quantization_config"


def longest(args: Mapping[str, Any], env: Mapping[str, str], config: Config | None) -> int | None:
    """Return how many tokens the model's config.json lets a sequence have at most; None where it tells nothing.

    Its scaled length where positions are scaled by a factor that vLLM heeds. None with vLLM's permit to pass over it.
    """
    said = Said(args, env)
    return _longest(said, _counted(said, config))


def _counted(said: Said, config: Config | None) -> Config:
    """Return the config.json that vLLM goes by; empty where it is not known, or names another that it speculates for."""
    is_another = any(name in said for name in _OTHER_CONFIG) or "speculators_config" in (config or {})
    return {} if is_another else overridden(said["hf_overrides"], config) or {}


def _longest(said: Said, config: Config) -> int | None:
    told = min((length for name in _LENGTHS if (length := _number(config, name))), default=None)
    own = _number(config, "model_max_length") or told
    if own is None or is_on(said[PERMIT]):
        return None
    return math.floor(own * max(_factors(config), default=1))


def _factors(config: Config) -> list[float]:
    """Return by how much a config.json makes its positions more, in any of its forms."""
    ropes = [rope for rope in _ropes(config) if kind_of(rope) not in UNSCALED]
    return [max(1, factor) for rope in ropes if isinstance(factor := rope.get("factor"), int | float)]


def _ropes(config: Config) -> Iterator[Config]:
    """Yield what a config.json tells of its rotary positions, of each kind of layer where they differ."""
    for told in (config.get(name) for name in PARAMETERS):
        if isinstance(told, Mapping):
            yield from (told, *(inner for inner in told.values() if isinstance(inner, Mapping)))


def _ranks(said: Said, _: Config) -> Told:
    """Yield what cannot be among the numbers of ranks, whatever the model."""
    tensor, prefill, decode, data = said.ranks("tensor", "prefill_context", "decode_context", "data")
    if prefill == 1 and tensor % decode:
        yield "decode_context_parallel_size", f"must divide tensor_parallel_size, which is {tensor}"
    if prefill > 1 and decode not in (1, prefill, tensor * prefill):
        yield "decode_context_parallel_size", f"must be one of 1, {prefill} and {tensor * prefill}"
    if said.number("data_parallel_size_local", 0) > data:
        yield "data_parallel_size_local", f"cannot be more than data_parallel_size, which is {data}"
    if said.has("data_parallel_external_lb") and data == 1:
        yield "data_parallel_external_lb", _ONE_RANK
    if said["data_parallel_rank"] is not None and data == 1:
        yield "data_parallel_rank", _ONE_RANK


def _shards(said: Said, config: Config) -> Told:
    """Yield parallel sizes into which the model cannot be cut."""
    tensor, stages, decode = said.ranks("tensor", "pipeline", "decode_context")
    heads, width = _number(config, "num_attention_heads"), _number(config, "intermediate_size")
    kv_heads = _number(config, "num_key_value_heads") if config.get("model_type") in COMMON_TYPES else None
    if heads and heads % tensor:
        yield "tensor_parallel_size", f"must divide the model's {heads} attention heads"
    elif kv_heads and kv_heads % tensor and tensor % kv_heads:
        yield "tensor_parallel_size", f"must divide the model's {kv_heads} KV heads, or be a multiple of them"
    elif width and width % tensor and config.get("model_type") in DENSE_TYPES:
        yield "tensor_parallel_size", f"must divide the model's intermediate_size, {width}"
    elif decode > 1 and heads and kv_heads and tensor % decode == 0:
        if tensor // kv_heads < decode or heads // kv_heads % decode:
            each = f"{heads // kv_heads} heads that the model has for each of its {kv_heads} KV heads"
            yield "decode_context_parallel_size", f"must divide the {each}, and so much must be left of {tensor} ranks"
    yield from _stages(said, stages, _number(config, "num_hidden_layers"))


def _stages(said: Said, stages: int, layers: int | None) -> Told:
    if layers and stages > layers:
        yield "pipeline_parallel_size", f"cannot be more than the model's {layers} layers"
    if said[_PARTITION]:
        parts = [size_of(part.strip()) for part in str(said[_PARTITION]).split(",")]
        if None in parts or len(parts) != stages or layers and sum(parts) != layers:
            whole = f", {layers} in all" if layers else ""
            yield _PARTITION, f"must have a number of layers for each stage, of which there are {stages}{whole}"


def _experts(said: Said, config: Config) -> Told:
    told = f"{[way for way, _ in ways(config)]} {config.get('model_type')} {config.get('architectures')}".lower()
    has_none = "model_type" in config and not any(word in told for word in ("expert", "moe", "block_configs"))
    if has_none and said.has("enable_expert_parallel"):
        yield "enable_expert_parallel", "is for a mixture of experts, and this model has none"
    if said.has("enable_eplb") and max(said.ranks("tensor", "prefill_context", "data")) == 1:
        yield "enable_eplb", "needs experts on several ranks: set tensor_parallel_size or data_parallel_size"


def _lengths(said: Said, config: Config) -> Told:
    most, length = _longest(said, config), said.number("max_model_len")
    batched, threshold = said.number("max_num_batched_tokens"), said.number("long_prefill_token_threshold")
    if most and length and length > most:
        yield "max_model_len", f"is more than the {most} tokens of the model's config.json; {PERMIT}=1 permits it"
    if most is None or length:
        return
    if threshold and threshold > most:
        yield "long_prefill_token_threshold", f"cannot be more than the model's longest sequence, {most} tokens"
    if batched and batched < most and said.is_off("enable_chunked_prefill") and not _is_scaled(config):
        yield "max_num_batched_tokens", f"{UNCHUNKED} the model's longest sequence, {most} tokens: set max_model_len"


def _is_scaled(config: Config) -> bool:
    """Return whether vLLM by itself takes another length than max_position_embeddings."""
    return bool(_factors(config)) or any(kind_of(rope) == "longrope" for rope in _ropes(config))


def _drafts(said: Said, config: Config) -> Told:
    """Yield what speculation lacks, unless the model brings it, as one with a speculators_config does."""
    names = [name for names in (_METHOD, _TOKENS) for name in names if name in said]
    method, tokens = (next((said[name] for name in names if name in said), None) for names in (_METHOD, _TOKENS))
    has_draft = "speculative_config.model" in said or "spec_model" in said
    if not config:
        return
    if said["speculative_config"] == {} and not names and not has_draft:
        yield "speculative_config", "needs num_speculative_tokens, and a model or a method"
    if tokens is not None and not has_draft and method not in _WITHOUT_DRAFT and not str(method).endswith("_mtp"):
        yield names[0], f"needs a model, or one of the methods {', '.join(_WITHOUT_DRAFT)}"
    is_own = method == "mtp" or str(method).endswith("_mtp")
    if is_own and not has_draft and config.get("model_type") in COMMON_TYPES:
        yield names[0], "needs a model that has layers for it, and this one has none: ngram needs nothing"
    if method in ("ngram", "ngram_gpu") and tokens is None:
        yield names[0], "needs num_speculative_tokens"
    if said.has("per_request_spec_decode_metrics") and not names and not has_draft:
        yield "per_request_spec_decode_metrics", "needs speculative_config"


def _number(config: Config, name: str) -> int | None:
    """Return a count that a config.json tells; None where it is none."""
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
