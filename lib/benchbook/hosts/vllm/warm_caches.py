"""Which caches were warm when a host started: that of torch.compile by vLLM's log, Triton's by what its folder gained.

Starts with cold caches take up to three times as long as later ones, so a record says which it was.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

WARM, COLD, IN_PART, OFF = "warm", "cold", "in part", "off"
_TAKEN = re.compile(r"Directly load (?:AOT compilation from|the compiled graph\(s\) for|the \d+-th graph for)")
_MADE = re.compile(r"saved AOT compiled function to|Cache the graph (?:of|for) .* for later use")
_OFF = "torch.compile cache is disabled"
_PATH = re.compile(r"(?:Using cache directory:|AOT compilation from path|AOT compiled function to) (/\S+)")
_KERNELS = (".cubin", ".hsaco")  # what Triton compiles for NVIDIA's and AMD's cards


def compile_cache(log_text: str) -> str | None:
    """Return whether compiled code came from vLLM's cache: "warm", "cold", "in part" or "off"; None where none is told.

    A start that compiles nothing, as an eager one, tells of none.
    """
    taken, made = _TAKEN.search(log_text), _MADE.search(log_text)
    if taken or made:
        return IN_PART if taken and made else WARM if taken else COLD
    return OFF if _OFF in log_text else None


def triton_compiled(log_text: str, env: Mapping[str, str], since_epoch_s: float) -> int | None:
    """Return how many kernels Triton has compiled since then, by its caches; None where they hold none.

    0 is a warm cache. `env` is added to this process's environment. What another process compiled meanwhile counts too.
    """
    own = {**os.environ, **env}.get("TRITON_CACHE_DIR") or os.path.expanduser("~/.triton/cache")
    of_vllm = (Path(text).parents[1] for text in _PATH.findall(log_text))  # .../<hash of the launch>/<rank>/...
    files = {file for folder in (Path(own), *of_vllm) for file in folder.rglob("*") if file.suffix in _KERNELS}
    return sum(_written_since(file, since_epoch_s) for file in files) if files else None


def _written_since(file: Path, since_epoch_s: float) -> bool:
    with contextlib.suppress(OSError):  # a cleaner of caches was faster
        return file.stat().st_mtime >= since_epoch_s
    return False
