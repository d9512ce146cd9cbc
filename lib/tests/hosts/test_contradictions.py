"""Args that cannot stand together are refused with their line; those that do not fit the model refuse a run, and plan says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbook.hosts.model.shapes import SHAPES
from benchbook.hosts.model.tiny_model import CONFIGS, DENSE
from benchbook.hosts.vllm.contradictions import contradictions
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.misfits import longest, misfits
from benchbook.sweep.machine import check_machine, machine_note
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from contradictory import MISFITS, PAIRS, Pair

FILE = """question: q
model: tiny
launches:
  d: {{args: {args}}}
  other: {{}}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: {lengths}, num_prompts: 4}}
"""
installed = pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")


def name_of(pair: Pair) -> str:
    return f"{pair.name}-{pair.args}"


@pytest.mark.parametrize("pair", PAIRS, ids=name_of)
def test_what_cannot_stand_together_is_told_and_its_twin_is_not_accused(pair) -> None:
    assert [name for name, _ in contradictions(pair.args, pair.env)] == [pair.name]
    assert list(contradictions(pair.twin or {}, pair.twin_env)) == []


@pytest.mark.parametrize("pair", MISFITS, ids=name_of)
def test_what_does_not_fit_the_model_is_told_and_its_twin_is_not_accused(pair) -> None:
    assert [name for name, _ in misfits(pair.args, pair.env, CONFIGS[pair.model])] == [pair.name]
    assert list(misfits(pair.twin or {}, pair.twin_env, CONFIGS[pair.model])) == []


@pytest.mark.parametrize("more", [{"hf_overrides": {"model_type": "own"}}, {"hf_config_path": "/other"}])
def test_where_another_config_counts_or_none_is_known_nobody_is_accused(more) -> None:
    asked = {"tensor_parallel_size": 3, "pipeline_parallel_size": 9, "max_model_len": "1M"}
    draft = {"speculative_config": {"num_speculative_tokens": 3}}
    assert list(misfits(draft, {}, {**DENSE, "speculators_config": {"algorithm": "eagle3"}})) == []
    own = {"speculative_config": {"method": "qwen3_next_mtp", "num_speculative_tokens": 2}}
    assert list(misfits(own, {}, {**DENSE, "model_type": "qwen3_next"})) == []
    assert len(list(misfits(asked, {}, DENSE))) == 3
    assert list(misfits({**asked, **more}, {}, DENSE)) == [] == list(misfits(asked, {}, None))


def test_what_a_published_model_is_served_with_is_not_accused() -> None:
    used = {"gpt-oss-20b": 8, "gpt-oss-120b": 8, "llama-3.1-8b": 8, "llama-3.1-70b": 8}
    for name, shape in SHAPES.items():
        for tensor in (1, 2, 4, used[name]):
            assert list(misfits({"tensor_parallel_size": tensor, "max_model_len": "32k"}, {}, shape.config)) == []


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 16384),
        ({"max_position_embeddings": 4096, "rope_parameters": {"full_attention": {"factor": 2.0}}}, 8192),
        ({"max_position_embeddings": 131072, "rope_scaling": {"factor": None}}, 131072),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),
        ({"max_position_embeddings": "many"}, None),
        ({}, None),
    ],
)
def test_the_longest_sequence_is_what_the_models_config_tells_scaled_where_positions_are(config, most) -> None:
    assert longest({}, {}, config) == most


def written(folder: Path, args: str = "{}", lengths: str = "[[64, 16]]") -> Path:
    path = folder / "exp.yaml"
    path.write_text(FILE.format(args=args, lengths=lengths))
    return path


@installed
def test_a_contradiction_is_refused_at_the_name_that_the_file_has_and_all_in_one_go(tmp_path) -> None:
    args = "{max_num_seq: 8, max_num_active_seqs: 16, ac.backend: CPU_ATTN, attention_backend: CPU_ATTN, no_such: 1}"
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(written(tmp_path, args))
    lines = str(refusal.value).splitlines()
    assert [line.partition("args.")[2].partition(":")[0] for line in lines] == [
        "no_such", "attention_backend", "max_num_active_seqs",
    ]  # fmt: skip
    assert all(line.startswith(f"{tmp_path}/exp.yaml:4: ") for line in lines)


@installed
@pytest.mark.parametrize(
    ("args", "lengths", "why"),
    [
        ("{tp: 3}", "[[64, 16]]", "launches.d.args.tp: 3: must divide the model's 8 attention heads"),
        ("{pp: 8}", "[[64, 16]]", "launches.d.args.pp: 8: cannot be more than the model's 4 layers"),
        ("{max_model_len: 64k}", "[[64, 16]]", "launches.d.args.max_model_len: '64k': is more than the 8192 tokens"),
        ("{}", "[[8192, 1]]", "launches.d: {args}: a request of 8193 tokens (input + output) exceeds the 8192"),
    ],
)
def test_what_does_not_fit_the_model_refuses_a_run_and_plan_says_so(tmp_path, args, lengths, why) -> None:
    checked = preflight_of(written(tmp_path, args, lengths))
    assert f"`run` would be refused on this machine: {tmp_path}/exp.yaml:4: {why}" in machine_note(checked)
    with pytest.raises(ExperimentError) as refusal:
        check_machine(preflight_of(written(tmp_path, args, lengths)))
    assert why in str(refusal.value)


@installed
@pytest.mark.parametrize("speculators", [{"verifier": {"name_or_path": "org/big"}}, {"verifier": "org/big"}, [], None])
def test_a_model_that_speculates_for_another_is_told_to_be_served_as_its_draft(tmp_path, speculators) -> None:
    (tmp_path / "draft").mkdir()
    config = {"model_type": "llama", "max_position_embeddings": 64, "speculators_config": speculators}
    (tmp_path / "draft" / "config.json").write_text(json.dumps(config))
    path = written(tmp_path)
    path.write_text(path.read_text().replace("model: tiny", f"model: {tmp_path}/draft"))
    notes = [
        note for note in preflight_of(path).notes if "vLLM serves org/big, for which this model speculates" in note
    ]
    assert len(notes) == 2 * isinstance((speculators or {}).get("verifier"), dict)


@installed
@pytest.mark.parametrize(
    "odd",
    [
        {"num_attention_heads": "eight", "num_hidden_layers": [], "num_key_value_heads": None},
        {"num_attention_heads": 0, "intermediate_size": -1, "num_hidden_layers": True},
        {"rope_scaling": "linear", "rope_parameters": [{"factor": 2}], "model_type": 5},
        {"rope_scaling": {"factor": "4"}, "max_position_embeddings": 1e6},
        {"text_config": None, "speculators_config": "x"},
        {"model_type": "gemma4", "num_key_value_heads": 5, "num_attention_heads": 3},
    ],
)
def test_a_config_that_tells_nothing_sound_accuses_nobody(tmp_path, odd) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(odd))
    path = written(tmp_path, "{tp: 3, pp: 9, max_model_len: 1M}")
    path.write_text(path.read_text().replace("model: tiny", f"model: {tmp_path}/m"))
    assert preflight_of(path).unfit == ()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "dbrx", "ffn_config": {"moe_num_experts": 16}},
        {"model_type": "olmoe"},
        {"model_type": "x", "architectures": ["SomeMoeForCausalLM"]},
        {"model_type": "nemotron-nas", "block_configs": []},
        {"num_hidden_layers": 4},
    ],
)
def test_a_model_that_may_have_experts_is_not_denied_them(config) -> None:
    assert list(misfits({"enable_expert_parallel": True}, {}, config)) == []
    assert [name for name, _ in misfits({"enable_expert_parallel": True}, {}, {"model_type": "llama"})]


@installed
def test_what_another_launch_cannot_do_refuses_no_part_of_a_run(tmp_path) -> None:

    checked = preflight_of(written(tmp_path, "{tp: 3}"))
    asked = [case.case_id for case in checked.experiment.cases if case.launch == "other"]
    check_machine(checked.part_of(asked))
