"""One state from beginning to end, or not: overload, changes of speed and stalls in simulated runs, and clean twins."""

import random
import sys
from pathlib import Path

import pytest
from benchbook.judge.stalls import server_stalled, stalls
from benchbook.judge.steady import iterations_unsteady, overloaded, speed_shifted
from measured import latency, serve

CHECKS = (overloaded, speed_shifted, server_stalled)


@pytest.fixture(scope="module")
def bench():
    """Return the module of lib/proofs that simulates servers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import steady

        yield steady
    del sys.modules["steady"]


def found(measured):
    return {check.__name__ for check in CHECKS if check(measured)}


@pytest.mark.parametrize("number", range(9))
def test_simulated_steady_servers_are_not_accused_and_others_are_found(bench, number):
    """As many kinds as lib/proofs/steady.py has, with few runs each: it tells the rates of many."""
    names = list(bench.KINDS)[number::9]
    for name in names:
        kind = bench.KINDS[name]
        suspect = sum(bench.is_suspect(kind, kind.run(random.Random(f"{name} {run}"))) for run in range(6))
        assert suspect >= 4 if kind.check else suspect <= 1, (name, suspect)


@pytest.mark.parametrize(("share", "count"), [(1.1, 2000), (1.2, 600), (1.5, 300), (3.0, 300)])
def test_an_open_loop_above_capacity_is_found_whatever_the_number_of_prompts(bench, share, count):
    engine = bench.SMALL
    measured = bench.run(engine, count, random.Random(1), rate_rps=share * engine.capacity_rps())
    found = overloaded(measured)
    assert found and "requests a second came and" in found.evidence
    # What comes in bursts overloads too.
    measured = bench.run(engine, count, random.Random(2), rate_rps=share * engine.capacity_rps(), burstiness=0.5)
    assert overloaded(measured)


@pytest.mark.parametrize("arrivals", ["even", "random"])
def test_an_open_loop_that_one_slow_request_holds_up_is_not_called_overloaded(bench, arrivals):
    sound = serve(cap=None, rate=10.0, prompts=200)
    if arrivals == "random":
        starts = [100 + time_s for time_s in bench.arrivals(200, 10.0, 1.0, random.Random(3))]
        sound = serve(cap=None, rate=10.0, prompts=200, raw={"start_times": starts})
    latencies = [*sound.raw["latencies"]]
    latencies[150] += 5.0
    assert not overloaded(serve(cap=None, rate=10.0, prompts=200, raw={**sound.raw, "latencies": latencies}))


@pytest.mark.parametrize("cap", [1, 2, 8])
@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_lengths_that_are_drawn_are_no_change_of_speed(cap, ratio):
    for seed in range(100):
        draw = random.Random(seed)
        tokens = [draw.randint(round(64 * (1 - ratio)), round(64 * (1 + ratio))) for _ in range(10 * cap)]
        sound = serve(cap=cap, prompts=10 * cap)
        raw = {
            "output_lens": tokens,
            "itls": [[0.002] * (count - 1) for count in tokens],
            "latencies": [0.02 + 0.002 * (count - 1) for count in tokens],
            "start_times": sound.raw["start_times"],
        }
        assert not speed_shifted(serve(cap=cap, prompts=10 * cap, raw=raw, workload={"range_ratio": ratio}))


@pytest.mark.parametrize(("slots", "share"), [(1, 0.8), (8, 0.9), (16, 0.95)])
@pytest.mark.parametrize("burstiness", [1.0, 0.25])
def test_a_queue_that_comes_and_goes_is_no_change_of_speed_and_no_overload(bench, slots, share, burstiness):
    """Requests wait for one of a few slots, near its capacity and in bursts: TTFT is what varies."""
    accused = 0
    for seed in range(20):
        draw = random.Random(seed)
        free_s, rate = [0.0] * slots, share * slots / 0.8
        starts = bench.arrivals(300, rate, burstiness, draw)
        raw = {"start_times": starts, "ttfts": [], "latencies": [], "itls": []}
        for start_s in starts:
            begin_s = max(start_s, min(free_s))
            free_s[free_s.index(min(free_s))] = begin_s + 0.8
            ttft_s = begin_s - start_s + 0.02
            for key, value in zip(("ttfts", "latencies", "itls"), (ttft_s, ttft_s + 0.78, [0.78 / 63] * 63)):
                raw[key].append(value)
        accused += bool(found(serve(cap=None, rate=rate, prompts=300, raw=raw)))
    assert accused <= 1


@pytest.mark.parametrize("cap", [1, 4, 64])
@pytest.mark.parametrize("factor", [1.5, 2.0, 0.5])
def test_a_speed_that_changes_in_a_closed_loop_is_found(bench, cap, factor):
    def slowness(share):
        return factor if share > 0.5 else 1.0

    engine = bench.replace(bench.LARGE, slowness=slowness)
    assert "speed_shifted" in found(bench.run(engine, 10 * cap if cap > 1 else 12, random.Random(4), cap=cap))


@pytest.mark.parametrize("cap", [1, 4, 64])
def test_one_slow_wave_and_a_slow_start_are_no_change_of_speed(bench, cap):
    def slowness(share):
        return 2.0 if share < 0.1 else 1.0

    engine = bench.replace(bench.LARGE, slowness=slowness)
    assert not found(bench.run(engine, 10 * cap if cap > 1 else 12, random.Random(4), cap=cap))


@pytest.mark.parametrize("seconds", [1.0, 3.06, 8.0])
@pytest.mark.parametrize("load", [{"cap": 1}, {"cap": 8}, {"cap": 64}, {"rate_rps": 8.0}])
def test_a_server_that_stands_still_is_found_with_the_time_of_it(bench, seconds, load):
    count = 60 if load == {"cap": 1} else 300
    engine = bench.replace(bench.LARGE, freeze=(0.5, seconds))
    measured = bench.run(engine, count, random.Random(5), **load)
    ((begin_s, end_s),) = stalls(measured.answers)
    assert end_s - begin_s == pytest.approx(seconds, abs=0.3)
    assert ("server_stalled" in found(measured)) is (end_s - begin_s > 0.02 * measured.window_s)


@pytest.mark.parametrize(
    "prefills",
    [
        {"prefill_s": 0.006, "budget": 128},  # 0.77 s for each prompt, one at a time
        {"prefill_s": 0.0006, "budget": 2048},  # 16 prompts a step: 1.2 s
        {"prefill_s": 0.0006, "budget": 8192},  # all of the first wave in one step of 4.9 s
        {"step_s": 0.4, "sequence_s": 0.0},  # a large model on a processor
    ],
)
@pytest.mark.parametrize("cap", [1, 8, 64])
def test_long_steps_that_prefills_explain_are_no_stalls(bench, prefills, cap):
    measured = bench.run(bench.Engine(**prefills), 5 * cap, random.Random(6), cap=cap)
    assert not stalls(measured.answers)


def test_time_in_which_nobody_was_in_flight_is_a_stall_of_a_closed_loop_only():
    assert not found(serve(cap=None, rate=0.2, prompts=20))
    sound = serve(cap=1, prompts=40)
    late = [start + (8.0 if number >= 20 else 0.0) for number, start in enumerate(sound.raw["start_times"])]
    assert "server_stalled" in found(serve(cap=1, prompts=40, raw={"start_times": late}))


def test_a_server_that_freezes_before_its_first_token_is_found():
    assert stalls(serve(cap=4, prompts=40, first_ttft_ms=3000.0).answers)


@pytest.mark.parametrize(
    "times_s",
    [
        [0.2 + 0.2 * number / 14 for number in range(15)],  # slower and slower, twice as slow at last
        [0.4 - 0.2 * number / 29 for number in range(30)],
        [0.2] * 5 + [0.3] * 5,
        [0.2, 0.3, 0.2, 0.2, 0.3, 0.2, 0.3, 0.2, 0.3, 0.3],
        [0.2] * 22 + [0.26] * 8,
    ],
)
def test_iterations_that_drift_or_have_two_modes_are_found(times_s):
    assert iterations_unsteady(latency(times_s))


@pytest.mark.parametrize(
    "times_s", [[0.2] * 15, [0.2, 0.2, 0.6] + [0.2] * 12, [0.2, 0.21] * 10, [0.2, 0.4, 0.2], [0.3] + [0.2] * 29]
)
def test_one_slow_iteration_and_few_per_cent_are_not(times_s):
    assert not iterations_unsteady(latency(times_s))


def test_noise_of_iterations_is_not_called_unsteady():
    draw = random.Random(7)
    for count in (6, 10, 15, 30, 100):
        noisy = (latency([0.2 * draw.lognormvariate(0, 0.05) for _ in range(count)]) for _ in range(200))
        assert sum(bool(iterations_unsteady(measured)) for measured in noisy) <= 4
