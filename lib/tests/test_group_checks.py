"""What repeats and launches say against each other: each fault is found, its twin without the fault is not accused."""

import random

import pytest
from benchbook.judge.group import judged_together
from benchbook.judge.repeats import mann_kendall_p
from benchbook.records.record import Identity, Outcome, Record, Verdict

ARGV = ["vllm", "serve", "m", "--port", "8001", "--served-model-name", "m", "nonce-1", "--max-model-len", "4096"]


def record(
    repeat=0,
    *,
    launch="a",
    value=1000.0,
    verdict=Verdict.VALID,
    kv=65_536,
    ready="10:00",
    argv=ARGV,
    version="0.32.0",
    benchmark="serve",
    in_flight=8,
    **values,
):
    """Return one repeat of a case; times follow the number of the repeat."""
    return Record(
        identity=Identity(launch=launch, case_id=f"{launch},{benchmark}", fingerprint="f", repeat=repeat),
        benchmark=benchmark,
        workload={"input_len_tokens": 128, "output_len_tokens": 64, "max_concurrency": in_flight, "num_prompts": 800},
        outcome=Outcome.MEASURED,
        values={"output_throughput_tok_s": value, **values},
        verdict=verdict,
        started_utc=f"2026-11-23T20:{repeat:02d}:00+00:00",
        ended_utc="",
        started_monotonic_s=float(repeat),
        ended_monotonic_s=float(repeat) + 1,
        host={
            "kind": "server",
            "model": "m",
            "version": version,
            "argv": argv,
            "ready_utc": ready,
            "facts": {"kv_cache_tokens": kv},
        },
    )


def series(*values):
    return [record(number, value=value) for number, value in enumerate(values)]


def codes(records):
    return [{reason.code for reason in judged.reasons} for judged in judged_together(records)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1582.0, 878.0), True),  # seen on a shared machine
        ((304.0, 344.0), False),
        ((184.0, 127.0), False),  # seen on two busy cores: a wide spread, shown beside the mean
        ((1000.0,), False),
    ],
)
def test_repeats_that_disagree_are_all_suspect(values, expected):
    assert [("repeats_disagree" in found) for found in codes(series(*values))] == [expected] * len(values)


def test_repeats_whose_pace_has_two_states_say_so_and_stay_valid():
    fast_and_slow = [record(number, median_itl_ms=itl) for number, itl in enumerate((4.874, 4.873, 4.576, 4.565))]
    judged = judged_together(fast_and_slow)
    assert all(one.verdict is Verdict.VALID for one in judged)
    assert all("4.58, 4.57 and 4.87, 4.87 ms" in one.reasons[0].evidence for one in judged)
    alike = [record(number, median_itl_ms=itl) for number, itl in enumerate((5.617, 5.62, 5.623, 5.618))]
    assert codes(alike) == [set()] * 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1000, 960, 930, 890, 850), True),
        ((1000, 960, 1010, 890, 940), False),  # noise
        ((1000, 995, 990, 985, 980), False),  # a drift of 2 %
        ((1000, 950, 900, 850), False),  # four can fall by chance
    ],
)
def test_a_drift_over_the_rounds_is_found(values, expected):
    assert all(("repeats_trend" in found) is expected for found in codes(series(*values)))


def test_an_outlier_is_named_and_its_siblings_are_not():
    found = codes(series(1000, 1005, 995, 700, 1002))
    assert [("repeat_outlier" in one) for one in found] == [False, False, False, True, False]
    assert not any("repeat_outlier" in one for one in codes(series(1000, 1005, 995, 950, 1002)))


def test_three_repeats_name_no_outlier():
    assert not any("repeat_outlier" in one for one in codes(series(1000, 1005, 700)))


def test_a_case_measured_on_two_starts_says_so_without_doubt():
    together = judged_together([record(0, ready="10:00"), record(1, ready="11:00")])
    assert [reason.code for reason in together[0].reasons] == ["host_restarted"]
    assert together[0].verdict is Verdict.VALID
    times = "2026-11-26T15:46:34.123456+00:00", "2026-11-26T16:00:01.5+00:00"
    (found, _) = judged_together([record(number, ready=time) for number, time in enumerate(times)])
    assert found.reasons[0].evidence == "2 starts, ready at 2026-11-26 15:46:34 and 2026-11-26 16:00:01"
    assert codes([record(0), record(1)]) == [set(), set()]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"version": "0.33.0"}, True),
        ({"argv": [*ARGV, "--enforce-eager"]}, True),
        ({"kv": 50_000}, True),
        ({"kv": 65_000}, False),  # free memory varies a little
        ({"argv": [word.replace("8001", "9000").replace("nonce-1", "nonce-2") for word in ARGV]}, False),
        ({}, False),
    ],
)
def test_a_host_that_is_another_one_is_found(other, expected):
    assert ("host_differs" in codes([record(0), record(1, **other)])[0]) is expected


@pytest.mark.parametrize(
    ("kv", "in_flight", "argv", "expected"),
    [
        (40_000, 256, ARGV, True),  # somebody held memory at the start
        (40_000, None, ARGV, True),  # an open loop may have any number in flight
        (40_000, 8, ARGV, False),  # 1536 tokens fit into any
        (60_000, 256, ARGV, False),
        (40_000, 256, [*ARGV, "--gpu-memory-utilization", "0.5"], False),  # it was asked for
    ],
)
def test_arms_of_unequal_kv_capacity_are_found(kv, in_flight, argv, expected):
    found = codes([record(launch="a", in_flight=in_flight), record(launch="b", kv=kv, argv=argv, in_flight=in_flight)])
    assert [("kv_capacity_differs" in one) for one in found] == [expected] * 2


def test_an_invalid_record_is_no_evidence_against_its_siblings():
    found = codes([record(0, value=1000.0), record(1, value=100.0, verdict=Verdict.INVALID)])
    assert found == [set(), set()]


def test_judging_twice_says_nothing_twice():
    once = judged_together(series(1582.0, 878.0))
    assert judged_together(once) == once


def test_the_trend_test_is_exact():
    from scipy.stats import kendalltau

    draw = random.Random(0)
    for count in (5, 7, 10):
        values = [draw.random() for _ in range(count)]
        assert mann_kendall_p(values) == pytest.approx(kendalltau(range(count), values, method="exact").pvalue)
    assert mann_kendall_p([1, 2, 3, 4, 5]) == pytest.approx(2 / 120)
