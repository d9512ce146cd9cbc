"""How many sequences a decode step of a record holds, as its workload and its launch allow."""

from __future__ import annotations

import math
import re

from benchbook.records.host import HostFacts
from benchbook.records.parts import MachineFacts
from benchbook.records.record import Record
from benchbook.records.settings import settings_of
from benchbook.terms.asked import asked_in_flight

KEPT_FULL_SHARE = 0.8  # of the requests that the client should hold in flight
# What vLLM allows where no flag does (get_batch_defaults in vllm/engine/arg_utils.py, read in 0.32), by memory in GiB.
LARGE_GIB, LARGE_CARD, CARD, CPU_SERVER, CPU_ENGINE = 70, 1024, 256, 128, 256
LEAST = min(LARGE_CARD, CARD, CPU_SERVER, CPU_ENGINE)


def kept_in_flight(record: Record) -> float | None:
    """Return how many requests were in flight on average, by Little's law: requests per second × mean E2EL.

    Not the server's gauge: it counts a request only from its first step on, and its samples beat with the steps.
    """
    rate_rps, e2el_ms = (record.values.get(key) for key in ("request_throughput_rps", "mean_e2el_ms"))
    return None if rate_rps is None or e2el_ms is None else rate_rps * e2el_ms / 1000


def is_load_kept(record: Record) -> bool:
    """Return whether the client held in flight what it was to hold, as far as is known."""
    asked, kept = asked_in_flight(record), kept_in_flight(record)
    return asked is None or kept is None or kept >= KEPT_FULL_SHARE * asked


def sequences_in_step(record: Record) -> int | None:
    """Return how many sequences a decode step holds, whatever the KV cache; None in an open loop.

    Fewer than were asked for where vLLM puts fewer into a step, or the client did not keep its load in flight.
    """
    asked = asked_in_flight(record)
    if asked is None:
        return None
    if not is_load_kept(record):
        asked = max(1, math.ceil(kept_in_flight(record)))
    most = most_in_step(record.host, record.provenance.machine)
    return min(asked, most) if most else asked


def most_in_step(host: HostFacts, machine: MachineFacts) -> int | None:
    """Return how many sequences vLLM puts into a step: as its flag says, else its own default; None where not known.

    `machine` has the sizes of the GPUs.
    """
    settings = settings_of(host)
    if settings.most_running:
        return settings.most_running
    own = _own_default(host, machine, settings.shards)
    if own is None:
        return None
    twice = 2 if settings.prefers_throughput else 1
    return min(twice * own, settings.most_step_tokens or twice * own)


def _own_default(host: HostFacts, machine: MachineFacts, num_devices: int) -> int | None:
    device = host.peaks.device or ""
    if device.startswith("CPU"):
        return num_devices * (CPU_ENGINE if host.kind == "engine" else CPU_SERVER)
    sizes = [re.match(r"(\d+) MiB", gpu.memory or "") for gpu in machine.gpus if gpu.name == device]
    if not sizes or sizes[0] is None:
        return None
    return LARGE_CARD if int(sizes[0][1]) / 1024 >= LARGE_GIB and "A100" not in device else CARD
