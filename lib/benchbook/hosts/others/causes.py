"""Why a server of any engine failed, by words that Python, PyTorch, CUDA and the common parsers of flags have in common."""

from __future__ import annotations

import re
import signal

from benchbook.hosts.face import Causes
from benchbook.terms.errors import Cause

MAX_EVIDENCE_CHARACTERS = 500
# (code, hint, the words of a line): the first that is found in any line wins.
_RULES = (
    (
        "unknown_flag",
        "leave the arg out, or write it as this engine does",
        r"unrecognized arguments: |[Nn]o such option: |error: invalid argument: |unknown argument: |unexpected argument ",
    ),
    (
        "bad_argument",
        "the line says which value the engine refuses, and why",
        r"error: argument \S+: |Invalid value for |expected value for argument|error while handling argument",
    ),
    ("port_taken", "end who holds the port", r"[Aa]ddress already in use|EADDRINUSE|couldn't bind|[Ff]ailed to bind"),
    (
        "out_of_memory",
        "give it less to hold, or end what else uses the memory",
        r"(?:CUDA|HIP|error:) out of memory|OutOfMemoryError|[Cc]an(?:'t|not) allocate memory|^MemoryError"
        r"|[Nn]ot enough memory|failed to allocate (?:buffer|CUDA)|cudaMalloc failed",
    ),
    ("disk_full", "free disk space", "No space left on device"),
    (
        "model_not_found",
        "check the spelling and the network, or give a local folder",
        r"Repository Not Found|is not a valid model identifier|Cannot find any model weights|failed to load model"
        r"|error loading model|does not appear to have a file named|LocalEntryNotFoundError|OfflineModeIsEnabled",
    ),
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Died|Failed)\b")


def ended(log_text: str, exit_code: int | None) -> Cause:
    """Return why a server ended with `exit_code` (negative: a signal), after what it said in `log_text`."""
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    for code, hint, words in _RULES:
        if found := next((line for line in lines if re.search(words, line)), None):
            return Cause(code, found[:MAX_EVIDENCE_CHARACTERS], hint)
    if exit_code is not None and exit_code < 0:
        number = -exit_code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return Cause("killed_by_signal", f"the host was ended by {name}", "see who sent it")
    last = lines[-1] if lines else "it wrote nothing"
    told = next((line for line in reversed(lines) if _EXCEPTION.match(line)), last)
    return Cause("crashed", told[:MAX_EVIDENCE_CHARACTERS], "read the end of the log")


def unhealthy(log_text: str, evidence: str) -> Cause:
    """Return why a server whose process still runs is not healthy; `evidence` is what was seen from outside."""
    cause = ended(log_text, None)
    if cause.code != "crashed" or any(map(_EXCEPTION.match, log_text.splitlines())):
        return cause
    return Cause("hung", evidence, "the end of the server's log shows what it did last")


def late(log_text: str, limit_s: float) -> Cause:
    """Return why a server is late that neither died nor became healthy within `limit_s`."""
    return unhealthy(log_text, f"no healthy answer within {limit_s:g} s")


CAUSES = Causes(ended=ended, unhealthy=unhealthy, late=late)
