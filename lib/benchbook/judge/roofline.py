"""How far the hardware allows for one record: what the formulas of bounds.py need of it, and why they lack it.

B, the sequences of a step, is what is in flight, or fewer where vLLM puts fewer into one or the KV cache holds fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from benchbook.judge import bounds
from benchbook.judge.batch import sequences_in_step
from benchbook.judge.bounds import NoRooflineError, Roofline, roofline_for
from benchbook.judge.evidence import counted_experts
from benchbook.judge.kv_cache import sequences_held
from benchbook.judge.model_config import UnknownShapeError, shape_of
from benchbook.records.host import HostFacts, Peaks
from benchbook.records.record import Record
from benchbook.records.settings import Settings, settings_of
from benchbook.terms.asked import BATCH


def roofline_of(record: Record) -> Roofline:
    """Return the roofline for the work of `record`; raise NoRooflineError, which says why, where none can be computed."""
    try:
        return _roofline_of(record)
    except NoRooflineError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A command, a configuration or peaks that nothing of ours writes: the number stands, without its limit.
        raise NoRooflineError(f"the record's model or launch is not understood ({error})") from error


def _roofline_of(record: Record) -> Roofline:
    host, lengths = record.host, (record.asked.input_tokens_each, record.asked.output_tokens_each)
    for length, whose in zip(lengths, ("prompt", "answer")):
        if length is None:
            raise NoRooflineError(f"the length of the {whose} is not known beforehand")
    settings = settings_of(host)
    _refuse(settings)
    kv_sequences = sequences_held(host, sum(lengths))
    batch = sequences_in_step(record)
    if batch is None:
        raise NoRooflineError("in an open loop the number of requests in flight is not fixed")
    if kv_sequences is not None:
        batch = max(1, min(batch, int(kv_sequences)))
    formats = settings.dtype, settings.quantization, settings.kv_dtype
    batch_size = record.load.value if record.load and record.load.by == BATCH else None
    work = (batch, *lengths, kv_sequences, _cached_share(host), batch_size)
    return _roofline(
        to_json([_config_of(host), formats, counted_experts(host), _known_peaks(host), settings.shards, work])
    )


@lru_cache(maxsize=4096)  # the repeats of a case have the same one, and each is asked several times
def _roofline(known: bytes) -> Roofline:
    """Return the roofline for what is known of a record, as JSON: config, formats, experts, peaks, devices, work."""
    config, (dtype, quantization, kv_dtype), counted, peaks, devices, work = from_json(known)
    try:
        shape = shape_of(config, dtype=dtype, quantization=quantization, kv_dtype=kv_dtype)
        shape = replace(shape, counted=tuple(map(tuple, counted)))
    except UnknownShapeError as error:
        raise NoRooflineError(str(error)) from error
    flops_s = {name: tflops * 1e12 * devices for name, tflops in peaks["tflops"].items()}
    return roofline_for(
        shape, bounds.Peaks(peaks["bandwidth_gb_s"] * 1e9 * devices, flops_s, peaks["source"], devices), *work
    )


def _refuse(settings: Settings) -> None:
    """Refuse what splits the work in another way than the formulas do."""
    for number, what in ((settings.stages, "pipeline parallelism"), (settings.replicas, "data parallelism")):
        if number != 1:
            raise NoRooflineError(f"{what} is not covered")
    if settings.speculation:
        raise NoRooflineError("with speculative decoding a step gives several tokens, which is not covered")


def _config_of(host: HostFacts) -> Mapping[str, Any]:
    if not host.config:
        raise NoRooflineError("the record does not hold the model's shape")
    return host.config


def _known_peaks(host: HostFacts) -> Peaks:
    """Return the peaks of one device as the record holds them."""
    if not host.peaks.bandwidth_gb_s:
        raise NoRooflineError(host.peaks.source or "the record does not hold the device's peaks")
    return host.peaks


def _cached_share(host: HostFacts) -> float:
    """Return which share of the prompts' tokens the server found in its prefix cache."""
    queries = host.counters.get("prefix_cache_queries")
    return host.counters.get("prefix_cache_hits", 0.0) / queries if queries else 0.0
