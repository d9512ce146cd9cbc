"""Samples of server and GPU around one measurement: taken, kept beside its record, summed up for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.hosts.telemetry import Sampler
from benchbook.judge.telemetry import telemetry_summary
from benchbook.measure.recording import Recording
from benchbook.records.samples import TelemetrySummary
from benchbook.records.telemetry import write_telemetry


def keep_telemetry(recording: Recording, sampler: Sampler, raw: Mapping[str, Any]) -> TelemetrySummary:
    """Write the samples beside the record where there are any, and return their summary for its host block."""
    samples = sampler.result()
    if samples["server"] or samples["gpus"]:
        write_telemetry(recording.telemetry_path, samples)
    return telemetry_summary(samples, raw)
