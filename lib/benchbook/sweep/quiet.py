"""Is the machine quiet? The checks that find a measurement disturbed are asked of some seconds in which nothing is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Collection

from benchbook.hosts.machine import cpu
from benchbook.hosts.machine.devices import naming
from benchbook.hosts.telemetry import Sampler
from benchbook.judge import conditions, telemetry
from benchbook.judge.catalogue import OUTSIDE
from benchbook.judge.checks import record_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.telemetry_summary import telemetry_summary
from benchbook.plan.launches import Launch
from benchbook.ranks import num_devices
from benchbook.records.conditions import Conditions
from benchbook.records.host import HostFacts
from benchbook.sweep.waits import LOOK_S

UNKNOWN_SHARE = 0.5  # of the processors, where nothing was measured yet


def disturbance(
    launch: Launch,
    look_s: float = LOOK_S,
    own_cpu_share: float = UNKNOWN_SHARE,
    causes: Collection[str] = OUTSIDE,
    since: cpu.CpuLook | None = None,
) -> str:
    """Return what of `causes` would disturb a measurement of `launch` in the next `look_s` seconds; '' when nothing would.

    It would use `own_cpu_share` of the processors, of which a waiting host uses none: whether others are in its way
    depends on it. Whatever descends from this process is no disturbance. Where the processors are all there is to look
    at, the time `since` an earlier look counts.
    """
    own = [os.getpid()]
    before = since or cpu.look(own)
    num_gpus = 0 if launch.attached else num_devices(launch.args)  # an attached server has none that we know of
    with Sampler(None, env=naming(launch.args, launch.env), num_gpus=num_gpus) as sampler:
        has_gpu = "gpu" not in sampler.absent
        time.sleep(look_s if has_gpu else max(0.0, before.at_s + look_s - time.monotonic()))
    shares = cpu.shares(before, cpu.look(own))
    watched = Conditions(machine={**shares, "own_cpu_share": max(own_cpu_share, shares["own_cpu_share"])})
    host = HostFacts(telemetry=telemetry_summary(sampler.result(), {}))
    moment = Measured("", {}, {}, host=host, conditions=watched)
    found = record_reasons(moment, (*conditions.CHECKS, *telemetry.CHECKS))
    return "; ".join(reason.evidence for reason in found if reason.code in causes)
