"""The committed runs: their reports are those of today's template, carry what was found out since, and open alone."""

import html
import json
import re
from pathlib import Path

import pytest

RUNS = sorted(path.parent for path in (Path(__file__).parents[3] / "results" / "reference").glob("*/run.json"))


WITHDRAWN = [
    run_dir
    for run_dir in RUNS
    if run_dir.name in ("tuning_dummy", "tuning_humming_dummy", "tuned_dummy", "ablations_dummy")
]


@pytest.fixture(params=RUNS, ids=lambda path: path.name)
def run_dir(request):
    return request.param


@pytest.fixture
def report(run_dir):
    return (run_dir / "report.html").read_text()


def test_there_are_twelve_of_them_and_four_are_withdrawn():
    assert (len(RUNS), len(WITHDRAWN)) == (12, 4)


def test_none_of_its_links_can_be_dead(report):
    links = re.findall(r'href="([^"]*)"', report)
    ids = set(re.findall(r' id="([^"]*)"', report))
    inside = {link.removeprefix("#") for link in links if link.startswith("#")}
    assert inside and inside <= ids
    assert all(link.startswith(("#", "data:")) for link in links)


@pytest.mark.parametrize("run_dir", WITHDRAWN, ids=lambda path: path.name)
def test_a_model_whose_experts_were_degenerate_is_remarked_upon_at_the_top(run_dir):
    report = (run_dir / "report.html").read_text()
    launches = json.loads((run_dir / "run.json").read_text())["launches"].values()
    assert all("dummy" in launch["args"].values() for launch in launches)
    remark = " ".join((run_dir / "remark.txt").read_text().split())
    assert "Withdrawn until measured anew" in remark
    assert html.escape(remark) in report[report.index('class="answer') : report.index("<h2 ")]


def test_it_is_not_said_to_be_going_on(report):
    assert "still going on" not in report


def test_the_experiment_file_is_inside(run_dir, report):
    assert html.escape((run_dir / "experiment.yaml").read_text()) in report


def test_no_path_of_the_machine_that_built_it_is_inside(run_dir, report):
    assert str(run_dir.parents[2]) not in report
