"""A hint is given for a misspelling, and never where the nearest name means another thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.terms import likeness
from benchbook.terms.likeness import alike, did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("enforce_eagr", "enforce_eager"),
        ("enfroce_eager", "enforce_eager"),
        ("enable_prefix_cache", "enable_prefix_caching"),
        ("gpu_memory_utilisation", "gpu_memory_utilization"),
        ("max_model_length", "max_model_len"),
        ("cudagraphs_mode", "cudagraph_mode"),
        ("VLLM_LOGING_LEVEL", "VLLM_LOGGING_LEVEL"),
        ("VLLM_LOG_LEVEL", "VLLM_LOGGING_LEVEL"),
        ("VLLM_CPU_KV_CACHE_SPACE", "VLLM_CPU_KVCACHE_SPACE"),
        ("VLLM_ROCM_AITER_MOE", "VLLM_ROCM_USE_AITER_MOE"),
        ("VLLM_LOGGING_LVL", "VLLM_LOGGING_LEVEL"),
        ("VLLM_CPU_KVCACHE_SPC", "VLLM_CPU_KVCACHE_SPACE"),
        ("VLLM_WRKR_MULTIPROC_METHOD", "VLLM_WORKER_MULTIPROC_METHOD"),
        ("TRITON_ATN", None),
        ("TRITON_ATTEN", "TRITON_ATTN"),
        ("bfloat61", "bfloat16"),
    ],
)
def test_a_slip_is_understood(word, name):
    others = ["seed", "VLLM_ROCM_USE_AITER_MLA", "ROCM_ATTN", "float16", "max_num_seqs"]
    assert nearest(word, [*others, *([name] if name else [])]) == name


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("VLLM_USE_FLASHINFER_MOE_FP4", "VLLM_USE_FLASHINFER_MOE_INT4"),
        ("VLLM_FLASHINFER_MOE_BACKEND", "VLLM_FLASHINFER_ALLREDUCE_BACKEND"),
        ("VLLM_RPC_TIMEOUT", "VLLM_P2P_IDLE_TIMEOUT_S"),
        ("guided_decoding_backend", "kda_decode_backend"),
        ("enable_reasoning", "enable_prefix_caching"),
        ("VLLM_SPYRE_DYNAMO_BACKEND", "VLLM_XPU_INC_WNA16_BACKEND"),
        ("VLLM_DSV4_FAST_PATH", "VLLM_DSV41_FAST_PATH"),
        ("disable_chunked_prefill", "enable_chunked_prefill"),
        ("fp8_e5m2", "fp8_e4m3"),
        ("VLLM_LOGGING_LVL", "VLLM_LOGGING_COLOR"),
        ("VLLM_ROCM_USE_AITER_MHA", "VLLM_ROCM_USE_AITER_MLA"),
        ("enable_prefix_metrics", "enable_prefill_metrics"),
        ("x" * 5_000, "x" * 4_999),
    ],
)
def test_a_name_that_means_another_thing_is_no_hint(word, other):
    assert nearest(word, [other]) is None


def test_names_that_look_like_a_word_are_told_nearest_first_and_in_any_case():
    names = ["eager", "graphs", "Graphs_full", "tuned"]
    assert alike("graph", names) == ["graphs"] and alike("GRAPHS_FUL", names) == ["Graphs_full"]
    assert alike("graphs_", names, most=3) == ["graphs", "Graphs_full"]
    assert alike("x" * 100_000, names) == alike("", names) == alike("eager", []) == []
    assert did_you_mean(alike("egaer", names)) == "did you mean 'eager'?" and did_you_mean([]) == ""
    assert did_you_mean(["eager", "tuned"]) == "did you mean 'eager' or 'tuned'?"


def test_there_is_one_way_to_find_a_name_that_looks_like_another():
    asking = [path.name for path in Path(likeness.__file__).parents[1].rglob("*.py") if "difflib" in path.read_text()]
    assert asking == ["likeness.py"]
