"""What the budget of a search buys: no load is begun that it has no room to decide, while an end is only looked at."""

from __future__ import annotations

from benchbook.judge.found import Found
from benchbook.records.header import Find
from benchbook.records.record import Identity, Outcome, Record, Verdict
from benchbook.terms.asked import Asked

LOADS = (2.0, 4.0, 8.0, 10.0, 12.0, 16.0, 32.0)
TPOT_MS = {2: 5.1, 4: 6.8, 8: 9.7, 10: 14.1, 12: 14.5, 16: 14.9}  # of a search that was measured on a GPU
REPEAT_S = 80.0


def repeat(load, number=0, tpot_ms=None):
    value = (tpot_ms or TPOT_MS[load]) * (1 + 0.001 * number)
    return Record(
        benchmark="serve",
        workload={},
        asked=Asked(),
        outcome=Outcome.MEASURED,
        verdict=Verdict.VALID,
        identity=Identity(launch="default", case_id=f"{load:g}", fingerprint="f", repeat=number),
        values={"median_tpot_ms": value},
        started_utc="",
        ended_utc="",
        started_monotonic_s=0.0,
        ended_monotonic_s=REPEAT_S,
    )


def found(budget_s, *records):
    limits = {"median_tpot_ms": 12.0}
    facts = Find(launch="default", curve="", by="max_concurrency", loads=LOADS, cases=[f"{load:g}" for load in LOADS],
                 limits=limits, at_most=4, budget_s=budget_s)  # fmt: skip
    return Found.of(facts, records)


UP = [repeat(2), repeat(4), repeat(8), repeat(16), repeat(16, 1)]  # 16 fails, 8 looks to hold


def test_a_load_is_begun_where_its_repeats_and_those_of_the_lower_end_have_room():
    assert found(None, *UP).wanted() == found(8 * REPEAT_S, *UP).wanted() == LOADS.index(10)


def test_without_that_room_the_lower_end_is_decided_in_its_place_so_that_the_answer_has_two_ends():
    assert found(8 * REPEAT_S - 1, *UP).wanted() == LOADS.index(8)
    ended = found(8 * REPEAT_S - 1, *UP, repeat(8, 1))
    assert ended.wanted() is None and ended.is_cut
    assert (LOADS[ended.search.holds], LOADS[ended.search.fails]) == (8, 16)


def test_a_load_that_was_begun_is_decided_while_there_is_budget():
    begun = [*UP, repeat(10)]
    assert found(6.5 * REPEAT_S, *begun).wanted() == LOADS.index(10)
    assert found(6 * REPEAT_S, *begun).wanted() is None


def test_on_the_way_up_the_highest_load_that_looks_to_hold_is_decided_before_the_budget_ends():
    assert found(4 * REPEAT_S, *UP[:3]).wanted() == LOADS.index(8)
    ended = found(4 * REPEAT_S, *UP[:3], repeat(8, 1))
    assert ended.wanted() is None and ended.search.fails is None and LOADS[ended.search.holds] == 8


def test_a_search_that_has_ended_by_itself_is_not_said_to_be_cut():
    whole = [*UP, repeat(10), repeat(10, 1), repeat(8, 1), repeat(32, 0, 30.0), repeat(32, 1, 30.0)]
    assert found(100 * REPEAT_S, *whole).wanted() is None and not found(100 * REPEAT_S, *whole).is_cut
