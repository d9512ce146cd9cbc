"""All faults of a file are told in one go, each once, in the order of its lines; what follows from a fault is not one."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.plan.hints import hint, meant
from benchbook.plan.launches import _LaunchKeys
from benchbook.plan.template import TEMPLATES, write_template
from benchbook.plan.workloads import WORKLOADS
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FILE = """\
question: How fast?
model: tiny
launches:
  eager:
    args:
      max_model_len: 4096
    env:
      A: 1
  other:
    args: {enforce_eager: true}
benchmarks:
  - serve:
      max_concurrency: [1, 8]
      lengths: [[128, 64], [512, 32]]
      num_prompts: 10 per concurrency
  - latency:
      batch_size: 1
      lengths: [128, 64]
  - throughput: {num_prompts: 200, lengths: [128, 64]}
repeats: 2
seed: 0
slo:
  p99_ttft_ms: 500
limits:
  ready_s: 60
device: cpu
"""
# What is written, what in its place, and what must be said of it.
FAULTS = [
    ("question: How fast?", "question: ''", "question: '': is empty"),
    ("model: tiny", "model: ./nowhere", "model: './nowhere': neither"),
    ("max_model_len: 4096", "max-model-len: 4096", "args.max-model-len: 4096: an arg is named as in its engine"),
    ("A: 1", "A: yes", "env.A: 'yes': write true or false"),
    ("  other:", "  oth er:", "the launch's name must be"),
    ("args: {enforce_eager: true}", "arg: {enforce_eager: true}", "arg: {enforce_eager}: unknown key"),
    ("max_concurrency: [1, 8]", "concurrency: [1, 8]", "serve.concurrency: [1, 8]: unknown key"),
    ("[512, 32]]", "[512, x]]", "lengths[1][1]: 'x': output_len_tokens must be"),
    ("10 per concurrency", "10 per user", "'10 per user': must be a whole number"),
    ("batch_size: 1", "batch_size: 0", "batch_size: 0: must be greater"),
    ("lengths: [128, 64]\n", "lengths: 128\n", "lengths: 128: must be a pair"),
    ("- throughput: {num_prompts: 200, lengths: [128, 64]}", "- throughput: {num_prompts: 200}", "lacks lengths"),
    ("repeats: 2", "repeats: two", "repeats: 'two': must be a valid integer"),
    ("seed: 0", "seed: -1", "seed: -1: must be greater"),
    ("p99_ttft_ms: 500", "p99_tfft_ms: 500", "slo.p99_tfft_ms: 500: unknown key"),
    ("ready_s: 60", "ready_s: .inf", "limits.ready_s: '.inf': write a plain finite number"),
    ("device: cpu", "device: abacus", "device: 'abacus': must be"),
]


def lines_of(folder: Path, text: str, load=load_experiment) -> list[str]:
    path = folder / "exp.yaml"
    path.write_text(text)
    with pytest.raises(ExperimentError) as caught:
        load(path)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def number_of(line: str) -> int:
    return int(line.split(":")[1])


def test_the_file_without_a_fault_is_loaded(tmp_path):
    (tmp_path / "exp.yaml").write_text(FILE)
    assert load_experiment(tmp_path / "exp.yaml").document.faults.has_within(()) is False


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sampled_from(FAULTS), min_size=1, unique=True))
def test_any_faults_of_one_file_are_all_told_once_and_in_its_order(tmp_path, chosen):
    text = FILE
    for old, new, _ in chosen:
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    lines = lines_of(tmp_path, text)
    for _, _, words in chosen:
        assert sum(words in line for line in lines) == 1, (words, lines)
    assert len(lines) == len(chosen), lines
    assert [number_of(line) for line in lines] == sorted(map(number_of, lines))


def test_names_that_vllm_does_not_know_are_told_with_the_faults_of_the_file(tmp_path):
    text = FILE.replace("enforce_eager: true", "enforce_eagr: true, max_modl_len: 8").replace("repeats: 2", "repeat: 2")
    lines = lines_of(tmp_path, text, preflight_of)
    assert [line.split(": ")[1] for line in lines] == [
        "launches.other.args.enforce_eagr",
        "launches.other.args.max_modl_len",
        "repeat",
    ]


def test_after_twenty_faults_reading_ends_and_says_so(tmp_path):
    lines = lines_of(tmp_path, FILE + "".join(f"key{number}: 1\n" for number in range(100)))
    assert len(lines) == 21 and "There may be more" in lines[-1]


@pytest.mark.parametrize(
    ("old", "new", "example"),
    [
        ("benchmarks:\n  - serve:", "benchmarks:\n    serve:", "such as benchmarks: [serve: {"),
        ("  other:\n    args: {enforce_eager: true}", "  other: [a]", "such as other: {args: {enforce_eager: true}"),
        ("args: {enforce_eager: true}", "args: [--enforce-eager]", "such as args: {enforce_eager: true"),
        ("slo:\n  p99_ttft_ms: 500", "slo: 500", "such as slo: {p99_ttft_ms: 500}"),
        ("- latency:\n      batch_size: 1\n      lengths: [128, 64]", "- latency: 8", "such as latency: {batch_size:"),
    ],
)
def test_a_wrong_form_comes_with_an_example_of_the_right_one(tmp_path, old, new, example):
    text = FILE.replace(old, new, 1)
    if "serve" in new:  # a mapping of benchmarks instead of a list
        text = text[: text.index("  - latency")] + text[text.index("repeats") :]
    (line,) = lines_of(tmp_path, text)
    assert "must be a" in line and example in line


SERVE, LATENCY = list(WORKLOADS["serve"].model_fields), list(WORKLOADS["latency"].model_fields)


@pytest.mark.parametrize(
    ("written", "known", "wanted"),
    [
        *((word, SERVE, "request_rate_rps") for word in ("request_rate", "rate", "qps", "rps")),
        *((word, [*SERVE, "lengths"], "lengths") for word in ("input_len", "output_len", "isl", "osl", "length")),
        *((word, SERVE, "max_concurrency") for word in ("concurrency", "max_concurency", "users", "clients")),
        *((word, SERVE, "num_prompts") for word in ("num_requests", "prompts", "num_promts", "duration", "duration_s")),
        ("warmup", SERVE, "num_warmup_prompts"),
        ("warmup", LATENCY, "num_iters_warmup"),
        ("iters", LATENCY, "num_iters"),
        ("batch", LATENCY, "batch_size"),
        ("flags", list(_LaunchKeys.model_fields), "args"),
        ("tp", ["tensor_parallel_size", "data_parallel_size", "dtype"], "tensor_parallel_size"),
        ("gpus", ["question", "device"], "device"),
    ],
)
def test_what_people_write_is_understood(written, known, wanted):
    assert meant(written, known) == wanted


@pytest.mark.parametrize("word", ["name", "colour", "verbose", "output_dir", "s", "", "x" * 10_000])
def test_a_name_that_means_nothing_here_gets_no_hint(word):
    for known in (SERVE, LATENCY, list(_LaunchKeys.model_fields), ["question", "model", "launches", "benchmarks"]):
        assert hint(word, known) == ""


def test_a_duration_is_told_how_it_is_said_here():
    assert "num_prompts: 60 s" in hint("duration_s", SERVE)


@pytest.mark.parametrize("place", ["launch", "top"])
def test_a_flag_of_vllm_in_the_wrong_place_is_sent_to_the_args(tmp_path, place):
    text = FILE.replace("  other:\n", "  other:\n    tp: 2\n") if place == "launch" else FILE + "tp: 2\n"
    (line,) = lines_of(tmp_path, text)
    assert "tensor_parallel_size is a flag of vLLM: it belongs in launches.NAME.args" in line


@pytest.mark.parametrize(
    "rate", [".inf", "'2'", "[1, fast]", "1e12", "-inf", "16 to 1", "0 to 4", "1.5 to 4", "1 to 4 steep"]
)
def test_what_is_no_rate_is_told_what_is_one(tmp_path, rate):
    (line,) = lines_of(tmp_path, FILE.replace("max_concurrency: [1, 8]", f"request_rate_rps: {rate}"))
    assert "request_rate_rps" in line
    assert any(
        words in line
        for words in ("inf for all at once", "a rate may be inf", "write inf", "a ramp of vLLM's", "whole")
    )


def test_a_relative_model_is_looked_for_beside_the_file_and_then_in_the_current_folder(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "experiments", tmp_path / "elsewhere"
    for place in (folder, elsewhere / "mine", elsewhere / "both", folder / "both"):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
    monkeypatch.chdir(elsewhere)

    def model(text: str) -> str:
        (folder / "exp.yaml").write_text(FILE.replace("model: tiny", f"model: {text}"))
        return load_experiment(folder / "exp.yaml").model.path_or_id

    assert model("./both") == model("both") == model("{path: both}") == str(folder / "both")
    assert model("./mine") == model("{path: mine}") == str(elsewhere / "mine")
    for text in ("./none", "{path: none}"):
        with pytest.raises(ExperimentError) as caught:
            model(text)
        assert f"looked for {folder}/none and {elsewhere}/none" in str(caught.value)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_an_experiment_that_the_installed_vllm_takes(tmp_path, template):
    write_template(tmp_path / "mine.yaml", template)
    num_cases = {"serve": 3, "compare": 2, "capacity": 34, "search": 5, "chat": 3}[
        template
    ]  # a search may measure any of its loads
    assert len(preflight_of(tmp_path / "mine.yaml").experiment.cases) == num_cases
    for line in TEMPLATES[template].splitlines():  # what is commented out is right as well
        if line.lstrip().startswith(("# - ", "# slo")):
            path = tmp_path / "more.yaml"
            path.write_text(TEMPLATES[template].replace(line, line.replace("# ", "", 1)))
            preflight_of(path)


def test_a_mere_name_is_written_among_the_experiments_where_these_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_template(Path("mine"), "serve") == Path("mine.yaml")
    (tmp_path / "experiments").mkdir()
    assert write_template(Path("mine"), "serve") == Path("experiments/mine.yaml")
    assert write_template(Path("here.yaml"), "serve") == Path("here.yaml")
    with pytest.raises(ExperimentError, match="experiments/mine.yaml is there already"):
        write_template(Path("mine"), "serve")


def test_templates_fit_a_screen_and_start_vllm_as_the_quickstart_does(tmp_path):
    quickstart = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
    (shown,) = load_experiment(quickstart).launches
    for template, text in TEMPLATES.items():
        write_template(tmp_path / f"{template}.yaml", template)
        assert max(map(len, text.splitlines())) <= 112
        written = load_experiment(tmp_path / f"{template}.yaml").launches[0]
        assert written.env == shown.env and written.args == {**shown.args, "enable_prefix_caching": template == "chat"}


CONFIGS = {
    "not JSON": (b"{not json", "is not JSON"),
    "cut": (b'{"hidden_size": 64, ', "is not JSON"),
    "no text": (b"\xff\xfe\x00", "is not JSON"),
    "a bomb": (b"[" * 100_000, "is not JSON"),
    "empty": (b"", "is not JSON"),
    "a list": (b"[]", "holds no JSON object"),
    "absent": (None, "is a folder without a config.json"),
}


@pytest.mark.parametrize("config", list(CONFIGS))
@pytest.mark.parametrize("place", ["the experiment's", "the launch's"])
def test_a_folder_that_holds_no_model_is_refused_where_the_file_names_it(tmp_path, config, place):
    content, problem = CONFIGS[config]
    (tmp_path / "mine").mkdir()
    if content is not None:
        (tmp_path / "mine" / "config.json").write_bytes(content)
    old, new = {
        "the experiment's": ("model: tiny", "model: {path: mine}"),
        "the launch's": ("  other:\n", "  other:\n    model: {path: mine}\n"),
    }[place]
    text = FILE.replace(old, new)
    (line,) = lines_of(tmp_path, text)
    number = next(number for number, written in enumerate(text.splitlines(), 1) if "path: mine" in written)
    assert f"exp.yaml:{number}: " in line and "model.path: 'mine'" in line and problem in line


def test_a_template_is_written_over_nothing_and_under_a_name_that_can_be_run(tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    for name, words in {
        "mine.yaml": "is there already",
        "my own.yaml": "must be letters",
        "mine.txt": "NAME.yaml",
    }.items():
        with pytest.raises(ExperimentError, match=words):
            write_template(tmp_path / name, "serve")
    assert (tmp_path / "mine.yaml").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["quickstart", "qickstart.yaml", "experiments/quickstrt.yaml", "quickstart.yaml"])
def test_a_file_that_is_not_there_is_answered_with_the_one_that_is_meant(tmp_path, monkeypatch, name):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "quickstart.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match="no such file; did you mean 'experiments/quickstart.yaml'?"):
        load_experiment(name)
