"""What could not be looked at: the checks that had no evidence, each with why. Their silence is no satisfaction.

What was to be watched and could not be stands in a record's conditions under `unseen`: counters, log, processors, GPU.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchbook.judge.evidence import Measured, kv_cache_tokens

_DETAILED = ("stream_bunched", "itl_per_chunk", "empty_first_chunk", "latency_sum_broken", "first_requests_slow")
_OF_A_GPU = ("gpu_throttled", "clocks_low", "gpu_shared", "gpu_power_capped")
# The counters that a check lives from; one of them is enough.
_COUNTERS = {
    "server_disagrees": ("request_success", "prompt_tokens", "generation_tokens"),
    "finish_not_length": ("request_success",),
    "preempted": ("num_preemptions",),
    "cache_warm": ("prefix_cache_queries",),
    "server_restarted": ("request_success", "prompt_tokens", "generation_tokens"),
}
_SILENT_LOG = "the log tells nothing of it"


def not_looked(measured: Measured) -> dict[str, str]:
    """Return the checks that could not look at this measurement, each with the reason; empty when all could."""
    looks = {"serve": _serve, "first_request": _first_request}.get(measured.benchmark, _offline)
    return dict(sorted(looks(measured).items()))


def by_reason(unseen: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the reasons of `not_looked`, each with the checks that it kept from looking."""
    reasons: dict[str, list[str]] = {}
    for code, why in unseen.items():
        reasons.setdefault(why, []).append(code)
    return reasons


def _serve(measured: Measured) -> dict[str, str]:
    unseen, counters = _sources(measured), measured.host.get("counters") or {}
    found: dict[str, str] = {}
    for code, names in _COUNTERS.items():
        if not any(counter.startswith(f"vllm:{name}") for counter in counters for name in names):
            found[code] = unseen.get("counters", f"the server does not count vllm:{names[0]}")
    if measured.conditions.get("compile_lines") is None or "log" in unseen:
        found["compiled_while_measuring"] = unseen.get("log", _SILENT_LOG)
    if measured.conditions.get("kv_usage_max_pct") is None and kv_cache_tokens(measured.host) is None:
        found["kv_exhausted"] = unseen.get("log", _SILENT_LOG)
    if not measured.conditions.get("client"):
        found["client_saturated"] = "the client left no notes of its work"
    if measured.value("completed") and not measured.answers:
        found |= dict.fromkeys(_DETAILED, "the raw file does not tell of single requests")
    return found | _of_the_machine(measured)


def _first_request(measured: Measured) -> dict[str, str]:
    if (measured.raw.get("usage") or {}).get("completion_tokens") is not None:
        return _of_the_files(measured)
    return {"asked_not_counted": "the server did not count the answer's tokens", **_of_the_files(measured)}


def _offline(measured: Measured) -> dict[str, str]:
    no_log = {} if kv_cache_tokens(measured.host) is not None else {"kv_exhausted": _SILENT_LOG}
    return no_log | _of_the_machine(measured)


def _of_the_machine(measured: Measured) -> dict[str, str]:
    unseen, found = _sources(measured), {}
    if "machine" in unseen or not measured.conditions.get("machine"):
        found["machine_busy"] = unseen.get("machine", "nobody watched the processors")
    if "gpu" in unseen:
        found |= dict.fromkeys(_OF_A_GPU, unseen["gpu"])
    return found | _of_the_files(measured)


def _of_the_files(measured: Measured) -> dict[str, str]:
    is_known = measured.host.get("model_config") is not None or measured.host.get("random_weights")
    return {} if is_known else {"random_weights": "the model's files are not on this machine"}


def _sources(measured: Measured) -> Mapping[str, str]:
    return measured.conditions.get("unseen") or {}
