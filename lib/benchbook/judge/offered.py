"""Load: was the server under the load that was asked for, long enough, and do rate, latency and duration agree?"""

from __future__ import annotations

import math
import statistics

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason

DURATION_SLACK, DURATION_SLACK_S = 0.10, 0.1  # the client's own work before the first send and after the last chunk
CAP_SLACK = 0.05
MIN_CONCURRENCY = 0.75  # of the nominal one
RATE_SLACK, SLACK_REQUESTS = 0.02, 2.0  # of the rate, and of the number sent
CHANCE_DEVIATIONS = 3.0  # of the time in which a ramp is sent, which vLLM leaves to chance
MAX_QUEUE_SHARE = 0.10  # of the mean latency
MIN_LATENCIES = 5.0  # in one window
MIN_LATENCIES_ALONE = 3.0  # one in flight: nothing fills and nothing drains, each request is a measurement of its own
MAX_DRAIN_SHARE = 1 / 3
BURST_RATIO = 2.0
_ROUNDING = 1e-9


def littles_law(measured: Measured) -> Reason | None:
    """Invalid when L = rate x latency does not hold against the concurrency allowed or the requests' own times.

    Little (1961): the mean number in flight equals arrival rate times mean time in the system, whatever the traffic.
    """
    rate, e2el_ms = measured.answered_rps, measured.value("mean_e2el_ms")
    if not measured.is_of_requests or not rate or not e2el_ms or measured.value("failed"):
        return None
    in_flight, cap = rate * e2el_ms / 1000, measured.cap
    if cap and in_flight > cap * (1 + CAP_SLACK):
        return reason(
            "littles_law",
            f"{rate:.2f} req/s × {e2el_ms:.1f} ms are {in_flight:.2f} requests in flight, {cap} were allowed",
        )
    duration_s, window_s = measured.value("duration_s"), measured.window_s
    if not duration_s or not window_s:
        return None
    apart_s = duration_s - window_s
    # In an open loop the duration also holds the wait before the first arrival.
    is_apart = apart_s > 0 and not measured.rate_rps or apart_s < 0
    if not is_apart or abs(apart_s) <= DURATION_SLACK * duration_s + DURATION_SLACK_S:
        return None
    return reason(
        "littles_law",
        f"rate × latency is {in_flight:.2f} in flight over {duration_s:.2f} s, the requests' own times give "
        f"{measured.mean_in_flight:.2f} over {window_s:.2f} s",
    )


def concurrency_not_reached(measured: Measured) -> Reason | None:
    """Suspect when a closed loop held fewer requests in flight, on average over its window, than it was to hold.

    Of conversations it is to hold so many, which are there while their users think as well.
    """
    if not measured.is_closed_loop or not measured.window_s:
        return None
    cap, talks = measured.cap, measured.conditions.sent.conversations_at_once
    held, what = (
        (measured.mean_in_flight, "requests in flight") if talks is None else (talks, "conversations under way")
    )
    if held >= MIN_CONCURRENCY * cap:
        return None
    return reason("concurrency_not_reached", f"{held:.2f} {what} on average, {cap} asked for")


def rate_not_reached(measured: Measured) -> Reason | None:
    """Suspect when requests left the client more slowly than the rate asked for.

    vLLM scales its random arrivals so that n requests take n / rate: chance excuses the wait for the first alone. Those
    of a ramp it does not scale. Turns of conversations follow answers, whatever the rate.
    """
    asked, answers = measured.rate_rps, measured.answers
    if not measured.raw and asked:
        return _rate_told_below(measured, asked)
    if not asked or len(answers) < 3 or measured.asked.in_turns:
        return None
    spent_s = answers[-1].start_s - answers[0].start_s
    sent = (len(answers) - 1) / spent_s if spent_s > 0 else math.inf
    by_chance = CHANCE_DEVIATIONS * measured.arrival_spread if measured.load.ramp else 0.0
    if sent >= asked * (1 - RATE_SLACK - SLACK_REQUESTS / len(answers)) / (1 + by_chance):
        return None
    return reason("rate_not_reached", f"{sent:.2f} requests a second were sent, {asked:.4g} asked for")


def _rate_told_below(measured: Measured, asked_rps: float) -> Reason | None:
    """Suspect, of figures alone, what the client says of its sending, if it does."""
    sent_rps = measured.conditions.sent.rate_rps
    requests = measured.asked.requests or measured.value("completed") or SLACK_REQUESTS
    by_chance = CHANCE_DEVIATIONS * measured.arrival_spread  # nobody knows whether arrivals are scaled to the rate
    if sent_rps is None or sent_rps >= asked_rps * (1 - RATE_SLACK - SLACK_REQUESTS / requests) / (1 + by_chance):
        return None
    return reason(
        "rate_not_reached", f"{sent_rps:.4g} requests a second were sent, as the client says, {asked_rps:.4g} asked for"
    )


def client_queue_dominates(measured: Measured) -> Reason | None:
    """Suspect when requests of an open loop waited in the client for a free place: no latency holds that wait.

    Turns of conversations wait for the answer before them, as they are meant to.
    """
    if not measured.rate_rps or not measured.answers or measured.asked.in_turns:
        return None
    queue_s = statistics.fmean(answer.queue_s for answer in measured.answers)
    latency_s = statistics.fmean(answer.latency_s for answer in measured.answers)
    if queue_s <= MAX_QUEUE_SHARE * latency_s:
        return None
    return reason(
        "client_queue_dominates",
        f"requests waited {queue_s * 1000:.1f} ms in the client on average, their latency is {latency_s * 1000:.1f} ms",
    )


def too_short(measured: Measured) -> Reason | None:
    """Suspect when the window holds only a few request latencies: most of it is filling and draining.

    Where all requests are sent at once that is what was asked for.
    """
    duration_s, e2el_ms = measured.value("duration_s"), measured.mean_e2el_ms
    is_wave = measured.load is not None and measured.load.is_at_once
    if not measured.is_of_requests or is_wave or not duration_s or not e2el_ms:
        return None
    latencies = duration_s * 1000 / e2el_ms
    needed = MIN_LATENCIES_ALONE if measured.cap == 1 else MIN_LATENCIES
    # Exactly as many waves of equal requests are enough.
    if latencies >= needed * (1 - 0.01):
        return None
    how = f"{e2el_ms:.1f} ms" if measured.value("mean_e2el_ms") else f"{e2el_ms:.0f} ms by TTFT and TPOT"
    return reason("too_short", f"{duration_s:.2f} s are {latencies:.1f} times the mean latency of a request ({how})")


def drain_dominates(measured: Measured) -> Reason | None:
    """Suspect when a large part of a closed loop's window passed after its last send, though the window was long."""
    if not measured.is_closed_loop or not measured.window_s or too_short(measured):
        return None
    last_send_s = measured.answers[-1].start_s - measured.answers[0].start_s
    drain = 1 - last_send_s / measured.window_s
    if drain <= MAX_DRAIN_SHARE + _ROUNDING:
        return None
    return reason(
        "drain_dominates",
        f"{drain:.0%} of the window of {measured.window_s:.2f} s passed after the last request was sent",
    )


def start_burst(measured: Measured) -> Reason | None:
    """Note that the tail of TTFT is the first wave: a closed loop sends it all at once, and never again does so."""
    cap = measured.cap or 0
    if not measured.is_closed_loop or cap < 2 or len(measured.answers) < 2 * cap:
        return None
    ttfts_s = [answer.ttft_s for answer in measured.answers]
    first, later = statistics.median(ttfts_s[:cap]), statistics.median(ttfts_s[cap:])
    if max(ttfts_s[:cap]) < max(ttfts_s) or first <= BURST_RATIO * later:
        return None
    return reason(
        "start_burst",
        f"the first {cap} requests waited {first * 1000:.1f} ms for their first token (median), the later ones "
        f"{later * 1000:.1f} ms; the slowest of all is among the first",
    )


CHECKS: tuple[Check, ...] = (
    littles_law,
    concurrency_not_reached,
    rate_not_reached,
    client_queue_dominates,
    too_short,
    drain_dominates,
    start_burst,
)
