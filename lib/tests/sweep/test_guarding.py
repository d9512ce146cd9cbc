"""The guard in a sweep: which repeats ask its items, what counts in a fingerprint, and what is said before anything starts."""

import hashlib
import io
import json
import sys
from dataclasses import replace

import fake_lm_eval
import pytest
import yaml
from benchbook.measure.task_items import task_items
from benchbook.plan.eta import Estimator
from benchbook.plan.experiment import load_experiment
from benchbook.records.handover import Handover, read_handover
from benchbook.records.header import RunHeader
from benchbook.records.store import EXPERIMENT_FILE, Store
from benchbook.sweep.consent import load_texts
from benchbook.sweep.estimates import estimator_for
from benchbook.sweep.guarding import asks_items, forget_items, freeze_items, items_sha256, num_items
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preview import preview
from benchbook.sweep.reproduction import recreated
from rich.console import Console

TEXT = """
question: Is it faster, and no worse?
model: {model}
launches: {launches}
guard: {{items: items.jsonl, margin: 2 %}}
benchmarks:
  - serve: {{max_concurrency: [1, 2], lengths: [[8, 4]], num_prompts: 4}}
repeats: 3
"""
TWO = "{a: {}, b: {args: {max_model_len: 64}}}"


@pytest.fixture
def write(tmp_path, fake_model):
    def written(number=300, launches=TWO):
        rows = ({"question": f"{place} + 1 =", "answer": str(place + 1)} for place in range(number))
        (tmp_path / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        path = tmp_path / "x.yaml"
        path.write_text(TEXT.format(model=fake_model, launches=launches))
        return path

    return written


def test_the_first_repeat_of_the_largest_load_asks_and_no_other(write, tmp_path):
    experiment, store = load_experiment(write()), Store.create(tmp_path / "results", "x")
    plan = RunPlan.of(experiment, store)
    repeats = [repeat for block in experiment.planned_rounds() for repeat in block.repeats]
    asking = [repeat for repeat in repeats if plan.items(repeat, store, store.run_dir)]
    assert [(one.case.launch, one.number, one.case.workload.max_concurrency) for one in asking] == [
        ("a", 0, 2),
        ("b", 0, 2),
    ]


def test_the_items_count_in_the_fingerprint_of_the_cases_that_ask_them(write):
    def parts(path):
        return {
            case_id: planned.parts.get("guard") for case_id, planned in RunPlan.of(load_experiment(path)).cases.items()
        }

    one, same, other = parts(write(300)), parts(write(300)), parts(write(301))
    asking = {case_id for case_id, part in one.items() if part}
    assert one == same and {case_id.partition(",")[0] for case_id in asking} == {"a", "b"} and len(asking) == 2
    assert all((one[case_id] != other[case_id]) is (case_id in asking) for case_id in one)


def test_a_notebook_finds_the_items_in_the_run_also_after_it_was_moved(write, tmp_path):
    experiment, store = load_experiment(write()), Store.create(tmp_path / "results", "x")
    freeze_items(experiment, store)
    plan, folder = RunPlan.of(experiment, store), store.run_dir / "cases" / "k" / "repeat=0"
    folder.mkdir(parents=True)
    (repeat,) = [one for one in experiment.planned_rounds()[0].repeats if plan.items(one, store, folder)]
    name = Handover(guard=plan.items(repeat, store, folder)).write(folder)
    moved = store.run_dir.rename(tmp_path / "moved")
    told = read_handover(str(moved / "cases" / "k" / "repeat=0" / name)).guard
    with open(told.path, "rb") as items:
        assert hashlib.sha256(items.read()).hexdigest() == told.sha256
    assert told.margin == 0.02
    forget_items(Store(moved))
    assert not list((moved / "requests").iterdir())


def test_a_run_that_is_made_again_asks_its_own_items(write, tmp_path):
    experiment, store = load_experiment(write()), Store.create(tmp_path / "results", "x")
    (store.run_dir / EXPERIMENT_FILE).write_text(experiment.source_text)
    store.write_header(RunHeader(experiment="x"))
    freeze_items(experiment, store)
    (tmp_path / "items.jsonl").unlink()
    again = load_experiment(recreated(store, tmp_path / "elsewhere"))
    assert again.guard.items.startswith(str(tmp_path / "elsewhere"))
    assert items_sha256(again) == hashlib.sha256((store.run_dir / "requests" / "guard.jsonl").read_bytes()).hexdigest()


@pytest.fixture
def task(write, tmp_path, monkeypatch):
    """Return an experiment whose guard is a task that a stand-in of lm-eval reads, of 300 questions."""
    with monkeypatch.context() as patch:
        fake_lm_eval.put_in(tmp_path / "packages", patch)
        patch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))
        docs = [{"question": f"{place} + 1 =", "target": place + 1} for place in range(400)]
        said = {"task": "sums", "output_type": "generate_until", "generation_kwargs": {"until": ["\n"]}, "docs": docs}
        (tmp_path / "sums.yaml").write_text(yaml.safe_dump(said))
        path = write()
        path.write_text(path.read_text().replace("items.jsonl,", "sums.yaml, at_most: 300,"))
        yield path
    task_items.cache_clear()


def test_plan_says_which_task_is_asked_and_what_is_right_in_it(task, tmp_path):
    out = io.StringIO()
    preview(task, tmp_path / "results", Console(file=out, width=300))
    said = next(line for line in out.getvalue().splitlines() if line.startswith("Guard: "))
    assert "300 items of" in said and "sums.yaml (sums of lm-eval 0.0.fake: exact_match, 0-shot) are asked" in said


def test_a_task_lies_in_the_run_as_items_and_is_asked_again_from_there_where_no_lm_eval_is(task, tmp_path, monkeypatch):
    experiment, store = load_experiment(task), Store.create(tmp_path / "results", "x")
    (store.run_dir / EXPERIMENT_FILE).write_text(experiment.source_text)
    store.write_header(RunHeader(experiment="x"))
    freeze_items(experiment, store)
    assert "lm-eval 0.0.fake" in json.loads((store.run_dir / "requests" / "guard.json").read_text())["task"]
    known = items_sha256(experiment)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    task_items.cache_clear()
    (tmp_path / "sums.yaml").unlink()
    again = load_experiment(recreated(store, tmp_path / "elsewhere"))
    assert items_sha256(again) == known and num_items(again) == 300
    freeze_items(again, store)  # as a run of it does, which can be made again as well
    assert load_experiment(recreated(store, tmp_path / "third")).guard.items.startswith(str(tmp_path / "third"))


def test_plan_says_what_is_asked_beside_what(write, tmp_path):
    out = io.StringIO()
    preview(write(), tmp_path / "results", Console(file=out, width=300))
    said = next(line for line in out.getvalue().splitlines() if line.startswith("Guard: "))
    assert "300 items of" in said and "a,serve,lengths=8x4,max_concurrency=2,num_prompts=4" in said


def test_the_time_of_a_plan_counts_the_load_that_is_sent_once_more_beside_the_items(write, tmp_path):
    experiment = load_experiment(write())
    known = estimator_for(experiment, tmp_path / "results")
    paces = {name: replace(pace, is_worth_a_guess=True) for name, pace in known.paces.items()}
    guarded, free = Estimator(paces, asking=known.asking), Estimator(paces)
    first, *others = experiment.planned_rounds()
    (asks,) = (repeat for repeat in first.repeats if asks_items(experiment, repeat))
    more_s = guarded.estimate([first]).seconds - free.estimate([first]).seconds
    assert more_s == pytest.approx(free.once_more([replace(first, repeats=(asks,))]).seconds) and more_s > 1
    assert guarded.estimate(others[1:]) == free.estimate(others[1:])


def test_what_is_sent_to_a_server_of_somebody_else_has_the_items_and_the_load_beside_them(write):
    attached = "{a: {attach: '127.0.0.1:8000', model: m, tokenizer: tiny}}"
    experiment = load_experiment(write(launches=attached))
    ((_, said),) = load_texts(experiment, experiment.planned_rounds())
    assert "300 items of the guard, and 4 to 160 requests of the load that is sent beside them" in said
