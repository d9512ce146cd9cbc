"""Launches at several places: turns over them cancel what places differ by, and where they do not, a comparison says so."""

from __future__ import annotations

import pytest
from benchbook.judge.compare import compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.report.places import place_rows
from benchbook.report.run import load_run
from parts import having
from report_runs import make_run

LAUNCHES = ("eager", "compiled")
COST = {"beside": 1, "metric": "output_throughput_tok_s", "pairs": 4, "cost": 0.003, "low": -0.002, "high": 0.008}


def run_at(folder, place_of, **facts):
    """Return a run of two launches whose round `r` was at the place that `place_of(launch, r)` says."""

    def change(record):
        number = place_of(LAUNCHES.index(record.identity.launch), record.identity.repeat)
        place = {"number": number, "at_once": 2, "cores": str(number), **facts}
        return record.model_copy(update={"host": having(record.host, place=place)})

    return load_run(
        make_run(folder, launches=LAUNCHES, benchmarks=("serve",), concurrencies=(8,), repeats=4, change=change)
    )


def said_of(run):
    comparison = compare(run.by_launch["eager"], run.by_launch["compiled"], LAUNCHES)
    return [sentence for sentence in caveats(comparison) if "place" in sentence]


@pytest.mark.parametrize(
    ("place_of", "said"),
    [
        (lambda launch, turn: (launch + turn) % 2, ""),
        (lambda launch, turn: launch, "eager at place 0 4 times, compiled at place 1 4 times"),
        (lambda launch, turn: (launch + turn) % 3, "place 0 2 times, place 1 1 time, place 2 1 time"),
    ],
    ids=["in turn", "each at its own", "rounds are no multiple"],
)
def test_launches_that_were_not_at_each_place_equally_often_are_told_apart_from_their_places(tmp_path, place_of, said):
    found = said_of(run_at(tmp_path, place_of))
    assert len(found) == bool(said) and said in "".join(found)


def test_rounds_at_several_places_at_once_are_held_in_turn(tmp_path):
    run = run_at(tmp_path, lambda launch, turn: (launch + turn) % 2)
    case = compare(run.by_launch["eager"], run.by_launch["compiled"], LAUNCHES).cases[0]
    assert case.is_interleaved and case.places[0] == case.places[1] == {"place 0": 2, "place 1": 2}


def test_a_report_names_places_and_what_neighbours_cost(tmp_path):
    run = run_at(tmp_path, lambda launch, turn: turn % 2, neighbours=COST)
    hosts = tuple(record.host for record in run.records)
    header = run.header.model_copy(
        update={"launches": {"eager": next(iter(run.header.launches.values())).model_copy(update={"hosts": hosts})}}
    )
    ((heading, text),) = place_rows(header)
    assert heading == "Places" and text == (
        "place 0: processors 0; place 1: processors 1. "
        "2 blocks at once, neighbours cost 0.3 % [-0.2, 0.8] of output_throughput_tok_s."
    )
    assert place_rows(run.header) == [], "a run with the whole machine has none"
    linked = having(hosts[0], place=None, links={"0-1": "NV18"})
    launch = header.launches["eager"].model_copy(update={"hosts": (linked,)})
    rows = place_rows(header.model_copy(update={"launches": {"eager": launch}}))
    assert rows == [("GPUs of launch eager", "1 pair, linked by NV18")]
