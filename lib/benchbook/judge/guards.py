"""What is known of the host from its command: guards that are down, weights that mean nothing, guesses at random text."""

from __future__ import annotations

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason
from benchbook.records.settings import settings_of


def guards_down(measured: Measured) -> Reason | None:
    """Note each guard which was down on this host: remote code, developer endpoints, pickles over the wire."""
    down = [f"{name} ({meaning})" for name, meaning in settings_of(measured.host).guards_down.items()]
    return reason("guards_down", "; ".join(down)) if down else None


def random_weights(measured: Measured) -> Reason | None:
    """Note that the model's weights are random."""
    if not measured.host.random_weights:
        return None
    return reason("random_weights", f"model {measured.host.model!r}")


def speculation_unlike_text(measured: Measured) -> Reason | None:
    """Suspect where the engine guesses ahead of random tokens: how many guesses come true is a matter of the text."""
    if not measured.row.is_load or measured.asked.made_of != "random tokens":
        return None
    given = settings_of(measured.host).speculation
    if not given:
        return None
    rate = measured.raw.get("spec_decode_acceptance_rate")
    accepted = "" if rate is None else f"{rate:.0f} % of the guesses came true; "
    return reason("speculation_unlike_text", f"{accepted}{given}"[:300])


CHECKS: tuple[Check, ...] = (guards_down, random_weights, speculation_unlike_text)
