"""How far the hardware allows for one record: what the formulas of roofline.py need of it, and why they lack it.

B, the sequences of a step, is what is in flight, or fewer where vLLM puts fewer into one or the KV cache holds fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from benchbook.judge import roofline
from benchbook.judge.batch import sequences_in_step
from benchbook.judge.evidence import counted_experts
from benchbook.judge.flags import devices_of, flags_of
from benchbook.judge.kv_cache import sequences_held
from benchbook.judge.model_config import UnknownShapeError, shape_of
from benchbook.judge.roofline import Limits, NoLimitError, limits_for
from benchbook.records.host import HostFacts, Peaks
from benchbook.records.record import Record
from benchbook.terms.asked import BATCH


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
    host, lengths = record.host, (record.asked.input_tokens_each, record.asked.output_tokens_each)
    for length, whose in zip(lengths, ("prompt", "answer")):
        if length is None:
            raise NoLimitError(f"the length of the {whose} is not known beforehand")
    flags = flags_of(host.argv)
    _refuse(flags)
    kv_sequences = sequences_held(host, sum(lengths))
    batch = sequences_in_step(record)
    if batch is None:
        raise NoLimitError("in an open loop the number of requests in flight is not fixed")
    if kv_sequences is not None:
        batch = max(1, min(batch, int(kv_sequences)))
    formats = flags.get("dtype"), flags.get("quantization") or flags.get("q"), flags.get("kv_cache_dtype")
    batch_size = record.load.value if record.load and record.load.by == BATCH else None
    work = (batch, *lengths, kv_sequences, _cached_share(host), batch_size)
    return _limits(
        to_json([_config_of(host), formats, counted_experts(host), _known_peaks(host), devices_of(flags), work])
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
    return limits_for(
        shape, roofline.Peaks(peaks["bandwidth_gb_s"] * 1e9 * devices, flops_s, peaks["source"], devices), *work
    )


def _refuse(flags: Mapping[str, str | None]) -> None:
    """Refuse what splits the work in another way than the formulas do."""
    for name, what in (
        ("pipeline_parallel_size", "pipeline parallelism"),
        ("data_parallel_size", "data parallelism"),
    ):
        if flags.get(name) not in (None, "1"):
            raise NoLimitError(f"{what} is not covered")
    if "speculative_config" in flags:
        raise NoLimitError("with speculative decoding a step gives several tokens, which is not covered")


def _config_of(host: HostFacts) -> Mapping[str, Any]:
    if not host.config:
        raise NoLimitError("the record does not hold the model's shape")
    return host.config


def _known_peaks(host: HostFacts) -> Peaks:
    """Return the peaks of one device as the record holds them."""
    if not host.peaks.bandwidth_gb_s:
        raise NoLimitError(host.peaks.source or "the record does not hold the device's peaks")
    return host.peaks


def _cached_share(host: HostFacts) -> float:
    """Return which share of the prompts' tokens the server found in its prefix cache."""
    queries = host.counters.get("prefix_cache_queries")
    return host.counters.get("prefix_cache_hits", 0.0) / queries if queries else 0.0
