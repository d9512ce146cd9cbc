"""Names and values of other versions of vLLM, of plugins and of the hub, in files for the installed vLLM."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.hosts.vllm.flags import is_read, known
from benchbook.hosts.vllm.forms import installed_forms
from benchbook.sweep.preflight import Preflight, preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import SERVE, written

pytestmark = pytest.mark.skipif(not known(), reason="no vLLM is installed")


def checked(folder: Path, args="{}", env="{}", plugin_env="{}", model="tiny") -> Preflight:
    return preflight_of(written(folder, args, env, plugin_env=plugin_env, model=model))


def refusal(folder: Path, **parts: str) -> str:
    with pytest.raises(ExperimentError) as refused:
        checked(folder, **parts)
    (line,) = str(refused.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("parts", "args", "told"),
    [
        ({"env": "{VLLM_FLASHINFER_MOE_BACKEND: latency}"}, {"moe_backend": "flashinfer_trtllm"}, "it is moe_backend now"),
        ({"env": "{VLLM_RPC_TIMEOUT: 1800000}"}, {}, "left out; gone since 0.23"),
        (
            {"args": "{guided_decoding_backend: xgrammar}"},
            {"structured_outputs_config": {"backend": "xgrammar"}},
            "it is structured_outputs_config.backend now",
        ),
        ({"args": "{use_v2_block_manager: true}"}, {}, "left out; gone since 0.10"),
        ({"args": "{enable_reasoning: true}"}, {}, "reasoning_parser alone"),
        (
            {"env": "{VLLM_ATTENTION_BACKEND: TRITON_ATTN_VLLM_V1}"},
            {"attention_backend": "TRITON_ATTN"},
            "it is TRITON_ATTN now",
        ),
        ({"args": "{attention_config.backend: FLASH_ATTN_VLLM_V1}"}, {"attention_config": {"backend": "FLASH_ATTN"}}, ""),
        ({"args": "{ac: {backend: FLASHMLA_VLLM_V1}}"}, {"attention_config": {"backend": "FLASHMLA"}}, ""),
        ({"args": "{attention_backend: flash_attn}"}, {"attention_backend": "flash_attn"}, ""),
        ({"args": "{cc.pass_config.enable_noop: true}"}, {"compilation_config": {"pass_config": {"eliminate_noops": True}}}, ""),
        ({"args": "{O: 3}"}, {"optimization_level": 3}, "compilation_config: {mode: 3}"),
        ({"args": "{O2: true}"}, {"optimization_level": 2}, "is optimization_level; as vLLM until 0.11"),
        ({"args": "{O.mode: 3}"}, {"compilation_config": {"mode": 3}}, "is compilation_config.mode"),
        ({"args": "{O: {level: 3}}"}, {"compilation_config": {"mode": 3}}, "is compilation_config"),
        ({"args": "{no_calculate_kv_scales: true}"}, {}, "left out; gone since 0.28"),
        ({"args": '{calculate_kv_scales: "FALSE"}'}, {}, "left out; gone since 0.28"),
        ({"args": "{no_disable_log_requests: true}"}, {"enable_log_requests": True}, "gone since 0.17"),
        ({"args": "{no_disable_log_requests: false}"}, {}, "gone since 0.17"),
        ({"args": "{no_use_v2_block_manager: true}"}, {}, "left out; gone since 0.10"),
        (
            {"args": '{guided_decoding_backend: "xgrammar:disable-any-whitespace,no-fallback"}'},
            {"structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}},
            "its options stand beside it",
        ),
        ({"args": "{compilation_config: {cudagraph_mode: full}}"}, {"compilation_config": {"cudagraph_mode": "full"}}, ""),
    ],
)  # fmt: skip
def test_what_another_version_called_otherwise_is_translated_and_told(tmp_path, parts, args, told) -> None:
    done = checked(tmp_path, **parts)
    (launch,) = done.experiment.launches
    assert (launch.args, launch.env) == (args, {})
    assert told in "\n".join(done.notes)


def test_speculation_by_flags_becomes_its_config(tmp_path) -> None:
    done = checked(
        tmp_path, args='{speculative_model: "[ngram]", num_speculative_tokens: 5, ngram_prompt_lookup_max: 4}'
    )
    wanted = {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4}
    assert done.experiment.launches[0].args == {"speculative_config": wanted}


@pytest.mark.parametrize(
    ("parts", "place", "words"),
    [
        (
            {"env": "{VLLM_USE_FLASHINFER_MOE_FP4: 1}"},
            "exp.yaml:6: launches.d.env.VLLM_USE_FLASHINFER_MOE_FP4: 1: ",
            "moe_backend: flashinfer_trtllm (low latency) or flashinfer_cutlass (throughput)",
        ),
        ({"env": "{VLLM_ATTENTION_BACKEND: XFORMERS}"}, "exp.yaml:6: launches.d.env.", "XFORMERS is gone since 0.12"),
        ({"args": "{attention_backend: ROCM_FLASH}"}, "exp.yaml:5: ", "ROCM_ATTN, ROCM_AITER_FA or TRITON_ATTN"),
        ({"args": "{attention_backend: TRITON_ATTEN}"}, "exp.yaml:5: ", "did you mean TRITON_ATTN?"),
        (
            {"env": "{VLLM_ATTENTION_BACKEND: FLASH_ATN}"},
            "exp.yaml:6: launches.d.env.VLLM_ATTENTION_BACKEND",
            "one of AMX_MLA",
        ),
        ({"args": "{attention_config: {backend: FLASHINFR}}"}, "exp.yaml:5: ", "did you mean FLASHINFER?"),
        ({"args": "{ac.backend: XFORMERS}"}, "exp.yaml:5: launches.d.args.ac.backend: 'XFORMERS': ", "gone since 0.12"),
        ({"args": "{kernel_config: {moe_backend: marlinn}}"}, "exp.yaml:5: ", "did you mean marlin?"),
        ({"args": "{speculative_config: {method: eagle4, model: a/b}}"}, "exp.yaml:5: ", "is none of the values"),
        (
            {"env": "{VLLM_LOGING_LEVEL: INFO}"},
            "exp.yaml:6: ",
            "did you mean VLLM_LOGGING_LEVEL? (a variable of a plugin",
        ),
        ({"args": "{compilation_config: 3}"}, "exp.yaml:5: ", "must be a mapping: write {mode: 3}"),
        ({"args": '{cc: "2"}'}, "exp.yaml:5: ", "must be a mapping: write {mode: 2}"),
        ({"args": "{O3: false}"}, "exp.yaml:5: ", "write O: 3, which is optimization_level"),
        ({"args": '{guided_decoding_backend: "xgrammar:fast"}'}, "exp.yaml:5: ", "disable-any-whitespace"),
        ({"args": "{no_calculate_kv_scales: false}"}, "exp.yaml:5: ", "scales come from the checkpoint"),
        ({"args": '{allowed_origins: "*"}'}, "exp.yaml:5: ", 'must be a list: write ["*"]'),
        ({"args": '{allowed_methods: "GET,POST"}'}, "exp.yaml:5: ", 'must be a list: write ["GET", "POST"]'),
        ({"args": '{allowed_origins: "[*]"}'}, "exp.yaml:5: ", "must be a list, or JSON: "),
        ({"args": '{cudagraph_capture_sizes: "1 2 4"}'}, "exp.yaml:5: ", "takes a list: write [1, 2, 4]"),
        ({"args": '{cudagraph_capture_sizes: "1,2"}'}, "exp.yaml:5: ", "takes a list: write [1, 2]"),
        ({"args": '{limit_mm_per_prompt: "image=2,video=1"}'}, "exp.yaml:5: ", "write {image: 2, video: 1}"),
        ({"env": "{VLLM_ATTENTION_BACKNED: FLASHINFER}"}, "exp.yaml:6: ", "did you mean VLLM_ATTENTION_BACKEND?"),
        ({"env": "{VLLM_ALL2ALL_BACKND: naive}"}, "exp.yaml:6: ", "did you mean VLLM_ALL2ALL_BACKEND?"),
        ({"env": "{VLLM_USEV1: 1}"}, "exp.yaml:6: ", "did you mean VLLM_USE_V1?"),
        ({"env": "{VLLM_LOGGING_LVL: INFO}"}, "exp.yaml:6: ", "did you mean VLLM_LOGGING_LEVEL?"),
        ({"env": "{VLLM_RPC_TIMEOT: 1}"}, "exp.yaml:6: ", "did you mean VLLM_RPC_TIMEOUT?"),
        ({"env": "{VLLM_FLASHINFER_ALLREDUCE_BACKEND: mnvl}"}, "exp.yaml:6: ", "did you mean mnnvl?"),
        ({"env": "{VLLM_WORKER_MULTIPROC_METHOD: thread}"}, "exp.yaml:6: ", "one of fork, spawn"),
        ({"env": "{VLLM_KV_CACHE_LAYOUT: NDH}"}, "exp.yaml:6: ", "is none of the values that it takes"),
        ({"env": "{VLLM_X: 1}", "plugin_env": "{VLLM_X: 1}"}, "exp.yaml:7: ", "stands in env too"),
    ],
)
def test_what_cannot_be_translated_is_refused_at_its_line_with_what_to_write(tmp_path, parts, place, words) -> None:
    line = refusal(tmp_path, **parts)
    assert place in line and words in line


@pytest.mark.parametrize(
    "name", ["VLLM_SPYRE_DYNAMO_BACKEND", "VLLM_SPYRE_USE_CB", "VLLM_DSV4_FAST_PATH", "VLLM_ASCEND_X", "VLLM_USE_V3"]
)
def test_a_variable_that_resembles_none_of_vllms_is_passed_on_with_a_note(tmp_path, name) -> None:
    done = checked(tmp_path, env=f"{{{name}: 1}}")
    assert done.experiment.launches[0].env == {name: "1"}
    (note,) = done.notes
    assert "exp.yaml:6: launches.d.env." + name in note and "for a plugin or a patched image" in note


@pytest.mark.parametrize(
    "name", ["VLLM_LOGING_LEVEL", "VLLM_USE_FLASHINFER_MOE_FP4", "VLLM_ATTENTION_BACKEND", "OTHER"]
)
def test_under_plugin_env_any_variable_is_passed_on_as_it_is(tmp_path, name) -> None:
    done = checked(tmp_path, plugin_env=f"{{{name}: 1}}")
    (launch,) = done.experiment.launches
    assert (launch.args, launch.env) == ({}, {name: "1"})
    (note,) = done.notes
    assert f"exp.yaml:7: launches.d.plugin_env.{name}: passed on unchecked" in note


@pytest.mark.parametrize(
    ("name", "text", "spelt"),
    [
        ("VLLM_ROCM_USE_AITER", '"yes"', "1"),
        ("VLLM_ROCM_USE_AITER", '"on"', "1"),
        ("VLLM_MARLIN_USE_ATOMIC_ADD", '"true"', "1"),
        ("VLLM_USE_STANDALONE_COMPILE", "true", "1"),
        ("VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "1", "true"),
        ("VLLM_USE_FLASHINFER_SAMPLER", "True", "1"),
        ("VLLM_USE_FLASHINFER_SAMPLER", '"off"', "0"),
        ("VLLM_DISABLE_COMPILE_CACHE", '"false"', "0"),
    ],
)
def test_a_switch_is_spelt_as_vllm_reads_it_and_the_plan_says_so(tmp_path, name, text, spelt) -> None:
    done = checked(tmp_path, env=f"{{{name}: {text}}}")
    assert done.experiment.launches[0].env == {name: spelt}
    (note,) = done.notes
    assert f"translated: {tmp_path}/exp.yaml:6: launches.d.env.{name}: is {spelt}, as vLLM" in note


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("VLLM_ROCM_USE_AITER", "True", "True"),
        ("VLLM_ROCM_USE_AITER", "false", "false"),
        ("VLLM_MARLIN_USE_ATOMIC_ADD", "1", "1"),
        ("VLLM_USE_STANDALONE_COMPILE", '"off"', "off"),
        ("VLLM_USE_FLASHINFER_SAMPLER", "0", "0"),
        ("VLLM_LOGGING_LEVEL", "INFO", "INFO"),
    ],
)
def test_a_switch_that_vllm_reads_as_it_is_meant_is_left_as_it_is(tmp_path, name, text, kept) -> None:
    done = checked(tmp_path, env=f"{{{name}: {text}}}")
    assert (done.experiment.launches[0].env, done.notes) == ({name: kept}, ())


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("VLLM_ROCM_USE_AITER", "enable", "is a switch: write 1 or true for on, 0 for off"),
        ("VLLM_MARLIN_USE_ATOMIC_ADD", "2", "is a switch: write 1 for on, 0 for off"),
        ("VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "all", "is a switch: write true for on, 0 for off"),
        ("VLLM_USE_FLASHINFER_SAMPLER", "maybe", "is a switch: write 1 for on, 0 for off"),
        ("VLLM_LOGGING_LEVEL", "true", "the environment has no booleans"),
        ("VLLM_SPYRE_USE_CB", "true", "the environment has no booleans"),
        ("HF_HUB_OFFLINE", "true", "the environment has no booleans"),
    ],
)
def test_what_says_neither_on_nor_off_is_refused_with_the_words(tmp_path, name, text, problem) -> None:
    assert problem in refusal(tmp_path, env=f"{{{name}: {text}}}")


def test_what_vllm_reads_outside_its_table_of_variables_is_no_plugins(tmp_path) -> None:
    name = "VLLM_MORIIO_TRANSFER_TIMEOUT_S"
    assert name not in known().variables and is_read(name)
    assert checked(tmp_path, env=f"{{{name}: 5}}").notes == ()


def test_what_only_benchbook_names_is_not_read() -> None:
    for name in ("VLLM_RPC_TIMEOUT", "VLLM_ENGINE_ITERATION_TIMEOUT_S", "VLLM_SPYRE_USE_CB"):
        assert not is_read(name)


def test_every_value_that_a_config_lists_is_taken_in_capitals_or_not() -> None:
    members = installed_forms()["--attention-config"].options["backend"].members
    assert {"FLASH_ATTN", "TRITON_ATTN", "auto"} <= set(members)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{hub: 'unsloth/Qwen3-0.6B-GGUF:Q4_K_M'}", "vllm-gguf-plugin"),
        ("'bartowski/Some-GGUF:Q5_K_S'", "names a file in a repository"),
        ("org/name/file-Q4.gguf", "vllm-gguf-plugin"),
        ("{path: models/file.GGUF}", "vllm-gguf-plugin"),
        ("'unsloth/Some-GGUF:UD-IQ2_XXS'", "vllm-gguf-plugin"),
        ("'org/name@main'", "{hub: org/name, revision: main}"),
        ("'org/name:main'", "written model: {hub: org/name, revision: main}"),
        ("{hub: 'org/name:v1.0'}", "written model: {hub: org/name, revision: v1.0}"),
        ("'org/name:refs-pr-3'", "written model: {hub: org/name, revision: refs-pr-3}"),
        ("'https://huggingface.co/org/name'", "write the model's id, 'org/name'"),
        ("'hf.co/org/name/tree/main'", "write the model's id, 'org/name'"),
    ],
)
def test_a_hub_id_with_more_around_it_is_refused_with_the_reason(tmp_path, model, words) -> None:
    assert words in refusal(tmp_path, model=model)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "question: The nightly suite: how do latency and throughput stand?",
            "such as question: 'The nightly suite: how do latency and throughput stand?'",
        ),
        ("question: What's best: A or B?", 'such as question: "What\'s best: A or B?"'),
        ("question: @home", "such as question: '@home'"),
        ("question: *now*", "a text that begins with * stands in quotes"),
        ("question: 'open", "the quotes are never closed"),
        ("question: [A or B", "a bracket is never closed"),
        ("question:no space\nmodel: tiny", "the line before lacks a colon and a space"),
    ],
)
def test_what_yaml_refuses_is_answered_with_what_to_write(tmp_path, text, words) -> None:
    path = tmp_path / "exp.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ExperimentError) as refused:
        preflight_of(path)
    assert words in str(refused.value)


def test_yamls_own_infinity_is_answered_with_the_word_that_a_rate_takes(tmp_path) -> None:
    path = written(tmp_path, benchmark=SERVE.replace("max_concurrency: 1", "request_rate_rps: [1, 4, .inf]"))
    with pytest.raises(ExperimentError) as refused:
        preflight_of(path)
    assert "a rate may be inf" in str(refused.value)


# The variables that public recipes set most, counted in August 2026 over those of vllm-project/recipes, InferenceX, llm-d,
# production-stack, spark-vllm-docker and ROCm/MAD (by repositories, then files), and in AMD's and NVIDIA's guides.
KEPT, GONE = "kept", "left out"
RECIPES = {
    "VLLM_RPC_TIMEOUT": ("1800000", GONE),
    "VLLM_USE_V1": ("1", GONE),
    "VLLM_ENGINE_READY_TIMEOUT_S": ("3600", KEPT),
    "VLLM_FLOAT32_MATMUL_PRECISION": ("high", KEPT),
    "VLLM_ROCM_USE_AITER": ("1", KEPT),
    "VLLM_USE_NCCL_SYMM_MEM": ("1", KEPT),
    "VLLM_FLASHINFER_ALLREDUCE_BACKEND": ("mnnvl", KEPT),
    "VLLM_SERVER_DEV_MODE": ("1", KEPT),
    "VLLM_USE_FLASHINFER_MOE_FP4": ("1", "moe_backend: flashinfer_trtllm"),
    "VLLM_USE_V2_MODEL_RUNNER": ("1", KEPT),
    "VLLM_LOG_STATS_INTERVAL": ("1", KEPT),
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": ("3000", KEPT),
    "VLLM_ALLREDUCE_USE_FLASHINFER": ("1", KEPT),
    "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": ("1", KEPT),
    "VLLM_ROCM_USE_AITER_MOE": ("1", KEPT),
    "VLLM_USE_DEEP_GEMM": ("0", KEPT),
    "VLLM_USE_BREAKABLE_CUDAGRAPH": ("1", KEPT),
    "VLLM_ROCM_QUICK_REDUCE_QUANTIZATION": ("INT4", KEPT),
    "VLLM_USE_RUST_FRONTEND": ("1", KEPT),
    "VLLM_ROCM_USE_AITER_FUSION_SHARED_EXPERTS": ("1", KEPT),
    "VLLM_ROCM_SHUFFLE_KV_CACHE_LAYOUT": ("1", KEPT),
    "VLLM_ROCM_USE_AITER_MHA": ("0", KEPT),
    "VLLM_NIXL_SIDE_CHANNEL_PORT": ("5600", KEPT),
    "VLLM_ROCM_USE_AITER_RMSNORM": ("0", KEPT),
    "VLLM_SSM_CONV_STATE_LAYOUT": ("DS", KEPT),
    "VLLM_BLOCKSCALE_FP8_GEMM_FLASHINFER": ("1", KEPT),
    "VLLM_LOGGING_LEVEL": ("INFO", KEPT),
    "VLLM_CPU_KVCACHE_SPACE": ("1", KEPT),
    "VLLM_MXFP4_USE_MARLIN": ("1", {"moe_backend": "marlin"}),
    "VLLM_ROCM_USE_AITER_MOE_SITUV2_A8W4": ("1", {"VLLM_ROCM_USE_AITER_MOE_SITUV2": "a8w4"}),
    "VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8": (
        "1",
        {"moe_backend": "flashinfer_trtllm", "quantization_config": {"moe": {"activation": "mxfp8"}}},
    ),
    "VLLM_WORKER_MULTIPROC_METHOD": ("spawn", KEPT),
    "VLLM_V1_USE_PREFILL_DECODE_ATTENTION": ("1", {"attention_backend": "ROCM_ATTN"}),
    "VLLM_PREFIX_CACHE_RETENTION_INTERVAL": ("8", {"prefix_cache_retention_interval": 8}),
    "VLLM_USE_FLASHINFER_MOE_FP8": ("1", "moe_backend: flashinfer_trtllm"),
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": ("1", KEPT),
    "VLLM_ENGINE_ITERATION_TIMEOUT_S": ("3600", GONE),
    "VLLM_NIXL_ABORT_REQUEST_TIMEOUT": ("300", GONE),
    "VLLM_FLASHINFER_MOE_BACKEND": ("throughput", {"moe_backend": "flashinfer_cutlass"}),
    "VLLM_USE_TRTLLM_RAGGED_DEEPSEEK_PREFILL": ("1", {"attention_config": {"mla_prefill_backend": "TRTLLM_RAGGED"}}),
    "VLLM_ATTENTION_BACKEND": ("FLASHINFER", {"attention_backend": "FLASHINFER"}),
    "VLLM_USE_TRTLLM_ATTENTION": ("1", {"attention_config": {"use_trtllm_attention": True}}),
    "VLLM_USE_FLASHINFER_MOE_MXFP4_BF16": ("1", "moe_backend: flashinfer_trtllm"),
    "VLLM_USE_FLASHINFER_MXFP4_BF16_MOE": ("1", "moe_backend: flashinfer_trtllm"),
    "VLLM_USE_FLASHINFER_MXFP4_MOE": (
        "1",
        {"moe_backend": "flashinfer_trtllm", "quantization_config": {"moe": {"activation": "mxfp8"}}},
    ),
    "VLLM_USE_TRTLLM_CONTEXT_ATTENTION": ("1", {"attention_config": {"use_trtllm_attention": True}}),
    "VLLM_USE_AITER_UNIFIED_ATTENTION": ("1", {"attention_backend": "ROCM_AITER_UNIFIED_ATTN"}),
    "VLLM_USE_TRITON_FLASH_ATTN": ("0", GONE),
    "VLLM_TORCH_PROFILER_DIR": ("/p", {"profiler_config": {"profiler": "torch", "torch_profiler_dir": "/p"}}),
    "VLLM_DISABLE_COMPILE_CACHE": ("1", KEPT),
    "VLLM_USE_FLASHINFER_SAMPLER": ("1", KEPT),
}


@pytest.mark.skipif(not known() or not known().version.startswith("0.32."), reason="says what 0.32 makes of each")
@pytest.mark.parametrize("name", RECIPES)
def test_the_variables_of_public_recipes_are_understood(tmp_path, name) -> None:
    value, becomes = RECIPES[name]
    if isinstance(becomes, str) and becomes not in (KEPT, GONE):
        assert becomes in refusal(tmp_path, env=f"{{{name}: {value}}}")
        return
    done = checked(tmp_path, env=f"{{{name}: {value}}}")
    (launch,) = done.experiment.launches
    if becomes == KEPT:
        assert (launch.args, launch.env, done.notes) == ({}, {name: value}, ())
        return
    assert {**launch.args, **launch.env} == ({} if becomes == GONE else becomes)
    assert any(f"launches.d.env.{name}: " in note for note in done.notes)
