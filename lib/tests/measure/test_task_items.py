"""A task of lm-eval as items: what is read of it, what is refused in a line, and what is said where it is not installed.

lm-eval is a stand-in here; what the real one makes of tasks is in test_lm_eval.py.
"""

import json
import sys

import fake_lm_eval
import pytest
import yaml
from benchbook.measure.items import path_of, read_items
from benchbook.measure.task_items import task_items
from benchbook.plan.guard import Guard
from benchbook.terms.errors import ExperimentError

CHOICES = {
    "task": "colours",
    "output_type": "multiple_choice",
    "metadata": {"version": 2.0},
    "docs": [
        {"question": "The sky is", "choices": ["green", "blue"], "target": 1},
        {"question": "Grass is \n", "choices": ["green", "blue"], "target": "green"},
    ],
}
SUMS = {
    "task": "sums",
    "output_type": "generate_until",
    "generation_kwargs": {"until": ["\n", ""], "max_gen_toks": 8},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "ignore_case": True}],
    "filter_list": [{"name": "strict", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}],
    "docs": [{"question": "17 + 25 =", "target": 42}],
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    fake_lm_eval.put_in(tmp_path / "packages", monkeypatch)
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))

    def of(said, at_most=None):
        path = tmp_path / "task.yaml"
        path.write_text(yaml.safe_dump(said))
        task_items.cache_clear()
        return task_items(str(path), at_most)

    return of


def test_choices_are_what_lm_eval_asks_with_white_space_before_them_where_it_counts_it(read):
    found = read(CHOICES)
    first, second = read_items(found.path)
    assert (first.question, first.delimiter, first.choices, first.answer) == (
        "The sky is", " ", ("green", "blue"), "blue",
    )  # fmt: skip
    assert (second.question, second.delimiter, second.answer) == ("Grass is", " \n ", "green")
    assert found.said == "colours 2.0 of lm-eval 0.0.fake: acc, 0-shot"
    assert path_of(Guard(items=str(found.path), margin=0.1)) == str(found.path)


def test_a_written_answer_brings_along_how_it_is_compared(read):
    found = read(SUMS)
    (item,) = read_items(found.path)
    assert (item.question, item.answer, item.max_tokens, item.match.until) == ("17 + 25 =", "42", 8, ["\n"])
    assert item.match.is_right(" 42 ", "42") and not item.match.is_right("42.", "42")
    assert found.said.endswith("exact_match behind its filter strict, 0-shot")


def test_at_most_takes_the_first_items_and_the_same_items_are_the_same_file(read):
    one, two = read(CHOICES, 1).path, read(CHOICES).path
    assert len(read_items(one)) == 1 and one != two and read(CHOICES).path == two


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (CHOICES | {"output_type": "loglikelihood"}, "its output_type is loglikelihood: multiple_choice and generate_until"),
        (CHOICES | {"metric_list": [{"metric": "mcc"}, {"metric": "f1"}]}, "its metric is mcc, f1: of multiple_choice, acc"),
        (CHOICES | {"repeats": 3}, "asks each question 3 times"),
        (CHOICES | {"process_results": "f"}, "judges answers by a function of its own"),
        (CHOICES | {"doc_to_image": "image"}, "shows images or sounds"),
        (CHOICES | {"filter_list": SUMS["filter_list"]}, "filters what tells choices apart (remove_whitespace)"),
        (CHOICES | {"docs": [CHOICES["docs"][0] | {"target": [0, 1]}]}, "several answers are right to its document 0"),
        (SUMS | {"metric_list": [{"metric": "bleu"}]}, "its metric is bleu: of generate_until, exact_match is read"),
        (SUMS | {"filter_list": [{"name": "x", "filter": [{"function": "majority_vote"}]}]}, "its filter majority_vote is not"),
        (SUMS | {"metric_list": [{"metric": "exact_match", "multi": True}]}, "multi: true: unknown key"),
        (SUMS | {"generation_kwargs": {"temperature": 0.7}}, "draws its answers"),
        (SUMS | {"generation_kwargs": {"num_beams": 4}}, "its generation_kwargs say num_beams"),
        ({"task": "x"}, "lm-eval cannot read it: KeyError: 'output_type'"),
    ],
)  # fmt: skip
def test_what_items_cannot_say_is_refused_in_a_line_that_names_it(read, said, problem):
    with pytest.raises(ExperimentError) as refused:
        read(said)
    assert problem in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("arc_esy", "unknown task; did you mean 'arc_easy'?"), ("mmlu", "lm-eval's mmlu is a group of tasks: name one")],
)
def test_a_name_that_is_no_task_is_refused(read, name, problem):
    with pytest.raises(ExperimentError) as refused:
        task_items(f"lm_eval:{name}", None)
    assert problem in str(refused.value)


def test_an_lm_eval_that_falls_leaves_the_last_that_it_said(read, tmp_path):
    (tmp_path / "packages" / "lm_eval" / "tasks" / "__init__.py").write_text("import os\nprint('x')\nos._exit(3)")
    with pytest.raises(ExperimentError, match="lm-eval cannot read it: no output"):
        read(CHOICES)


def test_without_lm_eval_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ExperimentError) as refused:
        task_items(str(tmp_path / "task.yml"), None)
    assert f"not installed in {sys.executable}: `pip install lm_eval` there" in str(refused.value)
    assert json.dumps(str(refused.value)).count("\\n") == 0
