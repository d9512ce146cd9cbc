"""What was sent: the frozen requests, at the recorded times, with its whole history, and with the beginnings that a cache was to find?"""

from __future__ import annotations

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason

MAX_LATE_MS = 20.0
HIT_SLACK = 0.02  # of the prompt tokens looked up


def other_requests_sent(measured: Measured) -> Reason | None:
    """Invalid when the client read other requests than those of the frozen set that it was to send."""
    sent, asked = measured.conditions.sent.sha256, measured.request_set_sha256
    if sent is None or asked is None or sent == asked:
        return None
    return reason(
        "other_requests_sent", f"sha256 of what the client sent {sent[:12]}, of the frozen requests {asked[:12]}"
    )


def arrivals_late(measured: Measured) -> Reason | None:
    """Suspect when requests left the client later than at the times that were recorded."""
    late_ms = measured.conditions.sent.late_p99_ms
    if late_ms is None or late_ms <= MAX_LATE_MS:
        return None
    held = f"; {measured.cap} may be in flight, the others wait" if measured.cap else ""
    return reason("arrivals_late", f"p99 of sent against due is {late_ms:.1f} ms{held}")


def history_cut(measured: Measured) -> Reason | None:
    """Suspect when turns of conversations were sent without what was said first."""
    cut = measured.conditions.sent.histories_cut
    if not cut:
        return None
    turns = "a turn was" if cut == 1 else f"{cut} turns were"
    return reason("history_cut", f"{turns} sent without the beginning of the conversation, which no longer fitted")


def prefix_hits_differ(measured: Measured) -> Reason | None:
    """Suspect when the server found more, or less, of the prompts in its prefix cache than was designed to be there."""
    sent, counters = measured.conditions.sent, measured.host.counters
    queries, hits = counters.get("prefix_cache_queries"), counters.get("prefix_cache_hits")
    least, most = sent.least_cached_tokens, sent.most_cached_tokens
    if not queries or hits is None or least is None or not most:
        return None
    slack = HIT_SLACK * queries
    if least - slack <= hits <= most + slack:
        return None
    designed = f"{least / queries:.1%}" if least == most else f"{least / queries:.1%} to {most / queries:.1%}"
    return reason(
        "prefix_hits_differ",
        f"{hits:,.0f} of {queries:,.0f} prompt tokens ({hits / queries:.1%}) came from the prefix cache, {designed} were "
        "to come from there by design",
    )


def template_tokens(measured: Measured) -> Reason | None:
    """Note what a template, or a tokenizer that is not the client's, adds to the tokens that were sent."""
    sent, counted = measured.conditions.sent.sent_tokens, measured.conditions.sent.counted_tokens
    completed = measured.count("completed")
    if not sent or not counted or counted <= sent or measured.asked.input_tokens is not None or not completed:
        return None
    each = (counted - sent) / completed
    return reason(
        "template_tokens",
        f"the server counted {counted:,} prompt tokens where {sent:,} were sent: {each:.1f} more a request, "
        f"{(counted - sent) / counted:.1%} of all",
    )


CHECKS: tuple[Check, ...] = (other_requests_sent, template_tokens, arrivals_late, history_cut, prefix_hits_differ)
