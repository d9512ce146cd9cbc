"""Codes of how many requests stand behind a number."""

from __future__ import annotations

from benchbook.judge.codes.code import Code

CODES = (
    Code(
        "percentile_not_earned",
        "note",
        "too few samples for the highest percentile shown: it is close to the slowest sample and no tail",
        "take more samples (more prompts; in latency mode more num_iters), or read the highest percentile that is earned",
        "p99 from 662, p95 from 130, p90 from 64: from there on the second slowest bounds it with 99 % confidence",
    ),
)
