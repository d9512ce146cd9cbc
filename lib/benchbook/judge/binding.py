"""Which share of its limits a record reached, and what it was that bound it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchbook.judge.gpus import PER_GPU, output_per_gpu_tok_s
from benchbook.judge.limits import Limits, NoLimitError, limits_of
from benchbook.judge.spread import percent_text
from benchbook.records.record import Record

NEAR_SHARE = 0.5  # from here on the hardware is what binds: at most twice as fast were possible
FULL_KV_RATIO = 0.95
KEPT_FULL_SHARE = 0.8  # of the requests that the client should hold in flight
BELOW_FLOOR = "below the floor"

# Columns of the tidy table: what they mean. All but the last are numbers.
COLUMNS: Mapping[str, str] = {
    "tpot_floor_ms": "the least time of one decode step on this hardware",
    "tpot_share_of_limit": "tpot_floor_ms / median TPOT",
    "ttft_floor_ms": "the least time of one prompt's prefill on this hardware, alone on the device",
    "ttft_share_of_limit": "ttft_floor_ms / median TTFT",
    "output_throughput_ceiling_tok_s": "the most output tokens per second that this hardware allows",
    "output_throughput_share_of_limit": "output throughput / output_throughput_ceiling_tok_s",
    "batch_latency_floor_s": "the least time of one offline batch on this hardware",
    "batch_latency_share_of_limit": "batch_latency_floor_s / average batch latency",
    PER_GPU.key: "output throughput / number of GPUs",
    "energy_j_per_output_token": "energy of the GPUs between first send and last token / output tokens",
    "limited_by": "what binds: bandwidth, compute, KV capacity, client or launch overhead; or why that cannot be told",
}
NUMBERS = tuple(key for key in COLUMNS if key != "limited_by")


@dataclass(frozen=True)
class Binding:
    """What keeps a record from being faster, and the numbers that say so."""

    name: str  # bandwidth, compute, KV capacity, client, launch overhead; BELOW_FLOOR; 'not told: machine_busy'
    why: str
    is_told: bool = True  # False where the number is too doubtful, or impossible, to say what bound it


def limit_values(record: Record) -> dict[str, float | str | None]:
    """Return one value for each of COLUMNS, None where there is none."""
    values: dict[str, float | str | None] = dict.fromkeys(COLUMNS)
    values[PER_GPU.key] = output_per_gpu_tok_s(record) if record.is_measured else None
    values["energy_j_per_output_token"] = energy_per_output_token_j(record)
    if not record.is_measured:
        return values
    try:
        limits = limits_of(record)
    except NoLimitError:
        return values
    measured = record.values
    if record.benchmark == "serve":
        values["ttft_floor_ms"] = limits.prefill.floor_s * 1000
        values["ttft_share_of_limit"] = _ratio(values["ttft_floor_ms"], measured.get("median_ttft_ms"))
        if limits.step:
            values["tpot_floor_ms"] = limits.step.floor_s * 1000
            values["tpot_share_of_limit"] = _ratio(values["tpot_floor_ms"], measured.get("median_tpot_ms"))
    if record.benchmark == "latency":
        values["batch_latency_floor_s"] = limits.batch_floor_s
        values["batch_latency_share_of_limit"] = _ratio(limits.batch_floor_s, measured.get("avg_batch_latency_s"))
    else:
        values["output_throughput_ceiling_tok_s"] = limits.ceiling_tok_s
        values["output_throughput_share_of_limit"] = _ratio(
            measured.get("output_throughput_tok_s"), limits.ceiling_tok_s
        )
    binding = binding_of(record, limits)
    values["limited_by"] = binding.name if binding else None
    return values


def share_of_limit(record: Record, limits: Limits) -> float | None:
    """Return the share of the limit that counts for the record's benchmark: of throughput, or of one batch's floor."""
    if record.benchmark == "latency":
        return _ratio(limits.batch_floor_s, record.values.get("avg_batch_latency_s"))
    return _ratio(record.values.get("output_throughput_tok_s"), limits.ceiling_tok_s)


def is_below_floor(record: Record, limits: Limits) -> bool:
    """Return whether `record` says to be faster than its hardware allows.

    Of experts we know only what a step reads at least, so there it is the step alone that can be impossible.
    """
    values, step = record.values, limits.surest_step
    pairs = [(step.floor_s * 1000 if step else None, values.get("median_tpot_ms"))]
    if not limits.shape.experts:
        pairs += [(limits.batch_floor_s, values.get("avg_batch_latency_s"))]
        pairs += [(limits.prefill.floor_s * 1000, values.get("median_ttft_ms"))]
        # A ceiling is the floor of a rate's inverse.
        pairs += [(values.get("output_throughput_tok_s"), limits.ceiling_tok_s)]
    return any(measured is not None and floor is not None and measured < floor for floor, measured in pairs)


def doubt_of(record: Record) -> str | None:
    """Return the first code that speaks against `record`; None for a VALID one."""
    return next((why.code for why in record.reasons if why.severity != "note"), None)


def binding_of(record: Record, limits: Limits) -> Binding | None:
    """Return what binds, the first that holds: the KV cache, the hardware's two peaks, the client, else overhead.

    None where nothing was measured that could be compared. What binds a number that is in doubt is not told.
    """
    share = share_of_limit(record, limits)
    if share is None:
        return None
    if is_below_floor(record, limits):
        return Binding(BELOW_FLOOR, "this cannot be; see its verdict, and whether the peaks are true", is_told=False)
    if doubt := doubt_of(record):
        return Binding(f"not told: {doubt}", f"no repeat is VALID ({doubt})", is_told=False)
    seen = (record.host.get("telemetry") or {}).get("server") or {}
    if kv := _kv_capacity(record, limits, seen):
        return kv
    if share >= NEAR_SHARE:
        bound = (limits.step or limits.prefill).bound if record.benchmark == "latency" else limits.request.bound
        return Binding(bound, f"{percent_text(share)} of what it allows is reached")
    asked, kept = record.workload.get("max_concurrency"), kept_in_flight(record)
    if asked and kept is not None and kept < KEPT_FULL_SHARE * asked:
        return Binding("client", f"it kept {kept:.1f} requests in flight on average (rate × mean E2EL), of {asked}")
    # The rest of the time is neither reading nor computing.
    return Binding("launch overhead", f"{percent_text(share)} of the hardware's {_limit_name(record)} is reached")


def _limit_name(record: Record) -> str:
    return "speed for one batch" if record.benchmark == "latency" else "output throughput"


def kept_in_flight(record: Record) -> float | None:
    """Return how many requests were in flight on average, by Little's law: requests per second × mean E2EL.

    Not the server's gauge: it counts a request only from its first step on, and its samples beat with the steps.
    """
    rate_rps, e2el_ms = (record.values.get(key) for key in ("request_throughput_rps", "mean_e2el_ms"))
    return None if rate_rps is None or e2el_ms is None else rate_rps * e2el_ms / 1000


def energy_per_output_token_j(record: Record) -> float | None:
    """Return joules of the GPUs per output token, prefills included; None unless power was read around the requests."""
    energy_j, tokens = (record.host.get("telemetry") or {}).get("energy_j"), record.values.get("total_output_tokens")
    return _ratio(energy_j, tokens)


def _kv_capacity(record: Record, limits: Limits, seen: Mapping[str, float | None]) -> Binding | None:
    asked = record.workload.get("max_concurrency") or record.workload.get("batch_size")
    if asked and limits.kv_sequences is not None and limits.kv_sequences < asked:
        return Binding("KV capacity", f"the KV cache holds {limits.kv_sequences:.1f} of {asked} sequences")
    if (seen.get("preemptions") or 0) > 0:
        return Binding("KV capacity", f"{seen['preemptions']:.0f} sequences were preempted")
    is_full = (seen.get("max_kv_use_ratio") or 0.0) >= FULL_KV_RATIO and (seen.get("mean_waiting") or 0.0) >= 1
    if is_full:
        return Binding("KV capacity", f"the KV cache was full while {seen['mean_waiting']:.1f} requests waited")
    return None


def _ratio(part: float | int | None, whole: float | int | None) -> float | None:
    return part / whole if part is not None and whole else None
