"""Old names become what says the same to a later vLLM, within the versions for which that holds, or are refused."""

from __future__ import annotations

import pytest
from benchbook.hosts.translations import TABLE, Refused, translate, version_number

ARTICLE_ARGS = {
    "tensor_parallel": 1,
    "enable_prefix_caching": False,
    "disable_log_requests": True,
    "compilation_config": {"full_cuda_graph": True},
}
ARTICLE_ENV = {"VLLM_ROCM_USE_AITER": "1", "VLLM_USE_AITER_UNIFIED_ATTENTION": "1", "VLLM_ROCM_USE_AITER_MHA": "0"}


def test_the_articles_launch_on_a_current_vllm() -> None:
    args, env, changes = translate(ARTICLE_ARGS, ARTICLE_ENV, "0.32.0")
    assert args == {
        "tensor_parallel_size": 1,
        "enable_prefix_caching": False,
        "compilation_config": {"cudagraph_mode": "FULL"},
        "attention_backend": "ROCM_AITER_UNIFIED_ATTN",
    }
    assert env == {"VLLM_ROCM_USE_AITER": "1", "VLLM_ROCM_USE_AITER_MHA": "0"}
    assert [change.old for change in changes] == [
        "tensor_parallel",
        "disable_log_requests",
        "full_cuda_graph",
        "VLLM_USE_AITER_UNIFIED_ATTENTION",
    ]
    assert all(change.reason for change in changes)


def test_the_articles_launch_on_the_versions_in_between() -> None:
    args, env, _ = translate(ARTICLE_ARGS, ARTICLE_ENV, "0.16.0")
    assert args["disable_log_requests"] is True and "attention_backend" not in args
    assert env["VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION"] == "1"


def test_the_articles_launch_stays_as_it_is_on_the_vllm_that_it_was_written_for() -> None:
    args, env, changes = translate(ARTICLE_ARGS, ARTICLE_ENV, "0.10.2")
    assert args["compilation_config"] == {"full_cuda_graph": True}
    assert env == ARTICLE_ENV
    assert [change.old for change in changes] == ["tensor_parallel"]


@pytest.mark.parametrize(
    ("args", "env", "wanted"),
    [
        ({"disable_log_requests": False}, {}, {"enable_log_requests": True}),
        ({"compilation_config": {"use_cudagraph": False}}, {}, {"compilation_config": {"cudagraph_mode": "NONE"}}),
        ({"compilation_config": {"use_cudagraph": True}}, {}, {}),
        ({"compilation_config.full_cuda_graph": False}, {}, {"compilation_config": {"cudagraph_mode": "PIECEWISE"}}),
        ({"compilation_config": {"level": 3}}, {}, {"compilation_config": {"mode": 3}}),
        ({"cuda_graph_sizes": [1, 2]}, {}, {"cudagraph_capture_sizes": [1, 2]}),
        ({"swap_space": 4}, {}, {}),
        ({"task": "generate"}, {}, {}),
        ({"num_scheduler_steps": 1}, {}, {}),
        ({}, {"VLLM_USE_V1": "1"}, {}),
        ({}, {"VLLM_ATTENTION_BACKEND": "TRITON_ATTN"}, {"attention_backend": "TRITON_ATTN"}),
        ({}, {"VLLM_V1_USE_PREFILL_DECODE_ATTENTION": "1"}, {"attention_backend": "ROCM_ATTN"}),
        ({}, {"VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION": "0"}, {}),
        ({}, {"VLLM_MXFP4_USE_MARLIN": "1"}, {"moe_backend": "marlin"}),
        ({}, {"VLLM_FLASH_ATTN_VERSION": "3"}, {"attention_config": {"flash_attn_version": 3}}),
        ({}, {"VLLM_ROCM_CUSTOM_PAGED_ATTN": "1"}, {}),
        ({}, {"VLLM_USE_TRITON_FLASH_ATTN": "0"}, {}),
    ],
)
def test_each_old_name_becomes_what_replaced_it(args: dict, env: dict, wanted: dict) -> None:
    new_args, new_env, changes = translate(args, env, "0.32.0+cpu")
    assert (new_args, new_env, len(changes)) == (wanted, {}, 1)


@pytest.mark.parametrize(
    ("args", "env", "reason"),
    [
        ({}, {"VLLM_USE_V1": "0"}, "V0 is gone"),
        ({"task": "embed"}, {}, "runner: pooling"),
        ({}, {"VLLM_FLASH_ATTN_VERSION": "new"}, "must be 2, 3 or 4"),
        ({}, {"VLLM_ROCM_CUSTOM_PAGED_ATTN": "0"}, "name another attention_backend"),
        ({"num_scheduler_steps": 8}, {}, "async_scheduling"),
        ({"compilation_config": {"full_cuda_graph": True, "cudagraph_mode": "NONE"}}, {}, "but the launch says NONE"),
        ({"attention_backend": "TRITON_ATTN"}, {"VLLM_ATTENTION_BACKEND": "FLASH_ATTN"}, "but the launch says TRITON"),
    ],
)
def test_what_cannot_be_had_any_more_is_refused_with_the_reason(args: dict, env: dict, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        translate(args, env, "0.32.0")


def test_a_launch_of_today_is_not_touched() -> None:
    args = {"max_model_len": 4096, "compilation_config": {"cudagraph_mode": "FULL"}}
    assert translate(args, {"VLLM_LOGGING_LEVEL": "INFO"}, "0.32.0") == (args, {"VLLM_LOGGING_LEVEL": "INFO"}, [])


def test_an_empty_config_stays_and_one_that_lost_its_only_key_goes() -> None:
    assert translate({"compilation_config": {}}, {}, "0.32.0")[0] == {"compilation_config": {}}
    assert translate({"compilation_config": {"use_cudagraph": True}}, {}, "0.32.0")[0] == {}


def test_versions_compare_by_number_without_their_build() -> None:
    assert version_number("0.9.2") < version_number("0.11.1rc2") < version_number("0.32.0+cpu")


def test_no_two_entries_hold_for_the_same_name_and_version() -> None:
    spans: dict[tuple[str, str], list] = {}
    for entry in TABLE:
        spans.setdefault((entry.kind, entry.old), []).append(entry)
    for entries in spans.values():
        for earlier, later in zip(entries, entries[1:]):
            assert earlier.until == later.unknown_since
        assert entries[-1].until is None
