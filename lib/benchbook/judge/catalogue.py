"""Every reason code there is: how bad it is, what it means, what to do about it. Tables in README and report read from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchbook.records.record import Reason


@dataclass(frozen=True)
class Code:
    """One reason code."""

    code: str
    severity: Literal["note", "suspect", "invalid"]  # a note leaves the verdict alone
    meaning: str
    remedy: str


CODES = (
    Code(
        "requests_failed",
        "invalid",
        "requests ended with an error; vLLM's averages leave them out",
        "read the errors in raw.json and the server's log",
    ),
    Code(
        "nothing_completed",
        "invalid",
        "no request completed; vLLM writes 0.0 for every latency",
        "send one request with 02_first_request",
    ),
    Code(
        "outputs_short",
        "invalid",
        "answers ended before the asked length: cut streams, which vLLM counts as successes, or an early stop",
        "look for dropped connections; keep ignore_eos",
    ),
    Code(
        "asked_not_counted",
        "invalid",
        "requests or tokens counted differ from those asked for: the number is about other work",
        "compare the benchmark's command in the record with the workload",
    ),
    Code(
        "stream_bunched",
        "suspect",
        "answers reached the client in one heap instead of token by token: TTFT holds the whole answer, TPOT is near 0",
        "give server and client processors of their own; look for other load on the machine",
    ),
    Code(
        "notebook_raised",
        "suspect",
        "the number was saved, then a later cell of the notebook raised",
        "open executed.ipynb; the raw file is whole",
    ),
    Code(
        "guards_down",
        "note",
        "the experiment asked for remote code, developer endpoints or pickled messages: whoever reaches the host may run code",
        "leave them off unless the model needs them",
    ),
    Code(
        "random_weights",
        "note",
        "the model has random weights: speed is that of the pipeline, text means nothing",
        "measure a trained model for claims about one",
    ),
    Code(
        "gpu_throttled",
        "suspect",
        "the GPU lowered its clocks for heat or by a hardware brake while it was measured",
        "look at its cooling and power supply; let it cool and measure again",
    ),
    Code(
        "gpu_shared",
        "suspect",
        "another process computed on the GPU while it was measured",
        "end it, or choose another GPU",
    ),
    Code(
        "gpu_power_capped",
        "note",
        "the GPU was at its power limit and lowered its clocks to stay there: usual under full load",
        "compare only with cards of the same power limit",
    ),
)

BY_CODE = {code.code: code for code in CODES}


def reason(code: str, evidence: str) -> Reason:
    """Return the Reason of a catalogued `code`, with what was seen; an unknown code is a KeyError."""
    return Reason(code=code, severity=BY_CODE[code].severity, evidence=evidence)
