"""What is known of the host from its command: guards that are down, weights that mean nothing, guesses at random text."""

from __future__ import annotations

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.argv import flags_of
from benchbook.records.record import Reason

_FLAGS = {"--trust-remote-code": "the model's own code was run"}
_VARIABLES = {
    "VLLM_SERVER_DEV_MODE": "developer endpoints were open",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "pickles were accepted",
}
_SPECULATES = ("speculative_", "spec_")  # how the names of such flags begin


def guards_down(measured: Measured) -> Reason | None:
    """Note each guard which was down on this host: remote code, developer endpoints, pickles over the wire."""
    argv, env = measured.host.argv, measured.host.env
    down = [f"{flag} ({meaning})" for flag, meaning in _FLAGS.items() if flag in argv]
    down += [
        f"{name}={env[name]} ({meaning})" for name, meaning in _VARIABLES.items() if env.get(name, "0") not in ("0", "")
    ]
    return reason("guards_down", "; ".join(down)) if down else None


def random_weights(measured: Measured) -> Reason | None:
    """Note that the model's weights are random."""
    if not measured.host.random_weights:
        return None
    return reason("random_weights", f"model {measured.host.model!r}")


def speculation_unlike_text(measured: Measured) -> Reason | None:
    """Suspect where the engine guesses tokens ahead: how many guesses come true is a matter of the text, which is random."""
    if not measured.row.is_load:
        return None
    flags = flags_of(measured.host.argv)
    given = next((name for name in flags if name.startswith(_SPECULATES)), None)
    if given is None:
        return None
    rate = measured.raw.get("spec_decode_acceptance_rate")
    accepted = "" if rate is None else f"{rate:.0f} % of the guesses came true; "
    return reason("speculation_unlike_text", f"{accepted}--{given.replace('_', '-')} {flags[given]}"[:300])


CHECKS: tuple[Check, ...] = (guards_down, random_weights, speculation_unlike_text)
