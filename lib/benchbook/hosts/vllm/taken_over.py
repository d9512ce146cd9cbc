"""What a start took over from an earlier one in place of making it anew, and whether it is proven here to give the same numbers.

vLLM has two such ways, both on GPUs: weights that `vllm preload` holds in their memory (load_format: ipc_cache), and the
size of the KV cache as an earlier start measured it (VLLM_ENABLE_STARTUP_PLAN). A fresh start draws anew where weights lie
and how much memory is free; these do not. A proof is of one version of vLLM on one device, and lies with what can be made
again: `lib/proofs/cheaper_starts.py` measures it.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchbook.hosts.machine.facts import device
from benchbook.hosts.process.caches import cache_dir, remember, remembered

_SAID = {
    "ipc_cache": re.compile(r"Mapped \d+ tensors from the weight cache daemon"),
    "startup_plan": re.compile(r"Applying persisted startup plan"),
}


def taken_over(log_text: str) -> str | None:
    """Return by which ways a start took something over, 'ipc_cache, startup_plan'; None where it made all anew."""
    return ", ".join(way for way, said in _SAID.items() if said.search(log_text)) or None


def proof_of(ways: str, version: str | None) -> str | None:
    """Return what was proven of such starts of this version on this device: 'within 1.2 % …'; None where nothing was."""
    return (remembered(_file()) or {}).get(_key(ways, version))


def note_proof(ways: str, version: str | None, proof: str) -> bool:
    """Keep a proof for the starts that come, and return whether that could be done."""
    return remember(_file(), {**(remembered(_file()) or {}), _key(ways, version): proof})


def _file() -> Path:
    return cache_dir() / "equal_starts.json"


def _key(ways: str, version: str | None) -> str:
    return f"{ways} | vLLM {version} | {device()}"
