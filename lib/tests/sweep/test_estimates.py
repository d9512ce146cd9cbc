"""What an estimate rests on: the runs that this machine has seen, and a model's shape; `plan` and `run` say the same."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from benchbook.hosts.machine.facts import Gpu, Machine
from benchbook.hosts.model.files import planned_path
from benchbook.plan.experiment import load_experiment
from benchbook.plan.order import rounds
from benchbook.records.files import make_folder, write_json, write_text
from benchbook.sweep import estimates
from benchbook.sweep.estimates import earlier_timings, estimator_for
from benchbook.sweep.preview import preview
from rich.console import Console

TEXT = """
question: How long?
model: {model}
launches:
  eager: {{args: {{enforce_eager: true, max_model_len: 4096}}}}
benchmarks:
  - serve: {{max_concurrency: [1, 2], lengths: [[64, 32]], num_prompts: {num_prompts}}}
repeats: 2
"""
CASE = "eager,serve,lengths=64x32,max_concurrency=1,num_prompts=40"
HERE = {"cpu": "A CPU", "cpu_cores": 2, "gpus": []}
GPU_HERE = {"cpu": "A CPU", "cpu_cores": 16, "gpus": [{"name": "NVIDIA H200"}]}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    facts = dict(HERE)
    monkeypatch.setattr(
        estimates, "machine", lambda: Machine(**{**facts, "gpus": tuple(Gpu(**each) for each in facts["gpus"])})
    )
    monkeypatch.setattr(estimates, "package_versions", lambda: {"vllm": "0.32.0"})
    return facts


@pytest.fixture
def asked(tmp_path):
    """Return a function that returns the experiment "exp", with another model or number of prompts."""

    def load(model="tiny", num_prompts="40"):
        path = tmp_path / "exp.yaml"
        path.write_text(TEXT.format(model=model, num_prompts=num_prompts))
        return load_experiment(path)

    return load


@pytest.fixture
def noted(tmp_path):
    """Return a function that leaves a run with these timings under results."""

    def leave(name: str, wall_s_by_job: dict, machine=HERE, model="tiny", **launch) -> None:
        experiment, run_id = name.split("/")
        started = {"model": {"path": planned_path(model)}, "args": {}, "env": {}} | launch
        folder = make_folder(tmp_path / "results" / name)
        header = {"schema_version": 1, "experiment": experiment, "run_id": run_id, "state": "interrupted"}
        parts = {"launches": {"eager": started}, "provenance": {"machine": machine}, "wall_s_by_job": wall_s_by_job}
        write_json(folder / "run.json", header | parts)

    return leave


def told(experiment, tmp_path):
    timings = earlier_timings(experiment, tmp_path / "results")
    return {key: (list(each.wall_s), each.run) for key, each in timings.items()}


def left(experiment, tmp_path):
    blocks = rounds(experiment.cases, experiment.repeats, experiment.seed)
    return estimator_for(experiment, tmp_path / "results").estimate(blocks)


def test_the_newest_run_that_measured_a_case_tells_its_time(asked, noted, tmp_path):
    noted("exp/20261101-100000", {CASE: [9.0], f"{CASE} warm": [7.0]})
    noted("exp/20261102-100000", {CASE: [8.0]})
    noted("exp/20261103-100000", {})  # measured nothing
    assert told(asked(), tmp_path) == {
        CASE: ([8.0], "exp/20261102-100000"),
        f"{CASE} warm": ([7.0], "exp/20261101-100000"),
    }


def test_a_run_that_measured_nothing_teaches_nothing(asked, noted, tmp_path):
    before = left(asked(), tmp_path)
    noted("exp/20261101-100000", {})
    assert left(asked(), tmp_path) == before and before.why == "a first guess"


def test_an_interrupted_run_teaches_what_it_measured(asked, noted, tmp_path):
    noted("exp/20261101-100000", {"start eager server": [50.0], CASE: [30.0]})
    assert left(asked(), tmp_path).why == "by run exp/20261101-100000"
    noted("exp/20261101-100000", {"start eager server": [50.0]})
    assert left(asked(), tmp_path).why == "by run exp/20261101-100000 and a first guess"


@pytest.mark.parametrize(
    "other", [{"cpu": "Another"}, {"cpu_cores": 64}, {"gpus": [{"name": "NVIDIA H100 80GB HBM3"}]}], ids=str
)
def test_another_machine_tells_nothing(asked, noted, tmp_path, other):
    noted("exp/20261101-100000", {CASE: [9.0], "start eager server": [50.0]}, machine={**HERE, **other})
    assert told(asked(), tmp_path) == {}


def test_other_experiments_tell_the_start_of_the_same_model_best_of_the_same_launch(asked, noted, tmp_path):
    noted("other/20261101-100000", {CASE: [9.0], "start eager server": [50.0]}, args={"max_model_len": 8})
    assert told(asked(), tmp_path) == {"start eager server": ([50.0], "other/20261101-100000")}
    same = {"enforce_eager": True, "max_model_len": 4096}
    noted("another/20261031-100000", {"start eager server": [60.0]}, args=same)
    assert told(asked(), tmp_path) == {"start eager server": ([60.0], "another/20261031-100000")}
    noted("third/20261104-100000", {"start eager server": [70.0]}, model="Qwen/Qwen3-0.6B", args=same)
    assert told(asked(), tmp_path) == {"start eager server": ([60.0], "another/20261031-100000")}


def test_a_time_of_the_first_format_is_read_and_a_cut_header_is_passed_over(asked, noted, tmp_path):
    noted("exp/20261101-100000", {CASE: 9.5})
    write_text(make_folder(tmp_path / "results" / "exp" / "20261102-100000") / "run.json", '{"experiment"')
    noted("exp/20261103-100000", {CASE: [1.0]}, machine={})
    assert told(asked(), tmp_path) == {CASE: ([9.5], "exp/20261101-100000")}


def test_the_start_of_a_launch_that_a_continued_run_no_longer_has_is_passed_over(asked, noted, tmp_path):
    noted("exp/20261101-100000", {"start gone server": [9.5], CASE: [1.0]})
    assert list(told(asked(), tmp_path)) == [CASE]


@pytest.mark.parametrize("spoiled", ["tensor_parallel_size: many", "dtype: float7", "hf_overrides: {a: 1}"])
def test_flags_that_no_roofline_covers_leave_the_time_unknown(spoiled, tmp_path):
    path = tmp_path / "exp.yaml"
    text = TEXT.format(model="{shape: gpt-oss-120b}", num_prompts=40) + "device: cuda\n"
    path.write_text(text.replace("enforce_eager: true", spoiled))
    estimate = left(load_experiment(path), tmp_path)
    assert not estimate.is_known and estimate.seconds < 10


def test_a_run_of_a_name_in_place_of_its_time_is_older_than_any_other(asked, noted, tmp_path):
    noted("exp/reference", {CASE: [1.0]})
    noted("exp/20261101-100000", {CASE: [2.0]})
    assert told(asked(), tmp_path)[CASE][1] == "exp/20261101-100000"


def test_a_large_model_is_expected_to_take_longer_on_a_cpu(asked, tmp_path):
    tiny, small, large = (
        left(asked(model), tmp_path) for model in ("tiny", "{shape: gpt-oss-20b}", "{shape: gpt-oss-120b}")
    )
    assert tiny.is_known and small.seconds > 5 * tiny.seconds and large.seconds > small.seconds


def test_a_model_of_unknown_shape_is_not_guessed_at(asked, tmp_path):
    estimate = left(asked("nobody/nothing"), tmp_path)
    assert not estimate.is_known


def test_without_a_run_on_a_gpu_no_more_than_a_least_is_said(asked, machine, tmp_path, noted):
    machine.update(GPU_HERE)
    few, many = (left(asked("{shape: gpt-oss-120b}", number), tmp_path) for number in ("40", "4000"))
    assert not few.is_known and few.seconds < 60
    # At 4.8 TB/s no token comes sooner than after the 3.6 GB that it needs of the weights at least: 0.6 ms.
    assert 2 * 1.5 * 3960 * 32 * 0.6e-3 < many.seconds - few.seconds < 2 * 1.5 * 3960 * 32 * 1.5e-3


def test_a_build_for_cpus_is_guessed_at_beside_any_gpu(asked, machine, tmp_path, monkeypatch):
    machine.update(GPU_HERE)
    assert not left(asked(), tmp_path).is_known
    monkeypatch.setattr(estimates, "package_versions", lambda: {"vllm": "0.32.0+cpu"})
    assert left(asked(), tmp_path).is_known


def test_precision_is_estimated_by_the_prompts_it_plans(asked, tmp_path):
    few, many = (left(asked(num_prompts=number), tmp_path).seconds for number in ("100", "4000"))
    text = TEXT.replace("num_prompts: {num_prompts}", "precision: {{p99_ttft_ms: 10 %}}").format(model="tiny")
    path = tmp_path / "precise.yaml"
    path.write_text(text)
    experiment = load_experiment(path)
    assert 1000 < experiment.cases[0].workload.num_prompts < 4000
    assert few < left(experiment, tmp_path).seconds < many


@pytest.mark.parametrize("name", ["article_mi300x", "tuned", "h200_gpt_oss_120b"])
def test_experiments_for_a_gpu_are_not_given_a_time_that_nobody_measured(name, tmp_path):
    experiment = load_experiment(Path(__file__).parents[3] / "experiments" / f"{name}.yaml")
    assert not left(experiment, tmp_path).is_known


def test_plan_says_the_least_or_the_time_with_what_tells_it(asked, noted, tmp_path, fake_model):
    def said() -> str:
        out = io.StringIO()
        preview(tmp_path / "exp.yaml", tmp_path / "results", Console(file=out, width=300))
        return out.getvalue()

    experiment = asked(fake_model)
    assert "at least 5 s (more is not known before it has run on this machine)" in said(), "its config.json is empty"
    wall_s = {case.case_id: [100.0] for case in experiment.cases} | {"start eager server": [90.0]}
    noted("exp/20261101-100000", wall_s, model=str(fake_model))
    assert "(by run exp/20261101-100000)" in said()


def hosts(*caches, kind="server"):
    return [{"kind": kind, "facts": {"compile_cache": cache}} for cache in caches]


@pytest.mark.parametrize(
    ("started", "wall_s", "alike", "another"),
    [
        (hosts("cold", "warm", "warm"), [110.0, 40.0, 42.0], [40.0, 42.0], [110.0]),
        (hosts("cold"), [110.0], [110.0], [110.0]),
        (hosts("warm", "in part", "off"), [40.0, 60.0, 70.0], [40.0, 60.0, 70.0], [40.0, 60.0, 70.0]),
        (hosts(None, None), [20.0, 21.0], [20.0, 21.0], [20.0, 21.0]),  # eager: nothing is compiled
        (hosts("cold", "warm"), [40.0], [40.0], [40.0]),  # halted during one of the two
        ([*hosts("cold", kind="engine"), *hosts("warm")], [40.0], [40.0], [40.0]),
        ([], [40.0], [40.0], [40.0]),
    ],
)
def test_starts_that_had_to_compile_tell_of_such_and_others_of_others(
    asked, noted, tmp_path, started, wall_s, alike, another
):
    same = {"enforce_eager": True, "max_model_len": 4096}
    noted("other/20261101-100000", {"start eager server": wall_s}, args=same, hosts=started)
    assert told(asked(), tmp_path)["start eager server"][0] == alike
    noted("other/20261101-100000", {"start eager server": wall_s}, args={"max_model_len": 8}, hosts=started)
    assert told(asked(), tmp_path)["start eager server"][0] == another


# --- Experts, which are counted once.


@pytest.fixture
def no_model_yet(tmp_path, monkeypatch):
    """Give the test a cache without models and counts."""
    monkeypatch.setenv("BENCHBOOK_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("model", ["folder", "{shape: gpt-oss-20b}", "{shape: gpt-oss-120b}"])
def test_a_model_with_experts_costs_one_start_more_until_they_are_counted(asked, tmp_path, no_model_yet, model):
    folder = make_folder(tmp_path / "folder")
    write_json(folder / "config.json", {"num_experts": 16, "num_experts_per_tok": 2, "vocab_size": 500})
    experiment = asked(f"{{path: {folder}}}" if model == "folder" else model)
    estimator, blocks = estimator_for(experiment, tmp_path), rounds(experiment.cases, 1, 0)
    (key,) = estimator.to_count.values()
    assert key.startswith("count experts of ")
    first, second, *_ = estimator.pieces(blocks, None)
    assert first.work == key and second.work == "start eager server"
    assert [piece.work for piece in estimator.pieces([*blocks, *blocks], None)].count(key) == 1
    assert first.work not in [piece.work for piece in estimator.pieces(blocks, ())], "its host has started"
    assert estimator.counted("eager", 41.0) == key and estimator.counted("eager", 41.0) == ""
    assert next(iter(estimator.pieces(blocks, None))).work == "start eager server"


def test_a_model_without_experts_costs_none(asked, tmp_path, no_model_yet):
    for model in ("tiny", "{shape: llama-3.1-8b}", "some/Model"):
        assert estimator_for(asked(model), tmp_path).to_count == {}


def test_what_has_been_counted_here_costs_nothing_more(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "resolve_model", lambda *_: "files")
    monkeypatch.setattr(estimates.os.path, "isdir", lambda _: True)
    for known, number in (({"decode": {}}, 0), (None, 1)):
        monkeypatch.setattr(estimates, "known_routing", lambda files, args, known=known: known)
        assert len(estimator_for(asked("{shape: gpt-oss-20b}"), tmp_path).to_count) == number


def test_what_counting_took_in_any_experiment_tells_its_time(asked, noted, tmp_path, no_model_yet):
    experiment = asked("{shape: gpt-oss-20b}")
    (key,) = estimator_for(experiment, tmp_path / "results").to_count.values()
    noted("other/20261101-100000", {key: [77.0]})
    estimator = estimator_for(experiment, tmp_path / "results")
    first, *_ = estimator.pieces(rounds(experiment.cases, 1, 0), None)
    assert estimator.expected(first) == (77.0, "by run other/20261101-100000")


def test_plan_says_that_experts_will_be_counted(asked, tmp_path, no_model_yet):
    asked("{shape: gpt-oss-20b}")
    out = io.StringIO()
    preview(tmp_path / "exp.yaml", tmp_path / "results", Console(file=out, width=200))
    assert "in it, one start more: to count experts of " in out.getvalue()
