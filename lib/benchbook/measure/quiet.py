"""Is the machine quiet? The checks that find a measurement disturbed are asked of some seconds in which nothing is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from benchbook.hosts import load
from benchbook.hosts.telemetry import Sampler
from benchbook.judge import conditions, telemetry
from benchbook.judge.catalogue import OUTSIDE
from benchbook.judge.checks import record_reasons
from benchbook.judge.evidence import Measured

LOOK_S = 2.0


def disturbance(env: Mapping[str, str], look_s: float = LOOK_S) -> str:
    """Return what disturbs the machine during the next `look_s` seconds, in words; '' when nothing does.

    `env` names the GPUs that matter, as a launch's own variables do. Whatever descends from this process is no
    disturbance.
    """
    own = [os.getpid()]
    before = load.look(own)
    with Sampler(None, env=env) as sampler:
        time.sleep(look_s)
    watched = {"machine": load.shares(before, load.look(own))}
    samples = telemetry.telemetry_summary(sampler.result(), {})
    moment = Measured("", {}, {}, host={"telemetry": samples}, conditions=watched)
    found = record_reasons(moment, (*conditions.CHECKS, *telemetry.CHECKS))
    return "; ".join(reason.evidence for reason in found if reason.code in OUTSIDE)
