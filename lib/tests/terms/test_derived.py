"""Metrics that are made of vLLM's lists and of the server's counters, each with and without its data."""

from __future__ import annotations

import math

import pytest
from benchbook.hosts.scrape import counter_delta, parse_counters
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.terms.benchmarks import SERVE
from benchbook.terms.derived import DERIVED
from benchbook.terms.metrics import METRICS, values_from_raw

LISTS = {
    "itls": [[0.1, 0.1], [0.1], [], [0.2]],
    "output_lens": [6, 2, 0, 4],
    "queue_times": [0.5, 0.1, 9.0, 0.0],
    "errors": ["", "", "refused", ""],
    "request_rate": 4.0,
    "max_concurrency": 2,
}
PAGE = """\
vllm:prefix_cache_queries_total{{engine="0"}} {queries}
vllm:prefix_cache_hits_total{{engine="0"}} {hits}
vllm:request_queue_time_seconds_sum{{engine="0"}} {queue}
vllm:request_queue_time_seconds_count{{engine="0"}} {requests}
vllm:request_prefill_time_seconds_sum{{engine="0"}} {prefill}
vllm:request_prefill_time_seconds_count{{engine="0"}} {requests}
vllm:request_decode_time_seconds_sum{{engine="0"}} {decode}
vllm:request_decode_time_seconds_count{{engine="0"}} {requests}
"""


def values(raw, counters=None):
    return values_from_raw(SERVE.name, raw, counters)


def test_each_metric_without_a_key_in_the_raw_file_is_made_by_a_function_of_its_name():
    assert {metric.key for metric in METRICS if not metric.source_key} == set(DERIVED)


def test_without_data_each_is_absent_and_not_0():
    for raw in ({}, {"errors": [""], "itls": [[]]}, {"queue_times": [], "errors": [], "request_rate": 2}):
        found = values(raw, {})
        assert all(found[key] is None for key in DERIVED)


def test_what_was_guessed_is_vllms_own():
    found = values({"spec_decode_acceptance_rate": 61.5, "spec_decode_acceptance_length": 2.85})
    assert (found["spec_acceptance_pct"], found["spec_acceptance_length_tok"]) == (61.5, 2.85)
    assert values({"spec_decode_acceptance_rate": 0.0})["spec_acceptance_pct"] == 0.0, (
        "none came true: that is a measurement"
    )


def test_of_requests_the_answered_ones_count():
    found = values(LISTS)
    assert found["mean_chunk_tok"] == pytest.approx(12 / 7)
    assert found["mean_client_queue_ms"] == pytest.approx(200.0)
    assert values({**LISTS, "server_ttfts": [0.1, 0.2, 9.0, None]})["mean_server_ttft_ms"] == pytest.approx(150.0)
    assert values({**LISTS, "queue_times": [math.nan, 0.1, 0.0, 0.3]})["mean_client_queue_ms"] == pytest.approx(200.0)


def test_in_a_closed_loop_waiting_in_the_client_is_what_was_asked_for():
    for closed in ({"request_rate": "inf"}, {"request_rate": None}, {"max_concurrency": None}):
        assert values({**LISTS, **closed})["mean_client_queue_ms"] is None
    assert values({**LISTS, "request_rate": "inf", "ramp_up_strategy": "linear"})[
        "mean_client_queue_ms"
    ] == pytest.approx(200)


def test_what_the_server_counts_is_its_growth():
    before = {"queries": 1000, "hits": 900, "queue": 50.0, "prefill": 1.0, "decode": 4.0, "requests": 10}
    after = {"queries": 3000, "hits": 1400, "queue": 51.0, "prefill": 2.0, "decode": 8.0, "requests": 30}
    pages = [parse_counters(PAGE.format(**page), COUNTERS) for page in (before, after)]
    found = values({}, counter_delta(*pages))
    assert (found["prefix_hit_pct"], found["cached_tokens"]) == (25.0, 500)
    assert found["mean_server_queue_ms"] == pytest.approx(50.0)
    assert found["mean_server_prefill_ms"] == pytest.approx(50.0)
    assert found["mean_server_decode_ms"] == pytest.approx(200.0)
    told = values({"server_queue_times": [0.2, 0.4], "errors": ["", ""]}, counter_delta(*pages))
    assert told["mean_server_queue_ms"] == pytest.approx(300.0), "what it says of each request comes first"
    assert values({}, {"prefix_cache_hits": 0.0, "prefix_cache_queries": 0.0})["cached_tokens"] is None, "it is off"
    off = {**before, "queries": 3000}
    assert (
        values({}, counter_delta(*[parse_counters(PAGE.format(**page), COUNTERS) for page in (off, off)]))[
            "prefix_hit_pct"
        ]
        is None
    )
