"""What a server counts is read from its Prometheus page by vLLM's own names."""

from __future__ import annotations

from collections.abc import Callable

from benchbook.hosts.scrape import cache_config, counter_delta, fetch_metrics, parse_metrics
from benchbook.hosts.server import VllmServer

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
vllm:cache_config_info{block_size="128",num_gpu_blocks="4096"} 1.0
"""


def test_values_are_summed_over_engines_and_told_apart_by_kept_labels() -> None:
    values = parse_metrics(PAGE)
    assert values["vllm:generation_tokens_total"] == 320
    assert values["vllm:request_success_total{finished_reason=length}"] == 9
    assert values["vllm:request_queue_time_seconds_sum"] == 0.5
    assert not any("bucket" in name for name in values)


def test_only_counters_have_a_growth() -> None:
    before, after = parse_metrics(PAGE), parse_metrics(PAGE.replace("300.0", "450.0"))
    growth = counter_delta(before, after)
    assert growth["vllm:generation_tokens_total"] == 150
    assert growth["vllm:request_success_total{finished_reason=stop}"] == 0
    assert "vllm:num_requests_running" not in growth


def test_a_counter_that_is_new_grew_from_nothing_and_one_that_went_back_is_left_out() -> None:
    assert counter_delta({"a_total": 5.0}, {"a_total": 2.0, "b_total": 3.0}) == {"b_total": 3.0}


def test_the_cache_configuration_is_read_from_its_labels() -> None:
    assert cache_config(PAGE) == {"block_size": "128", "num_gpu_blocks": "4096"}
    assert cache_config("") == {}


def test_the_page_of_a_server_counts_its_requests(
    fake_server: Callable[..., VllmServer], complete: Callable[[VllmServer], int]
) -> None:
    with fake_server() as server:
        before = fetch_metrics(server.base_url, timeout_s=5)
        complete(server)
        growth = counter_delta(before, fetch_metrics(server.base_url, timeout_s=5))
    assert growth["vllm:generation_tokens_total"] == 4
    assert growth["vllm:prompt_tokens_total"] == 2
