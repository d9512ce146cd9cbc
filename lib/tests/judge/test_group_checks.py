"""What repeats and launches say against each other: each fault is found, its twin without the fault is not accused."""

import random

import pytest
from benchbook.judge.group import judged_together
from benchbook.judge.repeats import mann_kendall_p
from benchbook.records.conditions import Conditions
from benchbook.records.described import described
from benchbook.records.host import HostFacts
from benchbook.records.record import Identity, Outcome, Record, SentSet, Verdict
from scipy.stats import kendalltau

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
    workload = {"input_len_tokens": 128, "output_len_tokens": 64, "max_concurrency": in_flight, "num_prompts": 800}
    return Record(
        identity=Identity(run_id="r", launch=launch, case_id=f"{launch},{benchmark}", fingerprint="f", repeat=repeat),
        benchmark=benchmark,
        workload=workload,
        **described(benchmark, workload)._asdict(),
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
        ((184.0, 127.0), True),
        ((100.0, 150.0), True),
        ((100.0, 150.0, 170.0), True),
        ((100.0, 90.0, 80.0, 70.0), True),
        ((304.0, 344.0), False),
        ((100.0, 104.0, 93.0), False),
        ((1000.0,), False),
    ],
)
def test_repeats_that_disagree_are_all_suspect(values, expected):
    assert [("repeats_disagree" in found) for found in codes(series(*values))] == [expected] * len(values)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(0)], [True]),
        ([record(0), record(1)], [False, False]),
        ([record(0), record(1, verdict=Verdict.INVALID)], [True, False]),  # what is INVALID tells nothing of a spread
        ([record(0), record(1, launch="b")], [True, True]),
        ([record(0, benchmark="latency", in_flight=None)], [True]),
    ],
)
def test_a_case_with_one_repeat_to_believe_says_that_its_spread_is_unknown_and_stays_as_it_is(records, expected):
    judged = judged_together(records)
    assert [("measured_once" in {reason.code for reason in each.reasons}) for each in judged] == expected
    assert [each.verdict for each in judged] == [each.verdict for each in records]


def test_repeats_whose_pace_has_two_states_say_so_and_stay_valid():
    fast_and_slow = [record(number, median_itl_ms=itl) for number, itl in enumerate((4.874, 4.873, 4.576, 4.565))]
    judged = judged_together(fast_and_slow)
    assert all(one.verdict is Verdict.VALID for one in judged)
    assert all("4.58, 4.57 and 4.87, 4.87 ms" in one.reasons[0].evidence for one in judged)
    alike = [record(number, median_itl_ms=itl) for number, itl in enumerate((5.617, 5.62, 5.623, 5.618))]
    assert codes(alike) == [set()] * 4


def of_cases(*cases):
    """Return the repeats of several cases, each a row of values."""
    return [
        record(repeat, launch=f"a{number}", value=value)
        for number, values in enumerate(cases)
        for repeat, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([(100.0, 101.0)] * 4, True),  # a quiet machine
        ([(100.0, 92.0), (50.0, 54.0), (200.0, 185.0)], False),  # 5 to 6 % are usual on this one
        ([(100.0, 60.0), (50.0, 80.0), (200.0, 120.0)], False),  # 16 % are below the most that is usual anywhere
        ([(100.0, 92.0), (50.0, 54.0)], True),  # two others tell nothing
    ],
)
def test_what_repeats_may_differ_by_is_what_is_usual_in_the_run_within_limits(others, expected):
    found = codes(of_cases((100.0, 125.0), *others))
    assert [("repeats_disagree" in one) for one in found[:2]] == [expected] * 2


@pytest.mark.parametrize("spread", [0.08, 0.12, 0.20])
@pytest.mark.parametrize("starts", [2, 4, 8])
def test_noise_of_starts_is_neither_an_outlier_nor_a_disagreement(spread, starts):
    draw, accused = random.Random(starts), 0
    for _ in range(100):
        values = [1000 * draw.lognormvariate(0, spread) for _ in range(starts)]
        records = [record(number, value=value, ready=f"{number:02d}:00") for number, value in enumerate(values)]
        accused += any({"repeats_disagree", "repeat_outlier"} & found for found in codes(records))
    assert accused <= 1


def test_within_starts_repeats_are_compared_with_those_of_the_same_start():
    def starts_of(*values):
        """Two starts of two repeats or more, one after another."""
        half = len(values) // 2
        return [record(number, value=value, ready=f"1{number // half}:00") for number, value in enumerate(values)]

    assert not any("repeats_disagree" in found for found in codes(starts_of(1000, 1010, 1300, 1290)))
    assert all("repeats_disagree" in found for found in codes(starts_of(1000, 1300, 1010, 1290)))
    far = codes(starts_of(1000, 1005, 995, 700, 1002, 1301, 1300, 1305, 1295, 1299))
    assert [("repeat_outlier" in found) for found in far] == [number == 3 for number in range(10)]
    assert all("repeats_disagree" in found for found in codes(starts_of(1000, 1000, 3000, 3000))), "a factor of 3"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1000, 990, 975, 965, 950, 935, 925, 910), True),  # 9 % over eight
        ((1000, 960, 930, 890, 850), True),
        ((1000, 960, 1010, 890, 940), False),  # noise
        ((1000, 990, 975, 935, 950, 965, 925, 960), False),
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


def on_a_way(launch, way_ms=None, ttft_ms=20.0, repeat=0):
    """Return a repeat on a server of somebody else, to which a round trip takes so long; None: on one of ours."""
    one = record(repeat, launch=launch, median_ttft_ms=ttft_ms)
    attached = None if way_ms is None else {"address": "http://h"}
    host = HostFacts.of(**{**one.host.model_dump(by_alias=True), "kind": "server", "attached": attached})
    conditions = Conditions.of(network={"before_ms": way_ms, "after_ms": way_ms and way_ms / 2})
    return one.model_copy(update={"host": host, "conditions": conditions})


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([on_a_way("b", 12.0)], True),  # against one of ours
        ([on_a_way("b", 0.4)], False),  # 2 % of the TTFT
        ([on_a_way("b", 1.1, ttft_ms=400.0)], True),  # it is the shorter TTFT that is told from
        ([on_a_way("b")], False),
        (
            [on_a_way("b", 12.0, repeat=1), on_a_way("b", 0.1), on_a_way("b", 0.1, repeat=2)],
            False,
        ),  # the median of rounds
    ],
)
def test_ways_that_differ_between_launches_are_found(others, expected):
    found = codes([on_a_way("a"), *others])
    assert {("network_differs" in one) for one in found} == {expected}


def test_two_servers_at_the_end_of_ways_alike_are_compared_without_a_word():
    assert not any("network_differs" in one for one in codes([on_a_way("a", 12.0), on_a_way("b", 12.5)]))


def of_set(launch, sha256="aa", tokens=4000, ends_by="any", disturbed=(), repeat=0, name="chat"):
    """Return a repeat that sent a set of requests, with what was sent and how much was answered."""
    one = record(repeat, launch=launch, total_output_tokens=tokens)
    sent = SentSet(name=name, sha256="ff", start=0, endpoint="chat", ends_by=ends_by, sampling={})
    asked = one.asked.model_copy(update={"ends_by": ends_by})
    identity = one.identity.model_copy(update={"disturbed": disturbed})
    load = {"requests": name, "num_prompts": 80}
    changes = {"requests": sent, "request_set_sha256": sha256, "asked": asked, "identity": identity, "workload": load}
    return one.model_copy(update=changes)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (of_set("b"), set()),
        (of_set("b", sha256="bb"), {"requests_differ"}),
        (of_set("b", sha256="bb", disturbed=("machine_busy",)), set()),  # sent others on purpose
        (of_set("b", sha256="bb", name="talks"), set()),  # another set
        (of_set("b", sha256="bb", repeat=1), set()),  # another round
        (of_set("b", tokens=4060), set()),
        (of_set("b", tokens=4100), {"natural_stops_differ"}),
        (of_set("b", tokens=3900), {"natural_stops_differ"}),
        (of_set("b", tokens=4100, ends_by="length"), set()),
        (of_set("a", sha256="bb", tokens=4100), set()),  # the same launch
    ],
)
def test_launches_that_were_sent_other_requests_of_a_set_or_answered_them_otherwise_are_found(other, expected):
    found = codes([of_set("a"), other])
    assert [one & {"requests_differ", "natural_stops_differ"} for one in found] == [expected] * 2


def test_launches_that_send_random_tokens_of_two_lengths_are_judged_as_they_were():
    pair = [record(launch=launch, total_output_tokens=tokens) for launch, tokens in (("a", 4000), ("b", 5000))]
    pair = [one.model_copy(update={"request_set_sha256": one.identity.launch}) for one in pair]
    assert not any(one & {"requests_differ", "natural_stops_differ"} for one in codes(pair))


def test_an_invalid_record_is_no_evidence_against_its_siblings():
    found = codes([record(0, value=1000.0), record(1, value=100.0, verdict=Verdict.INVALID)])
    assert found == [{"measured_once"}, set()]


def test_judging_twice_says_nothing_twice():
    once = judged_together(series(1582.0, 878.0))
    assert judged_together(once) == once


def test_the_trend_test_is_exact():
    draw = random.Random(0)
    for count in (5, 7, 10):
        values = [draw.random() for _ in range(count)]
        assert mann_kendall_p(values) == pytest.approx(kendalltau(range(count), values, method="exact").pvalue)
    assert mann_kendall_p([1, 2, 3, 4, 5]) == pytest.approx(2 / 120)


@pytest.mark.parametrize("count", [51, 80, 1000])
def test_the_p_of_a_trend_of_many_repeats_takes_no_time_and_is_near_the_exact_one(count):
    draw = random.Random(count)
    values = [place / count + draw.random() * 3 for place in range(count)]
    assert mann_kendall_p(values) == pytest.approx(kendalltau(range(count), values).pvalue, abs=0.01)
