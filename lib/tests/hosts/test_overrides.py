"""What a launch says in place of the model's own configs does what it says, or is refused with what to write."""

from __future__ import annotations

import pytest
from benchbook.hosts.model.shapes import SHAPES
from benchbook.hosts.model.tiny_model import DENSE, EXPERTS
from benchbook.hosts.vllm.cpu_build import lacking
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.misfits import unquantized
from benchbook.hosts.vllm.overrides import doubtful, overridden, unread
from benchbook.sweep.machine import machine_note
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import SERVE, written

LLAMA = SHAPES["llama-3.1-8b"].config
CODE = {"model_type": "own-code", "num_hidden_layers": 3}  # a model with code of its own
installed = pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")


@pytest.mark.parametrize(
    ("overrides", "config", "way", "hint"),
    [
        (
            {"rope_theta": 1_000_000},
            DENSE,
            "rope_theta",
            "{rope_parameters: {rope_type: default, rope_theta: 1000000}}",
        ),
        ({"rope_theta": 5}, LLAMA, "rope_theta", "{rope_parameters: {rope_type: llama3, rope_theta: 5, factor: 8.0"),
        ({"text_config": {"rope_theta": 5}}, EXPERTS, "text_config.rope_theta", "{rope_parameters: {rope_theta: 5}}}"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2}}, LLAMA, "rope_parameters", "rope_theta: 500000.0}"),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2}},
            LLAMA,
            "rope_scaling",
            "max_position_embeddings: 131072}",
        ),
        (
            {"rope_scaling": {"type": "linear", "factor": 2}},
            DENSE,
            "rope_scaling.type",
            "rope_type: linear, factor: 2}",
        ),
    ],
)
def test_rotary_positions_that_would_stay_or_become_others_are_refused(overrides, config, way, hint) -> None:
    ((found, why),) = unread({"hf_overrides": overrides}, config)
    assert found == f"hf_overrides.{way}" and hint in why


@pytest.mark.parametrize(
    ("overrides", "config"),
    [
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 5}}, LLAMA),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2}}, EXPERTS),  # whose base is vLLM's own
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, LLAMA),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2}}, None),
        ({"text_config": {"rope_parameters": {"factor": 2}}}, {**LLAMA, "text_config": {}}),  # which is filled in
    ],
)
def test_rotary_positions_that_are_whole_or_of_no_known_model_are_not_accused(overrides, config) -> None:
    assert list(unread({"hf_overrides": overrides}, config)) == []


@pytest.mark.parametrize("config", [None, CODE, {**CODE, "model_type": "mimo"}])
def test_a_base_that_some_models_read_is_told_and_not_refused(config) -> None:
    asked = {"hf_overrides": {"rope_theta": 5}}
    assert list(unread(asked, config)) == []
    assert [name for name, _ in doubtful(asked, config)] == ["hf_overrides.rope_theta"]


@pytest.mark.parametrize(
    ("args", "near"),
    [
        ({"hf_overrides": {"num_hiden_layers": 2}}, "num_hidden_layers"),
        ({"hf_overrides": {"max_position_embedding": 64}}, "max_position_embeddings"),
        ({"hf_overrides": {"tie_word_embedings": True}}, "tie_word_embeddings"),
        ({"hf_overrides": {"atention_bias": True}}, "attention_bias"),  # which the file has not, and its kind has
        ({"override_generation_config": {"temperture": 0.5}}, "temperature"),
        ({"override_generation_config": {"topk": 5}}, "top_k"),
        ({"override_generation_config": {"max_new_token": 64}}, "max_new_tokens"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest(args, near) -> None:
    ((name, why),) = unread(args, DENSE)
    assert name.rpartition(".")[0] in args and why.endswith(f"did you mean {near}?")
    assert list(doubtful(args, DENSE)) == []


@pytest.mark.parametrize(
    ("args", "config", "is_told"),
    [
        ({"hf_overrides": {"my_switch": 1}}, DENSE, True),
        ({"hf_overrides": {"num_hiden_layers": 2}}, CODE, True),
        ({"override_generation_config": {"best": 1}}, None, True),
        ({"override_generation_config": {"max_tokens": 1}}, None, True),
        ({"hf_overrides": {"num_hiden_layers": 2}}, None, False),
        ({"hf_overrides": {"attention_bias": True, "architectures": ["A"], "quantization_config": None}}, DENSE, False),
        ({"hf_overrides": {"hidden_size": 64}}, {"model_type": "gpt2", "n_embd": 32}, False),
        ({"override_generation_config": {"do_sample": True, "top_h": 1, "min_p": 0.1}}, None, False),
    ],
)
def test_a_key_that_may_be_meant_is_told_at_most(args, config, is_told) -> None:
    assert list(unread(args, config)) == []
    assert len(list(doubtful(args, config))) == is_told


@pytest.mark.parametrize("said", ["text", 3, ["num_hidden_layers"]])
def test_overrides_that_are_no_mapping_are_refused(said) -> None:
    assert [name for name, _ in unread({"hf_overrides": said}, DENSE)] == ["hf_overrides"]


@pytest.mark.parametrize("overrides", [{"model_type": "gpt2"}, "text"])
def test_what_overrides_make_of_a_config_is_known_where_each_value_has_one_name(overrides) -> None:
    assert overridden({"num_hidden_layers": 2}, DENSE) == {**DENSE, "num_hidden_layers": 2}
    assert "rope_scaling" not in overridden({"rope_parameters": {"rope_theta": 5}}, LLAMA)
    assert overridden(overrides, DENSE) is None
    assert overridden({"max_position_embeddings": 4096}, {"model_type": "gpt2", "n_positions": 1024}) is None
    assert overridden(None, CODE) == CODE


@pytest.mark.parametrize("method", ["gptq", "awq_marlin", "modelopt", "compressed-tensors"])
def test_a_quantization_of_a_checkpoint_needs_one_that_was_quantized(method) -> None:
    asked = {"quantization": method}
    assert [name for name, _ in unquantized(asked, DENSE, [])] == ["quantization"]
    for config, files in (
        ({**DENSE, "quantization_config": {"quant_method": method}}, []),
        (DENSE, ["quantize_config.json", "hf_quant_config.json"]),
        (DENSE, None),
        (None, []),
    ):
        assert list(unquantized(asked, config, files)) == []
    assert list(unquantized({**asked, "hf_overrides": {"quantization_config_file": "/q.json"}}, DENSE, [])) == []


@pytest.mark.parametrize("method", ["fp8", "mxfp8", "experts_int8", None])
def test_a_quantization_of_any_weights_is_not_refused(method) -> None:
    assert list(unquantized({"quantization": method}, DENSE, [])) == []


@pytest.mark.parametrize(
    ("args", "twin", "is_offline"),
    [
        ({"max_num_seqs": 4096}, {"max_num_seqs": 2048}, False),
        ({"max_num_seqs": 4097}, {"max_num_seqs": 4096}, True),
        ({"max_num_seqs": "5k"}, {"max_num_seqs": "5k", "max_num_batched_tokens": 8192}, False),
        ({"max_num_seqs": 4097, "tensor_parallel_size": 2}, {"max_num_seqs": 4096, "tensor_parallel_size": 2}, False),
        ({"max_num_active_seqs": 129}, {"max_num_active_seqs": 128}, False),
        ({"max_num_active_seqs": 200}, {"max_num_active_seqs": 200, "performance_mode": "throughput"}, False),
        ({"max_num_active_seqs": 257}, {"max_num_active_seqs": 256}, True),
        ({"enable_sleep_mode": True}, {"enable_sleep_mode": False}, False),
        ({"load_format": "ipc_cache"}, {"load_format": "auto"}, False),
        ({"enable_eplb": True}, {"enable_eplb": False}, False),
        ({"enable_cumem_allocator": True}, {"enable_cumem_allocator": False}, False),
        ({"enable_trace_replay": True}, {"enable_trace_replay": False}, False),
        ({"return_sampling_mask": True}, {"return_sampling_mask": False}, False),
        ({"prefill_context_parallel_size": 2}, {"prefill_context_parallel_size": 1}, False),
    ],
)
def test_more_than_a_build_for_cpus_takes_by_itself_is_told(monkeypatch, args, twin, is_offline) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert [name for name, _ in lacking(args, {}, DENSE, is_offline)] == [next(iter(args))]
    assert list(lacking(twin, {}, DENSE, is_offline)) == []


@pytest.mark.parametrize("said", ["1", "true", "True"])
def test_the_model_runner_of_gpus_needs_triton_on_a_cpu_too(monkeypatch, said) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [name for name, _ in lacking({}, {"VLLM_USE_V2_MODEL_RUNNER": said}, None, False)] == [
        "VLLM_USE_V2_MODEL_RUNNER"
    ]
    assert list(lacking({}, {"VLLM_USE_V2_MODEL_RUNNER": "0"}, None, False)) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert list(lacking({}, {"VLLM_USE_V2_MODEL_RUNNER": said}, None, False)) == []


@pytest.mark.parametrize("machine", ["ppc64le", "s390x", "riscv64"])
def test_where_a_batch_is_as_large_as_the_longest_prompt_nobody_is_accused(monkeypatch, machine) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert list(lacking({"max_num_seqs": 4096}, {}, DENSE, False)) == []
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert list(lacking({"max_num_seqs": 4096, "enable_chunked_prefill": False}, {}, DENSE, False)) == []
    assert list(lacking({"max_num_seqs": 4096}, {}, CODE, False)) == list(
        lacking({"max_num_seqs": 4096}, {}, None, False)
    )


@installed
@pytest.mark.parametrize(
    ("args", "benchmark", "words"),
    [
        ("{hf_overrides: {rope_theta: 1000000}}", SERVE, "exp.yaml:5: launches.d.args.hf_overrides.rope_theta: 1000000"),
        ("{hf_overrides.num_hiden_layers: 2}", SERVE, "did you mean num_hidden_layers?"),
        ("{override_generation_config: {temperture: 0.5}}", SERVE, "did you mean temperature?"),
        ("{override_generation_config: {max_new_tokens: 8}}", SERVE, "ends every answer at 8 tokens, and 16 are asked"),
        ("{override_generation_config.max_new_tokens: 15}", SERVE, "ends every answer at 15 tokens, and 16 are asked"),
        (
            "{override_generation_config: {max_new_tokens: 20}}",
            "serve: {max_concurrency: 1, lengths: [[64, 16]], num_prompts: 4, range_ratio: 0.5}",
            "ends every answer at 20 tokens, and 24 are asked",
        ),
        ("{dp: 2}", "latency: {batch_size: 1, lengths: [[64, 16]]}", "args.dp: 2: data parallel is the server's alone"),
        ("{data_parallel_size: 4}", "throughput: {num_prompts: 4, lengths: [[64, 16]]}", "is the server's alone"),
        ("{hf_overrides: text}", SERVE, "must be a mapping"),
    ],
)  # fmt: skip
def test_a_launch_that_would_measure_something_else_is_refused_with_its_line(tmp_path, args, benchmark, words) -> None:
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(written(tmp_path, args, benchmark=benchmark))
    assert words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


@installed
@pytest.mark.parametrize(
    ("args", "benchmark"),
    [
        ("{override_generation_config: {max_new_tokens: 16, do_sample: true}}", SERVE),
        ("{override_generation_config: {max_new_tokens: 8}}", "latency: {batch_size: 1, lengths: [[64, 16]]}"),
        ("{hf_overrides: {num_hidden_layers: 2, rope_parameters: {rope_type: default, rope_theta: 5}}}", SERVE),
        ("{dp: 2}", SERVE),
    ],
)
def test_its_twin_is_planned(tmp_path, args, benchmark) -> None:
    assert preflight_of(written(tmp_path, args, benchmark=benchmark)).unfit == ()


@installed
@pytest.mark.parametrize(
    ("args", "model", "env", "why"),
    [
        ("{quantization: gptq}", "tiny", "{}", "launches.d.args.quantization: 'gptq': needs a checkpoint"),
        ("{quantization: compressed-tensors}", "{shape: llama-3.1-8b}", "{}", "has no quantization_config"),
        ("{max_model_len: 8K, hf_overrides: {max_position_embeddings: 4096}}", "tiny", "{}", "more than the 4096 tokens"),
        ("{}", "{shape: llama-3.1-8b}", "{VLLM_PLUGINS: other}", "leaves benchbook's load format out"),
        ("{load_format: benchbook}", "tiny", "{VLLM_PLUGINS: other}", "leaves benchbook's load format out"),
    ],
)  # fmt: skip
def test_what_refuses_a_run_is_told_by_plan(tmp_path, args, model, env, why) -> None:
    told = machine_note(preflight_of(written(tmp_path, args, model=model, env=env)))
    assert told.startswith("`run` would be refused on this machine: ") and why in told


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"architectures": "LlamaForCausalLM"}, "hf_overrides.architectures: must be a list"),
        ({"num_hidden_layers": "2"}, "hf_overrides.num_hidden_layers: must be a number"),
        ({"tie_word_embeddings": "false"}, "hf_overrides.tie_word_embeddings: must be true or false"),
        ({"text_config": {"model_type": 1}}, "hf_overrides.text_config.model_type: must be text"),
        ({"rope_parameters": {"rope_type": "yarm", "rope_theta": 1}}, "did you mean yarn?"),
        ({"rope_scaling": {"type": "dynamc", "factor": 2}}, "did you mean dynamic?"),
    ],
)
def test_a_value_of_another_kind_than_the_models_own_is_refused(overrides, told) -> None:
    assert told in [f"{name}: {why}" for name, why in unread({"hf_overrides": overrides}, DENSE)][0]


@pytest.mark.parametrize(
    "overrides",
    [
        {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "tie_word_embeddings": 1},
        {"eos_token_id": [1, 2], "quantization_config": None, "sliding_window": 512, "rope_parameters": None},
        {"rope_parameters": {"rope_type": "own-code", "rope_theta": 1}, "my_switch": "on"},
    ],
)
def test_a_value_of_the_models_own_kind_or_of_none_that_is_known_is_not_accused(overrides) -> None:
    assert list(unread({"hf_overrides": overrides}, DENSE)) == []


def test_positions_that_are_scaled_and_make_no_sequence_longer_are_told() -> None:
    scaled = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192, "rope_theta": 10_000}
    for rope in (scaled, {**scaled, "rope_type": "deepseek_yarn"}):
        told = [why for _, why in doubtful({"hf_overrides": {"rope_parameters": rope}}, DENSE)]
        assert told == ["makes no sequence longer by its factor: max_position_embeddings beside it does"]
        longer = {"rope_parameters": rope, "max_position_embeddings": 32768}
        assert list(doubtful({"hf_overrides": longer}, DENSE)) == []
    for rope in ({**scaled, "rope_type": "linear"}, {**scaled, "original_max_position_embeddings": 2048}, "yarn"):
        assert list(doubtful({"hf_overrides": {"rope_parameters": rope}}, DENSE)) == []
