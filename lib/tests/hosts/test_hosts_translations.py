"""Old names become what says the same to a later vLLM, within the versions for which that holds, or are refused."""

from __future__ import annotations

import re

import pytest
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.forms import flag_of, installed_forms
from benchbook.hosts.vllm.old_values import VALUES
from benchbook.hosts.vllm.renaming import Refused, is_variable
from benchbook.hosts.vllm.translations import TABLE, translate, version_number

ARTICLE_ARGS = {
    "tensor_parallel": 1,
    "enable_prefix_caching": False,
    "disable_log_requests": True,
    "compilation_config": {"full_cuda_graph": True},
}
ARTICLE_ENV = {"VLLM_ROCM_USE_AITER": "1", "VLLM_USE_AITER_UNIFIED_ATTENTION": "1", "VLLM_ROCM_USE_AITER_MHA": "0"}


def test_the_articles_launch_on_a_current_vllm() -> None:
    done = translate(ARTICLE_ARGS, ARTICLE_ENV, "0.32.0")
    args, env, changes = done.args, done.env, done.changes
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
        "compilation_config.full_cuda_graph",
        "VLLM_USE_AITER_UNIFIED_ATTENTION",
    ]
    assert all(change.reason for change in changes)


def test_the_articles_launch_on_the_versions_in_between() -> None:
    done = translate(ARTICLE_ARGS, ARTICLE_ENV, "0.16.0")
    args, env = done.args, done.env
    assert args["disable_log_requests"] is True and "attention_backend" not in args
    assert env["VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION"] == "1"


def test_the_articles_launch_stays_as_it_is_on_the_vllm_that_it_was_written_for() -> None:
    done = translate(ARTICLE_ARGS, ARTICLE_ENV, "0.10.2")
    args, env, changes = done.args, done.env, done.changes
    assert args["compilation_config"] == {"full_cuda_graph": True}
    assert env == ARTICLE_ENV
    assert [change.old for change in changes] == ["tensor_parallel"]


@pytest.mark.parametrize(
    ("args", "env", "wanted"),
    [
        ({"disable_log_requests": False}, {}, {"enable_log_requests": True}),
        ({"compilation_config": {"use_cudagraph": False}}, {}, {"compilation_config": {"cudagraph_mode": "NONE"}}),
        ({"compilation_config": {"use_cudagraph": True}}, {}, {}),
        (
            {"compilation_config": {"full_cuda_graph": False}},
            {},
            {"compilation_config": {"cudagraph_mode": "PIECEWISE"}},
        ),
        ({"compilation_config": {"level": 3}}, {}, {"compilation_config": {"mode": 3}}),
        ({"cuda_graph_sizes": [1, 2]}, {}, {"cudagraph_capture_sizes": [1, 2]}),
        ({"cuda_graph_sizes": 8}, {}, {"max_cudagraph_capture_size": 8}),
        ({"cuda_graph_sizes": [512]}, {}, {"max_cudagraph_capture_size": 512}),
        ({"cuda_graph_sizes": "64"}, {}, {"max_cudagraph_capture_size": 64}),
        ({"cuda_graph_sizes": "1 2 4"}, {}, {"cudagraph_capture_sizes": [1, 2, 4]}),
        ({"task": "embed"}, {}, {"runner": "pooling", "convert": "embed"}),
        ({"use_v2_block_manager": True}, {}, {}),
        ({"enable_reasoning": True}, {}, {}),
        ({"device": "cpu"}, {}, {}),
        ({"guided_decoding_backend": "xgrammar"}, {}, {"structured_outputs_config": {"backend": "xgrammar"}}),
        ({"speculative_model": "[ngram]"}, {}, {"speculative_config": {"method": "ngram"}}),
        ({"speculative_model": "a/b"}, {}, {"speculative_config": {"model": "a/b"}}),
        ({"eplb_window_size": 8}, {}, {"eplb_config": {"window_size": 8}}),
        ({"kv_transfer_config": {"kv_rank": 0}}, {}, {}),
        (
            {"compilation_config": {"pass_config": {"enable_noop": True}}},
            {},
            {"compilation_config": {"pass_config": {"eliminate_noops": True}}},
        ),
        ({"quantization": "auto-round"}, {}, {"quantization": "inc"}),
        ({"attention_backend": "TRITON_ATTN_VLLM_V1"}, {}, {"attention_backend": "TRITON_ATTN"}),
        ({"attention_backend": "flash_attn_vllm_v1"}, {}, {"attention_backend": "FLASH_ATTN"}),
        ({"attention_config": {"backend": "FLASHINFER_VLLM_V1"}}, {}, {"attention_config": {"backend": "FLASHINFER"}}),
        ({}, {"VLLM_ATTENTION_BACKEND": "TRITON_ATTN_VLLM_V1"}, {"attention_backend": "TRITON_ATTN"}),
        ({}, {"VLLM_FLASHINFER_MOE_BACKEND": "latency"}, {"moe_backend": "flashinfer_trtllm"}),
        ({}, {"VLLM_FLASHINFER_MOE_BACKEND": "throughput"}, {"moe_backend": "flashinfer_cutlass"}),
        ({}, {"VLLM_NVFP4_GEMM_BACKEND": "flashinfer-cudnn"}, {"linear_backend": "flashinfer_cudnn"}),
        ({}, {"VLLM_RPC_TIMEOUT": "1800000"}, {}),
        ({}, {"VLLM_MM_INPUT_CACHE_GIB": "8"}, {"mm_processor_cache_gb": 8.0}),
        ({}, {"VLLM_USE_TRTLLM_ATTENTION": "0"}, {"attention_config": {"use_trtllm_attention": False}}),
        ({}, {"VLLM_TORCH_PROFILER_DIR": "/x"}, {"profiler_config": {"profiler": "torch", "torch_profiler_dir": "/x"}}),
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
    done = translate(args, env, "0.32.0+cpu")
    assert (done.args, done.env, len(done.changes), done.refusals) == (wanted, {}, 1, [])


@pytest.mark.parametrize(
    ("args", "env", "reason"),
    [
        ({}, {"VLLM_USE_V1": "0"}, "V0 is gone"),
        ({"task": "transcription"}, {}, "runner: pooling"),
        ({"rope_scaling": {"factor": 4}}, {}, "hf_overrides: {rope_parameters: {factor: 4}}"),
        (
            {"rope_scaling": '{"type": "linear", "factor": 2.5}'},
            {},
            "hf_overrides: {rope_parameters: {rope_type: linear, factor: 2.5}}",
        ),
        ({"rope_scaling": "yarn"}, {}, "write the mapping as rope_parameters in hf_overrides"),
        ({"rope_theta": 500000}, {}, "hf_overrides: {rope_parameters: {rope_theta: 500000}}"),
        ({"attention_backend": "XFORMERS"}, {}, "is gone since 0.12: FLASH_ATTN"),
        ({"attention_backend": "ROCM_FLASH"}, {}, "ROCM_ATTN"),
        ({"speculative_config": {"attention_backend": "TREE_ATTN"}}, {}, "is gone since 0.21"),
        ({"quantization": "gguf"}, {}, "vllm-gguf-plugin"),
        ({}, {"VLLM_ATTENTION_BACKEND": "XFORMERS"}, "XFORMERS is gone since 0.12"),
        ({}, {"VLLM_FLASHINFER_MOE_BACKEND": "fast"}, "took one of latency, throughput"),
        ({}, {"VLLM_USE_FLASHINFER_MOE_FP4": "1"}, r"flashinfer_trtllm \(low latency\) or flashinfer_cutlass"),
        ({}, {"VLLM_USE_FLASHINFER_MOE_FP8": "0"}, "cannot be forbidden"),
        ({}, {"VLLM_PROFILER_MAX_ITERS": "many"}, "is no value of profiler_config.max_iterations"),
        ({}, {"VLLM_FLASH_ATTN_VERSION": "new"}, "must be 2, 3 or 4"),
        ({}, {"VLLM_ROCM_CUSTOM_PAGED_ATTN": "0"}, "name another attention_backend"),
        ({"num_scheduler_steps": 8}, {}, "async_scheduling"),
        ({"compilation_config": {"full_cuda_graph": True, "cudagraph_mode": "NONE"}}, {}, "but the launch says NONE"),
        ({"attention_backend": "TRITON_ATTN"}, {"VLLM_ATTENTION_BACKEND": "FLASH_ATTN"}, "but the launch says TRITON"),
    ],
)
def test_what_cannot_be_had_any_more_is_refused_with_the_reason(args: dict, env: dict, reason: str) -> None:
    (refusal,) = translate(args, env, "0.32.0").refusals
    assert re.search(reason, str(refusal))


MODEL = {"rope_theta": 5e5, "max_position_embeddings": 32768}
SCALED = {**MODEL, "rope_scaling": {"type": "linear", "factor": 2.0}}


@pytest.mark.parametrize(
    ("args", "config", "written"),
    [
        ({"rope_theta": 1e6}, MODEL, "{rope_parameters: {rope_type: default, rope_theta: 1000000.0}}"),
        ({"rope_theta": 7}, SCALED, "{rope_parameters: {rope_type: linear, rope_theta: 7, factor: 2.0}}"),
        (
            {"rope_scaling": {"type": "linear", "factor": 4}}, MODEL,
            "{rope_parameters: {rope_type: linear, factor: 4, rope_theta: 500000.0}}",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4}}, MODEL,
            "{rope_parameters: {rope_type: yarn, factor: 4, rope_theta: 500000.0, "
            "original_max_position_embeddings: 32768}, max_position_embeddings: 131072}",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 8192}}, None,
            "max_position_embeddings: 32768} with the model's own rope_theta in it",
        ),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, None, "and max_position_embeddings beside it"),
    ],
)  # fmt: skip
def test_what_is_to_be_written_for_rotary_positions_keeps_what_the_model_has(args, config, written) -> None:
    (refusal,) = translate(args, {}, "0.32.0", config).refusals
    assert written in str(refusal)


def test_what_is_refused_is_left_out_and_the_rest_translated() -> None:
    done = translate({"task": "x", "swap_space": 4, "seed": 1}, {"VLLM_USE_V1": "0"}, "0.32.0")
    assert (done.args, done.env) == ({"seed": 1}, {})
    assert {refusal.old for refusal in done.refusals} == {"task", "VLLM_USE_V1"}


def test_what_replaces_an_option_is_put_beside_the_others_of_its_config() -> None:
    args = {"attention_config": {"use_non_causal": True}, "speculative_model": "a/b", "num_speculative_tokens": 3}
    done = translate(args, {"VLLM_FLASH_ATTN_VERSION": "3"}, "0.32.0")
    assert done.args == {
        "attention_config": {"use_non_causal": True, "flash_attn_version": 3},
        "speculative_config": {"model": "a/b", "num_speculative_tokens": 3},
    }
    assert args["attention_config"] == {"use_non_causal": True}


def test_flashinfers_experts_need_no_more_than_the_kernel_that_is_named_beside_them() -> None:
    env = {"VLLM_USE_FLASHINFER_MOE_FP4": "1", "VLLM_FLASHINFER_MOE_BACKEND": "throughput"}
    done = translate({}, env, "0.32.0")
    assert (done.args, done.env, done.refusals) == ({"moe_backend": "flashinfer_cutlass"}, {}, [])


def test_a_launch_of_today_is_not_touched() -> None:
    args = {"max_model_len": 4096, "compilation_config": {"cudagraph_mode": "FULL"}, "attention_backend": "FLASH_ATTN"}
    done = translate(args, {"VLLM_LOGGING_LEVEL": "INFO"}, "0.32.0")
    assert (done.args, done.env, done.changes) == (args, {"VLLM_LOGGING_LEVEL": "INFO"}, [])


def test_an_empty_config_stays_and_one_that_lost_its_only_key_goes() -> None:
    assert translate({"compilation_config": {}}, {}, "0.32.0").args == {"compilation_config": {}}
    assert translate({"compilation_config": {"use_cudagraph": True}}, {}, "0.32.0").args == {}


def test_a_config_that_is_no_mapping_is_refused_where_an_old_name_belongs_into_it() -> None:
    (refusal,) = translate({"attention_config": "x"}, {"VLLM_FLASH_ATTN_VERSION": "3"}, "0.32.0").refusals
    assert "but the launch says x" in str(refusal)


def test_versions_compare_by_number_without_their_build() -> None:
    assert version_number("0.9.2") < version_number("0.11.1rc2") < version_number("0.32.0+cpu")


def test_no_two_entries_hold_for_the_same_name_and_version() -> None:
    spans: dict[str, list] = {}
    for entry in TABLE:
        spans.setdefault(entry.old, []).append(entry)
    for entries in spans.values():
        for earlier, later in zip(entries, entries[1:]):
            assert earlier.until == later.unknown_since
        assert entries[-1].until is None


EXAMPLES = (
    "1",
    "0",
    1,
    True,
    False,
    "latency",
    "7",
    "auto",
    "embed",
    "[ngram]",
    "asm",
    0.5,
    ["a"],
    "x",
    "",
    None,
    {"a": 1},
)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.old} {entry.unknown_since}")
def test_an_old_name_takes_any_value_and_becomes_names_of_the_installed_vllm(entry) -> None:
    there = known()
    if there is None:
        pytest.skip("no vLLM is installed")
    for value in EXAMPLES:
        try:
            new = entry.becomes(value, {})
        except Refused as refusal:
            assert str(refusal)
            continue
        if entry.until is None and version_number(entry.unknown_since) <= version_number(there.version):
            assert [name for name in new if not is_there(name)] == []


def is_there(name: str) -> bool:
    """Return whether the installed vLLM has a variable, flag or option of this name."""
    if is_variable(name):
        return name in known().variables
    first, *steps = name.split(".")
    options = installed_forms()[flag_of(first)].options if flag_of(first) in installed_forms() else None
    for step in steps:
        if options is None:  # a mapping of anything, such as kv_connector_extra_config
            break
        if step not in options:
            return False
        options = options[step].options
    return flag_of(first) in known().flags


def test_no_name_that_the_installed_vllm_knows_is_said_to_be_gone_unless_nothing_asks_it() -> None:
    there = known()
    if there is None:
        pytest.skip("no vLLM is installed")
    held = {entry.old for entry in TABLE if version_number(entry.unknown_since) <= version_number(there.version)}
    unheeded = {"VLLM_ROCM_USE_AITER_UNIFIED_ATTENTION", "max_parallel_loading_workers", "disable_cascade_attn"}
    assert {name for name in held if is_there(name)} <= unheeded


def test_a_new_value_is_not_itself_old() -> None:
    old = {(name, value.old) for value in VALUES for name in value.names}
    assert [value for value in VALUES if (value.names[0], value.new) in old] == []


@pytest.mark.parametrize(
    ("config", "key", "old", "new"),
    [
        ("kv_transfer_config", "kv_connector", "SharedStorageConnector", "ExampleConnector"),
        ("ec_transfer_config", "ec_connector", "ECSharedStorageConnector", "ECExampleConnector"),
        ("kv_transfer_config", "kv_connector", "P2pNcclConnector", None),
        ("kv_transfer_config", "kv_connector", "PyNcclConnector", None),
    ],
)
def test_a_connector_of_an_earlier_vllm_is_translated_or_refused_with_what_replaces_it(config, key, old, new) -> None:
    done = translate({config: {key: old}}, {}, "0.32.0")
    assert done.args == ({config: {key: new}} if new else {}) and [bool(new)] == [not done.refusals]
    assert new or "instead" in str(done.refusals[0])
    assert translate({config: {key: old}}, {}, "0.10.0").args == {config: {key: old}}
