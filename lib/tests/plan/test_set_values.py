"""`--set`: a value in place of the file's changes that and nothing else; what is none is refused in a line."""

from pathlib import Path

import pytest
import yaml
from benchbook.plan.experiment import read_experiment
from benchbook.plan.yamlfile import experiment_text, load_document
from benchbook.terms.errors import ExperimentError

TEXT = """# about it
question: Which?  # asked
model: tiny
launches:
  eager:  # the one
    # more about it
    args: {max_model_len: 4096}
    env: {VLLM_CPU_KVCACHE_SPACE: 1}
  v0.31:
    args:
      max_model_len: 4096   # long
      enforce_eager: true
  bare:
benchmarks:
  - first_request: {}
  - serve: {max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}
  - latency:
      batch_size: 1
      lengths: [[8, 4]]
repeats: 2
"""
# What is set, and the line that then stands in place of which, or is new.
SET = {
    "repeats=5": ("repeats: 2", "repeats: 5"),
    "repeats = {starts: 3}": ("repeats: 2", "repeats: {starts: 3}"),
    "seed=7": ("", "seed: 7"),
    "slo.p99_ttft_ms=500": ("", "slo: {p99_ttft_ms: 500}"),
    "question=Why, then?": ("question: Which?  # asked", "question: Why, then?  # asked"),
    "launches.eager.args.max_model_len=8192": (
        "    args: {max_model_len: 4096}",
        "    args: {max_model_len: 8192}",
    ),
    "launches.eager.args.enforce_eager=true": (
        "    args: {max_model_len: 4096}",
        "    args: {max_model_len: 4096, enforce_eager: true}",
    ),
    "launches.v0.31.args.max_num_seqs=4": ("", "      max_num_seqs: 4"),
    "launches.v0.31.args.max_model_len=512": (
        "      max_model_len: 4096   # long",
        "      max_model_len: 512   # long",
    ),
    "launches.bare.args.max_model_len=1": ("  bare:", "  bare: {args: {max_model_len: 1}}"),
    "benchmarks[1].serve.num_prompts=8": (
        "  - serve: {max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}",
        "  - serve: {max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 8}",
    ),
    "benchmarks.serve.max_concurrency=[1, 8]": (
        "  - serve: {max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}",
        "  - serve: {max_concurrency: [1, 8], lengths: [[8, 4]], num_prompts: 4}",
    ),
    "benchmarks.latency.batch_size=4": ("      batch_size: 1", "      batch_size: 4"),
    "launches.eager.env.VLLM_HOST_IP=a,b": (
        "    env: {VLLM_CPU_KVCACHE_SPACE: 1}",
        '    env: {VLLM_CPU_KVCACHE_SPACE: 1, VLLM_HOST_IP: "a,b"}',
    ),
}


OF_LISTS = {
    "benchmarks.serve.lengths[0]=[256, 64]": ("lengths: [[8, 4]], num", "lengths: [[256, 64]], num"),
    "benchmarks[1].serve.lengths[0][1]=32": ("lengths: [[8, 4]], num", "lengths: [[8, 32]], num"),
    "benchmarks.serve.lengths[0][0]=16": ("lengths: [[8, 4]], num", "lengths: [[16, 4]], num"),
    "benchmarks.serve.max_concurrency[1]=4": ("max_concurrency: [1, 2]", "max_concurrency: [1, 4]"),
    "benchmarks.latency.lengths[0]=[2, 2]": ("      lengths: [[8, 4]]", "      lengths: [[2, 2]]"),
    "benchmarks.serve.lengths[0]=256": ("lengths: [[8, 4]], num", "lengths: [256], num"),
}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.yaml").write_text(TEXT)
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("told", SET)
def test_one_line_changes_or_is_new_and_all_else_stays(file, told):
    old, new = SET[told]
    expected = TEXT.replace(f"{old}\n", f"{new}\n") if old else None
    changed = experiment_text(file, [told])
    assert changed == expected if expected else sorted(changed.splitlines()) == sorted([*TEXT.splitlines(), new])
    assert load_document(file).text == TEXT, "the file stays as it is"


@pytest.mark.parametrize("told", OF_LISTS)
def test_a_number_in_brackets_is_an_item_of_that_list_and_of_none_inside_it(file, told):
    assert experiment_text(file, [told]) == TEXT.replace(*OF_LISTS[told])


@pytest.mark.parametrize(
    "question", ["Is it faster # or not", "&so is it faster", "Größer 🙂 # oder nicht?", 'Is "it" faster  # or not']
)
def test_a_text_of_which_yaml_would_leave_something_out_is_quoted(file, question):
    for way, found in (("question", lambda data: data["question"]), ("slo.x", lambda data: data["slo"]["x"])):
        assert found(yaml.safe_load(experiment_text(file, [f"{way}={question}"]))) == question
    assert "seed: 7 # so" in experiment_text(file, ["seed=7 # so"]), "what is no text may have a comment"


def test_a_block_that_becomes_one_line_leaves_the_others_where_they_are(file):
    for told in ("launches.v0.31={args: {a: 1}}", "launches.eager={}", "benchmarks.latency={batch_size: 8}"):
        changed = experiment_text(file, [told])
        assert len(changed.splitlines()) == len(TEXT.splitlines())
        assert changed.splitlines()[-1] == "repeats: 2" and "more about it" not in changed or "eager=" not in told
        way, value = told.split("=")
        found = yaml.safe_load(changed)
        name = way.split(".", 1)[1]
        found = found["launches"][name] if way.startswith("launches") else found["benchmarks"][2]["latency"]
        assert found == yaml.safe_load(value)


def test_several_are_set_one_after_the_other(file):
    sets = ["slo.p99_ttft_ms=500", "slo.p99_tpot_ms=50", "repeats=3", "benchmarks.serve.max_concurrency=[4]"]
    experiment = read_experiment(file, sets=sets)
    assert experiment.slo == {"p99_ttft_ms": 500.0, "p99_tpot_ms": 50.0} and experiment.repeats == 3
    assert any("max_concurrency=4" in case.case_id for case in experiment.cases)
    assert experiment.source_text == experiment_text(file, sets)


REFUSED = {
    "repeets=5": "unknown key; did you mean 'repeats'",
    "benchmarks.serve.num_promts=5": "unknown key; did you mean 'num_prompts'",
    "slo.p99_tfft_ms=5": "did you mean 'p99_ttft_ms'",
    "limits.redy_s=5": "did you mean 'ready_s'",
    "repeats=two": "repeats: 'two': must be",
    "launches.eagr.args.max_model_len=1": "--set launches.eagr.args.max_model_len=1: no launch 'eagr'; did you mean 'eager'",
    "launches.other={}": "no launch 'other'",
    "benchmarks.throughput.num_prompts=5": "which of benchmarks: 0 to 2",
    "benchmarks.7.serve={}": "which of benchmarks: 0 to 2",
    "question.of=5": "question is no mapping",
    "repeats": "write KEY=VALUE",
    "=5": "write KEY=VALUE",
    "launches..args=5": "write KEY=VALUE",
    "repeats=a: b": "none of YAML's in one line",
    "repeats=[1": "none of YAML's in one line",
    "repeats=1\nseed=2": "none of YAML's in one line",
    "seed=*x": "none of YAML's in one line",
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_is_none_is_refused_in_a_line_that_names_it(file, told):
    file.write_text(TEXT.replace("  bare:\n", ""))
    with pytest.raises(ExperimentError) as refused:
        read_experiment(file, sets=[told]).document.faults.raise_any()
    assert REFUSED[told] in str(refused.value) and str(file) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_no_mapping_is_refused_as_it_is_without_any(tmp_path):
    for text in ("", "- a\n", "{", "a: b: c\n"):
        (tmp_path / "mine.yaml").write_text(text)
        told = []
        for sets in ([], ["repeats=5"]):
            with pytest.raises(ExperimentError) as refused:
                load_document(tmp_path / "mine.yaml", sets)
            told.append(str(refused.value))
        assert told[0] == told[1]


def test_a_secret_is_refused_here_as_in_a_file(file):
    with pytest.raises(ExperimentError, match="looks like a secret") as refused:
        load_document(file, ["launches.eager.env.HF_TOKEN=hf_" + "a1B2c3D4" * 4])
    assert "a1B2c3D4" not in str(refused.value)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_each_experiment_of_the_project_takes_a_question_and_a_seed_and_stays_itself(path):
    changed = yaml.safe_load(experiment_text(path, ["seed=41", "question='Is it: so, # or not?'"]))
    before = yaml.safe_load(path.read_text())
    assert changed == {**before, "seed": 41, "question": "Is it: so, # or not?"}
