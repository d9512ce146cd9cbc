"""How far the hardware allows: the floor of TPOT and TTFT and the ceiling of throughput, for one record.

A step of the model can end no sooner than its weights and KV cache were read once and its multiplications were done,
were both perfect and at the same time (the roofline):

    time = max(bytes / bandwidth, FLOPs / peak FLOP/s)

    decode step     bytes  weights(B) + B · KV of the tokens so far         B sequences, one token each
                    FLOPs  B · (2 · weights a token meets + 4 · heads · head_dim · tokens attended to)
    prefill         bytes  weights(T)
                    FLOPs  T · 2 · weights + 4 · heads · head_dim · (token pairs) + the output head once
    TPOT floor      one decode step with all B sequences in flight, the mean length of their contexts
    TTFT floor      the prefill of one prompt that has the device to itself
    ceiling         out / max(bytes, FLOPs) of a request: its prefill and its share, 1/B, of each decode step

B is what is in flight, or fewer where the KV cache holds fewer. Activations and KV writes are left out: a floor stays
one. Experts are the exception: how many a step reads is what was counted for the model, else an expectation under even
routing (shape.read_experts). Both are means; other prompts can beat them, and a router that sends many tokens to the
same experts beats the second by far. `surest_step`, in which all sequences take the same experts, cannot be beaten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from benchbook.judge.evidence import counted_experts, kv_cache_tokens
from benchbook.judge.flags import flags_of
from benchbook.judge.model_config import UnknownShapeError, shape_of
from benchbook.judge.shape import ModelShape
from benchbook.records.record import Record

BANDWIDTH, COMPUTE = "bandwidth", "compute"


class NoLimitError(ValueError):
    """No limit can be computed for this record; the text says why."""


@dataclass(frozen=True)
class Peaks:
    """What the devices of a launch can do at best, all of them together."""

    bandwidth_bytes_s: float
    flops_s: Mapping[str, float]  # by number format
    source: str
    devices: int = 1

    def flops_for(self, shape: ModelShape) -> float:
        """Return the FLOP/s of the fastest format that `shape` permits: that of its weights, or of its activations."""
        known = [self.flops_s[name] for name in (shape.weight_format, shape.dtype) if name in self.flops_s]
        if not known:
            raise NoLimitError(f"the device's peak for {shape.dtype} is not known")
        return max(known)


@dataclass(frozen=True)
class Work:
    """Bytes to read and FLOPs to do, and how long the hardware needs for them at least."""

    bytes: float
    flops: float
    floor_s: float
    bound: str  # BANDWIDTH or COMPUTE: which of the two takes longer


@dataclass(frozen=True)
class Limits:
    """The limits of one record. A part that its benchmark does not have is None."""

    shape: ModelShape
    peaks: Peaks
    flops_s: float  # the peak that counts for this model
    batch: int  # sequences in a decode step
    kv_sequences: float | None  # how many sequences of this length the KV cache holds
    step: Work | None  # one decode step; None for one output token
    surest_step: Work | None  # the same, were all sequences to take the same experts
    prefill: Work  # of one prompt
    request: Work  # one request of many: its prefill and its share of each decode step
    output_len_tokens: int
    batch_floor_s: float | None  # of `latency`: prefill of the whole batch, then every decode step

    @property
    def ceiling_tok_s(self) -> float:
        """Return the output tokens per second that no launch of this model can pass with this batch."""
        return self.output_len_tokens / self.request.floor_s


def limits_of(record: Record) -> Limits:
    """Return the limits for the work of `record`; raise NoLimitError, which says why, where none can be computed."""
    try:
        return _limits_of(record)
    except NoLimitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A command, a configuration or peaks that nothing of ours writes: the number stands, without its limit.
        raise NoLimitError(f"the record's model or launch is not understood ({error})") from error


def _limits_of(record: Record) -> Limits:
    host, workload = record.host, record.workload
    if "input_len_tokens" not in workload:
        raise NoLimitError("the length of the prompt is not known beforehand")
    flags = flags_of(host.get("argv"))
    lengths = workload["input_len_tokens"], workload["output_len_tokens"]
    kv_tokens = kv_cache_tokens(host)
    kv_sequences = kv_tokens / sum(lengths) if kv_tokens else None
    batch = _batch(record, flags.get("max_num_seqs"))
    if kv_sequences is not None:
        batch = max(1, min(batch, int(kv_sequences)))
    formats = flags.get("dtype"), flags.get("quantization") or flags.get("q"), flags.get("kv_cache_dtype")
    work = (batch, *lengths, kv_sequences, _cached_share(host), workload.get("batch_size"))
    return _limits(
        to_json([_config_of(host), formats, counted_experts(host), _known_peaks(host), _devices(flags), work])
    )


@lru_cache(maxsize=4096)  # the repeats of a case have the same ones, and each is asked several times
def _limits(known: bytes) -> Limits:
    """Return the limits for what is known of a record, as JSON: config, formats, experts, peaks, devices, work."""
    config, (dtype, quantization, kv_dtype), counted, peaks, devices, work = from_json(known)
    try:
        shape = shape_of(config, dtype=dtype, quantization=quantization, kv_dtype=kv_dtype)
        shape = replace(shape, counted=tuple(map(tuple, counted)))
    except UnknownShapeError as error:
        raise NoLimitError(str(error)) from error
    flops_s = {name: tflops * 1e12 * devices for name, tflops in peaks["tflops"].items()}
    return limits_for(shape, Peaks(peaks["bandwidth_gb_s"] * 1e9 * devices, flops_s, peaks["source"], devices), *work)


def limits_for(
    shape: ModelShape,
    peaks: Peaks,
    batch: int,
    input_tokens: int,
    output_tokens: int,
    kv_sequences: float | None = None,
    cached_share: float = 0.0,
    batch_size: int | None = None,
) -> Limits:
    """Return the limits of `batch` sequences at a time; `cached_share` of each prompt needs no prefill.

    `batch_size` is that of an offline batch, None for other work. Where fewer than that fit into a step, its sequences
    need batch_size / batch times as many steps: each of them is in as many as there are tokens.
    """
    flops_s = peaks.flops_for(shape)

    def work(read_bytes: float, flops: float) -> Work:
        by_bytes, by_flops = read_bytes / peaks.bandwidth_bytes_s, flops / flops_s
        return Work(read_bytes, flops, max(by_bytes, by_flops), BANDWIDTH if by_bytes >= by_flops else COMPUTE)

    head_flops = 2 * shape.hidden * shape.vocabulary
    pair_flops = 4 * shape.heads * shape.head_dim
    cached = min(round(input_tokens * cached_share), input_tokens - 1)
    fresh = input_tokens - cached
    prefill_flops = 2 * shape.active_weights * fresh + pair_flops * shape.attended(cached + 1, input_tokens)
    prefill = work(shape.weight_bytes(fresh), prefill_flops + head_flops)
    steps, step, surest_step = output_tokens - 1, None, None
    request = prefill
    if steps:
        context = shape.attended(input_tokens + 1, input_tokens + steps) / steps  # summed over layers
        kv_bytes = batch * context * shape.kv_bytes_per_layer
        step_bytes = shape.weight_bytes(batch) + kv_bytes
        step_flops = batch * (2 * shape.active_weights + head_flops + pair_flops * context)
        step = work(step_bytes, step_flops)
        surest_step = work(shape.weight_bytes(1) + kv_bytes, step_flops)
        # A prefill may share its reading of the weights with a decode step, so its bytes are not counted again.
        request = work(steps * step_bytes / batch, prefill.flops + steps * step_flops / batch)
    batch_floor_s = None
    if batch_size is not None:
        all_prefills = work(shape.weight_bytes(batch_size * fresh), batch_size * prefill.flops)
        batch_floor_s = all_prefills.floor_s + (batch_size / batch * steps * step.floor_s if step else 0.0)
    return Limits(
        shape=shape,
        peaks=peaks,
        flops_s=flops_s,
        batch=batch,
        kv_sequences=kv_sequences,
        step=step,
        surest_step=surest_step,
        prefill=prefill,
        request=request,
        output_len_tokens=output_tokens,
        batch_floor_s=batch_floor_s,
    )


def _devices(flags: Mapping[str, str | None]) -> int:
    """Return how many devices hold the model together; refuse what splits the work in another way."""
    for name, what in (
        ("pipeline_parallel_size", "pipeline parallelism"),
        ("data_parallel_size", "data parallelism"),
    ):
        if flags.get(name) not in (None, "1"):
            raise NoLimitError(f"{what} is not covered")
    if "speculative_config" in flags:
        raise NoLimitError("with speculative decoding a step gives several tokens, which is not covered")
    return int(flags.get("tensor_parallel_size") or flags.get("tp") or 1)


def _config_of(host: Mapping[str, Any]) -> Mapping[str, Any]:
    if not host.get("model_config"):
        raise NoLimitError("the record does not hold the model's shape")
    return host["model_config"]


def _known_peaks(host: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the peaks of one device as the record holds them."""
    known = host.get("peaks") or {}
    if not known.get("bandwidth_gb_s"):
        raise NoLimitError(known.get("source") or "the record does not hold the device's peaks")
    return known


def _batch(record: Record, most: str | None) -> int:
    """Return how many sequences the workload lets a decode step hold, where the launch allows `most`."""
    workload = record.workload
    if record.benchmark == "latency":
        asked = workload["batch_size"]
    elif record.benchmark == "throughput":
        asked = workload["num_prompts"]
    else:
        if workload.get("max_concurrency") is None or workload.get("request_rate_rps") is not None:
            raise NoLimitError("in an open loop the number of requests in flight is not fixed")
        asked = min(workload["max_concurrency"], workload["num_prompts"])
    return min(asked, int(most)) if most else asked


def _cached_share(host: Mapping[str, Any]) -> float:
    """Return which share of the prompts' tokens the server found in its prefix cache."""
    counters = host.get("counters") or {}
    queries = counters.get("vllm:prefix_cache_queries_total")
    return counters.get("vllm:prefix_cache_hits_total", 0.0) / queries if queries else 0.0
