"""Write an embedded model into a folder: `python -m benchbook.hosts.model.tiny_model tiny|tiny-moe DIR`.

"tiny" is a 4-layer Llama, "tiny-moe" a 4-layer Qwen3 with 16 experts of which a token takes 2; both have random weights,
the same ones each time, and a tokenizer of printable words. They measure the pipeline, not a language model. Words,
because a byte-level vocabulary decodes random tokens to incomplete UTF-8, which vLLM holds back: the client then sees
one chunk and a TPOT of 0. Over 10,000 of them, because `vllm bench latency` draws ids below.
A program of its own: importing torch costs seconds that no caller should pay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

VOCABULARY_SIZE = 16384
SEED = 0
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
_COMMON = dict(
    vocab_size=VOCABULARY_SIZE,
    num_hidden_layers=4,
    max_position_embeddings=8192,
    unk_token_id=0,
    eos_token_id=1,
    bos_token_id=2,
    pad_token_id=3,
    dtype="bfloat16",
    random_weights=True,  # the mark by which a copy of it is known, wherever it lies
)
_SIZES = dict(hidden_size=256, intermediate_size=512, num_attention_heads=8, num_key_value_heads=4)
DENSE = {**_COMMON, **_SIZES, "model_type": "llama", "tie_word_embeddings": True}  # what its config.json says of it
EXPERTS = {
    **_COMMON,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_act": "silu",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "attention_bias": False,
    "num_experts": 16,
    "num_local_experts": 16,  # as newer versions of transformers call them
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
CONFIGS = {"tiny": DENSE, "tiny-moe": EXPERTS}


def write_tokenizer(folder: str) -> None:
    """Save a tokenizer of the words w0, w1, ... split at white space: one word is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY_SIZE)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "w0", "eos_token": "w1", "bos_token": "w2", "pad_token": "w3"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, chat_template=CHAT_TEMPLATE, **special)
    tokenizer.save_pretrained(folder)


def write_dense(folder: str) -> None:
    """Save the Llama: random bfloat16 weights as transformers draws them (about 13 MB)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    config = LlamaConfig(**_COMMON, **_SIZES, tie_word_embeddings=True)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def write_experts(folder: str) -> None:
    """Save the mixture of experts: the weights that the load format "benchbook" makes for it too (about 13 MB)."""
    import torch
    from safetensors.torch import save_file

    from benchbook.hosts.model.checkpoints import tensors_of
    from benchbook.hosts.model.random_weights import made

    Path(folder, "config.json").write_text(json.dumps(EXPERTS, indent=1) + "\n")
    weights = {tensor.name: made(tensor, torch.bfloat16, "cpu") for tensor in tensors_of(EXPERTS)}
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    Path(folder, "model.safetensors").chmod(0o644)  # it is made private; a cache may be shared


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write an embedded model into a folder.")
    parser.add_argument("model", choices=(writers := {"tiny": write_dense, "tiny-moe": write_experts}))
    parser.add_argument("folder")
    options = parser.parse_args()
    write_tokenizer(options.folder)
    writers[options.model](options.folder)
