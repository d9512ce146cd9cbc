"""What the samples of a case say about its number: did a GPU slow down, and was it alone?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.judge.telemetry_summary import used_gpus
from benchbook.records.host import HostFacts
from benchbook.records.record import Reason
from benchbook.records.samples import GpuProcess, TelemetrySummary

POWER_CAP = "power_cap"  # a card at its rated limit; every other throttle is trouble
MIN_CLOCK, MIN_SET_CLOCK = 0.75, 0.95  # of the card's highest, which some never reach; where the driver calls them set
STRANGE_GIB = 2.0  # more than a driver keeps for itself
TOLERATED_SHARE = 0.05  # of the samples; below it, or in one sample, a throttle is an instant


def gpu_throttled(measured: Measured) -> Reason | None:
    """Suspect when a GPU lowered its clocks for heat or by a brake in more than 5 % of the samples, and in two or more."""
    trouble = {
        name: share
        for name, share in _throttled_shares(measured.host).items()
        if name != POWER_CAP and share > TOLERATED_SHARE
    }
    said = ", ".join(f"{name} in {share:.0%} of the samples" for name, share in trouble.items())
    return reason("gpu_throttled", said) if trouble else None


def gpu_power_capped(measured: Measured) -> Reason | None:
    """A note when a GPU was held at its power limit in more than 5 % of the samples."""
    share = _throttled_shares(measured.host).get(POWER_CAP, 0.0)
    return reason("gpu_power_capped", f"in {share:.0%} of the samples") if share > TOLERATED_SHARE else None


def clocks_low(measured: Measured) -> Reason | None:
    """Suspect when a GPU at work had clocks far below its highest, and neither power limit nor heat held it back."""
    for gpu in measured.host.telemetry.gpus or ():
        clock, highest = gpu.free_sm_clock_mhz, gpu.highest_sm_clock_mhz
        is_set = (gpu.clocks_set_share or 0.0) > 0.5
        if not clock or not highest or clock >= (MIN_SET_CLOCK if is_set else MIN_CLOCK) * highest:
            continue
        by_whom = "; the driver says that they are set so" if is_set else ""
        return reason(
            "clocks_low",
            f"GPU {gpu.index} worked at {clock:,.0f} MHz of {highest:,.0f} (median), not throttled{by_whom}",
        )
    return None


def gpu_shared(measured: Measured) -> Reason | None:
    """Suspect when a process that is not of this host computed on one of its GPUs while requests were answered.

    In a container the driver may show numbers that nobody there has, or leave out the neighbours: then it is seen by
    more processes than the launch has on a GPU, one, or by memory that is nobody's.
    """
    telemetry = measured.host.telemetry
    return _strangers(telemetry.gpu_processes) or _hidden_neighbour(telemetry)


def _hidden_neighbour(telemetry: TelemetrySummary) -> Reason | None:
    processes = telemetry.gpu_processes
    used = used_gpus(processes)
    for gpu in telemetry.gpus or ():
        index, strange_gib = gpu.index, gpu.strange_memory_gib or 0.0
        there = [process for process in processes if process.gpu == index]
        at_work = [process for process in there if process.busy_pct] or there
        if not used and len(at_work) > 1:
            return reason(
                "gpu_shared",
                f"{len(at_work)} processes computed on GPU {index}, none of them known here; the launch has one there",
            )
        if strange_gib > STRANGE_GIB and (not used or index in used):
            return reason("gpu_shared", f"{strange_gib:.1f} GiB on GPU {index} are of no process that the driver lists")
    return None


def _strangers(processes: Sequence[GpuProcess]) -> Reason | None:
    used = used_gpus(processes)
    strangers = [process for process in processes if process.kind == "foreign" and (process.gpu in used or not used)]
    said = "; ".join(map(_process_text, strangers))
    return reason("gpu_shared", said) if strangers else None


def _process_text(process: GpuProcess) -> str:
    busy = process.busy_pct
    use = "how much it computed is not known" if busy is None else f"up to {busy} % of the time"
    return f"pid {process.pid} ({process.name or 'name unknown'}), {use}"


def _throttled_shares(host: HostFacts) -> dict[str, float]:
    """Return, by what lowered the clocks, the largest share of samples among the GPUs."""
    shares: dict[str, float] = {}
    for gpu in host.telemetry.gpus or ():
        for name, share in gpu.throttled_share.items():
            if share * (math.inf if gpu.samples is None else gpu.samples) > 1.5:  # a single one may be of an instant
                shares[name] = max(share, shares.get(name, 0.0))
    return shares


CHECKS: tuple[Check, ...] = (gpu_throttled, clocks_low, gpu_shared, gpu_power_capped)
