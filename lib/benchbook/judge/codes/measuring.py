"""Codes of how it was measured, and on what."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "notebook_raised",
        "suspect",
        "the number was saved, then a later cell of the notebook raised",
        "open executed.ipynb; the raw file is whole",
        "one exception",
    ),
    Code(
        "watching_failed",
        "suspect",
        "something that watches a measurement raised an error: the number is whole, but less is known of how it came about",
        "read the evidence; the checks that needed it are silent",
        "one error",
    ),
    Code(
        "check_failed",
        "suspect",
        "a check could not be carried out: the number is whole, but nobody has looked at it in this respect",
        "read the evidence; raw.json is there to look at",
        "one error: a silent check would pass for a satisfied one",
    ),
    Code(
        "guards_down",
        "note",
        "the experiment asked for remote code, developer endpoints or pickled messages: whoever reaches the "
        "host may run code",
        "leave them off unless the model needs them",
        "one of them",
    ),
    Code(
        "random_weights",
        "note",
        "the model has random weights: speed is that of its shape, text means nothing",
        "measure a trained model for claims about one",
        "by the model's own mark, or a load format that makes weights",
    ),
    Code(
        "speculation_unlike_text",
        "suspect",
        "the engine guesses tokens ahead, and the prompts are random: how many guesses come true, and so the speed, is not "
        "that of text",
        "measure speculation on the text that it is for; leave speculative_config out here",
        "by the host's command: what is accepted follows from the text",
    ),
    Code(
        "gpu_throttled",
        "suspect",
        "the GPU lowered its clocks for heat or by a hardware brake while it was measured",
        "look at its cooling and power supply; let it cool and measure again",
        "more than 5 % of the samples, and two of them: below it, a throttle is an instant",
        is_outside=True,
    ),
    Code(
        "clocks_low",
        "suspect",
        "the GPU worked at clocks far below its own, and neither its power limit nor heat held it back: they are locked",
        "see `nvidia-smi -q -d CLOCK`; `nvidia-smi -rgc` (and `-rac`) frees them; or compare with cards locked alike",
        "a median SM clock below 75 % of the card's highest, over the samples at work that nothing throttles; 95 % where "
        "the driver says that the owner's setting binds",
    ),
    Code(
        "gpu_shared",
        "suspect",
        "another process computed on the GPU while it was measured",
        "end it, or choose another GPU",
        "one process, but for one that the driver saw compute nothing; or 2 GiB that are of no process which it "
        "lists, or more processes than the launch has there",
        is_outside=True,
    ),
    Code(
        "gpu_power_capped",
        "note",
        "the GPU was at its power limit and lowered its clocks to stay there: usual under full load",
        "compare only with cards of the same power limit",
        "more than 5 % of the samples",
    ),
)
