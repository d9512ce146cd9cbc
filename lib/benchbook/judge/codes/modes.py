"""Codes of modes that contradict each other."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "floor_above_load",
        "suspect",
        "one request alone (latency mode) is slower than a request under load at the same lengths: a floor cannot be",
        "see that both had the same flags, lengths and warm-up",
        "5 % and two standard deviations of the repeats above the least mean E2EL of two or more in flight",
    ),
    Code(
        "ceiling_below_serving",
        "suspect",
        "throughput mode, the ceiling, stays below what serving reaches: too few prompts to fill the engine",
        "give throughput mode several hundred prompts",
        "5 % and two standard deviations of the repeats",
    ),
    Code(
        "tpot_contradicts_latency",
        "suspect",
        "the pace of tokens of one request served alone does not match latency mode's",
        "see that both had the same flags; look for a client or server short of processor",
        "a factor of 1.5 either way: HTTP and streaming cost some, and no engine is half as slow offline; served slower, 1 ms "
        "too: HTTP costs 0.4 ms a token",
    ),
    Code(
        "outputs_differ",
        "suspect",
        "launches that claim to differ in speed only answer 32 fixed prompts differently: speed may be "
        "bought with output",
        "compare the answers; look at quantization and kernels",
        "more than a quarter of the answers: rounding turns a few, a changed model most",
    ),
    Code(
        "answers_worse",
        "suspect",
        "of the items that its guard asks under load, a launch has fewer right than the first one: its speed is bought with "
        "answers, and nothing is claimed better of it",
        "look at what turns wrong: quantization, kernels, a cache that is wrong under load",
        "a loss that is more than chance (exact interval of pairs, 95 %), and by the estimate more than the margin",
    ),
    Code(
        "guard_too_wide",
        "note",
        "the items of the guard are too few to tell whether a launch loses more of them than the margin, or were not answered",
        "ask more items; the report says about how many",
        "the interval of the change holds both the margin and what is allowed",
    ),
    Code(
        "guard_means_nothing",
        "note",
        "the model answers the guard's items no better than who guesses, as random weights do: there is nothing to lose",
        "measure a trained model, with items that it can answer",
        "random weights, or no more right than guessing gives (5 %)",
    ),
    Code(
        "degenerate_model",
        "suspect",
        "the model's speed is that of no model: different prompts get (nearly) one answer, or every token takes the "
        "same experts, so a step reads a fraction of the weights that it should",
        "measure a trained model, or random weights that behave: load_format: benchbook",
        "a quarter of the answers or fewer differ; a large step reads at most 1.5 times the experts of one token, where "
        "even routing reads 3 times; or load_format: dummy on gpt-oss, not counted",
    ),
)
