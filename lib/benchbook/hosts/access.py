"""Who may use a server that we start."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping

from benchbook.errors import ExperimentError
from benchbook.hosts.ports import is_loopback

OPEN_WITHOUT_KEY = "/health, /metrics, /version, /tokenize and /detokenize"
DEV_MODE = "VLLM_SERVER_DEV_MODE"


def api_key_for(host: str, env: Mapping[str, str]) -> str:
    """Return the key of a launch on address `host`: a random one on loopback, elsewhere the user's own VLLM_API_KEY.

    Raises ExperimentError where others can reach the address and there is no key, or `env` asks for dev mode.
    """
    if is_loopback(host):
        return secrets.token_urlsafe(24)
    if env.get(DEV_MODE, "0") != "0":
        raise ExperimentError(
            f"host {host!r} can be reached by others, and {DEV_MODE} opens endpoints that no key guards"
        )
    key = os.environ.get("VLLM_API_KEY")
    if not key:
        raise ExperimentError(
            f"host {host!r} can be reached by others: set VLLM_API_KEY in the environment first; "
            f"even then {OPEN_WITHOUT_KEY} stay open without a key"
        )
    warnings.warn(f"host {host!r}: others can reach {OPEN_WITHOUT_KEY} without the key", stacklevel=3)
    return key
