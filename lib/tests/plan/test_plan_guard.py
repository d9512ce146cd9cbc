"""`guard` of an experiment file: its items and margin, which case they are asked beside, and what is refused."""

import json
import sys

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.plan.guard import ITEMS_FILE, ITEMS_NOTE, items_note
from benchbook.records.store import Store
from benchbook.sweep.guarding import freeze_items
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError

TEXT = """
question: Is it faster, and no worse?
model: {model}
launches: {{a: {{}}, b: {{args: {{max_model_len: 2048}}}}}}
{guard}
benchmarks:
  - first_request: {{}}
  - serve: {{max_concurrency: [1, 8, 4], lengths: [[16, 8]], num_prompts: 16}}
  - serve: {{request_rate_rps: [1, 2], lengths: [[16, 8]], num_prompts: 16, launches: [a]}}
"""
ITEM = {"question": "2 + 3 =", "answer": "5"}


@pytest.fixture
def write(tmp_path, fake_model):
    def written(guard="guard: {items: items.jsonl, margin: 1 %}", text=TEXT, items=(ITEM,) * 800):
        (tmp_path / "items.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
        path = tmp_path / "exp.yaml"
        path.write_text(text.format(model=fake_model, guard=guard))
        return path

    return written


def test_items_are_found_beside_the_file_and_asked_beside_the_largest_load_of_each_launch(write, tmp_path):
    experiment = load_experiment(write())
    assert experiment.guard.items == str(tmp_path / "items.jsonl") and experiment.guard.margin == 0.01
    assert sorted(experiment.guarded) == [
        f"{launch},serve,lengths=16x8,max_concurrency=8,num_prompts=16" for launch in "ab"
    ]


def test_an_experiment_without_a_guard_asks_nothing(write):
    experiment = load_experiment(write(guard=""))
    assert experiment.guard is None and not experiment.guarded


def test_items_that_are_made_here_are_named_and_not_looked_for(write):
    assert load_experiment(write("guard: {items: 'corpus:items', margin: 2.5 %}")).guard.items == "corpus:items"


def test_items_that_lie_frozen_beside_a_file_are_taken_where_a_run_put_them_for_what_it_names(write, tmp_path):
    path, frozen = write(), tmp_path / "requests" / ITEMS_FILE
    items = tmp_path / "items.jsonl"
    freeze_items(load_experiment(path), Store(tmp_path))
    assert load_experiment(path).guard.items == str(frozen)
    items.unlink()  # a run is made again where what it names is gone
    assert load_experiment(path).guard.items == str(frozen)
    with pytest.raises(ExperimentError, match="'other.jsonl': no such file"):
        load_experiment(write("guard: {items: other.jsonl, margin: 1 %}"))
    path = write()
    frozen.write_text(json.dumps({"question": "2 + 4 =", "answer": "6"}))  # other bytes than the run's
    assert load_experiment(path).guard.items == str(items)
    items.unlink()
    with pytest.raises(ExperimentError, match="'items.jsonl': no such file"):
        load_experiment(path)


def test_frozen_items_of_a_task_are_taken_where_as_many_are_asked_for(write, tmp_path):
    path, frozen = write("guard: {items: 'lm_eval:x', margin: 1 %, at_most: 9}"), tmp_path / "requests" / ITEMS_FILE
    frozen.parent.mkdir()
    frozen.write_text(json.dumps(ITEM))
    note = items_note("lm_eval:x", 9, frozen.read_bytes())
    (frozen.parent / ITEMS_NOTE).write_text(json.dumps({**note, "task": "x 1.0 of lm-eval 0.4.13: acc, 0-shot"}))
    assert load_experiment(path).guard.items == str(frozen)
    for other in (", at_most: 8", ""):
        assert load_experiment(write(f"guard: {{items: 'lm_eval:x', margin: 1 %{other}}}")).guard.items == "lm_eval:x"


def test_a_task_without_lm_eval_is_refused_in_a_line_before_anything_starts(write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    (tmp_path / "task.yaml").write_text("task: x")
    path = write("guard: {items: task.yaml, margin: 1 %}")
    with pytest.raises(ExperimentError) as refused:
        preflight_of(path)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{path}:5: guard.items: 'task.yaml': a task of lm-eval") and "pip install lm_eval" in line


def test_a_file_of_somebody_else_beside_an_experiment_takes_no_place_of_its_items(write, tmp_path):
    path = write()
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / ITEMS_FILE).write_text(json.dumps(ITEM))
    assert load_experiment(path).guard.items == str(tmp_path / "items.jsonl")


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ("guard: items.jsonl", "guard: 'items.jsonl': must be a mapping"),
        ("guard: {margin: 1 %}", "guard.items: is missing"),
        ("guard: {items: items.jsonl}", "guard.margin: is missing"),
        ("guard: {items: items.jsonl, margin: 1}", "guard.margin: 1: must be a share"),
        ("guard: {items: items.jsonl, margin: 0 %}", "guard.margin: '0 %': must be a share"),
        ("guard: {items: itms.jsonl, margin: 1 %}", "guard.items: 'itms.jsonl': no such file"),
        ("guard: {items: ., margin: 1 %}", "guard.items: '.': is a folder"),
        ("guard: {items: items.jsonl, margin: 1 %, at_most: 9}", "guard.at_most: 9: is of a task of lm-eval"),
        ("guard: {items: task.yaml, margin: 1 %}", "guard.items: 'task.yaml': no such file"),
        (
            "guard: {items: 'lm_eval:x', margin: 1 %, at_most: 0}",
            "guard.at_most: 0: must be greater than or equal to 1",
        ),
        ("guard: {items: 'lm_eval:x', margin: 1 %, limit: 9}", "did you mean 'at_most'"),
        ("guard: {itms: items.jsonl, margin: 1 %}", "did you mean 'items'"),
    ],
)
def test_a_guard_that_cannot_be_is_refused_with_file_and_line(write, guard, said):
    path = write(guard)
    with pytest.raises(ExperimentError) as refused:
        load_experiment(path)
    assert any(line.startswith(f"{path}:5: ") and said in line for line in str(refused.value).splitlines()), (
        refused.value
    )


def test_a_guard_without_a_serve_that_is_measured_in_any_case_is_refused(write):
    searched = TEXT.partition("  - serve")[0] + (
        "  - serve: {{lengths: [[16, 8]], num_prompts: 16, find: {{max_concurrency: {{from: 1, to: 8}}, saturation: 10 %}}}}\n"
    )
    for text in (TEXT.partition("  - serve")[0], searched):
        with pytest.raises(ExperimentError, match="asked beside a serve that is measured in any case"):
            load_experiment(write(text=text))


def test_items_that_cannot_be_read_or_are_too_few_for_the_margin_are_told_before_anything_starts(write):
    with pytest.raises(ExperimentError, match="guard.items: .*line 2: no 'question'"):
        preflight_of(write(items=(ITEM, {"answer": "5"})))
    told = [note for note in preflight_of(write(items=(ITEM,) * 100)).notes if note.startswith("guard: ")]
    assert len(told) == 1 and "100 items cannot show that no more than 1 % of them are lost" in told[0]
    assert not [note for note in preflight_of(write()).notes if note.startswith("guard: ")]
