"""What the exit codes mean, in the words of the program, its help, its summaries and the README."""

from __future__ import annotations

from collections.abc import Mapping

OK, FAILED, BAD_INPUT, NO_ANSWER, INTERRUPTED = 0, 1, 2, 3, 130

MEANINGS = {
    OK: "all asked for was measured and the run can answer its question",
    FAILED: "something failed or is INVALID",
    BAD_INPUT: "bad input or environment, and nothing was started",
    NO_ANSWER: "all asked for was measured and nothing is INVALID, but the run cannot answer its question",
    INTERRUPTED: "interrupted",
}
GATE_MEANINGS = MEANINGS | {
    OK: "not worse by more than is allowed",
    FAILED: "worse, or something failed or is INVALID",
    NO_ANSWER: "it cannot be told, or is refused",
}


def sentence(meanings: Mapping[int, str] = MEANINGS) -> str:
    """Return 'Exit codes: 0 all asked for was measured ...; 1 ...; ...; 130 interrupted.'"""
    return f"Exit codes: {'; '.join(f'{code} {meaning}' for code, meaning in meanings.items())}."
