"""Why a host failed, from its log and its exit code: a closed set of codes, each with the log's own line and a hint.

Codes: those of RULES; killed_by_signal; hung (no healthy answer within the limit); stalled (no token moves, watch.py);
crashed (anything else); device_busy (gpu.py); not_vllm, wrong_key, wrong_model, wrong_version
(served.py, attached.py).
The wordings are those of vLLM 0.26 to 0.32, torch, transformers and huggingface_hub; tests hold real lines.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchbook.hosts.machine import shared_memory
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.flags import nearest_flag
from benchbook.terms.errors import Cause

MAX_EVIDENCE_CHARACTERS = 500


@dataclass(frozen=True)
class Rule:
    """A cause and the words that give it away: any of `patterns` in any line of the log."""

    code: str
    hint: str
    patterns: tuple[str, ...]

    def matches(self, line: str) -> bool:
        """Return whether `line` gives this cause away."""
        return any(re.search(pattern, line) for pattern in self.patterns)


# The first rule that matches any line wins: the specific ones stand before the general ones.
RULES = (
    Rule("unknown_flag", "leave the flag out", ("unrecognized arguments: ", "ambiguous option: ")),
    Rule(
        "model_gated",
        "ask for access on the model's page and set HF_TOKEN in the environment",
        ("gated repo", "is a gated repository"),
    ),
    Rule(
        "port_taken",
        "end who holds the port",
        ("[Aa]ddress already in use", "EADDRINUSE", "error while attempting to bind on address"),
    ),
    Rule(
        "driver_mismatch",
        "use the vLLM build for this machine's driver: see environment/README.md",
        (
            "driver on your system is too old", "driver version is insufficient", "no kernel image is available",
            "forward compatibility was attempted", "Found no NVIDIA driver", "Driver/library version mismatch",
            r"lib(?:cuda|cudart|amdhip64|hsa-runtime64)\S*: cannot open", "Failed to infer device type",
            "No (?:HIP|CUDA) GPUs are available", "no (?:CUDA|ROCm)-capable device",
            "HIP error: invalid device function", "CUDA error: (?:unknown error|initialization error)",
        ),
    ),
    Rule(
        "out_of_memory",
        "lower gpu_memory_utilization, max_model_len or VLLM_CPU_KVCACHE_SPACE, or end what else uses the memory",
        (
            "(?:CUDA|HIP|error:) out of memory", "OutOfMemoryError", "No available memory for the cache blocks",
            "larger than the available KV cache memory", r"on startup\.? (?:is less than|Desired GPU memory)",
            "allocation is less than requested memory for kv", "can't allocate memory", "Cannot allocate memory",
            "^MemoryError",
        ),
    ),
    Rule("disk_full", "free disk space", ("No space left on device",)),
    Rule(
        "unsupported_dtype_or_quantization",
        "choose a dtype or quantization that this model and this device support",
        (
            "Unknown (?:dtype|quantization method)", "is not supported for quantization method",
            "quantization method .* is not supported", "Quantization method .* does not match",
            "argument --(?:dtype|quantization|kv-cache-dtype).*: invalid choice", "dtype .* is not supported",
            "only supported on GPUs with compute capability", "does not support the deployment configuration",
        ),
    ),
    Rule(
        "bad_argument",
        "the line says which value vLLM refuses, and why",
        (r"error: argument \S+: ", r"\d+ validation errors? for \w+"),
    ),
    Rule(
        "unsupported_model",
        "this vLLM does not know the model's architecture",
        ("Model architectures .* (?:are not supported|failed to be inspected)",),
    ),
    Rule(
        "model_not_found",
        "check the spelling and the network, or give a local folder",
        (
            "Repository Not Found", "RepositoryNotFoundError", "RevisionNotFoundError",
            "is not a valid model identifier", "Invalid repository ID or local directory",
            "Cannot find any model weights", "does not appear to have a file named",
        ),
    ),
    Rule(
        "model_not_found",
        "it is not in the cache, and the hub is off or out of reach: fetch it first, where there is a network, with "
        "hf download",
        ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "We couldn't connect to '.*' to load the files"),
    ),
)  # fmt: skip

_PREFIX = re.compile(
    r"^(?:\([\w-]+ pid=\d+\) )?(?:(INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)?"
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Died|Failed)\b")
# Said by the parents of the process that failed; the reason stands further up.
_SECOND_HAND = re.compile(r"See root cause above|See stack trace|background process")
_PART_KILLED = re.compile(r"Worker proc \S+ died unexpectedly \(exit code: -(\d+)\)|Failed core proc\(s\): .*?: -(\d+)")


def classify(log_text: str, exit_code: int | None, python: Python = HERE) -> Cause:
    """Return why a host of `python` ended with `exit_code` (negative: a signal), after what it said in `log_text`."""
    lines = _telling_lines(log_text)
    return _by_rule(lines, python) or _by_signal(lines, exit_code) or _crashed(lines, log_text)


def classify_unhealthy(log_text: str, evidence: str, python: Python = HERE) -> Cause:
    """Return why a host whose process still runs is not healthy; `evidence` is what was seen from outside."""
    cause = classify(log_text, None, python)
    if cause.code == "crashed" and not any(_exceptions(_telling_lines(log_text))):
        return Cause("hung", evidence, "the end of the server's log shows what it did last")
    return cause


def hung(log_text: str, limit_s: float, python: Python = HERE) -> Cause:
    """Return why a host is late that neither died nor became healthy within `limit_s`: the log's reason, or "hung"."""
    return classify_unhealthy(log_text, f"no healthy answer within {limit_s:g} s", python)


def _telling_lines(log_text: str) -> list[str]:
    """Return the lines that can tell of a failure, without vLLM's prefixes.

    Left out: news and warnings, which survivors write too, and the code that tracebacks quote (indented by four).
    """
    found = ((_PREFIX.match(line), line) for line in log_text.splitlines())
    lines = [line[prefix.end() :].rstrip() for prefix, line in found if prefix[1] not in ("INFO", "WARNING")]
    return [line for line in lines if line and not line.startswith("    ")]


def _by_rule(lines: list[str], python: Python) -> Cause | None:
    for rule in RULES:
        for number, line in enumerate(lines):
            if rule.matches(line):
                # A validation error is a headline; the reason is the next line.
                told = " ".join(lines[number : number + 2]) if "validation error" in line else line
                return Cause(rule.code, _shortened(told), _flag_hint(line, python) or rule.hint)
    return None


def _flag_hint(line: str, python: Python) -> str | None:
    found = re.search(r"unrecognized arguments: (--[\w-]+)", line)
    nearest = nearest_flag(found[1], python) if found else None
    return f"did you mean {nearest}?" if nearest else None


def _by_signal(lines: list[str], exit_code: int | None) -> Cause | None:
    if exit_code is not None and exit_code < 0:
        return _killed(-exit_code, "the host")
    killed = next((found for line in lines if (found := _PART_KILLED.search(line))), None)
    return _killed(int(killed[1] or killed[2]), "a worker of the host") if killed else None


def _killed(signum: int, who: str) -> Cause:
    name = signal.Signals(signum).name if signum in set(signal.Signals) else f"signal {signum}"
    hints = {
        "SIGKILL": "if nobody sent it: the kernel's log (dmesg) tells of its out-of-memory killer",
        "SIGBUS": "memory that its processes share found no room in /dev/shm: " + shared_memory.HOW,
    }
    return Cause("killed_by_signal", f"{who} was ended by {name}", hints.get(name, "see who sent it"))


def _crashed(lines: list[str], log_text: str) -> Cause:
    last_line = next((line for line in reversed(log_text.splitlines()) if line.strip()), "it wrote nothing")
    return Cause("crashed", _shortened(next(_exceptions(reversed(lines)), last_line)), "read the end of the log")


def _exceptions(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if _EXCEPTION.match(line) and not _SECOND_HAND.search(line))


def _shortened(line: str) -> str:
    line = line.strip()
    return line if len(line) <= MAX_EVIDENCE_CHARACTERS else line[:MAX_EVIDENCE_CHARACTERS] + " ..."
