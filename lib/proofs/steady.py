"""How often a steady server is called unsteady, and an unsteady one steady: simulated runs, judged. Prints JSON.

    python lib/proofs/steady.py                 # 500 runs of each kind
    python lib/proofs/steady.py --runs 2000 --seed 1

No number in these runs was measured: an engine of continuous batching is simulated step by step (each step decodes one
token of every running request, and prefills others within a budget of tokens), behind arrivals as vLLM's client draws
them: gamma gaps, scaled so that n requests take n / rate. Rates come with exact binomial 95 % intervals. Exits with 1
where more than 1 % of the runs of a steady server, or fewer than 90 % of those of another one, are suspect of it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchbook.judge import course, stalls, steady
from benchbook.judge.evidence import Check, Measured
from benchbook.records.described import described
from benchbook.terms.metrics import values_from_raw
from scipy.stats import binomtest

INPUT, OUTPUT = 128, 64  # tokens
MOST_ACCUSED, LEAST_FOUND = 0.01, 0.90


@dataclass(frozen=True)
class Engine:
    """A server that batches continuously; seconds. At most `seats` requests run, each step takes `budget` tokens."""

    step_s: float = 0.008
    sequence_s: float = 0.0005  # more for each running request
    prefill_s: float = 0.00002  # more for each prompt token
    seats: int = 256
    budget: int = 2048
    noise: float = 0.10  # of one step, lognormal
    slowness: Callable[[float], float] = lambda share: 1.0  # by the share of requests already sent
    freeze: tuple[float, float] | None = None  # (share of requests sent when it begins, seconds)

    def capacity_rps(self) -> float:
        """Return the requests a second that it can answer while nothing slows it."""
        a_step_s = self.step_s + self.seats * self.sequence_s
        return 1 / (OUTPUT * a_step_s / self.seats + INPUT * self.prefill_s)


def arrivals(count: int, rate_rps: float, burstiness: float, draw: random.Random) -> list[float]:
    """Return the times (s) at which vLLM's client sends `count` requests."""
    times_s, at_s = [], 0.0
    for _ in range(count):
        at_s += draw.gammavariate(burstiness, 1 / burstiness)
        times_s.append(at_s)
    return [time_s * count / rate_rps / at_s for time_s in times_s]


def run(
    engine: Engine,
    count: int,
    draw: random.Random,
    *,
    rate_rps: float | None = None,
    cap: int | None = None,
    burstiness: float = 1.0,
) -> Measured:
    """Return the measurement of an open loop (`rate_rps`) or of a closed one (`cap`) of `count` requests."""
    due = deque(arrivals(count, rate_rps, burstiness, draw) if rate_rps else [0.0] * (cap or count))
    unsent, waiting, running = count - len(due), deque[dict[str, Any]](), list[dict[str, Any]]()
    requests: list[dict[str, Any]] = []
    now_s, is_frozen = 0.0, False
    while due or waiting or running:
        if not waiting and not running:
            now_s = max(now_s, due[0])
        while due and due[0] <= now_s:
            requests.append({"start": due.popleft(), "prefill": INPUT, "tokens": []})
            waiting.append(requests[-1])
        while waiting and len(running) < engine.seats:
            running.append(waiting.popleft())
        sent = len(requests) / count
        left, stepping, took = engine.budget, [], 0
        for request in running:
            share = min(left, request["prefill"] or 1)
            left -= share
            took += share if request["prefill"] else 0
            request["prefill"] -= share if request["prefill"] else 0
            if share and not request["prefill"]:
                stepping.append(request)
        usual_s = engine.step_s + engine.sequence_s * len(running) + engine.prefill_s * took
        now_s += usual_s * draw.lognormvariate(0, engine.noise) * engine.slowness(sent)
        if engine.freeze and not is_frozen and sent >= engine.freeze[0]:
            now_s, is_frozen = now_s + engine.freeze[1], True
        for request in stepping:
            request["tokens"].append(now_s)
            if len(request["tokens"]) == OUTPUT and unsent and not rate_rps:
                due.append(now_s)
                unsent -= 1
        running = [request for request in running if len(request["tokens"]) < OUTPUT]
    return _measured(requests, count, rate_rps, cap, burstiness)


def _measured(
    requests: Sequence[dict[str, Any]], count: int, rate_rps: float | None, cap: int | None, burstiness: float
) -> Measured:
    raw = {
        "start_times": [request["start"] for request in requests],
        "ttfts": [request["tokens"][0] - request["start"] for request in requests],
        "itls": [[b - a for a, b in zip(request["tokens"], request["tokens"][1:])] for request in requests],
        "latencies": [request["tokens"][-1] - request["start"] for request in requests],
        "input_lens": [INPUT] * count,
        "output_lens": [OUTPUT] * count,
        "errors": [""] * count,
        "completed": count,
        "failed": 0,
        "duration": max(request["tokens"][-1] for request in requests),
        "total_input_tokens": count * INPUT,
        "total_output_tokens": count * OUTPUT,
    }
    raw["request_throughput"] = count / raw["duration"]
    raw["mean_e2el_ms"] = 1000 * sum(raw["latencies"]) / count
    asked = {
        "input_len_tokens": INPUT,
        "output_len_tokens": OUTPUT,
        "num_prompts": count,
        "max_concurrency": cap,
        "request_rate_rps": rate_rps,
        "burstiness": burstiness,
        "range_ratio": 0.0,
    }
    told = described("serve", asked)
    return Measured("serve", asked, values_from_raw("serve", raw), raw, asked=told.asked, load=told.load)


@dataclass(frozen=True)
class Kind:
    """Runs of one kind; `check` is to find them, None where none of the checks is to."""

    engine: Engine
    count: int
    check: Check | None = None
    share: float | None = None  # of the capacity: an open loop
    cap: int | None = None
    burstiness: float = 1.0

    def run(self, draw: random.Random) -> Measured:
        """Return one run."""
        rate_rps = self.share * self.engine.capacity_rps() if self.share else None
        return run(self.engine, self.count, draw, rate_rps=rate_rps, cap=self.cap, burstiness=self.burstiness)


def _half_as_fast(share: float) -> float:
    return 2.0 if share > 0.5 else 1.0


def _slightly_slower(share: float) -> float:
    return 1.06 if share > 0.5 else 1.0


SMALL, LARGE = Engine(seats=16), Engine(seats=256)
KINDS = {
    "open loop, half of the capacity, 100 requests": Kind(SMALL, 100, share=0.5),
    "open loop, 80 % of it, 300 requests": Kind(SMALL, 300, share=0.8),
    "open loop, 80 % of it, 300 requests in bursts": Kind(SMALL, 300, share=0.8, burstiness=0.25),
    "open loop, 90 % of it, 300 requests": Kind(SMALL, 300, share=0.9),
    "open loop, 95 % of it, 600 requests": Kind(SMALL, 600, share=0.95),
    "open loop, half of 256 seats, 300 requests": Kind(LARGE, 300, share=0.5),
    "closed loop, 1 in flight": Kind(LARGE, 10, cap=1),
    "closed loop, 8 in flight": Kind(LARGE, 80, cap=8),
    "closed loop, 64 in flight": Kind(LARGE, 640, cap=64),
    "110 % of the capacity, 600 requests": Kind(SMALL, 600, steady.overloaded, share=1.1),
    "120 % of it, 300 requests": Kind(SMALL, 300, steady.overloaded, share=1.2),
    "120 % of it, 600 requests": Kind(SMALL, 600, steady.overloaded, share=1.2),
    "150 % of it, 200 requests": Kind(SMALL, 200, steady.overloaded, share=1.5),
    "half as fast from half on, closed loop": Kind(
        replace(LARGE, slowness=_half_as_fast), 80, steady.speed_shifted, cap=8
    ),
    "half as fast from half on, open loop": Kind(
        replace(SMALL, slowness=_half_as_fast), 300, steady.speed_shifted, share=0.3
    ),
    "6 % slower from half on, closed loop, steps alike to 1 %": Kind(
        replace(LARGE, slowness=_slightly_slower, noise=0.01), 80, course.pace_shifted, cap=8
    ),
    "frozen for 2 s, closed loop": Kind(replace(LARGE, freeze=(0.6, 2.0)), 640, stalls.server_stalled, cap=64),
    "frozen for 2 s, open loop": Kind(replace(SMALL, freeze=(0.6, 2.0)), 300, stalls.server_stalled, share=0.5),
}


def is_suspect(kind: Kind, measured: Measured) -> bool:
    """Return whether the check of `kind` finds `measured`, or of a steady server any does."""
    every = [steady.overloaded, steady.speed_shifted, stalls.server_stalled, course.pace_shifted]
    return any(check(measured) for check in ([kind.check] if kind.check else every))


def rates(runs: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {kind: {'suspect', 'of', 'rate', 'low', 'high', 'holds'}} of `runs` runs each."""
    found = {}
    for name, kind in KINDS.items():
        draw = random.Random(f"{name} {seed}")
        suspect = sum(is_suspect(kind, kind.run(draw)) for _ in range(runs))
        interval = binomtest(suspect, runs).proportion_ci(0.95, "exact")
        holds = interval.high >= LEAST_FOUND if kind.check else interval.low <= MOST_ACCUSED
        rate = {"rate": suspect / runs, "low": interval.low, "high": interval.high}
        found[name] = {"suspect": suspect, "of": runs, **rate, "holds": bool(holds)}
    return found


def main() -> None:
    """Print the rates; exit with 1 where one is beyond its limit by more than its interval."""
    parser = argparse.ArgumentParser(description="Simulate steady and unsteady servers, and judge the runs.")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = rates(options.runs, options.seed)
    print(json.dumps(found, indent=2))
    sys.exit(0 if all(rate["holds"] for rate in found.values()) else 1)


if __name__ == "__main__":
    main()
