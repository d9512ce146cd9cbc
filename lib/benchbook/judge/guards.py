"""Guards that an experiment took down: remote code, developer endpoints, pickles over the wire. Said, not judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.records.record import Reason

_FLAGS = {"--trust-remote-code": "the model's own code was run"}
_VARIABLES = {
    "VLLM_SERVER_DEV_MODE": "developer endpoints were open",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "pickles were accepted",
}


def guard_reasons(host: Mapping[str, Any]) -> list[Reason]:
    """Return a note that names each guard which was down on this host, nothing when all were up."""
    argv, env = host.get("argv") or (), host.get("env") or {}
    down = [f"{flag} ({meaning})" for flag, meaning in _FLAGS.items() if flag in argv]
    down += [
        f"{name}={env[name]} ({meaning})" for name, meaning in _VARIABLES.items() if env.get(name, "0") not in ("0", "")
    ]
    return [reason("guards_down", "; ".join(down))] if down else []
