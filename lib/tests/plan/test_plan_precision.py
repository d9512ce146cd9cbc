"""How many prompts and how many repeats a wanted precision takes, and that the plan says why."""

from __future__ import annotations

import math
import random
import re
import statistics
from pathlib import Path

import pytest
from benchbook.plan.experiment import SLO_KEYS, load_experiment
from benchbook.plan.precision import PRECISION_KEYS, Precision
from benchbook.plan.repeats import Until, target_keys
from benchbook.sweep.preview import preview
from benchbook.terms.metrics import BY_KEY, known_key, metrics_for
from benchbook.terms.percentiles import samples_needed
from rich.console import Console
from scipy.stats import binom

EXPERIMENT = """
question: How fast?
model: tiny
launches: {launches}
benchmarks:
  - first_request: {{}}
  - serve: {{max_concurrency: [1, 128], lengths: [[8, 4]], {prompts}}}
repeats: {repeats}
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an experiment and returns its path."""

    def write_file(prompts="num_prompts: 10", repeats="3", launches="{eager: {}}") -> Path:
        path = tmp_path / "exp.yaml"
        path.write_text(EXPERIMENT.format(prompts=prompts, repeats=repeats, launches=launches))
        return path

    return write_file


def plan_text(path: Path, with_commands: bool = False) -> str:
    """Return what `plan` prints, runs of spaces as one: its columns are for people."""
    console = Console(width=10_000)
    with console.capture() as captured:
        preview(path, path.parent / "results", console, with_commands)
    return re.sub(" +", " ", captured.get())


def prompts(share: float, key: str = "p99_ttft_ms", concurrency: int | None = 1, **more) -> int:
    return Precision(((key, share),), **more).prompts(concurrency)[0]


def test_the_planned_number_gives_the_wanted_interval_of_a_p99():
    """The distribution-free interval, from order statistics, of log-normal samples of that size."""
    number, draw = prompts(0.10, spread=0.5), random.Random(0)
    true = math.exp(0.5 * statistics.NormalDist().inv_cdf(0.99))
    low, high = (int(rank) for rank in binom.ppf([0.025, 0.975], number, 0.99))  # of the exact binomial interval
    widths, held = [], 0
    for _ in range(300):
        samples = sorted(draw.lognormvariate(0, 0.5) for _ in range(number))
        widths.append((samples[high] - samples[low - 1]) / 2 / true)
        held += samples[low - 1] <= true <= samples[high]
    assert statistics.median(widths) == pytest.approx(0.10, rel=0.25)
    assert held / 300 > 0.93


def test_the_planned_number_gives_the_wanted_interval_of_a_mean():
    number, draw = prompts(0.05, key="mean_e2el_ms", spread=0.3), random.Random(0)
    true = math.exp(0.3**2 / 2)
    means = [statistics.fmean(draw.lognormvariate(0, 0.3) for _ in range(number)) for _ in range(1000)]
    assert sum(abs(mean / true - 1) <= 0.05 for mean in means) / 1000 == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("quantile", "number"), [(0.90, 64), (0.95, 130), (0.99, 662)])
def test_a_tail_is_earned_when_its_second_largest_sample_is_beyond_it(quantile, number):
    assert samples_needed(100 * quantile) == number
    assert binom.cdf(1, number, 1 - quantile) <= 0.01 < binom.cdf(1, number - 1, 1 - quantile)


def test_a_p99_has_never_fewer_prompts_than_a_tail_takes_and_a_median_may():
    assert prompts(0.5) == 662
    assert prompts(0.5, key="median_ttft_ms") < 64


def test_a_closed_loop_gets_ten_prompts_for_each_client():
    assert prompts(0.5, concurrency=128) == 1280
    assert prompts(0.5, concurrency=None) == 662


def test_the_most_demanding_metric_decides():
    number, why = Precision((("p99_ttft_ms", 0.1), ("mean_e2el_ms", 0.1))).prompts(8)
    assert number == prompts(0.1) and "p99_ttft_ms to ±10 %" in why


def test_half_the_interval_takes_four_times_the_prompts():
    assert prompts(0.05, at_most=10**6) == pytest.approx(4 * prompts(0.10), rel=0.01)


def test_what_the_budget_cuts_off_is_said():
    number, why = Precision((("p99_ttft_ms", 0.10),), at_most=335).prompts(1)
    assert number == 335
    assert "at_most" in why and "1339 would be" in why and "±20%" in why


def test_a_precision_plans_the_prompts_of_each_case(write):
    experiment = load_experiment(write("precision: {p99_ttft_ms: 10 %, spread: 0.3}"))
    planned = [case for case in experiment.cases if case.workload.benchmark == "serve"]
    assert [case.workload.num_prompts for case in planned] == [662, 1280]
    assert [case.why_num_prompts for case in planned] == ["the fewest that have a p99", "10 for each in flight"]
    assert all(case.precision == (("p99_ttft_ms", 0.1),) for case in planned)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ("num_prompts: 10", " 10 as the file says;"),
        ("num_prompts: 10 per concurrency", " 1280 10 for each in flight; 256 others to warm up"),
        ("precision: {p99_ttft_ms: 10 %}", " 1339 p99_ttft_ms to ±10 % (95 %) if latencies are log-normal"),
        ("num_prompts: 10, num_warmup_prompts: 0", " 10 as the file says; no warm-up, as asked"),
    ],
)
def test_the_plan_prints_the_number_of_prompts_and_the_reason(write, prompts, said):
    assert said in plan_text(write(prompts))


def test_the_plan_prints_the_range_of_repeats_and_of_the_time(write):
    text = plan_text(write(repeats="{at_least: 3, at_most: 10, until: {output_throughput_tok_s: 2 %}}"))
    assert "3 to 10 repeats each, until output_throughput_tok_s is known to ±2 %" in text
    # 3 x 3, and 7 rounds more of the two serve cases, on the one host
    assert re.search(r"9 to 23 measurements on 1 start, about \d min \d\d s to \d min \d\d s \(a first guess\)", text)
    assert re.search(r"3 repeats each: 9 measurements on 1 start, about \d min \d\d s \(", plan_text(write()))


def test_added_rounds_of_several_launches_cost_starts_which_the_plan_counts(write):
    text = plan_text(write(repeats="{at_most: 5, until: {ttft_ms: 2 %}}", launches="{a: {}, b: {}}"))
    assert "18 to 22 measurements on 6 to 10 starts" in text


def test_the_plan_says_that_offline_benchmarks_run_without_prefix_caching_where_nothing_is_said(tmp_path):
    text = (
        "question: q\nmodel: tiny\nlaunches: {a: {args: {%s}}}\nbenchmarks: [latency: {batch_size: 1, lengths: [8, 4]}]"
    )
    path = tmp_path / "exp.yaml"
    path.write_text(text % "")
    assert "enable_prefix_caching is not set: the offline benchmarks run with it off" in plan_text(path)
    path.write_text(text % "enable_prefix_caching: true")
    assert "is not set" not in plan_text(path) and "it times cached prefills" in plan_text(path)
    path.write_text(text % "enable_prefix_caching: false")
    assert "enable_prefix_caching is" not in plan_text(path)


def test_repeats_may_be_a_range_with_targets(write):
    experiment = load_experiment(write(repeats="{at_least: 4, at_most: 9, until: {output_throughput_tok_s: 2.5 %}}"))
    assert (experiment.repeats, experiment.until) == (4, Until(9, {"output_throughput_tok_s": 0.025}))
    assert load_experiment(write()).until is None


@pytest.mark.parametrize(
    ("repeats", "least", "has_starts", "most"),
    [
        ("3", 3, False, None),
        ("{starts: 5}", 5, True, None),
        ("{starts: 4, at_most: 9, until: {output_throughput_tok_s: 2 %}}", 4, True, 9),
        ("{at_most: 9, until: {output_throughput_tok_s: 2 %}}", 3, False, 9),
    ],
)
def test_repeats_may_be_so_many_starts(write, repeats, least, has_starts, most):
    experiment = load_experiment(write(repeats=repeats))
    assert (experiment.repeats, experiment.fresh_starts) == (least, has_starts)
    assert (experiment.until and experiment.until.at_most) == most
    assert len(experiment.planned_rounds()) == (least if has_starts else 1)


def test_launches_that_are_compared_have_fresh_starts_whether_or_not_they_are_asked_for(write):
    plain, asked = (
        load_experiment(write(repeats=repeats, launches="{a: {}, b: {}}")) for repeats in ("3", "{starts: 3}")
    )
    assert plain.planned_rounds() == asked.planned_rounds() and plain.starts_anew("server")


def test_the_plan_counts_the_starts_that_are_asked_for_and_says_of_what_a_target_speaks(write):
    text = plan_text(write(repeats="{starts: 3, at_most: 10, until: {ttft_ms: 2 %}}"))
    assert "is known to ±2 %: 9 to 16 measurements on 3 to 10 starts" in text
    assert (
        "Each round with a fresh start: eager server, eager server, eager server" in text
        and "share one start" not in text
    )
    text = plan_text(write(repeats="{at_most: 10, until: {ttft_ms: 2 %}}"))
    assert "is known to ±2 % for this one start: 9 to 16 measurements on 1 start" in text
    assert "All repeats of a case share one start" in text and "{starts: 3}" in text


def test_a_case_without_the_metric_has_no_target(write):
    experiment = load_experiment(write(repeats="{at_most: 9, until: {output_throughput_tok_s: 2 %}}"))
    targets = [experiment.until.targets_of(case) for case in experiment.cases]
    assert targets == [{}, {"output_throughput_tok_s": 0.02}, {"output_throughput_tok_s": 0.02}]


def test_what_one_may_ask_for_is_read_from_the_metric_table():
    latencies = [
        f"{statistic}_{of}_ms"
        for of in ("ttft", "tpot", "itl", "e2el")
        for statistic in ("mean", "median", "p90", "p95", "p99")
    ]
    assert SLO_KEYS == latencies
    assert PRECISION_KEYS == [key for key in latencies if "_itl_" not in key]
    for benchmark in ("serve", "latency", "throughput", "first_request"):
        keys = target_keys(benchmark)
        assert keys and set(keys) <= {metric.key for metric in metrics_for(benchmark)}
        assert not {"duration_s", "completed", "failed"} & set(keys)
        assert not [key for key in keys if key.startswith("std_")]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("p50_ttft_ms", "median_ttft_ms"),
        ("median_itl_ms", "median_itl_ms"),
        ("median_batch_latency_s", "p50_batch_latency_s"),
        ("p99_ttft_ms", "p99_ttft_ms"),
        ("p5_ttft_ms", None),
        ("medium_ttft_ms", None),
    ],
)
def test_a_metric_is_known_by_both_spellings_of_a_median(name, key):
    assert known_key(name, BY_KEY) == key


def test_the_order_has_a_seed_of_its_own_that_follows_the_seed_unless_given(write):
    assert load_experiment(write(repeats="3\nseed: 7")).order_seed == 7
    experiment = load_experiment(write(repeats="3\nseed: 7\norder_seed: 0"))
    assert (experiment.seed, experiment.order_seed) == (7, 0)
