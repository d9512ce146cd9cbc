"""What a server counts is read from its Prometheus page by neutral names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benchbook.hosts.face import Counters
from benchbook.hosts.scrape import counter_delta, engine_tokens, has_prefix_cache, parse_counters
from benchbook.hosts.server import VllmServer
from benchbook.hosts.vllm.counters import COUNTERS
from benchbook.records.upgrade import neutral_name

PAGE = """# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 300.0
vllm:generation_tokens_total{engine="1",model_name="m"} 20.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 1.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 9.0
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="m"} 10.0
vllm:request_queue_time_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 10.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 0.5
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",enable_prefix_caching="True",num_gpu_blocks="4096"} 1.0
"""


def test_values_are_summed_over_engines_and_requests_told_apart_by_how_they_ended() -> None:
    values = parse_counters(PAGE, COUNTERS)
    assert values["generation_tokens"] == 320
    assert (values["requests_ended_by_length"], values["requests_ended_by_stop"]) == (9, 1)
    told = {"generation_tokens", "requests_ended_by_length", "requests_ended_by_stop", "running", "queue_s", "queued"}
    assert set(values) == told


def test_only_counters_have_a_growth() -> None:
    before, after = (parse_counters(page, COUNTERS) for page in (PAGE, PAGE.replace("300.0", "450.0")))
    growth = counter_delta(before, after)
    assert growth["generation_tokens"] == 150
    assert growth["requests_ended_by_stop"] == 0
    assert "running" not in growth


def test_a_counter_that_is_new_grew_from_nothing_and_one_that_went_back_is_left_out() -> None:
    assert counter_delta({"a": 5.0}, {"a": 2.0, "b": 3.0}) == {"b": 3.0}


@pytest.mark.parametrize(("page", "has_one"), [(PAGE, True), (PAGE.replace("True", "False"), False), ("", None)])
def test_whether_there_is_a_prefix_cache_is_read_from_a_label(page, has_one) -> None:
    assert has_prefix_cache(page, COUNTERS) is has_one


def test_an_engine_may_count_little_and_call_it_what_it_likes() -> None:
    little = Counters(names={"generation_tokens": "toy_made"}, ended="toy_done")
    page = 'toy_made{rank="3"} 7\ntoy_made_up 9\ntoy_done 2\nvllm:generation_tokens_total 5\n'
    assert parse_counters(page, little) == {"generation_tokens": 7.0, "requests_ended": 2.0}
    assert parse_counters(page, Counters(names={})) == engine_tokens(page, little) == {}
    assert has_prefix_cache(page, little) is None


def test_a_record_of_the_names_of_the_page_is_read_by_the_neutral_ones() -> None:
    old = {neutral_name(theirs): ours for ours, theirs in COUNTERS.names.items() if theirs.endswith("_total")}
    assert len(old) == 8 and all(was == ours for was, ours in old.items())
    reasons = [neutral_name(f"{COUNTERS.ended}{{finished_reason={reason}}}") for reason in ("length", "stop", "abort")]
    assert reasons == ["requests_ended_by_length", "requests_ended_by_stop", "requests_ended_by_abort"]
    assert neutral_name("prompt_tokens") == "prompt_tokens" and neutral_name(COUNTERS.ended) == "requests_ended"


def test_the_page_of_a_server_counts_its_requests(
    fake_server: Callable[..., VllmServer], complete: Callable[[VllmServer], int]
) -> None:
    with fake_server() as server:
        before = parse_counters(server.metrics_text(), COUNTERS)
        complete(server)
        growth = counter_delta(before, parse_counters(server.metrics_text(), COUNTERS))
    assert growth["generation_tokens"] == 4
    assert growth["prompt_tokens"] == 2
