"""What samples say: the window of the requests, energy over it, and what was not bracketed."""

import random

import pytest
from benchbook.judge.checks import record_reasons
from benchbook.judge.telemetry_summary import energy_j, integrated_j, request_window, telemetry_summary
from benchbook.records.samples import GpuProcess
from benchbook.records.telemetry import read_telemetry, write_telemetry
from benchbook.terms.errors import StoreError
from measured import serve

RAW = {"start_times": [101.0, 101.5], "latencies": [1.0, 2.5]}  # the window is 101.0 to 104.0 on the clock


def samples(gpus=(), processes=(), server=None):
    """Return the samples of a case that lies between 1.0 and 4.0 on their own axis."""
    return {
        "period_s": 0.25,
        "zero_perf_counter_s": 100.0,
        "epoch_s": 1_000_000.0,
        "server": server,
        "missed_samples": 0,
        "gpus": list(gpus),
        "gpu_processes": list(processes),
        "absent": {},
        "sampler_cpu_s": 0.01,
    }


def gpu(index=0, energy=True, power_w=400.0, times=range(6)):
    """Return the columns of a GPU that draws `power_w` all the time, sampled at `times`."""
    columns = dict.fromkeys(("sm_clock_mhz", "memory_clock_mhz", "temperature_c", "throttle"))
    columns |= {"memory_used_gib": None, "utilisation_pct": None}
    energies = [7.0 + power_w * time_s for time_s in times] if energy else None
    power = [power_w for _ in times]
    return {"index": index, "name": "x", "t_s": list(times), "power_w": power, "energy_j": energies, **columns}


def test_the_window_goes_from_the_first_send_to_the_last_token():
    assert request_window(samples(), RAW) == pytest.approx((1.0, 4.0))
    assert telemetry_summary(samples(), RAW).window_epoch_s == pytest.approx((1_000_001.0, 1_000_004.0))
    assert request_window(samples(), {}) is None


@pytest.mark.parametrize("has_counter", [True, False])
def test_energy_is_power_times_the_window_by_counter_and_by_area(has_counter):
    summary = telemetry_summary(samples([gpu(energy=has_counter)]), RAW)
    assert summary.energy_j == pytest.approx(400.0 * 3.0)
    assert ("counter" in summary.gpus[0].energy_source) == has_counter
    assert summary.gpus[0].mean_power_w == pytest.approx(400.0)


def test_the_mean_power_is_that_of_the_counter_since_the_drivers_power_lags():
    late = {**gpu(), "power_w": [70.0, 270.0, 400.0, 400.0, 400.0, 400.0]}
    card = telemetry_summary(samples([late]), RAW).gpus[0]
    assert card.mean_power_w == pytest.approx(400.0) and card.energy_j == pytest.approx(1200.0)
    without = telemetry_summary(samples([{**late, "energy_j": None}]), RAW).gpus[0]
    assert without.energy_j < 1200.0 and "a second before" in without.energy_source
    assert without.mean_power_w == pytest.approx((270.0 + 3 * 400.0) / 4)


def test_energy_without_a_sample_after_the_last_token_is_null_and_not_less():
    assert telemetry_summary(samples([gpu(times=range(4))]), RAW).energy_j is None
    assert telemetry_summary(samples([gpu()]), {}).energy_j is None


def test_of_two_gpus_only_the_one_that_our_server_uses_counts():
    ours = {"gpu": 1, "pid": 7, "name": "VLLM", "kind": "ours", "first_s": 0.0, "last_s": 5.0}
    both = [gpu(0, power_w=70.0), gpu(1)]
    assert telemetry_summary(samples(both, [ours]), RAW).energy_j == pytest.approx(1200.0)
    assert telemetry_summary(samples(both), RAW).energy_j is None, "which of the two it was is not known"


def test_where_processes_are_not_seen_the_gpus_that_the_launch_takes_count():
    both = samples([gpu(0, power_w=70.0), gpu(1)])
    assert telemetry_summary({**both, "num_gpus": 2}, RAW).energy_j == pytest.approx(1410.0)
    assert telemetry_summary({**both, "num_gpus": 1}, RAW).energy_j is None
    one = samples([gpu(3)])
    assert telemetry_summary({**one, "num_gpus": 1}, RAW).energy_j == pytest.approx(1200.0)


def test_two_runs_on_two_gpus_each_count_their_own_joules():
    def process(gpu, kind):
        return {"gpu": gpu, "pid": 70 + gpu, "name": "VLLM", "kind": kind, "first_s": 0.0, "last_s": 5.0}

    both = [gpu(0, power_w=562.0), gpu(1, power_w=580.0)]
    first = samples(both, [process(0, "ours"), process(1, "foreign")])
    second = samples(both, [process(0, "foreign"), process(1, "ours")])
    counted = [telemetry_summary(each, RAW).energy_j for each in (first, second)]
    assert counted == [pytest.approx(1686.0), pytest.approx(1740.0)]


def test_a_stranger_that_left_before_the_first_request_does_not_count():
    early = {"gpu": 0, "pid": 7, "name": "x", "kind": "foreign", "first_s": 0.0, "last_s": 0.9}
    assert telemetry_summary(samples([gpu()], [early]), RAW).gpu_processes == ()
    late = {**early, "last_s": 1.1}
    assert telemetry_summary(samples([gpu()], [late]), RAW).gpu_processes == (GpuProcess(**late),)


def throttled(samples, **shares):
    """Return what is said of a card of which so many samples of the window tell of these throttles."""
    summary = {"gpus": [{"index": 0, "name": None, "samples": samples, "throttled_share": shares}]}
    return {why.code for why in record_reasons(serve(host={"telemetry": summary})) if why.code.startswith("gpu_")}


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [(10, 0.1, False), (3, 1 / 3, False), (19, 1 / 19, False), (10, 0.2, True), (40, 0.075, True), (100, 0.04, False)],
)
def test_one_sample_of_a_throttle_is_an_instant_and_two_of_ten_are_not(samples, share, expected):
    assert throttled(samples, thermal_software=share) == ({"gpu_throttled"} if expected else set())
    assert throttled(samples, power_cap=share) == ({"gpu_power_capped"} if expected else set())


def test_means_are_over_the_window_only():
    server = {"t_s": [0.0, 1.0, 2.0, 3.0, 5.0], "running": [0, 8, 8, 5, 0], "kv_use_ratio": [0, 0.1, 0.4, 0.2, 0.9]}
    found = telemetry_summary(samples(server=server), RAW).server
    assert found.mean_running == 7.0 and found.max_kv_use_ratio == 0.4 and found.samples == 3
    assert found.mean_waiting is None and found.preemptions is None


def test_energy_adds_up_over_neighbouring_windows_for_any_samples():
    draw = random.Random(3)
    for _ in range(200):
        times, counter = [0.0], [draw.uniform(0, 1e6)]
        for _ in range(draw.randint(2, 30)):
            times.append(times[-1] + draw.uniform(0.01, 1.0))
            counter.append(counter[-1] + draw.uniform(0.0, 500.0))
        low, middle, high = sorted(draw.uniform(0.0, times[-1]) for _ in range(3))
        parts = energy_j(times, counter, (low, middle)) + energy_j(times, counter, (middle, high))
        assert parts == pytest.approx(energy_j(times, counter, (low, high)), abs=1e-6)
        power = draw.uniform(1.0, 700.0)
        area = integrated_j(times, [power] * len(times), (low, high))
        assert area == pytest.approx(power * (high - low), rel=1e-6, abs=1e-6)


def test_the_file_of_samples_is_small_repeatable_and_read_back(tmp_path):
    path = tmp_path / "telemetry.json.gz"
    many = samples([gpu(times=range(2400))])  # ten minutes
    write_telemetry(path, many)
    first = path.read_bytes()
    write_telemetry(path, many)
    assert path.read_bytes() == first and len(first) < 30_000
    assert read_telemetry(path) == {"schema_version": 1, **many}
    path.write_bytes(first[:-20])
    with pytest.raises(StoreError, match="telemetry.json.gz"):
        read_telemetry(path)
