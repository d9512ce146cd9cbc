"""The face of an engine: what the rest of benchbook asks of the one wing of hosts/ that knows it, such as vllm/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GAUGES = ("running", "waiting", "kv_use_ratio")  # of the neutral names: what rises and falls; all others only grow
ENDED = "requests_ended"  # requests that ended; where the reason is told, "requests_ended_by_length" and its like


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What an engine calls its counters on its Prometheus page; records, samples and checks have the neutral names.

    Counts are summed over the engines behind a server, a share ("_ratio") is that of the fullest.
    """

    path: str = "/metrics"
    names: Mapping[str, str]  # by the neutral name; an engine may lack any
    ended: str = ""  # requests that ended, for each reason
    reason_label: str = ""
    engine_label: str = ""  # which tells apart the engines behind one server
    caching: tuple[str, str] = (
        "",
        "",
    )  # the line, and its label, that tell whether there is a prefix cache: True, False
