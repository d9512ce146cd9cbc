"""The committed runs: their reports are those of today's template, carry what was found out since, and open alone."""

import html
import itertools
import json
import re
from pathlib import Path

import pytest
from benchbook.cli import app
from benchbook.judge.compare import Finding, compare
from benchbook.report.run import load_run
from typer.testing import CliRunner

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


def test_there_are_fifteen_of_them_and_four_are_withdrawn():
    assert (len(RUNS), len(WITHDRAWN)) == (15, 4)


@pytest.mark.parametrize("number", [2, 4])
def test_over_several_cards_each_is_watched_and_their_joules_are_the_launchs(number):
    run = load_run(RUNS[0].with_name(f"tp{number}"))
    for record in run.records:
        seen = record.host.telemetry
        assert len(seen.gpus) == number and {card.energy_source for card in seen.gpus} == {"the card's energy counter"}
        assert seen.energy_j == pytest.approx(sum(card.energy_j for card in seen.gpus))
        assert {process.gpu for process in seen.gpu_processes} == {card.index for card in seen.gpus}
        assert {process.kind for process in seen.gpu_processes} == {"ours"}
    shares = run.table[[column for column in run.table if column.endswith("share_of_limit")]].stack()
    assert len(shares.dropna()) == 3 * 3 and shares.dropna().between(0, 1).all()


def against_itself(records):
    """Yield comparisons of a launch with itself: of its two repeats on each of four cards one in each arm, a round on two cards."""
    repeats = [sorted({r.identity.repeat for r in records if r.host.place.number == card}) for card in range(4)]
    for *which, shift in itertools.product((0, 1), (0, 1), (0, 1), (1, 2, 3)):
        arms = []
        for name, flip in (("a", 0), ("b", 1)):
            rounds = {repeats[card][one ^ flip]: (card - shift * flip) % 4 for card, one in enumerate((0, *which))}
            arms.append([
                record.model_copy(update={
                    "identity": record.identity.model_copy(update={"launch": name, "repeat": rounds[number]})
                })
                for record in records
                if (number := record.identity.repeat) in rounds
            ])  # fmt: skip
        yield compare(*arms, ("a", "b"))


def test_a_launch_that_went_round_over_four_cards_is_hardly_ever_called_different_from_itself():
    run = load_run(RUNS[0].with_name("tuned"))
    found = [
        any(row.finding in (Finding.BETTER, Finding.WORSE) for row in comparison.rows)
        for launch in ("default", "humming_fp8", "sync_scheduling")
        for comparison in against_itself(list(run.by_launch[launch]))
    ]
    assert len(found) == 72 and sum(found) <= 0.05 * len(found)


def test_two_runs_on_other_numbers_of_cards_say_what_a_card_gives():
    told = CliRunner().invoke(app, ["compare", "reference/tp2", "reference/tp4", "--results", str(RUNS[0].parents[1])])
    assert "2 × NVIDIA H200" in told.stdout and "4 × NVIDIA H200" in told.stdout
    assert "on 4 GPUs in place of 2: 39.0 % less for each GPU" in " ".join(told.stdout.split())


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
