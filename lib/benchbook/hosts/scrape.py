"""What a vLLM server counts, read from its Prometheus page."""

from __future__ import annotations

from collections.abc import Mapping

from benchbook.hosts import http

KEPT_LABELS = ("finished_reason", "reason", "source")  # the others (engine, model_name) are summed over
_COUNTED = ("_total", "_sum", "_count")
_LEFT_OUT = ("_bucket", "_created", "_info")  # `_info` is always 1; `cache_config` reads its labels


def parse_metrics(text: str) -> dict[str, float]:
    """Return every value on the page by vLLM's own name, summed over engines, without the buckets of histograms.

    A kept label stands behind the name: 'vllm:request_success_total{finished_reason=length}'.
    """
    from prometheus_client.parser import text_string_to_metric_families

    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith(_LEFT_OUT):
                labels = ",".join(f"{name}={sample.labels[name]}" for name in KEPT_LABELS if name in sample.labels)
                key = f"{sample.name}{{{labels}}}" if labels else sample.name
                values[key] = values.get(key, 0.0) + sample.value
    return values


def fetch_metrics(base_url: str, timeout_s: float) -> dict[str, float]:
    """Return what the server at `base_url` counts now; raises OSError when it does not tell within `timeout_s`."""
    status, text = http.get(base_url, "/metrics", timeout_s=timeout_s)
    if status != 200:
        raise ConnectionError(f"{base_url}/metrics answered {status}")
    return parse_metrics(text)


def cache_config(text: str) -> dict[str, str]:
    """Return the labels of vllm:cache_config_info: block size, number of blocks and so on; empty when it is absent."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((dict(sample.labels) for sample in samples if sample.name == "vllm:cache_config_info"), {})


def counter_delta(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each counter grew; one that went back, since its server was restarted, is left out."""
    counters = {name: value for name, value in after.items() if name.partition("{")[0].endswith(_COUNTED)}
    growth = {name: value - before.get(name, 0.0) for name, value in counters.items()}
    return {name: value for name, value in growth.items() if value >= 0}


def went_back(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Return the names of the counters that are lower, or gone, after than before: their server was restarted."""
    counters = {name: value for name, value in before.items() if name.partition("{")[0].endswith(_COUNTED)}
    return sorted(name for name, value in counters.items() if value > after.get(name, 0.0))
