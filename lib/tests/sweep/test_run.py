"""From a file to its report: what a run says at its end, and what it needs of whoever writes reports."""

import contextlib

import pytest
from benchbook.sweep import planning
from benchbook.sweep import run as run_module
from benchbook.sweep.run import run_experiment
from benchbook.sweep.session import asked_for
from benchbook.terms.errors import ExperimentError, StoreError
from test_runner import Bench, Listener, interrupt


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Return a bench whose runner is what an experiment is prepared to."""
    bench = Bench(tmp_path, monkeypatch)
    bench.plan()

    def prepare_run(file, results_dir, *, only, listener, **_):
        runner = bench.runner()
        runner.listener = listener
        runner.only = asked_for(runner.plan.experiment, only) if only else None
        return runner

    monkeypatch.setattr(run_module, "prepare_run", prepare_run)
    monkeypatch.setattr(run_module, "warm_kernels", lambda *_: contextlib.nullcontext())
    return bench


def run(bench, write_report=lambda run_dir: None, **options):
    """Return how the run ended, and what stays of what it said."""
    listener = Listener()
    ended = run_experiment(bench.tmp_path / "small.yaml", bench.tmp_path / "results", listener, write_report, **options)
    return ended, "\n".join(listener.lines)


def test_a_run_is_measured_and_its_report_written_by_whoever_can(bench):
    written = []
    ended, _ = run(bench, written.append)
    assert written == [ended.store.run_dir] and len(ended.store.records()) == 8
    assert not ended.is_interrupted and ended.unwritten is None


def test_an_interrupted_run_has_no_report_and_says_how_to_go_on(bench):
    bench.on_call, written = {4: interrupt}, []
    ended, said = run(bench, written.append)
    assert ended.is_interrupted and not written
    assert "Interrupted. 3 measured repeats are kept" in said and "to continue: benchbook run small.yaml" in said


def test_an_interrupted_run_says_what_of_it_is_measured_again(bench, monkeypatch):
    def disturb_and_interrupt(host):
        monkeypatch.setattr(planning, "is_due_again", lambda record, budget: True)
        interrupt(host)

    bench.on_call = {4: disturb_and_interrupt}
    _, said = run(bench)
    assert "(disturbed from outside, and measured again: 3 repeats); to continue" in said


def test_a_part_of_a_run_says_how_the_rest_is_measured(bench):
    _, said = run(bench, only=["serve"])
    assert f"for the rest: benchbook run {bench.tmp_path}/small.yaml --results={bench.tmp_path}/results" in said


@pytest.mark.parametrize("fault", [StoreError("a secret was found"), OSError(28, "No space left on device", "x.html")])
def test_that_a_report_cannot_be_written_loses_nothing_of_what_was_measured(bench, fault):
    def write_report(run_dir):
        raise fault

    ended, _ = run(bench, write_report)
    assert isinstance(ended.unwritten, StoreError) and len(ended.store.records()) == 8


def test_an_interrupted_report_is_told_with_the_command_that_writes_it(bench):
    ended, said = run(bench, interrupt)
    assert ended.is_interrupted and f"for the report: benchbook report {ended.store.run_dir}" in said


def test_of_a_measured_run_that_lacks_its_report_only_that_is_written(bench):
    ended, _ = run(bench)
    (ended.store.run_dir / "experiment.yaml").write_text((bench.tmp_path / "small.yaml").read_text())
    again, said = run(bench)
    assert again.store.run_dir.resolve() == ended.store.run_dir.resolve()
    assert len(bench.calls) == 8 and "only its report is missing" in said


def test_what_the_system_refuses_before_anything_is_started_is_bad_input(bench, monkeypatch):
    def prepare_run(*_, **__):
        raise OSError(13, "Permission denied", "small.yaml")

    monkeypatch.setattr(run_module, "prepare_run", prepare_run)
    with pytest.raises(ExperimentError, match="small.yaml"):
        run(bench)
