"""Write the embedded model "tiny" into a folder: `python -m benchbook.hosts.tiny_model DIR`.

A 4-layer Llama with random weights from a fixed seed and a tokenizer of printable words. It measures the pipeline,
not a language model. Words, because a byte-level vocabulary decodes random tokens to incomplete UTF-8, which vLLM holds
back: the client then sees one chunk and a TPOT of 0. Over 10,000 of them, because `vllm bench latency` draws ids below.
A program of its own: importing torch costs seconds that no caller should pay.
"""

from __future__ import annotations

import sys

VOCABULARY_SIZE = 16384
SEED = 0
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def write_tokenizer(folder: str) -> None:
    """Save a tokenizer of the words w0, w1, ... split at white space: one word is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY_SIZE)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "w0", "eos_token": "w1", "bos_token": "w2", "pad_token": "w3"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, chat_template=CHAT_TEMPLATE, **special)
    tokenizer.save_pretrained(folder)


def write_weights(folder: str) -> None:
    """Save random bfloat16 weights, the same ones each time (about 13 MB)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        unk_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        pad_token_id=3,
        dtype="bfloat16",
        random_weights=True,  # the mark by which a copy of it is known, wherever it lies
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    write_tokenizer(sys.argv[1])
    write_weights(sys.argv[1])
