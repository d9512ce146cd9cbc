"""What vLLM replaces or passes over in silence is told by plan, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.unheeded import unheeded
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import written

installed = pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")


@pytest.mark.parametrize(
    ("args", "env", "name"),
    [
        ({"enforce_eager": True, "cudagraph_capture_sizes": [1, 2]}, {}, "cudagraph_capture_sizes"),
        ({"enforce_eager": True, "compilation_config": {"mode": 3}}, {}, "compilation_config.mode"),
        ({"distributed_executor_backend": "ray", "device_ids": "0,1"}, {}, "device_ids"),
        ({"offload_backend": "uva", "cpu_offload_gb": 4, "offload_group_size": 2}, {}, "offload_group_size"),
        ({"offload_backend": "prefetch", "cpu_offload_gb": 4, "offload_group_size": 2}, {}, "cpu_offload_gb"),
        ({"cpu_offload_gb": 4, "offload_group_size": 2}, {}, "cpu_offload_gb"),
        (
            {"dcp_kv_cache_interleave_size": 16, "cp_kv_cache_interleave_size": 8}, {}, "cp_kv_cache_interleave_size",
        ),
        (
            {"compilation_config": {"debug_dump_path": "/a"}}, {"VLLM_DEBUG_DUMP_PATH": "/b"},
            "compilation_config.debug_dump_path",
        ),
        ({"numa_bind": True}, {"VLLM_WORKER_MULTIPROC_METHOD": "fork"}, "VLLM_WORKER_MULTIPROC_METHOD"),
        ({"data_parallel_backend": "mp"}, {"VLLM_RAY_DP_PACK_STRATEGY": "span"}, "VLLM_RAY_DP_PACK_STRATEGY"),
        ({"watermark_config": {"key": 1}}, {"VLLM_USE_V2_MODEL_RUNNER": "0"}, "VLLM_USE_V2_MODEL_RUNNER"),
        ({}, {"HOST_IP": "10.0.0.1"}, "HOST_IP"),
    ],
)  # fmt: skip
def test_what_else_a_launch_says_keeps_a_setting_from_being_heeded(args, env, name) -> None:
    ((found, why),) = unheeded(args, env)
    assert found == name and why.startswith("is not heeded: ")


@pytest.mark.parametrize(
    ("args", "env"),
    [
        ({"enforce_eager": False, "cudagraph_capture_sizes": [1, 2], "compilation_config": {"mode": 3}}, {}),
        ({"enforce_eager": True, "compilation_config": {"pass_config": {}}}, {}),
        ({"distributed_executor_backend": "mp", "device_ids": "0,1"}, {}),
        ({"cpu_offload_gb": 4}, {}),
        ({"offload_backend": "prefetch", "offload_group_size": 2}, {}),
        ({"compilation_config": {"debug_dump_path": "/a"}}, {}),
        ({"numa_bind": True}, {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}),
        ({"data_parallel_backend": "ray"}, {"VLLM_RAY_DP_PACK_STRATEGY": "span"}),
        ({}, {"VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_HOST_IP": "10.0.0.1", "HOST_IP": "10.0.0.1"}),
    ],
)
def test_a_setting_that_vllm_heeds_is_not_doubted(args, env) -> None:
    assert list(unheeded(args, env)) == []


@pytest.mark.parametrize(
    ("args", "env", "build", "name"),
    [
        ({"moe_backend": "triton", "kernel_config": {"moe_backend": "cutlass"}}, {}, "", "kernel_config.moe_backend"),
        ({"linear_backend": "cutlass", "kernel_config": {"linear_backend": "marlin"}}, {}, "",
         "kernel_config.linear_backend"),
        ({"kv_cache_memory_bytes": "4G", "gpu_memory_utilization": 0.5}, {}, "gpu", "gpu_memory_utilization"),
        ({"reasoning_parser": "qwen3", "structured_outputs_config": {"reasoning_parser": "deepseek_r1"}}, {}, "",
         "structured_outputs_config.reasoning_parser"),
        ({"attention_backend": "FLASHINFER"}, {}, "cpu", "attention_backend"),
        ({"attention_config": {"backend": "triton_attn"}}, {}, "cpu", "attention_config.backend"),
        ({"async_scheduling": True}, {}, "cpu", "async_scheduling"),
        ({"enable_dbo": True}, {}, "cpu", "enable_dbo"),
        ({"cudagraph_capture_sizes": [1, 2]}, {}, "cpu", "cudagraph_capture_sizes"),
        ({"compilation_config": {"cudagraph_mode": "FULL"}}, {}, "cpu", "compilation_config.cudagraph_mode"),
        ({"compilation_config": {"mode": 3}}, {}, "cpu", "compilation_config.mode"),
        ({"distributed_executor_backend": "uni"}, {}, "cpu", "distributed_executor_backend"),
        ({}, {"VLLM_WORKER_MULTIPROC_METHOD": "fork"}, "cpu", "VLLM_WORKER_MULTIPROC_METHOD"),
        ({}, {"TORCHINDUCTOR_COMPILE_THREADS": "8"}, "cpu", "TORCHINDUCTOR_COMPILE_THREADS"),
        ({"kv_cache_memory_bytes": "4G"}, {"VLLM_CPU_KVCACHE_SPACE": "1"}, "cpu", "kv_cache_memory_bytes"),
        ({}, {"VLLM_CPU_OMP_THREADS_BIND": "0-3"}, "gpu", "VLLM_CPU_OMP_THREADS_BIND"),
        ({}, {"OMP_NUM_THREADS": "2"}, "cpu", "OMP_NUM_THREADS"),
        ({}, {"VLLM_ENABLE_STARTUP_PLAN": "1"}, "cpu", "VLLM_ENABLE_STARTUP_PLAN"),
        ({"max_loras": 4}, {}, "", "max_loras"),
        ({"enable_lora": False, "fully_sharded_loras": True}, {}, "", "fully_sharded_loras"),
        ({"eplb_config": {"window_size": 100}}, {}, "", "eplb_config"),
        ({"dbo_decode_token_threshold": 64}, {}, "", "dbo_decode_token_threshold"),
        ({"expert_placement_strategy": "round_robin"}, {}, "", "expert_placement_strategy"),
        ({"kv_offloading_backend": "native"}, {}, "", "kv_offloading_backend"),
        ({"enable_prefix_caching": False, "prefix_caching_hash_algo": "xxhash"}, {}, "", "prefix_caching_hash_algo"),
    ],
)  # fmt: skip
def test_what_another_name_or_the_build_stands_over_is_told(args, env, build, name) -> None:
    ((found, why),) = unheeded(args, env, build)
    assert found == name and why.startswith("is not heeded: ")


@pytest.mark.parametrize(
    ("args", "env", "build"),
    [
        ({"moe_backend": "auto", "kernel_config": {"moe_backend": "cutlass"}}, {}, ""),
        ({"moe_backend": "cutlass", "kernel_config": {"moe_backend": "cutlass"}}, {}, ""),
        ({"async_scheduling": True, "enable_dbo": True, "cudagraph_capture_sizes": [1]}, {}, "gpu"),
        ({"async_scheduling": False, "compilation_config": {"mode": 2, "custom_ops": ["all"]}}, {}, "cpu"),
        ({"distributed_executor_backend": "uni"}, {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}, "cpu"),
        ({"kv_cache_memory_bytes": "4G"}, {"VLLM_CPU_KVCACHE_SPACE": ""}, "cpu"),
        ({"attention_backend": "cpu_attn"}, {}, "cpu"),
        ({"attention_config": {"backend": "auto"}}, {}, "cpu"),
        ({}, {"VLLM_CPU_OMP_THREADS_BIND": "0-3", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}, "cpu"),
        ({"async_scheduling": True}, {"VLLM_CPU_KVCACHE_SPACE": "1"}, ""),  # no vLLM is installed
        ({}, {"VLLM_ENABLE_STARTUP_PLAN": "1"}, "gpu"),
        ({}, {"OMP_NUM_THREADS": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}, "cpu"),
        ({}, {"OMP_NUM_THREADS": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}, "cpu"),
        ({"enable_lora": True, "max_loras": 4, "enable_eplb": True, "eplb_config": {"window_size": 100}}, {}, ""),
        ({"kv_offloading_size": 4, "kv_offloading_backend": "native", "prefix_caching_hash_algo": "xxhash"}, {}, ""),
    ],
)
def test_what_counts_or_whose_build_is_not_known_is_not_doubted(args, env, build) -> None:
    assert list(unheeded(args, env, build)) == []


@installed
@pytest.mark.parametrize(
    ("args", "env", "place", "words"),
    [
        ("{all2all_backend: pplx}", "{}", "args.all2all_backend: pplx", "→ args.all2all_backend: allgather_reducescatter"),
        ("{all2all_backend: naive}", "{}", "args.all2all_backend: naive", "vLLM takes allgather_reducescatter"),
        ("{}", "{VLLM_ALL2ALL_BACKEND: pplx}", "env.VLLM_ALL2ALL_BACKEND", "→ args.all2all_backend: allgather_reduce"),
        ("{max_parallel_loading_workers: 2}", "{}", "args.max_parallel_loading_workers", "left out; still taken, but"),
        ("{enforce_eager: true, cc.mode: 3}", "{}", "args.cc.mode", "is not heeded: enforce_eager"),
        ("{}", "{HOST_IP: 10.0.0.1}", "env.HOST_IP", "vLLM asks VLLM_HOST_IP"),
    ],
)  # fmt: skip
def test_plan_tells_it_with_its_line(tmp_path: Path, args, env, place, words) -> None:
    notes = preflight_of(written(tmp_path, args, env)).notes
    assert any(f"launches.d.{place}" in note and words in note for note in notes)


@installed
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("{worker_use_ray: true}", "distributed_executor_backend: ray"),
        ("{engine_use_ray: true}", "distributed_executor_backend: ray"),
        ("{disable_cascade_attn: false}", "in cascades is gone"),
        ("{quantization_param_path: x.json}", "come from the checkpoint"),
    ],
)
def test_what_cannot_be_had_any_more_is_refused_with_what_replaces_it(tmp_path: Path, args, words) -> None:
    path = written(tmp_path, args)
    with pytest.raises(ExperimentError, match=words):
        preflight_of(path)
