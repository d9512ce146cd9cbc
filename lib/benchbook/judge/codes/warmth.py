"""Codes of what was warm, or cold, while it was measured."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "cache_warm",
        "suspect",
        "prompt tokens were served from the prefix cache though all prompts differ: an earlier run has warmed it",
        "turn the cache off, or let each repeat begin with an empty one (VLLM_SERVER_DEV_MODE: 1 in the launch's env)",
        "more than random prompts share by chance in 999 of 1,000 runs: each begins as one of N earlier ones in N of V "
        "cases, V being the vocabulary; where N or V is not known, 1 % of the tokens looked up",
    ),
    Code(
        "prefix_hits_differ",
        "suspect",
        "the prefix cache found more or less of the prompts than they were made to share: it was too small, or not as "
        "full or as empty as designed",
        "give the KV cache more memory, or have fewer prefixes; let each repeat begin with an empty cache "
        "(VLLM_SERVER_DEV_MODE: 1 in the launch's env)",
        "2 points of the prompt tokens looked up, beyond what whole blocks of what was sent before allow: at least what "
        "the measured requests share, at most what all requests of the file do",
    ),
    Code(
        "warmup_too_small",
        "suspect",
        "warmed up with fewer requests than are in flight later, or not at all: first-use costs are in the number",
        "leave num_warmup_prompts unset: two for each request in flight",
        "fewer than max_concurrency: a batch size first seen may compile kernels",
    ),
    Code(
        "compiled_while_measuring",
        "suspect",
        "server or engine compiled kernels or captured graphs while it was measured",
        "warm up with the shapes that are measured; measure again",
        "one line of its log: each costs between tenths of a second and ten seconds",
        is_outside=True,
    ),
    Code(
        "first_requests_slow",
        "suspect",
        "even the fastest of the first requests (or the first iteration) was far slower than all that came later",
        "warm up with the shapes that are measured; measure again",
        "0.5 s above the later median, and 5 times it, and more than a queue of the first wave; an iteration 1.3 times, "
        "where it makes the mean 5 % longer",
    ),
)
