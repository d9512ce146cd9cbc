"""What a vLLM server counts, read from its Prometheus page, however odd the page is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from benchbook.hosts import http

KEPT_LABELS = ("finished_reason", "reason", "source")  # the others (engine, model_name) are summed over
MAX_SAMPLES = 20_000  # of one page: 64 engines have 10,000 beside their histograms
MAX_LINE = 2000  # characters
_OURS = "vllm:"
_COUNTED = ("_total", "_sum", "_count")
_LEFT_OUT = ("_bucket", "_created", "_info")  # `_info` is always 1; `cache_config` reads its labels
_SHARES = ("_perc", "_ratio")  # of each engine: half full and half full is half full
_GENERATED = "vllm:generation_tokens_total"


class _Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float  # finite


def parse_metrics(text: str) -> dict[str, float]:
    """Return every value of vLLM's on the page by its own name, without the buckets of histograms.

    Counts are summed over engines, a share is that of the fullest. A kept label stands behind the name:
    'vllm:request_success_total{finished_reason=length}'. What is no metric, or no finite number, is not there.
    """
    values: dict[str, float] = {}
    for sample in _samples(text):
        if sample.name.endswith(_LEFT_OUT):
            continue
        labels = ",".join(f"{name}={sample.labels[name]}" for name in KEPT_LABELS if name in sample.labels)
        key = f"{sample.name}{{{labels}}}" if labels else sample.name
        if sample.name.endswith(_SHARES):
            values[key] = max(values.get(key, sample.value), sample.value)
        else:
            values[key] = values.get(key, 0.0) + sample.value
    return values


def fetch_metrics(base_url: str, timeout_s: float) -> dict[str, float]:
    """Return what the server at `base_url` counts now; raises OSError when it does not tell within `timeout_s`."""
    status, text = http.get(base_url, "/metrics", timeout_s=timeout_s)
    if status != 200:
        raise ConnectionError(f"{base_url}/metrics answered {status}")
    return parse_metrics(text)


def engine_tokens(text: str) -> dict[str, float]:
    """Return how many tokens each engine behind the server has generated, by its own number; empty when none tells."""
    return {
        sample.labels["engine"]: sample.value
        for sample in _samples(text)
        if sample.name == _GENERATED and "engine" in sample.labels
    }


def cache_config(text: str) -> dict[str, str]:
    """Return the labels of vllm:cache_config_info: block size, number of blocks and so on; empty when it is absent."""
    return next((dict(sample.labels) for sample in _samples(text) if sample.name == "vllm:cache_config_info"), {})


def counter_delta(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each counter grew; one that went back, since its server was restarted, is left out."""
    counters = {name: value for name, value in after.items() if name.partition("{")[0].endswith(_COUNTED)}
    growth = {name: value - before.get(name, 0.0) for name, value in counters.items()}
    return {name: value for name, value in growth.items() if value >= 0}


def went_back(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Return the names of the counters that are lower, or gone, after than before: their server was restarted."""
    counters = {name: value for name, value in before.items() if name.partition("{")[0].endswith(_COUNTED)}
    return sorted(name for name, value in counters.items() if value > after.get(name, 0.0))


def _samples(text: str) -> Iterator[_Sample]:
    """Yield the samples of vLLM on a page, but for the buckets; a line that is none costs no other."""
    ours = (line for line in text.splitlines() if line.startswith(_OURS) and "_bucket{" not in line)
    lines = [line for line in ours if len(line) <= MAX_LINE][:MAX_SAMPLES]
    try:
        yield from list(_parsed(lines))
    except (ValueError, OverflowError):  # one says that it is a metric, and is not
        for line in lines:
            try:
                yield from list(_parsed([line]))
            except (ValueError, OverflowError):
                continue


def _parsed(lines: Iterable[str]) -> Iterator[_Sample]:
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families("".join(f"{line}\n" for line in lines)):
        for sample in family.samples:
            if math.isfinite(value := float(sample.value)):
                yield _Sample(sample.name, sample.labels, value)
