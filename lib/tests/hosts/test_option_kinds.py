"""A value inside a config is held against what that option takes, as vLLM's own config would read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.kinds import Option, option_problem
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import written

MODES = Option(["member"], ["NONE", "VLLM_COMPILE"], [0, 3], "any case")
METHODS = Option(["choice"], ["ngram", "kv-both"], compared="as written")
BACKENDS = Option(["choice"], ["triton", "flashinfer_trtllm"])


@pytest.mark.parametrize(
    ("value", "option"),
    [
        (5, Option(["int"])),
        ("5", Option(["int"])),
        (5.0, Option(["int"])),
        (5, Option(["float"])),
        ("off", Option(["bool"])),
        (1, Option(["bool"])),
        (["1", 2], Option(["list of int"])),
        ([], Option(["list of float"])),
        ({"a": 1}, Option(["mapping"])),
        ("triton", BACKENDS),
        ("FlashInfer-TRTLLM", BACKENDS),
        (3, Option(["choice"], ["2", "3"])),
        (2.0, Option(["choice"], ["2", "3"])),
        ("auto", Option(["int", "choice"], ["auto"])),
        (4, Option(["int", "choice"], ["auto"])),
        (None, Option(["int"])),
        (1, Option(["int"], bounds=[("ge", 1), ("le", 65535)])),
        ("1", Option(["float"], bounds=[("gt", 0), ("le", 1)])),
        (True, Option(["bool", "int"], bounds=[("ge", 5)])),
        ([0], Option(["list of int"], bounds=[("ge", 1)])),  # which no such bound is for
        ("anything", Option()),
        ({"any": ["thing"]}, Option()),
        (3, MODES),
        ("none", MODES),
        ("vllm_Compile", MODES),
        ("ngram", METHODS),
        (7, Option(members=["FULL"])),  # of an Enum, which has numbers too
    ],
)
def test_a_value_that_the_config_would_read_is_taken(value, option):
    assert option_problem(value, option) == ""


@pytest.mark.parametrize(
    ("value", "option", "problem"),
    [
        ("five", Option(["int"]), "must be a whole number"),
        (0.5, Option(["int"]), "must be a whole number"),
        ("half", Option(["float"]), "must be a number"),
        ("maybe", Option(["bool"]), "must be true or false"),
        (3, Option(["text"]), "must be text"),
        ([1, "a"], Option(["list of int"]), "must be a list of whole numbers"),
        (8, Option(["list of int"]), "must be a list of whole numbers"),
        ([1], Option(["text", "list of text"]), "must be text or a list of texts"),
        ("on", Option(["mapping"]), "must be a mapping"),
        ("tritn", BACKENDS, "did you mean triton?"),
        (5, Option(["choice"], ["2", "3"]), "one of 2, 3"),
        (["triton"], BACKENDS, "must be one of triton, flashinfer_trtllm"),
        ("always", Option(["int", "choice"], ["auto"]), "one of auto"),
        (0, Option(["int"], bounds=[("ge", 1)]), "must be at least 1"),
        ("70000", Option(["int"], bounds=[("ge", 1), ("le", 65535)]), "must be at most 65535"),
        (0.0, Option(["float"], bounds=[("gt", 0)]), "must be more than 0"),
        (1.0, Option(["float"], bounds=[("lt", 1)]), "must be less than 1"),
        (4, MODES, "one of NONE, VLLM_COMPILE"),
        (-1, MODES, "is none of the values"),
        ("3", MODES, "must be a number: write 3 without quotes"),
        ([1, 2], MODES, "must be one of NONE, VLLM_COMPILE"),
        ("vllm-compile", MODES, "did you mean VLLM_COMPILE?"),
        ("NGRAM", METHODS, "did you mean ngram?"),
        ("Ngram", METHODS, "did you mean ngram?"),
        ("KV_BOTH", METHODS, "did you mean kv-both?"),
        ("FUL", Option(members=["NONE", "FULL"]), "is none of the values"),
    ],
)
def test_a_value_that_the_config_would_refuse_is_refused_with_what_to_write(value, option, problem):
    assert problem in option_problem(value, option)


@pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")
@pytest.mark.parametrize(
    ("args", "place"),
    [
        ("{speculative_config: {method: ngram, num_speculative_tokens: five}}", "speculative_config.num_speculative_tokens"),
        ("{compilation_config: {cudagraph_capture_sizes: [1, a]}}", "compilation_config.cudagraph_capture_sizes"),
        ("{compilation_config: {pass_config: {eliminate_noops: maybe}}}", "compilation_config.pass_config.eliminate_noops"),
        ("{cc.cudagraph_num_of_warmups: many}", "cc.cudagraph_num_of_warmups"),
        ("{kv_transfer_config: {kv_connector: NixlConnector, kv_role: kv_both, kv_port: http}}", "kv_transfer_config.kv_port"),
        ("{structured_outputs_config: '{\"disable_any_whitespace\": \"never\"}'}", "structured_outputs_config.disable_any_whitespace"),
        ("{eplb_config: {window_size: [8]}}", "eplb_config.window_size"),
        ("{profiler_config: {delay_iterations: 1.5}}", "profiler_config.delay_iterations"),
        ("{compilation_config: {pass_config: [fast]}}", "compilation_config.pass_config"),
        ("{speculative_config: 5}", "speculative_config"),
        ("{allowed_methods: 7}", "allowed_methods"),
        ("{limit_mm_per_prompt: [image]}", "limit_mm_per_prompt"),
        ("{speculative_config: {method: ngram, num_speculative_tokens: 0}}", "speculative_config.num_speculative_tokens"),
        ("{gpu_memory_utilization: 1.5}", "gpu_memory_utilization"),
        ("{max_num_seqs: 0}", "max_num_seqs"),
        ("{tensor_parallel_size: -2}", "tensor_parallel_size"),
        ("{max_num_batched_tokens: '0'}", "max_num_batched_tokens"),
        ("{compilation_config: {mode: '3'}}", "compilation_config.mode"),
        ("{cc.mode: 99}", "cc.mode"),
        ("{cc: '{\"mode\": 4}'}", "cc.mode"),
        ("{compilation_config: {cudagraph_mode: '1'}}", "compilation_config.cudagraph_mode"),
        ("{compilation_config: {cudagraph_mode: [1, 2]}}", "compilation_config.cudagraph_mode"),
        ("{attention_config: {backend: 99}}", "attention_config.backend"),
        ("{structured_outputs_config: {backend: XGRAMMAR}}", "structured_outputs_config.backend"),
        ("{kv_transfer_config: {kv_connector: NixlConnector, kv_role: KV_BOTH}}", "kv_transfer_config.kv_role"),
        ("{eplb_config: {policy: Default}}", "eplb_config.policy"),
        ("{compilation_config: {compile_cache_save_format: Binary}}", "compilation_config.compile_cache_save_format"),
        ("{speculative_config: {method: NGRAM, num_speculative_tokens: 3}}", "speculative_config.method"),
        ("{tokenizer_revision: 1.10}", "tokenizer_revision"),
        ("{code_revision: 1e10}", "code_revision"),
        ("{kv_cache_dtype_skip_layers: [0.10]}", "kv_cache_dtype_skip_layers[0]"),
        ("{speculative_config: {method: ngram, num_speculative_tokens: 3, revision: 1.10}}", "speculative_config.revision"),
        ("{cpu_offload_gb: -1}", "cpu_offload_gb"),
        ("{offload_group_size: -1}", "offload_group_size"),
        ("{shutdown_timeout: -1}", "shutdown_timeout"),
        ("{limit_mm_per_prompt: {image: two}}", "limit_mm_per_prompt"),
        ("{compilation_config: {compile_cache_save_format: null}}", "compilation_config.compile_cache_save_format"),
        ("{structured_outputs_config.backend: null}", "structured_outputs_config.backend"),
        ("{compilation_config: {dynamic_shapes_config: {evaluate_guards: null}}}",
         "compilation_config.dynamic_shapes_config.evaluate_guards"),
        ("{attention_backend: flash-attn}", "attention_backend"),
        ("{attention_backend: Triton-Attn}", "attention_backend"),
        ("{mm_encoder_attn_backend: torch-sdpa}", "mm_encoder_attn_backend"),
        ("{additional_config: fast}", "additional_config"),
        ("{additional_config: 7}", "additional_config"),
        ("{hf_overrides: fast}", "hf_overrides"),
    ],
)  # fmt: skip
def test_what_only_the_start_would_refuse_is_refused_at_its_line(tmp_path: Path, args, place):
    path = written(tmp_path, args)
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(path)
    (line,) = str(refusal.value).splitlines()
    assert f"exp.yaml:5: launches.d.args.{place}: " in line


@pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")
@pytest.mark.parametrize(
    "args",
    [
        "{compilation_config: {mode: none, cudagraph_mode: full}}",
        "{compilation_config: {mode: 2, cudagraph_mode: None}}",
        "{cc.mode: '3', cc.cudagraph_mode: FULL_and_piecewise}",
        "{compilation_config: {dynamic_shapes_config: {type: unbacked}}}",
        "{attention_config: {backend: cpu_attn}}",
        "{kernel_config: {moe_backend: FlashInfer-TRTLLM}}",
        "{structured_outputs_config: {backend: xgrammar}}",
        "{limit_mm_per_prompt: {image: 2, video: {count: 1}}}",
        "{tokenizer_revision: '1.10', code_revision: 7}",
        "{cpu_offload_gb: 0, shutdown_timeout: 0, optimization_level: O2}",
        "{attention_config: {backend: null, flash_attn_version: null}}",
        "{attention_backend: cpu_attn, mm_encoder_attn_backend: Torch_SDPA}",
        "{additional_config: {fast: true}, max_model_len: AUTO}",
        "{additional_config: '{\"fast\": true}', max_model_len: '-1'}",
    ],
)
def test_what_the_start_takes_is_taken(tmp_path: Path, args):
    path = written(tmp_path, args)
    preflight_of(path)


@pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")
@pytest.mark.parametrize(
    ("args", "meant"),
    [
        ("{speculative_config: {speculative_model: '[ngram]', num_speculative_tokens: 3}}", "model"),
        ("{compilation_config: {compilation_mode: 3}}", "mode"),
        ("{attention_config.attention_backend: FLASHINFER}", "backend"),
        ("{eplb_config: {eplb_window_size: 8}, enable_eplb: true}", "window_size"),
    ],
)
def test_an_option_that_begins_as_its_config_is_meant_without_that(tmp_path: Path, args, meant):
    path = written(tmp_path, args)
    with pytest.raises(ExperimentError, match=f"has no such option; did you mean {meant}\\?"):
        preflight_of(path)
