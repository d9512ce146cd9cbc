"""Which part of a log belongs to what an offline benchmark measured: its warm-up stands before it in the same files.

A loaded engine's own processes write into its log, vLLM's benchmark and an engine in its process into the console text.
"""

from __future__ import annotations

import re

CALL = "engine worker: generates"  # a line of the engine's log, each time the benchmark asks for tokens
# The bars with which vLLM begins measured iterations, and each lot of prompts, of which the warm-up's comes first.
_BEGINS = re.compile(r"(?:Bench iterations|Rendering prompts|Adding requests):\s+0%\|")


def of_engine_log(text: str, num_measured: int) -> str | None:
    """Return what stands after the first of the last `num_measured` calls; None where there were fewer."""
    parts = text.rsplit(f"{CALL}\n", num_measured)
    return "".join(parts[1:]) if len(parts) > num_measured else None


def of_console(text: str) -> str | None:
    """Return what stands after the beginning of the last bar that begins a measurement; None where there is none."""
    begins = list(_BEGINS.finditer(text))
    return text[begins[-1].end() :] if begins else None
