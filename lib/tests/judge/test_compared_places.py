"""Launches at several places: turns over them cancel what places differ by, and where they do not, a comparison says so."""

from __future__ import annotations

import pytest
from benchbook.judge.claims import headlines
from benchbook.judge.compare import Finding, compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.judge.pairs import rotated
from benchbook.judge.stats import paired_ratio
from benchbook.report.differences import table_rows
from benchbook.report.places import place_rows
from benchbook.report.run import load_run
from parts import having
from report_runs import make_run

LAUNCHES = ("eager", "compiled")
EQUAL = ("eager", "other")  # have the same values but for chance
COST = {"beside": 1, "metric": "output_throughput_tok_s", "pairs": 4, "cost": 0.003, "low": -0.002, "high": 0.008}
IN_TURN = "in turn"
PLACES = {  # of launch i in round r
    IN_TURN: lambda launch, turn: (launch + turn) % 2,
    "each at its own": lambda launch, turn: launch,
    "all rounds but one alike": lambda launch, turn: launch if turn else 1 - launch,
    "rounds are no multiple": lambda launch, turn: (launch + turn) % 3,
}


def run_at(folder, place_of, launches=LAUNCHES, repeats=4, slow=1.0, **facts):
    """Return a run of two launches whose round `r` was at the place that `place_of(launch, r)` says; place 1 may be slower."""

    def change(record):
        number = place_of(launches.index(record.identity.launch), record.identity.repeat)
        place = {"number": number, "at_once": 2, "cores": str(number), **facts}
        key = "output_throughput_tok_s"
        values = {**record.values, key: record.values[key] / (slow if number == 1 else 1.0)}
        return record.model_copy(update={"host": having(record.host, place=place), "values": values})

    return load_run(
        make_run(folder, launches=launches, benchmarks=("serve",), concurrencies=(8,), repeats=repeats, change=change)
    )


def with_node(record, node):
    return record.model_copy(update={"host": having(record.host, place=having(record.host.place, node=node))})


def compared(run, launches=LAUNCHES, **how):
    return compare(*(run.by_launch[launch] for launch in launches), launches, **how)


def said_of(comparison):
    return "".join(sentence for sentence in caveats(comparison) if "place" in sentence)


@pytest.mark.parametrize(
    ("name", "pairs", "said"),
    [
        (IN_TURN, 4, ""),
        ("each at its own", 0, "eager at place 0 4 times, compiled at place 1 4 times"),
        ("each at its own", 0, "and none of the 4 rounds is a pair, and nothing is claimed"),
        ("all rounds but one alike", 2, "and only the 2 of 4 rounds over which they were are compared"),
        ("rounds are no multiple", 3, "place 0 2 times, place 1 1 time, place 2 1 time"),
    ],
)
def test_only_rounds_that_took_launches_to_the_same_places_are_pairs_and_what_that_costs_is_said(
    tmp_path, name, pairs, said
):
    comparison = compared(run_at(tmp_path, PLACES[name]))
    assert {row.num_base for row in comparison.rows} == {row.num_other for row in comparison.rows} == {pairs}
    assert all(len(row.pairs) == pairs and row.base > 0 for row in comparison.rows), "values are shown in any case"
    found = said_of(comparison)
    assert bool(found) == bool(said) and said in found


@pytest.mark.parametrize("name", ["each at its own", "all rounds but one alike"])
def test_a_slow_place_is_not_taken_for_a_slow_launch(tmp_path, name):
    run = run_at(tmp_path, PLACES[name], EQUAL, repeats=10, slow=1.2)
    comparison = compared(run, EQUAL)
    assert not comparison.claims and said_of(comparison)
    ours, theirs = ([record.values["output_throughput_tok_s"] for record in run.by_launch[name]] for name in EQUAL)
    assert paired_ratio(ours, theirs).interval()[1] < 1, "by all rounds it would have been claimed"


def test_a_faster_launch_is_found_in_turns_over_a_slow_place(tmp_path):
    comparison = compared(run_at(tmp_path, PLACES[IN_TURN], repeats=10, slow=1.2))
    assert {row.finding for row in comparison.rows if row.is_headline} == {Finding.BETTER} and not said_of(comparison)


def test_rounds_without_pairs_are_told_in_every_sentence_and_table(tmp_path):
    comparison = compared(run_at(tmp_path, PLACES["each at its own"]))
    assert all("no interval and no claim, since no repeats are pairs" in line for line in headlines(comparison))
    assert {row.finding for row in comparison.rows} == {Finding.UNKNOWN} and table_rows(comparison)
    assert not any("With one repeat" in sentence for sentence in caveats(comparison)), "they were four"


def test_nodes_of_which_each_round_had_one_are_no_matter_and_others_are_told_with_what_makes_it_even(tmp_path):
    assert not said_of(compared(run_at(tmp_path / "one", lambda launch, turn: 0, node="n1")))
    apart = run_at(tmp_path / "apart", lambda launch, turn: 0, node="x").by_launch
    nodes = {"eager": "n1 n1 n2 n2", "compiled": "n2 n3 n1 n1"}
    arms = [[with_node(one, nodes[name].split()[one.identity.repeat]) for one in apart[name]] for name in LAUNCHES]
    comparison = compare(*arms, LAUNCHES)
    found = said_of(comparison)
    assert (
        "eager at node n1 2 times, node n2 2 times, compiled at node n1 2 times, node n2 1 time, node n3 1 time"
        in found
    )
    assert "only the 2 of 4 rounds" in found and "job: round" in found
    assert {row.num_base for row in comparison.rows} == {2}


def test_launches_of_two_runs_at_different_places_say_so_and_are_no_pairs_anyhow(tmp_path):
    comparison = compared(run_at(tmp_path, PLACES["each at its own"]), is_paired=False)
    assert said_of(comparison).endswith("what places differ by is a part of the difference.")


def test_a_part_of_the_machine_and_the_whole_of_it_are_two_places(tmp_path):
    run = run_at(tmp_path, lambda launch, turn: 0)
    whole = [record.model_copy(update={"host": having(record.host, place=None)}) for record in run.by_launch["eager"]]
    comparison = compare(whole, run.by_launch["compiled"], LAUNCHES)
    assert "eager at the whole machine 4 times" in said_of(comparison) and not comparison.claims


def test_rounds_are_rotated_in_the_largest_circles_that_there_are_whatever_was_lost():
    class Matched:
        def __init__(self, *steps):
            self.steps = steps

        def places_of(self, repeat):
            return self.steps[repeat]

    round_of_four = Matched(*((str(turn % 4), str((turn + 1) % 4)) for turn in range(8)))
    assert rotated([round_of_four], range(8)) == [*range(8)]
    assert rotated([round_of_four], [0, 1, 3, 4, 5, 6, 7]) == [0, 1, 3, 6], (
        "round 2 is lost, and one like it takes its place"
    )
    assert rotated([round_of_four], [0, 1, 2]) == [] == rotated([round_of_four], [])
    mixed = Matched(("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("c", "c"))
    assert rotated([mixed], range(5)) == [0, 1, 2, 4], "three rounds, and not the two that are a circle too"
    other = Matched(("a", "b"), ("b", "a"), ("a", "b"), ("b", "a"), ("c", "c"))
    assert rotated([mixed, other], range(5)) == [0, 3, 4], "all cases together"


def test_rounds_at_several_places_at_once_are_held_in_turn(tmp_path):
    case = compared(run_at(tmp_path, PLACES[IN_TURN])).cases[0]
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
