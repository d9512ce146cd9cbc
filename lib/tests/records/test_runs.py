"""A run has one name, which is printed and works everywhere, and is found by what people say for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from benchbook.records.files import write_json
from benchbook.records.named_runs import find_run
from benchbook.records.runs import run_files, run_name
from benchbook.records.store import Store
from benchbook.terms.errors import ExperimentError, StoreError
from damages import HEADERS


def put(results: Path, folder: str, experiment: str, run_id: str) -> Path:
    run_dir = results / folder
    run_dir.mkdir(parents=True)
    write_json(run_dir / "run.json", {"experiment": experiment, "run_id": run_id, "state": "finished", "plan": []})
    return run_dir


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder with runs in folders of their own name, as copied, and of one id twice."""
    results = tmp_path / "results"
    put(results, "quickstart/20261125-061225", "quickstart", "20261125-061225")
    put(results, "quickstart/20261126-101010", "quickstart", "20261126-101010")
    put(results, "reference/tuned", "tuned", "20261125-190732")
    put(results, "reference/short", "ablations", "20261125-190732")
    put(results, "reference/humming", "combined", "20261124-123952")
    (results / "quickstart" / "latest").symlink_to("20261126-101010")
    return results


def test_the_printed_name_of_every_run_finds_it(results):
    for path in run_files(results):
        assert find_run(run_name(path.parent, results), results) == path.parent


@pytest.mark.parametrize(
    ("said", "folder"),
    [
        ("quickstart", "quickstart/20261126-101010"),
        ("quickstart/latest", "quickstart/20261126-101010"),
        ("quickstart/20261125-061225", "quickstart/20261125-061225"),
        ("20261125-061225", "quickstart/20261125-061225"),
        ("20261126", "quickstart/20261126-101010"),
        ("quickstart/20261125", "quickstart/20261125-061225"),
        ("tuned", "reference/tuned"),
        ("tuned/20261125-190732", "reference/tuned"),
        ("reference/humming", "reference/humming"),
        ("combined", "reference/humming"),
        ("combined/20261124-123952", "reference/humming"),
        ("20261124-123952", "reference/humming"),
        ("reference/hum", "reference/humming"),
    ],
)
def test_a_run_is_found_by_what_people_say_for_it(results, said, folder):
    assert find_run(said, results) == results / folder


def test_a_folder_is_a_run_wherever_it_lies(results, monkeypatch):
    assert find_run(results / "reference" / "tuned", Path("elsewhere")) == results / "reference" / "tuned"
    monkeypatch.chdir(results / "reference")
    assert find_run("./tuned", Path("elsewhere")) == results / "reference" / "tuned"


def test_an_experiment_whose_link_was_lost_has_a_newest_run_all_the_same(results):
    (results / "quickstart" / "latest").unlink()
    assert find_run("quickstart", results).name == "20261126-101010"


def test_what_may_be_several_runs_is_answered_with_all_of_them(results):
    with pytest.raises(ExperimentError, match="may be 'reference/short' or 'reference/tuned': say which"):
        find_run("20261125-190732", results)
    with pytest.raises(ExperimentError, match="say which"):
        find_run("2026", results)


@pytest.mark.parametrize(("said", "meant"), [("tunde", "reference/tuned"), ("qickstart", "quickstart/20261126-101010")])
def test_an_unknown_run_is_answered_with_what_looks_like_it_and_the_folder_looked_in(results, said, meant):
    with pytest.raises(ExperimentError) as caught:
        find_run(said, results)
    assert f"under {results}" in str(caught.value) and "did you mean" in str(caught.value)
    assert meant.partition("/")[0] in str(caught.value)


def test_nothing_like_it_is_answered_with_the_newest(results):
    with pytest.raises(ExperimentError, match="the newest are .*quickstart/20261126-101010"):
        find_run("zzz", results)


def test_from_another_folder_it_is_said_where_was_looked_and_where_runs_are(results, monkeypatch):
    (elsewhere := results.parent / "notebooks").mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(ExperimentError) as caught:
        find_run("quickstart", Path("results"))
    assert f"no runs under {elsewhere}/results" in str(caught.value) and f"--results {results}" in str(caught.value)


def test_a_run_whose_header_is_cut_is_still_found_by_its_folder(results):
    (results / "reference" / "tuned" / "run.json").write_text("{")
    assert find_run("reference/tuned", results).name == "tuned" and find_run("combined", results).name == "humming"


def test_deleting_the_newest_run_leaves_latest_at_the_one_before(results):
    Store(results / "quickstart" / "20261126-101010").delete()
    assert os.readlink(results / "quickstart" / "latest") == "20261125-061225"
    assert find_run("quickstart", results).name == "20261125-061225"


def test_deleting_an_older_run_leaves_latest_alone_and_the_last_one_takes_the_folder_along(results):
    Store(results / "quickstart" / "20261125-061225").delete()
    assert os.readlink(results / "quickstart" / "latest") == "20261126-101010"
    Store(results / "quickstart" / "20261126-101010").delete()
    assert not (results / "quickstart").exists()


def test_a_run_that_is_being_written_is_not_deleted(results):
    store = Store(results / "reference" / "tuned")
    with store.locked(), pytest.raises(StoreError, match="another benchbook"):
        Store(store.run_dir).delete()
    assert (store.run_dir / "run.json").is_file()


@pytest.mark.parametrize("damage", [*HEADERS])
def test_a_damaged_run_is_deleted_by_its_folders_name(results, damage):
    run = results / "reference" / "tuned"
    write_json(run / "run.json", {"plan": [], "state": "finished", "launches": {}, "experiment": "tuned"})
    (run / "cases" / "a").mkdir(parents=True)
    HEADERS[damage](run / "run.json")
    Store(find_run("reference/tuned", results)).delete()
    assert not run.exists() and find_run("reference/short", results).is_dir()
