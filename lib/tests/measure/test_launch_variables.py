"""What a launch's environment, and that of the shell, says to the installed vLLM: spelt as it reads it, refused, or told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchbook.hosts.vllm.flags import known
from benchbook.sweep.preflight import Preflight, preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import written

pytestmark = pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what checks a launch of these settings in a shell with these variables."""

    def of(args: str = "{}", env: str = "{}", plugin_env: str = "{}", **exported: str) -> Preflight:
        path = written(tmp_path, args, env, plugin_env=plugin_env)
        with monkeypatch.context() as patch:
            for name, text in exported.items():
                patch.setenv(name, text)
            return preflight_of(path)

    return of


def refusal_of(planned, **settings: str) -> str:
    with pytest.raises(ExperimentError) as refusal:
        planned(**settings)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("VLLM_ATTENTION_BACKEND", "FLASHINFER", "gone since 0.15: .*: write args: {attention_backend: FLASHINFER}"),
        (
            "VLLM_FLASH_ATTN_VERSION",
            "3",
            "gone since 0.15: .*: write args: {attention_config: {flash_attn_version: 3}}",
        ),
        ("VLLM_USE_V1", "0", "gone since 0.11.1: the engine V0 is gone since 0.11; only V1 is left$"),
        ("VLLM_USE_V1", "1", "gone since 0.11.1: V1 is the only engine$"),
        ("VLLM_ALL2ALL_BACKEND", "naive", "gone since 0.16: it is all2all_backend now"),
        ("VLLM_TRITON_ATTN_USE_TD", "1", "gone since 0.29: .*: write env: {VLLM_TRITON_USE_TD: '1'}"),
        ("VLLM_ENFORCE_EAGER", "1", "vLLM .* has no such variable: write args: {enforce_eager: true}"),
        ("VLLM_BLOCK_SIZE", "32", "vLLM .* has no such variable: write args: {block_size: 32}"),
        ("VLLM_PP", "2", "vLLM .* has no such variable: write args: {pipeline_parallel_size: 2}"),
        ("VLLM_LOGING_LEVEL", "INFO", r"vLLM .* has no such variable; did you mean VLLM_LOGGING_LEVEL\?"),
        ("VLLM_TRIPE_LACE", "1", "vLLM .* has no such variable$"),
    ],
)
def test_a_variable_of_the_shell_that_vllm_does_not_heed_is_told_with_what_to_write(planned, name, text, says) -> None:
    (note,) = planned(**{name: text}).notes
    assert re.search(f"^note: {name} of your shell is not heeded: {says}", note), note


@pytest.mark.parametrize("name", ["VLLM_SERVICE_HOST", "VLLM_ROUTER_SERVICE_PORT_HTTP", "VLLM_PORT_8000_TCP_ADDR"])
def test_where_a_cluster_says_that_a_service_is_is_not_told(planned, name) -> None:
    assert planned(**{name: "10.43.1.39"}).notes == ()


def test_no_secret_of_the_shell_stands_in_what_is_told_of_it(planned) -> None:
    (note,) = planned(VLLM_HF_TOKEN="hf_0123456789abcdef").notes
    assert "VLLM_HF_TOKEN of your shell" in note and "0123" not in note


def test_what_the_launch_says_itself_is_not_told_of_the_shell(planned) -> None:
    notes = planned(plugin_env="{VLLM_TRIPE_LACE: 2}", VLLM_TRIPE_LACE="1").notes
    assert not [note for note in notes if "of your shell" in note]


@pytest.mark.parametrize(
    ("name", "text", "arg"),
    [
        ("VLLM_ENFORCE_EAGER", "1", "enforce_eager: true"),
        ("VLLM_ENABLE_PREFIX_CACHING", "off", "enable_prefix_caching: false"),
        ("VLLM_GPU_MEMORY_UTILIZATION", "0.8", "gpu_memory_utilization: 0.8"),
        ("VLLM_MAX_NUM_BATCHED_TOKENS", "64k", "max_num_batched_tokens: 64k"),
        ("VLLM_KV_CACHE_DTYPE", "fp8", "kv_cache_dtype: fp8"),
        ("VLLM_TP_SIZE", "2", "tensor_parallel_size: 2"),
        ("VLLM_DCP", "2", "decode_context_parallel_size: 2"),
        ("VLLM_TRUST_REMOTE_CODE", "yes", "trust_remote_code: true"),
    ],
)
def test_a_variable_that_is_named_after_a_flag_is_refused_with_the_arg_and_plugin_env_is_the_way_through(
    planned, name, text, arg
) -> None:
    assert f"has no such variable: write args: {{{arg}}} (" in refusal_of(planned, env=f"{{{name}: '{text}'}}")
    assert planned(plugin_env=f"{{{name}: '{text}'}}").experiment.launches[0].env == {name: text}


@pytest.mark.parametrize("name", ["VLLM_SPYRE_USE_CB", "VLLM_SIZE", "VLLM_MAX"])
def test_a_variable_that_only_looks_a_little_like_a_flag_is_passed_on(planned, name) -> None:
    assert planned(env=f"{{{name}: 1}}").experiment.launches[0].env == {name: "1"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("true", "1"),
        ("'yes'", "1"),
        ("'On'", "1"),
        ("false", "0"),
        ("'no'", "0"),
        ("'off'", "0"),
        ("1", "1"),
        ("0", "0"),
    ],
)
def test_a_switch_that_vllm_reads_by_words_for_off_as_well_is_spelt_by_them(planned, text, word) -> None:
    planned_env = planned(env=f"{{VLLM_TRITON_USE_TD: {text}}}").experiment.launches[0].env
    assert planned_env == {"VLLM_TRITON_USE_TD": word}


@pytest.mark.parametrize(("text", "word"), [("off", "0"), ("True", "1"), ("no", "0")])
def test_such_a_switch_of_the_shell_is_refused_with_its_word(planned, text, word) -> None:
    assert f"write {word} (unset it" in refusal_of(planned, VLLM_TRITON_USE_TD=text)
    assert "write 1 for on, 0 for off" in refusal_of(planned, VLLM_TRITON_USE_TD="maybe")


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("VLLM_WORKER_MULTIPROC_METHOD", "Spawn", "spawn"),
        ("VLLM_KV_CACHE_LAYOUT", "hnd", "HND"),
        ("VLLM_DEEP_GEMM_WARMUP", "RELAX", "relax"),
        ("VLLM_COMPILE_CACHE_SAVE_FORMAT", "Unpacked", "unpacked"),
        ("VLLM_GPU_SYNC_CHECK", "Error", "error"),
        ("VLLM_ROCM_QUICK_REDUCE_QUANTIZATION", "int8", "INT8"),
    ],
)
def test_a_value_in_another_case_than_vllm_reads_is_refused_with_the_right_one(planned, name, text, word) -> None:
    said = f"is not read in this case: write {word}"
    assert said in refusal_of(planned, env=f"{{{name}: {text}}}")
    assert f"{name}={text} of your shell {said}" in refusal_of(planned, **{name: text})
    planned(env=f"{{{name}: {word}}}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VLLM_FLOAT32_MATMUL_PRECISION", "High"),
        ("VLLM_ROCM_USE_AITER_MOE_SITUV2", "A8W4"),
        ("VLLM_LOGGING_LEVEL", "debug"),
        ("VLLM_GPT_OSS_SYSTEM_TOOL_MCP_LABELS", "container, code_interpreter"),
        ("VLLM_GPT_OSS_SYSTEM_TOOL_MCP_LABELS", ""),
    ],
)
def test_a_value_that_vllm_takes_in_any_case_or_among_others_passes(planned, name, text) -> None:
    assert planned(env=f"{{{name}: '{text}'}}").experiment.launches[0].env == {name: text}
    planned(**{name: text})


@pytest.mark.parametrize(
    "name",
    [
        "VLLM_ATTENTION_BACKEND",
        "VLLM_FLASH_ATTN_VERSION",
        "VLLM_USE_V1",
        "VLLM_KV_CACHE_LAYOUT",
        "VLLM_DEEP_GEMM_WARMUP",
    ],
)
def test_a_variable_that_is_empty_is_to_be_left_out(planned, name) -> None:
    assert refusal_of(planned, env=f"{{{name}: ''}}").endswith(f"launches.d.env.{name}: '': is empty: leave it out")


@pytest.mark.parametrize("arg", ["attention_backend", "kv_cache_dtype", "dtype"])
def test_an_arg_that_is_empty_is_to_be_left_out(planned, arg) -> None:
    assert refusal_of(planned, args=f"{{{arg}: ''}}").endswith(f"args.{arg}: '': is empty: leave the key out")


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        ("{disable_log_requests: maybe}", "{}", "disable_log_requests: 'maybe': is a switch: write true or false"),
        ("{disable_mm_preprocessor_cache: 'y'}", "{}", "is a switch: write true or false"),
        ("{}", "{VLLM_USE_FLASHINFER_MOE_FP8: perhaps}", "is a switch: write 1 or 0"),
        ("{}", "{VLLM_MXFP4_USE_MARLIN: 2}", "is a switch: write 1 or 0"),
        ("{}", "{VLLM_USE_TRTLLM_DECODE_ATTENTION: enabled}", "is a switch: write 1 or 0"),
    ],
)
def test_an_old_switch_that_says_neither_on_nor_off_is_not_translated_but_refused(planned, args, env, said) -> None:
    assert refusal_of(planned, args=args, env=env).endswith(said)


@pytest.mark.skipif("+cpu" not in (known().version if known() else ""), reason="asked by a build for CPUs alone")
@pytest.mark.parametrize("bind", ["all", "Auto", "0-", "0|", "0:3"])
def test_cores_that_no_machine_has_are_refused_when_a_file_is_planned(planned, bind) -> None:
    said = "is none of auto, nobind and cores such as 0-3|4-7"
    assert said in refusal_of(planned, env=f"{{VLLM_CPU_OMP_THREADS_BIND: '{bind}'}}")
    assert said in refusal_of(planned, VLLM_CPU_OMP_THREADS_BIND=bind)
    for good in ("auto", "nobind", "0-99", "0-1 | 2, 3"):
        planned(env=f"{{VLLM_CPU_OMP_THREADS_BIND: '{good}'}}")
