"""Remarks on the host: guards that an experiment took down, weights that mean nothing. Said, not judged."""

from __future__ import annotations

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason

_FLAGS = {"--trust-remote-code": "the model's own code was run"}
_VARIABLES = {
    "VLLM_SERVER_DEV_MODE": "developer endpoints were open",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "pickles were accepted",
}


def guards_down(measured: Measured) -> Reason | None:
    """Note each guard which was down on this host: remote code, developer endpoints, pickles over the wire."""
    argv, env = measured.host.get("argv") or (), measured.host.get("env") or {}
    down = [f"{flag} ({meaning})" for flag, meaning in _FLAGS.items() if flag in argv]
    down += [
        f"{name}={env[name]} ({meaning})" for name, meaning in _VARIABLES.items() if env.get(name, "0") not in ("0", "")
    ]
    return reason("guards_down", "; ".join(down)) if down else None


def random_weights(measured: Measured) -> Reason | None:
    """Note that the model's weights are random."""
    if not measured.host.get("random_weights"):
        return None
    return reason("random_weights", f"model {measured.host.get('model')!r}")


CHECKS: tuple[Check, ...] = (guards_down, random_weights)
