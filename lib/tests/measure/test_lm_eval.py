"""Tasks of the lm-eval that is installed: their items are its own requests, and right in them is what it calls right.

Run where it is not installed beside vLLM:  PYTHONPATH=…/site-packages pytest lib/tests/measure/test_lm_eval.py
"""

import itertools
import json

import pytest
import yaml
from benchbook.measure.guard import told_by
from benchbook.measure.items import read_items
from benchbook.measure.task_items import task_items
from benchbook.terms.errors import ExperimentError

pytest.importorskip("lm_eval", reason="lm-eval is not installed here: pip install lm_eval")

DOCS = [
    {"q": "The sky is", "options": ["green", "blue"], "gold": 1, "sum": "17 + 25", "out": "17 and 25 are\n#### 42"},
    {"q": "Grass is ", "options": ["green", "blue", "re"], "gold": 0, "sum": "600 + 400", "out": "#### 1,000"},
    {"q": "Snow is", "options": ["white", "black"], "gold": 0, "sum": "5 + 2", "out": "well,\n#### 7"},
    {"q": "Coal is", "options": ["white", "black"], "gold": 1, "sum": "1 - 3", "out": "#### -2"},
]
CHOICES = {
    "task": "colours",
    "test_split": "train",
    "output_type": "multiple_choice",
    "description": "Colours.\n",
    "doc_to_text": "{{q}}",
    "doc_to_choice": "options",
    "doc_to_target": "gold",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
SUMS = {  # as gsm8k is
    "task": "sums",
    "test_split": "train",
    "fewshot_split": "train",
    "num_fewshot": 2,
    "output_type": "generate_until",
    "doc_to_text": "Question: {{sum}}\nAnswer:",
    "doc_to_target": "{{out}}",
    "generation_kwargs": {"until": ["Question:", "</s>"], "do_sample": False, "temperature": 0.0},
    "filter_list": [
        {"name": "strict-match", "filter": [
            {"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"},
        ]},
        {"name": "flexible-extract", "filter": [
            {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
            {"function": "take_first"},
        ]},
    ],
    "metric_list": [{
        "metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True,
        "ignore_punctuation": False, "regexes_to_ignore": [",", "\\$", "(?s).*#### ", "\\.$"],
    }],
}  # fmt: skip
FLEXIBLE = SUMS | {"filter_list": SUMS["filter_list"][1:]}
PLAIN = {key: value for key, value in SUMS.items() if key not in ("filter_list", "metric_list", "generation_kwargs")}
STRIPPED = SUMS | {
    "filter_list": [{"name": "s", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}],
    "metric_list": [{"metric": "exact_match", "ignore_punctuation": True, "ignore_numbers": True}],
}
BARE = SUMS | {"generation_kwargs": {"until": "Question:", "top_p": 0.95}}  # greedy, since nothing else is said
REPLIES = ("", " 42", "42", "#### 42", "so\n#### 1,000.", "#### 1000", "#### 7 or 8", "-2", "#### -2\nQ", "$7.", "#### 42 ",
           " 17 and 25 are\n#### 42", "17 and 25 are\n####", "#### 1,000", "[invalid]", " #### ", "WELL,\n#### 7")  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "docs.jsonl").write_text("".join(f"{json.dumps(doc)}\n" for doc in DOCS))
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": str(tmp_path / "docs.jsonl")}}
    written = itertools.count()

    def task(said):
        path = tmp_path / f"{next(written)}.yaml"  # lm-eval and we read each once
        path.write_text(yaml.safe_dump(data | said))
        return str(path)

    return task


def built(path):
    """Return the task as lm-eval itself builds it, and its requests by document."""
    from lm_eval.tasks import TaskManager

    (task,) = TaskManager(include_defaults=False).load(path)["tasks"].values()
    task.set_fewshot_seed(1234)
    task.build_all_requests()
    return task, [list(group) for _, group in itertools.groupby(task.instances, key=lambda request: request.doc_id)]


@pytest.mark.parametrize("more", [{}, {"target_delimiter": ""}, {"num_fewshot": 1, "fewshot_split": "train"}])
def test_choices_are_asked_in_lm_evals_own_words_and_the_likeliest_counts_as_there(write, more):
    path = write(CHOICES | more)
    task, documents = built(path)
    items = read_items(task_items(path, None).path)
    assert len(items) == len(documents) == len(DOCS)
    for item, requests in zip(items, documents):
        asked = [f"{item.question}{item.delimiter}{choice}" for choice in item.choices]
        assert asked == ["".join(request.args) for request in requests]
        for likely in itertools.permutations([-1.0, -2.5, -0.5][: len(item.choices)]):
            theirs = task.process_results(requests[0].doc, [(value, False) for value in likely])["acc"]
            assert told_by(completion("", likely), item).mark == str(int(theirs))


@pytest.mark.parametrize("said", [SUMS, FLEXIBLE, STRIPPED, PLAIN, BARE])
def test_written_answers_are_asked_in_lm_evals_own_words_and_right_where_it_says_so(write, said):
    path = write(said)
    task, documents = built(path)
    items, seen = read_items(task_items(path, None).path), set()
    for item, (request,) in zip(items, documents, strict=True):
        until = request.args[1]["until"]
        assert (item.question, item.match.until) == (request.args[0], [until] if isinstance(until, str) else until)
        assert item.max_tokens == 256  # what lm-eval takes where nothing is said
        for reply in (*REPLIES, item.answer):
            request.resps = [reply]
            task._filters[0].apply([request])
            (taken,) = request.filtered_resps.values()
            theirs = task.process_results(request.doc, [taken])["exact_match"]
            assert told_by(completion(reply, [-1.0]), item).mark == str(int(theirs)), (reply, item.answer)
            seen.add(bool(theirs))
    assert seen == {True, False}


def completion(text, logprobs):
    """Return an answer of /v1/completions to an item: `text` behind its question, and of each choice how likely it is."""
    question = [None, {"1": {"logprob": -1.0}}]
    behind = [{"index": 1 + place, "prompt_logprobs": [*question, {"2": {"logprob": value}}], "text": ""}
              for place, value in enumerate(logprobs)]  # fmt: skip
    return {"choices": [{"index": 0, "text": text, "prompt_logprobs": question}, *behind]}


def test_what_is_said_of_a_task_names_it_its_metric_and_its_examples(write):
    at_most = task_items(write(SUMS | {"metadata": {"version": 3.0}}), 3)
    assert len(read_items(at_most.path)) == 3
    assert at_most.said.startswith("sums 3.0 of lm-eval 0.") and "\n" not in at_most.said
    assert at_most.said.endswith(": exact_match behind its filter strict-match, 2-shot")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (CHOICES | {"output_type": "loglikelihood", "metric_list": None}, "its output_type is loglikelihood"),
        (CHOICES | {"doc_to_text": "{{gold}}", "doc_to_target": "{{q}}"}, "its choices stand within the question"),
        (CHOICES | {"metric_list": [{"metric": "mcc"}]}, "its metric is mcc: of multiple_choice, acc is read"),
        (CHOICES | {"doc_to_target": "options"}, "several answers are right to its document 0"),
        (SUMS | {"generation_kwargs": {"do_sample": True, "temperature": 0.7}}, "it draws its answers"),
        (SUMS | {"repeats": 4}, "it asks each question 4 times"),
        (SUMS | {"dataset_kwargs": {"data_files": "/nowhere/docs.jsonl"}}, "lm-eval cannot read it: FileNotFoundError"),
    ],
)
def test_what_items_cannot_say_is_refused_in_a_line(write, said, problem):
    with pytest.raises(ExperimentError) as refused:
        task_items(write(said), None)
    assert problem in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("arc_esy", "did you mean 'arc_easy'"), ("mmlu", "lm-eval's mmlu is a group of tasks: name one of them")],
)
def test_a_name_that_lm_eval_has_no_task_for_is_refused(name, problem):
    with pytest.raises(ExperimentError, match=problem):
        task_items(f"lm_eval:{name}", None)


def test_a_function_beside_a_task_is_run_as_lm_eval_runs_it(write, tmp_path):
    (tmp_path / "words.py").write_text("def ask(doc):\n    return 'Say: ' + doc['q']\n")
    path = write(CHOICES)
    with open(path, "a") as file:
        file.write("doc_to_text: !function words.ask\n")
    assert read_items(task_items(path, 1).path)[0].question == "Colours.\nSay: The sky is"
