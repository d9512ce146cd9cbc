"""Shapes of published models: the same layers, heads, experts and vocabulary, to be run with random weights.

Kernels run at their real size, so speed means something; text means nothing. A shape is a folder with config.json and
a tokenizer, made in the cache in less than a second. Its weights are made while vLLM loads it, by our load format
"benchbook" (random_loader.py). vLLM's own dummy weights would not do: a router of them sends every token to the same few
experts, and MXFP4 experts are all zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.process.caches import built, cache_dir
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean

PREFIX = "shape:"  # how a reference to a shape is written: 'shape:gpt-oss-120b'
RECIPE = 1  # part of the folder's name: raise it when what is written changes
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


@dataclass(frozen=True)
class Shape:
    """One model's published configuration."""

    hub_id: str  # the model that has it
    config: Mapping[str, Any]  # as its config.json says, but for what only its own tokenizer needs


def _gpt_oss(hub_id: str, layers: int, experts: int) -> Shape:
    """Return a shape of the gpt-oss family, after the config.json that its models are published with."""
    pair = ["sliding_attention", "full_attention"]
    config = {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": 199998,
        "dtype": "bfloat16",
        "eos_token_id": 200002,
        "experts_per_token": 4,
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 2880,
        "initial_context_length": 4096,
        "initializer_range": 0.02,
        "intermediate_size": 2880,
        "layer_types": pair * (layers // 2),
        "max_position_embeddings": 131072,
        "model_type": "gpt_oss",
        "num_attention_heads": 64,
        "num_experts_per_tok": 4,
        "num_hidden_layers": layers,
        "num_key_value_heads": 8,
        "num_local_experts": experts,
        "output_router_logits": False,
        "pad_token_id": 199999,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "factor": 32.0,
            "original_max_position_embeddings": 4096,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": 150000,
        "router_aux_loss_coef": 0.9,
        "sliding_window": 128,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "transformers_version": "4.55.0.dev0",
        "use_cache": True,
        "vocab_size": 201088,
    }
    return Shape(hub_id, config)


def _llama_3_1(hub_id: str, layers: int, hidden: int, intermediate: int, heads: int) -> Shape:
    """Return a shape of the Llama 3.1 family, after the config.json that its models are published with."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 128000,
        "dtype": "bfloat16",
        "eos_token_id": 128001,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": intermediate,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": 8,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": 128256,
    }
    return Shape(hub_id, config)


SHAPES: dict[str, Shape] = {
    "gpt-oss-120b": _gpt_oss("openai/gpt-oss-120b", layers=36, experts=128),
    "gpt-oss-20b": _gpt_oss("openai/gpt-oss-20b", layers=24, experts=32),
    "llama-3.1-8b": _llama_3_1("meta-llama/Llama-3.1-8B", 32, hidden=4096, intermediate=14336, heads=32),
    "llama-3.1-70b": _llama_3_1("meta-llama/Llama-3.1-70B", 80, hidden=8192, intermediate=28672, heads=64),
}


def shape_named(name: str) -> Shape:
    """Return the shape called `name`; raise ExperimentError with the nearest and the known names."""
    if name not in SHAPES:
        near = alike(name, SHAPES)
        hint = f"; {did_you_mean(near)}" if near else ""
        raise ExperimentError(f"unknown shape {name!r}{hint} (known: {', '.join(SHAPES)})")
    return SHAPES[name]


def shape_folder(name: str) -> Path:
    """Return where the folder of the shape `name` is, or would be made."""
    return cache_dir() / f"shape-{name}-{RECIPE}"


def is_shape_folder(path: Path) -> bool:
    """Return whether `path` is a folder that `build_shape` makes: what it serves has random weights."""
    return path.parent == cache_dir() and path.name.startswith("shape-")


def build_shape(name: str) -> Path:
    """Return the folder of the shape `name`, made first when it is not in the cache."""
    shape = shape_named(name)
    return built(shape_folder(name).name, lambda folder: _write(folder, shape.config))


def _write(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, and a tokenizer of as many words as the vocabulary has: one word of white space, one token.

    Words, because a byte-level vocabulary decodes random tokens to incomplete UTF-8, which vLLM holds back.
    """
    words = {f"w{number}": number for number in range(config["vocab_size"])}
    special = {"unk_token": "w0"} | {f"{name}_token": f"w{config[f'{name}_token_id']}" for name in ("bos", "eos")}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": words[word], "content": word, **plain, "special": True} for word in special.values()]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config["max_position_embeddings"],
        **special,
    }
    for name, content in (
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", settings),
        ("generation_config.json", {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}),
    ):
        (folder / name).write_text(json.dumps(content, indent=None if name == "tokenizer.json" else 1) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
