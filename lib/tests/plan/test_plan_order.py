"""The order of work and its seeds."""

from __future__ import annotations

import itertools

from benchbook.plan.case import Case
from benchbook.plan.order import added_round, repeat_seed, rounds
from benchbook.plan.workloads import FirstRequestWorkload, LatencyWorkload, ServeWorkload, ThroughputWorkload

LENGTHS = {"input_len_tokens": 128, "output_len_tokens": 64}
WORKLOADS = [
    *(LatencyWorkload(**LENGTHS, batch_size=size) for size in (1, 8)),
    *(ServeWorkload(**LENGTHS, max_concurrency=cap, num_prompts=80) for cap in (1, 2, 4, 8, 16)),
    FirstRequestWorkload(),
    ThroughputWorkload(**LENGTHS, num_prompts=200),
]
CASES = [Case(launch, workload) for launch in ("a", "b") for workload in WORKLOADS]


def blocks_of(cases, repeats, seed=0):
    return [(block.launch, block.host_kind, len(block.repeats)) for block in rounds(cases, repeats, seed)]


def test_a_single_launch_is_one_server_and_then_one_engine():
    assert blocks_of(CASES[:9], 2) == [("a", "server", 12), ("a", "engine", 6)]
    for block in rounds(CASES[:9], 2, 0):
        assert all(repeat.host_kind == block.host_kind == repeat.case.workload.host_kind for repeat in block.repeats)


def test_several_launches_take_turns_and_turn_round_from_round_to_round():
    assert blocks_of(CASES, 4) == [
        *[(launch, "server", 6) for launch in "abbaabba"],
        *[(launch, "engine", 3) for launch in "abbaabba"],
    ]
    three = [Case(launch, FirstRequestWorkload()) for launch in "abc"]
    assert "".join(block.launch for block in rounds(three, 3, 0)) == "abccbaabc"


def test_a_single_launch_is_started_anew_in_each_round_where_that_is_asked_for():
    blocks = rounds(CASES[:9], 3, 0, fresh_starts=True)
    assert [(block.host_kind, len(block.repeats)) for block in blocks] == [("server", 6)] * 3 + [("engine", 3)] * 3
    plain = [repeat for block in rounds(CASES[:9], 3, 0) for repeat in block.repeats]
    assert {(repeat.case, repeat.number, repeat.seed) for block in blocks for repeat in block.repeats} == {
        (repeat.case, repeat.number, repeat.seed) for repeat in plain
    }


def test_every_round_of_a_comparison_is_a_start_of_its_own():
    for block in rounds(CASES, 5, 0):
        assert len({repeat.number for repeat in block.repeats}) == 1


def test_launches_that_are_compared_get_the_same_requests_in_the_same_order():
    by_launch = {launch: [] for launch in "ab"}
    for block in rounds(CASES, 3, 0):
        by_launch[block.launch] += [(repeat.number, repeat.case.workload, repeat.seed) for repeat in block.repeats]
    assert sorted(map(str, by_launch["a"])) == sorted(map(str, by_launch["b"]))
    first = {block.launch: block.repeats for block in rounds(CASES, 1, 0) if block.host_kind == "server"}
    assert [repeat.case.workload for repeat in first["a"]] == [repeat.case.workload for repeat in first["b"]]


def test_a_host_that_no_case_needs_is_not_started():
    assert [block.host_kind for block in rounds([CASES[0]], 1, 0)] == ["engine"]
    assert rounds([], 3, 0) == ()


def test_every_case_is_measured_once_a_round():
    server = rounds(CASES[:9], 3, 0)[0]
    assert [repeat.number for repeat in server.repeats] == [0] * 6 + [1] * 6 + [2] * 6
    for start in (0, 6, 12):
        assert len({repeat.case for repeat in server.repeats[start : start + 6]}) == 6


def test_rounds_differ_in_order_and_the_first_request_leads_each():
    server = rounds(CASES[:9], 3, 0)[0]
    orders = [[repeat.case.case_id for repeat in server.repeats if repeat.number == number] for number in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(order[0] == "a,first_request" for order in orders)


def test_no_case_is_measured_twice_in_a_row():
    for seed in range(50):
        for block in rounds(CASES[:9], 5, seed):
            assert all(left.case != right.case for left, right in itertools.pairwise(block.repeats))


def test_the_same_seed_gives_the_same_order_and_another_seed_another():
    assert rounds(CASES, 3, 7) == rounds(list(CASES), 3, 7)
    assert rounds(CASES, 3, 7) != rounds(CASES, 3, 8)


def test_every_repeat_of_a_launch_has_a_seed_of_its_own_that_vllm_can_take():
    seeds = [repeat.seed for block in rounds(CASES, 20, 0) if block.launch == "a" for repeat in block.repeats]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 - 1 for seed in seeds)


def test_a_seed_stays_when_cases_are_added():
    before = {
        (repeat.case, repeat.number): repeat.seed for block in rounds(CASES[:3], 2, 5) for repeat in block.repeats
    }
    after = {(repeat.case, repeat.number): repeat.seed for block in rounds(CASES, 3, 5) for repeat in block.repeats}
    assert before.items() <= after.items()
    assert before[CASES[0], 1] == repeat_seed(5, CASES[0].workload.axes_text(), 1)


def test_another_order_seed_gives_another_order_of_the_same_repeats():
    first, second = rounds(CASES, 3, 7, order_seed=1), rounds(CASES, 3, 7, order_seed=2)
    assert first != second and rounds(CASES, 3, 7) == rounds(CASES, 3, 7, order_seed=7)
    for one, other in zip(first, second, strict=True):
        assert set(one.repeats) == set(other.repeats)


def test_an_added_round_has_every_case_once_and_alternates_the_turn_of_the_launches():
    online = [case for case in CASES if case.workload.host_kind == "server"]
    even, odd = added_round(online, 4, 0, 0), added_round(online, 5, 0, 0)
    assert [block.launch for block in even] == ["a", "b"] and [block.launch for block in odd] == ["b", "a"]
    assert all(len(block.repeats) == 6 and {repeat.number for repeat in block.repeats} == {4} for block in even)


def test_an_added_round_has_the_seeds_that_a_planned_one_would_have_had():
    (planned,) = rounds(CASES[2:7], 4, 0)
    (added,) = added_round(CASES[2:7], 3, 0, 0)
    assert set(added.repeats) <= set(planned.repeats)


def test_an_added_round_does_not_begin_with_the_case_measured_last():
    first = added_round(CASES[2:4], 3, 0, 0)[0].repeats[0].case
    assert added_round(CASES[2:4], 3, 0, 0, after=first)[0].repeats[0].case != first
