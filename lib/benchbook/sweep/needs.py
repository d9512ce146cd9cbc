"""What a launch needs of a machine, computed from its model's config.json: devices, weights and KV cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchbook.hosts.model.files import config_of
from benchbook.hosts.model.footprint import GIB, weight_bytes
from benchbook.judge.model_config import shape_of
from benchbook.plan.case import Case
from benchbook.plan.experiment import Experiment
from benchbook.plan.launches import Launch
from benchbook.ranks import Ranks, ranks_of
from benchbook.records.settings import settings_in
from benchbook.terms.asked import held_in_flight

# Under these the weights are not as large as the model's files, or lie elsewhere: nothing is computed then.
_RESIZING = ("quantization", "cpu_offload_gb", "hf_overrides", "speculative_config", "spec_model")


@dataclass(frozen=True)
class Need:
    """What one launch needs of each of its devices."""

    launch: str
    ranks: Ranks
    weights_gib: float
    request_gib: float  # of KV cache for the longest request of its cases
    request_tokens: int
    kv_gib: float  # of KV cache for all that one copy of the model holds at once
    sequences: int  # so many at once over all copies, of ...
    tokens: int  # ... this length, need the most KV cache

    @property
    def total_gib(self) -> float:
        """Weights and KV cache; activations and the program itself come on top."""
        return self.weights_gib + self.kv_gib

    @property
    def least_gib(self) -> float:
        """Below this nothing can be served: weights, and the KV cache of one request."""
        return self.weights_gib + self.request_gib

    @property
    def least_text(self) -> str:
        """What the least is made of."""
        return (
            f"{size_text(self.weights_gib)} of weights and {size_text(self.request_gib)} of KV cache "
            f"for one request of {self.request_tokens} tokens"
        )

    def __str__(self) -> str:
        return (
            f"{size_text(self.weights_gib)} of weights and {size_text(self.kv_gib)} of KV cache "
            f"for {self.sequences} x {self.tokens} tokens"
        )


def need_of(experiment: Experiment, launch: Launch) -> Need | None:
    """Return what `launch` needs for its cases; None when its model's size is not known, or it runs already."""
    if launch.attached:
        return None
    config, folder = config_of(launch.model.path_or_id)
    cases, ranks = [case for case in experiment.cases if case.launch == launch.name], ranks_of(launch.args)
    if config is None or ranks is None or any(name in launch.args for name in _RESIZING) or not cases:
        return None
    kv_dtype = str(launch.args.get("kv_cache_dtype", "auto"))
    try:
        shape = shape_of(config, kv_dtype=kv_dtype)
        sizes = {case: shape.sequence_kv_bytes(case.workload.max_request_tokens) for case in cases}
        weights = weight_bytes(config, folder)
    except (TypeError, ValueError, ArithmeticError):
        return None  # a shape that is not covered; vLLM will say what is wrong with the config.json
    if weights is None:
        return None
    at_once = {case: _at_once(case, launch.args, ranks) for case in cases}
    hardest, longest = (
        max(cases, key=lambda case: sizes[case] * at_once[case]),
        max(cases, key=lambda case: sizes[case]),
    )
    # Experts may be spread over all copies of the model, of which each then holds a part of the weights.
    parts = ranks.devices if launch.args.get("enable_expert_parallel") else ranks.shards
    return Need(
        launch=launch.name,
        ranks=ranks,
        weights_gib=weights / parts / GIB,
        request_gib=sizes[longest] / ranks.shards / GIB,
        request_tokens=longest.workload.max_request_tokens,
        kv_gib=sizes[hardest] * math.ceil(at_once[hardest] / ranks.replicas) / ranks.shards / GIB,
        sequences=at_once[hardest],
        tokens=hardest.workload.max_request_tokens,
    )


def queue_notes(experiment: Experiment, launch: Launch) -> list[str]:
    """Return the note of a launch that runs fewer at once than its cases hold in flight: the rest waits in the server."""
    ranks, settings = ranks_of(launch.args), settings_in(launch.args)
    name, most = settings.most_running_name, settings.most_running
    cases = [case.workload for case in experiment.cases if case.launch == launch.name]
    asked = [requests for work in cases if (requests := held_in_flight(work))]
    if not most or ranks is None or max(asked, default=0) <= most * ranks.replicas:
        return []
    return [
        f"note: launch {launch.name!r}: {name} lets {most * ranks.replicas} of {max(asked)} requests in flight run "
        "at once: the rest wait in the server, and such cases get the reason max_num_seqs_low"
    ]


def size_text(gib: float) -> str:
    """Return '60.8 GiB', or '22 MiB' for what would be 0.0 GiB."""
    return f"{gib:.1f} GiB" if gib >= 0.1 else f"{math.ceil(gib * 1024)} MiB"


def _at_once(case: Case, args: Mapping[str, Any], ranks: Ranks) -> int:
    """Return how many sequences a case holds at once at least: no more than each copy of the model may have running."""
    load = case.workload.load
    queues = load is None or load.is_at_once or case.workload.row.queues  # and runs as it fits
    asked = 1 if queues else load.most_in_flight or 1
    most = settings_in(args).most_running
    return min(asked, most * ranks.replicas) if most else asked
