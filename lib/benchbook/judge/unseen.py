"""What could not be looked at: the checks that had no evidence, each with why. Their silence is no satisfaction.

`LOOKS` says of every code what its check lives from. What was to be watched and could not be stands in a record's
conditions under `unseen`, with the reason: counters, log, processors, GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchbook.judge import sources
from benchbook.judge.evidence import Measured
from benchbook.judge.model_config import EXPERT_KEYS
from benchbook.judge.sources import Evidence


class Look(NamedTuple):
    """What the check of a code needs, all of it, in a measurement that it `concerns`."""

    needs: tuple[Evidence, ...]
    concerns: Callable[[Measured], bool]


def not_looked(measured: Measured) -> dict[str, str]:
    """Return the checks that could not look at this measurement, each with the reason; empty when all could."""
    missing = {
        code: next(filter(None, (why(measured) for why in look.needs)), "")
        for code, look in LOOKS.items()
        if look.concerns(measured)
    }
    return {code: why for code, why in sorted(missing.items()) if why}


def num_concerned(measured: Measured) -> int:
    """Return how many checks there are to make of this measurement, whether they could look or not."""
    return sum(look.concerns(measured) for look in LOOKS.values())


def by_reason(unseen: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the reasons of `not_looked`, each with the checks that it kept from looking."""
    reasons: dict[str, list[str]] = {}
    for code, why in unseen.items():
        reasons.setdefault(why, []).append(code)
    return reasons


def _requests(measured: Measured) -> bool:
    return measured.is_of_requests


def _iterations(measured: Measured) -> bool:
    return measured.is_of_iterations


def _timed(measured: Measured) -> bool:
    return measured.row.times is not None


def _loads(measured: Measured) -> bool:
    return measured.row.is_load


def _is_random(measured: Measured) -> bool:
    return measured.row.is_load and measured.asked.made_of == "random tokens"


def _alone(measured: Measured) -> bool:
    return not measured.row.is_load


def _is_closed(measured: Measured) -> bool:
    return measured.is_closed_loop


def _is_open(measured: Measured) -> bool:
    return measured.rate_rps is not None


def _is_drawn(measured: Measured) -> bool:
    return measured.asked.is_drawn


def _ends_by_length(measured: Measured) -> bool:
    return measured.is_of_requests and measured.asked.ends_by == "length"


def _is_cold(measured: Measured) -> bool:
    return measured.is_of_requests and not measured.asked.shares_prefix


def _shares_prefix(measured: Measured) -> bool:
    return measured.is_of_requests and measured.asked.shares_prefix


def _is_of_set(measured: Measured) -> bool:
    return bool(measured.workload.get("requests"))


def _is_counted_otherwise(measured: Measured) -> bool:
    return _is_of_set(measured) and measured.asked.input_tokens is None


def _is_replayed(measured: Measured) -> bool:
    return measured.asked.is_replayed


def _is_in_turns(measured: Measured) -> bool:
    return measured.asked.in_turns


def _is_planned(measured: Measured) -> bool:
    return bool(measured.conditions.precision.asked)


def _has_experts(measured: Measured) -> bool:
    config = measured.host.config or {}
    return any(config.get(key) for key in EXPERT_KEYS)


def _has_neighbours(measured: Measured) -> bool:
    return measured.host.place is not None and measured.host.place.at_once > 1


def _is_taken_over(measured: Measured) -> bool:
    return measured.host.facts.taken_over is not None


def _any(measured: Measured) -> bool:
    return True


# Each is compared with the client's own count.
_COMPARED = tuple(map(sources.counted, ("requests_ended", "prompt_tokens", "generation_tokens")))
# What every measurement has: vLLM's result, and the workload that was asked for.
RESULT = Look((), _any)
# Found when the records of a run are read together: with one repeat, one launch or one mode there is nothing to say.
RECORDS = Look((), _any)

LOOKS: Mapping[str, Look] = {
    "requests_failed": Look((sources.failures,), _requests),
    "nothing_completed": Look((sources.completions,), _requests),
    "value_no_number": RESULT,
    "outputs_short": Look((sources.lengths, sources.drawn_lengths), _ends_by_length),
    "asked_not_counted": Look((sources.usage,), _alone),
    "finish_not_length": Look((sources.counted("requests_ended"),), _ends_by_length),
    "server_disagrees": Look(_COMPARED, _requests),
    "figures_contradict": RESULT,
    "figures_hint": RESULT,
    "read_as": RESULT,
    "lengths_shifted": Look((sources.lengths,), _is_drawn),
    "stream_bunched": Look((sources.requests, sources.chunks), _requests),
    "itl_per_chunk": Look((sources.requests, sources.chunks, sources.lengths), _requests),
    "empty_first_chunk": Look((sources.requests, sources.chunks, sources.lengths), _requests),
    "opening_chunk": Look((sources.requests, sources.chunks, sources.lengths), _requests),
    "closing_chunk": Look((sources.requests, sources.chunks, sources.lengths), _requests),
    "latency_sum_broken": Look((sources.requests, sources.chunks, sources.latencies), _requests),
    "littles_law": Look((sources.requests,), _requests),
    "concurrency_not_reached": Look((sources.requests,), _is_closed),
    "rate_not_reached": Look((sources.requests,), _is_open),
    "other_requests_sent": Look((sources.sent_hash,), _is_of_set),
    "template_tokens": Look((sources.prompt_counts,), _is_counted_otherwise),
    "requests_differ": RECORDS,
    "natural_stops_differ": RECORDS,
    "arrivals_late": Look((sources.recorded_times,), _is_replayed),
    "history_cut": Look((sources.histories,), _is_in_turns),
    "overloaded": Look((sources.requests,), _is_open),
    "client_queue_dominates": Look((sources.requests, sources.queues), _is_open),
    "too_short": RESULT,
    "drain_dominates": Look((sources.requests,), _is_closed),
    "start_burst": Look((sources.requests,), _is_closed),
    "pace_shifted": Look((sources.requests, sources.chunks), _is_closed),
    "speed_shifted": Look((sources.requests,), _requests),
    "server_stalled": Look((sources.requests, sources.chunks), _requests),
    "iterations_unsteady": Look((sources.iterations,), _iterations),
    "cache_warm": Look((sources.counted("prefix_cache_queries"),), _is_cold),
    "prefix_hits_differ": Look((sources.counted("prefix_cache_queries"), sources.cached_by_design), _shares_prefix),
    "warmup_too_small": Look((sources.warm_up,), _requests),
    "compiled_while_measuring": Look((sources.log,), _loads),
    "first_requests_slow": Look((sources.firsts,), _timed),
    "percentile_not_earned": RESULT,
    "preempted": Look((sources.preemptions,), _loads),
    "kv_exhausted": Look((sources.kv_cache,), _timed),
    "max_num_seqs_low": Look((sources.seats,), lambda measured: _is_closed(measured) or _iterations(measured)),
    "steps_padded": Look((sources.graph_sizes,), lambda measured: _is_closed(measured) or _iterations(measured)),
    "client_saturated": Look((sources.client,), _requests),
    "machine_busy": Look((sources.machine,), _loads),
    "neighbours_slow": Look((sources.neighbours,), _has_neighbours),
    "start_not_proven": Look((), _is_taken_over),
    "limits_low": Look((sources.limits,), _requests),
    "several_engines": Look((sources.engines,), _requests),
    "server_restarted": Look((sources.counted("requests_ended", "prompt_tokens", "generation_tokens"),), _requests),
    "foreign_traffic": Look((sources.counted("requests_ended", "prompt_tokens", "generation_tokens"),), _requests),
    "network_differs": RECORDS,
    "measured_once": RECORDS,
    "precision_missed": Look((sources.half_widths,), _is_planned),
    "repeats_disagree": RECORDS,
    "repeats_trend": RECORDS,
    "repeat_outlier": RECORDS,
    "repeats_in_groups": RECORDS,
    "host_restarted": RECORDS,
    "host_differs": RECORDS,
    "kv_capacity_differs": RECORDS,
    "floor_above_load": RECORDS,
    "ceiling_below_serving": RECORDS,
    "tpot_contradicts_latency": RECORDS,
    "outputs_differ": RECORDS,
    "answers_worse": RECORDS,
    "guard_too_wide": RECORDS,
    "guard_means_nothing": RECORDS,
    "degenerate_model": Look(
        (sources.answers,), lambda measured: _requests(measured) or _loads(measured) and _has_experts(measured)
    ),
    "notebook_raised": RESULT,
    "watching_failed": RESULT,
    "check_failed": RESULT,
    "guards_down": Look((sources.command,), _any),
    "random_weights": Look((sources.files,), _any),
    "speculation_unlike_text": Look((sources.command,), _is_random),
    "gpu_throttled": Look((sources.gpu,), _loads),
    "clocks_low": Look((sources.gpu, sources.clocks), _loads),
    "gpu_shared": Look((sources.gpu, sources.gpu_processes), _loads),
    "gpu_power_capped": Look((sources.gpu,), _loads),
}
