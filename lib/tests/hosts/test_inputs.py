"""Files, folders and models that a launch names are looked for before a start; no file expands a shell's words."""

from __future__ import annotations

import pytest
from benchbook.hosts.model.inputs import hub_models, missing
from benchbook.plan.experiment import load_experiment
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from one_launch import written


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (
            "{tokenizer: $MODELS/tok}",
            "{}",
            "exp.yaml:5: launches.d.args.tokenizer: '$MODELS/tok': $MODELS is not expanded",
        ),
        (
            "{speculative_config: {model: '${REPO}/draft'}}",
            "{}",
            "speculative_config.model: '${REPO}/draft': ${REPO} is",
        ),
        ("{lora_modules: ['a=${D:-/x}/a']}", "{}", "lora_modules[0]: 'a=${D:-/x}/a': ${D:-/x} is not expanded"),
        (
            "{}",
            "{OMP_NUM_THREADS: $(nproc)}",
            "exp.yaml:6: launches.d.env.OMP_NUM_THREADS: '$(nproc)': $(nproc) is not",
        ),
        ("{}", "{LD_LIBRARY_PATH: '/x:$LD_LIBRARY_PATH'}", "$LD_LIBRARY_PATH is not expanded"),
        ("{chat_template: $HOME/a.jinja}", "{}", "chat_template: '$HOME/a.jinja': $HOME is not expanded"),
        ("{hf_overrides: {a: $NAME}}", "{}", "hf_overrides.a: '$NAME': $NAME is not expanded"),
        ("{download_dir: '/my models/$USER'}", "{}", "download_dir: '/my models/$USER': $USER is not expanded"),
        (
            "{kv_events_config: {endpoint: 'tcp://${HOST}:5557'}}",
            "{}",
            "endpoint: 'tcp://${HOST}:5557': ${HOST} is not",
        ),
        ("{max_num_batched_tokens: '${N}k'}", "{}", "max_num_batched_tokens: '${N}k': ${N} is not expanded"),
        ("{max_num_seqs: '${N}'}", "{}", "max_num_seqs: '${N}': ${N} is not expanded"),
        ("{served_model_name_suffix: '$(cat name.txt)'}", "{}", "$(cat name.txt) is not expanded"),
        ("{download_dir: '`pwd`/models'}", "{}", "download_dir: '`pwd`/models': `pwd` is not expanded"),
        ("{}", "{OMP_NUM_THREADS: '`nproc`'}", "`nproc` is not expanded"),
        ("{lora_modules: ['a=`realpath a`']}", "{}", "`realpath a` is not expanded"),
    ],
)
def test_what_waits_for_a_shell_is_refused_with_its_line(tmp_path, args, env, words) -> None:
    with pytest.raises(ExperimentError) as refusal:
        load_experiment(written(tmp_path, args, env))
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "args",
    [
        "{chat_template: '{% for m in messages %}${{ m.price }}{% endfor %}'}",
        "{default_chat_template_kwargs: {system: 'costs $USD'}}",
        "{tool_call_parser: 'a$'}",
        "{tool_call_parser: '$5'}",
        "{override_generation_config: {stop: ['$x', '$END']}}",
        "{override_generation_config.stop: $x}",
        "{override_generation_config: {bad_words: ['${A}']}}",
        "{reasoning_config: {reasoning_start_str: '$think', reasoning_end_str: '$end'}}",
        "{hf_overrides: {prompt: 'it costs $USD 5'}}",
        "{quantization_config: {ignore: ['re:^model.(a|$b)']}}",
        "{hf_overrides: {pattern: 'a$b'}}",
        "{additional_config: {pattern: 'layers.*$q_proj', hint: 'write `x` here', mark: '```'}}",
    ],
)
def test_a_dollar_that_no_shell_would_expand_is_none_of_our_business(tmp_path, args) -> None:
    load_experiment(written(tmp_path, args))


@pytest.mark.parametrize(
    ("args", "way"),
    [
        ({"chat_template": "examples/tool.jinja"}, ("args", "chat_template")),
        ({"tool_parser_plugin": "plug.py"}, ("args", "tool_parser_plugin")),
        ({"logging_config": {"pylogging_config_file": "/no/l"}}, ("args", "logging_config", "pylogging_config_file")),
        ({"allowed_local_media_path": "/no/media"}, ("args", "allowed_local_media_path")),
        ({"tokenizer": "./tok"}, ("args", "tokenizer")),
        ({"hf_config_path": "/no/config"}, ("args", "hf_config_path")),
        ({"speculative_config": {"model": "models/drafts/mine"}}, ("args", "speculative_config", "model")),
        ({"chat_template": 7}, ("args", "chat_template")),
        ({"lora_modules": ["a=/no/a"]}, ("args", "lora_modules", 0)),
        ({"lora_modules": [{"name": "a", "path": "./a"}]}, ("args", "lora_modules", 0)),
        ({"lora_modules": 'a=org/x', "default_mm_loras": {"image": "~/lora"}}, ("args", "default_mm_loras", "image")),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_named(tmp_path, args, way) -> None:
    ((found, problem),) = missing(args, {}, tmp_path)
    assert found == way and "there is no" in problem


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"LD_PRELOAD": "/no/libtcmalloc.so:libc.so.6"}, "LD_PRELOAD"),
        ({"VLLM_LOGGING_CONFIG_PATH": "log.json"}, "VLLM_LOGGING_CONFIG_PATH"),
        ({"VLLM_TUNED_CONFIG_FOLDER": "/no/tuned"}, "VLLM_TUNED_CONFIG_FOLDER"),
    ],
)
def test_files_that_variables_name_are_looked_for_too(tmp_path, env, name) -> None:
    ((found, _),) = missing({}, env, tmp_path)
    assert found == ("env", name)


def test_what_is_there_is_not_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    args = {
        "chat_template": "t.jinja",
        "tokenizer": "a/b/c",
        "allowed_local_media_path": "a",
        "generation_config": "vllm",
    }
    assert list(missing(args, {"LD_PRELOAD": "libc.so.6"}, tmp_path)) == []
    inline = {"chat_template": "{% if x %}{{ x }}{% endif %}", "speculative_config": {"model": "ngram"}}
    assert list(missing(inline, {}, tmp_path)) == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"tokenizer": "org/name@main"}, "write org/name, and tokenizer_revision: main beside it"),
        ({"speculative_config": {"model": "org/name@v1"}}, "write org/name, and revision: v1 beside it"),
        ({"tokenizer": "org/name:Q4"}, "is neither a folder here nor a hub id"),
        ({"spec_model": "my draft"}, "is neither a folder here nor a hub id"),
        ({"lora_modules": ["a=org/sql@main"]}, "write org/sql"),
    ],
)
def test_what_no_model_can_be_called_is_told(tmp_path, args, told) -> None:
    ((_, problem),) = missing(args, {}, tmp_path)
    assert told in problem


@pytest.mark.parametrize(
    "args",
    [
        {"tokenizer": "org/name", "generation_config": "auto"},
        {"speculative_config": {"model": "[ngram]"}, "hf_config_path": "gpt2"},
        {"tokenizer": "s3://bucket/tok", "lora_modules": ["a=org/sql"]},
    ],
)
def test_what_a_model_may_be_called_is_not_told(tmp_path, args) -> None:
    assert list(missing(args, {}, tmp_path)) == []


@pytest.mark.parametrize("said", [{}, 0, ["x"], "x", {"name": "x"}])
def test_what_names_no_adapter_is_told(tmp_path, said) -> None:
    ((_, problem),) = missing({"lora_modules": said}, {}, tmp_path)
    assert problem.startswith("names no adapter")


def test_a_tilde_is_expanded_where_vllm_does_so_and_nowhere_else(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sql").mkdir()
    (tmp_path / "t.jinja").touch()
    there = {"lora_modules": ["a=~/sql", {"name": "b", "path": "~/sql"}], "default_mm_loras": {"image": "~/sql"}}
    assert list(missing(there, {}, tmp_path)) == []
    ((_, absent),) = missing({"lora_modules": "a=~/chat"}, {}, tmp_path)
    assert absent == f"there is no file or folder {tmp_path}/chat"
    for args in ({"tokenizer": "~/sql"}, {"chat_template": "~/t.jinja"}, {"tokenizer": "~nobody/x"}):
        ((_, problem),) = missing(args, {}, tmp_path)
        assert "~ is not expanded here" in problem


def test_a_file_beside_the_experiment_is_what_is_meant(tmp_path, monkeypatch) -> None:
    beside = tmp_path / "experiments"
    beside.mkdir()
    (beside / "t.jinja").write_text("{{ messages }}")
    monkeypatch.chdir(tmp_path)
    ((_, problem),) = missing({"chat_template": "t.jinja"}, {}, beside)
    assert problem.endswith(f"did you mean {beside}/t.jinja?")


def test_models_of_the_hub_are_told_with_their_revision() -> None:
    args = {
        "tokenizer": "a/tok", "tokenizer_revision": "v1", "generation_config": "auto",
        "speculative_config": {"model": "a/draft", "revision": "v2"}, "lora_modules": ["l=a/lora"],
    }  # fmt: skip
    found = [(model.way[1], model.hub_id, model.revision) for model in hub_models(args)]
    assert found == [
        ("tokenizer", "a/tok", "v1"),
        ("speculative_config", "a/draft", "v2"),
        ("lora_modules", "a/lora", None),
    ]


@pytest.mark.parametrize(
    "args",
    [
        {"tokenizer": "gpt2"},
        {"hf_config_path": "bert-base-uncased"},
        {"speculative_config": {"model": "distilgpt2", "method": "draft_model"}},
        {"spec_model": "gpt2-medium"},
    ],
)
def test_a_model_of_the_hub_is_told_by_half_of_its_id_too(args) -> None:
    (model,) = hub_models(args)
    assert "/" not in model.hub_id


@pytest.mark.parametrize(
    "args",
    [
        {"generation_config": "vllm"},
        {"speculative_config": {"model": "ngram"}},
        {"speculative_config": {"model": "[ngram]"}},
        {"lora_modules": ["l=adapter"]},
    ],
)
def test_a_word_in_a_models_place_is_no_model_of_the_hub(args) -> None:
    assert list(hub_models(args)) == []


def test_all_of_a_launchs_missing_files_are_refused_with_the_line_that_names_them(tmp_path) -> None:
    path = written(tmp_path, "{sc.model: ./draft, chat_template: no.jinja}", "{LD_PRELOAD: /no/lib.so}")
    with pytest.raises(ExperimentError) as refusal:
        preflight_of(path)
    told = sorted(line.split(": ")[1] for line in str(refusal.value).splitlines())
    assert told == ["launches.d.args.chat_template", "launches.d.args.sc.model", "launches.d.env.LD_PRELOAD"]


@pytest.mark.parametrize(
    "args",
    [
        {"lora_modules": ["nopath"]},
        {"lora_modules": [{"name": "sql"}]},
        {"lora_modules": [{"path": "a/lora"}]},
        {"lora_modules": "=a/lora"},
        {"lora_modules": ['{"name": "sql", "path": "a/lora"']},
        {"lora_modules": ["l=a/lora", 7]},
        {"default_mm_loras": {"audio": 3}},
        {"default_mm_loras": {"audio": {"path": "a/lora"}}},
    ],
)
def test_what_names_no_adapter_is_refused_with_what_to_write(args, tmp_path) -> None:
    ((way, why),) = missing(args, {}, tmp_path)
    assert way[1] in args and "names no adapter: write" in why


@pytest.mark.parametrize(
    "args",
    [
        {"lora_modules": ["l=a/lora", {"name": "sql", "path": "a/sql"}]},
        {"lora_modules": {"name": "sql", "path": "a/sql", "base_model_name": "a/base"}},
        {"lora_modules": '{"name": "sql", "path": "a/sql"}'},
        {"default_mm_loras": {"audio": "a/lora"}},
    ],
)
def test_an_adapter_is_named_as_vllm_reads_it(args, tmp_path) -> None:
    assert list(missing(args, {}, tmp_path)) == []
