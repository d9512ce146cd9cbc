"""Data sets and their options are those of the installed vLLM's own parser, and what it does not know is told at its line."""

import pytest
from benchbook.hosts.vllm.flags import known
from benchbook.hosts.vllm.forms import Form, dataset_forms
from benchbook.measure import names_of_sets
from benchbook.plan.experiment import read_experiment
from benchbook.terms.errors import ExperimentError

FILE = """question: Which?
model: tiny
launches: {{a: {{}}}}
requests:
  it: {row}
benchmarks:
  - serve: {{requests: it, max_concurrency: 1, num_prompts: 2}}
"""
# As the dump of vLLM 0.32's parser has them.
FORMS = {
    "--dataset-name": Form(choices=("custom", "custom_image", "hf", "random", "random-mm", "sharegpt", "spec_bench")),
    "--sharegpt-output-len": Form(takes=("int",)),
    "--spec-bench-output-len": Form(takes=("int",)),
    "--custom-output-len": Form(takes=("int",)),
    "--random-input-len": Form(takes=("int",)),
    "--skip-chat-template": Form(is_switch=True),
}


def checked(tmp_path, row):
    (tmp_path / "chat.json").write_text("[]")
    path = tmp_path / "x.yaml"
    path.write_text(FILE.format(row=row))
    experiment = read_experiment(path)
    experiment.document.faults.raise_any()
    names_of_sets.check_dataset(experiment.document, ("requests", "it"), experiment.requests["it"])
    experiment.document.faults.raise_any()


SOUND = (
    "{dataset: sharegpt, path: chat.json, options: {sharegpt_output_len: 64}}",
    "{dataset: custom_image, path: chat.json, options: {custom_output_len: 64, skip_chat_template: true}}",
    "{dataset: random-mm, options: {random_input_len: 64}}",
    "{lengths: [8, 4]}",
)
REFUSED = {
    "{dataset: sharegtp, path: chat.json}": "requests.it.dataset: 'sharegtp': vLLM has no such data set; did you mean sharegpt",
    "{dataset: x, path: chat.json}": "there are custom, custom_image, hf",
    "{dataset: sharegpt, path: chat.json, options: {sharegpt_output_length: 4}}": "did you mean sharegpt_output_len?",
    "{dataset: sharegpt, path: chat.json, options: {sharegpt_output_len: many}}": "must be a whole number",
    "{dataset: sharegpt, path: chat.json, options: {custom_output_len: 4}}": "is of the data set custom, and sharegpt takes no",
    "{dataset: custom, path: chat.json, options: {spec_bench_output_len: 4}}": "is of the data set spec_bench",
    "{dataset: sharegpt, path: chat.json, options: {seed: 4}}": "write seed at the top of the file",
    "{dataset: sharegpt, path: chat.json, options: {dataset_path: x}}": "is said by path",
    "{dataset: sharegpt, path: chat.json, options: {skip_chat_template: 3}}": "is a switch: write true or false",
}


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_data_set_of_the_hub_needs_a_package_that_vllm_does_not_bring_along(tmp_path, monkeypatch, is_installed):
    monkeypatch.setattr(names_of_sets, "dataset_forms", lambda: FORMS)
    monkeypatch.setattr(names_of_sets.importlib.util, "find_spec", lambda name: name if is_installed else None)
    row = "{dataset: hf, path: openai/gsm8k}"
    if is_installed:
        return checked(tmp_path, row)
    with pytest.raises(ExperimentError) as refused:
        checked(tmp_path, row)
    (line,) = str(refused.value).splitlines()
    assert "requests.it.dataset: 'hf'" in line and "needs the package datasets" in line


def test_what_vllm_has_is_taken_and_what_it_has_not_is_one_line_at_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(names_of_sets, "dataset_forms", lambda: FORMS)
    for row in SOUND:
        checked(tmp_path, row)
    for row, said in REFUSED.items():
        with pytest.raises(ExperimentError) as caught:
            checked(tmp_path, row)
        (line,) = str(caught.value).splitlines()
        assert "x.yaml:5: requests.it." in line and said in line, row


def test_without_a_vllm_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(names_of_sets, "dataset_forms", dict)
    for row in REFUSED:
        checked(tmp_path, row)


@pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")
def test_the_installed_vllms_own_parser_tells_its_data_sets_and_their_options():
    forms = dataset_forms()
    assert {"sharegpt", "custom", "burstgpt", "hf"} <= set(forms["--dataset-name"].choices)
    assert "int" in forms["--sharegpt-output-len"].takes
