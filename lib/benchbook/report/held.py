"""Which rates of an open loop a server holds: it answers as fast as it is asked, or it falls behind.

vLLM scales the gaps so that all requests arrive in (number / rate) seconds, and the last one is then still on its way:
a short measurement answers fewer a second than arrive however fast the server is. So a rate counts as reached where
90 % of the requests were answered in the time of their arrival and one latency more, that of the least rate tried.

A server that is slower under load, but no slower at the end than at the beginning, does not fall behind either. Where a
queue grows, each request waits longer than the one before: the last one waits twice the mean. So what comes after the
last arrival must also be more than one and a half of the rate's own mean latency.
"""

from __future__ import annotations

from benchbook.report.lines import REQUEST_THROUGHPUT, Line

MIN_REACHED = 0.90
MIN_DRAIN = 1.5  # of the mean latency; 1 in a steady state, 2 where all of the latency is a queue that grows
_E2EL = "mean_e2el_ms"
_MS_PER_S = 1000.0


def first_unreached(line: Line) -> float | None:
    """Return the least rate (req/s) of an open loop at which the server falls behind; None where it keeps up."""
    answered, completed, latencies_ms = (line.means(key) for key in (REQUEST_THROUGHPUT, "completed", _E2EL))
    if not latencies_ms:
        return None
    least_s = latencies_ms[min(latencies_ms)] / _MS_PER_S
    for rate, answered_rps in answered.items():
        arrival_s = completed[rate] / rate
        drain_s = completed[rate] / answered_rps - arrival_s
        is_late = answered_rps * (arrival_s + least_s) < MIN_REACHED * completed[rate]
        if is_late and drain_s > MIN_DRAIN * latencies_ms[rate] / _MS_PER_S:
            return rate
    return None


def held_to(line: Line) -> float | None:
    """Return the highest rate (req/s) below the first that is not reached; None where even the least is not."""
    lost = first_unreached(line)
    held = [rate for rate in line.means(REQUEST_THROUGHPUT) if lost is None or rate < lost]
    return max(held, default=None)
