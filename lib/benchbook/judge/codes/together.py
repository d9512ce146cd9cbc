"""Codes that several records together tell, of repeats, starts and launches."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "measured_once",
        "note",
        "one repeat of this case is all that may be believed: how far repeats spread is unknown, and a small difference means "
        "nothing",
        "measure it three times or more",
        "a single repeat",
    ),
    Code(
        "repeats_disagree",
        "suspect",
        "the repeats of a case differ so much that their mean says little",
        "look for other load; add repeats",
        "a standard deviation within one start of the host above 10 % of the mean and 5 times the median one of the "
        "run's cases, or above 30 %; between starts, which are known to vary by up to 20 %, above 50 %",
    ),
    Code(
        "repeats_trend",
        "suspect",
        "the repeats of a case drift in one direction: the machine warms up, throttles or fills",
        "look at temperature, clocks and memory; add warm-up",
        "five repeats or more, Mann-Kendall p below 2 %, and a drift of 5 %",
    ),
    Code(
        "repeat_outlier",
        "suspect",
        "this repeat lies far from the other ones of its case",
        "look at what else ran then; measure it again",
        "four repeats or more of one start of the host, 5 scaled median deviations and 15 % from the median",
    ),
    Code(
        "precision_missed",
        "note",
        "a latency is known clearly less well than `precision` asked for: latencies spread more than was assumed, or "
        "neighbours wait alike",
        "give `precision` the spread that was seen, or ask for as many prompts as the square of the factor says",
        "half again the half-width that was asked for: of repeats as they were assumed 2 or 3 of 100 look so by chance",
    ),
    Code(
        "repeats_in_groups",
        "note",
        "the repeats of a case fall into two groups by their median ITL: decoding has two states, and the mean is of both",
        "see whether the groups are starts or rounds; compare within one state",
        "two repeats or more in each, 3 % between them and five times what either spans: by chance 3 % of four repeats, "
        "1 % of five",
    ),
    Code(
        "host_restarted",
        "note",
        "the repeats of this case were measured on several starts of the host",
        "fine where starts are part of the plan; else measure afresh with --new",
        "two starts",
    ),
    Code(
        "host_differs",
        "suspect",
        "the hosts behind the repeats of one case differ: version, command, backend or KV capacity",
        "measure afresh with --new on one kind of host",
        "any difference; KV capacity from 2 % on, since free memory varies a little",
    ),
    Code(
        "kv_capacity_differs",
        "suspect",
        "launches that ask for the same memory got different KV capacities, and the load may not fit into the smallest",
        "see what else held memory at the start; fix num_gpu_blocks_override",
        "10 %: compiled graphs take a few per cent of the cache's memory; the load is requests in flight × their tokens",
    ),
)
