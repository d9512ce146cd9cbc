"""What tokens cost: by the hour and by the kWh, within limits, the cheapest load, and who is cheaper."""

import math

import pytest
from benchbook.explain import entries
from benchbook.judge.price import PRICED, priced_values
from benchbook.judge.spread import mean_interval
from benchbook.plan.experiment import load_experiment
from benchbook.records.answers import GuardAnswers
from benchbook.records.header import Price
from benchbook.report.answer import answer
from benchbook.report.price import price_sentences
from benchbook.report.results import definitions_html, results_html
from benchbook.report.run import load_run
from benchbook.report.table_command import print_table
from benchbook.terminal import console
from benchbook.terms.errors import ExperimentError
from report_runs import make_run

GPU = {"index": 0, "name": "G", "energy_j": 7200.0, "mean_utilisation_pct": 75.0}
PRICE = {"gpu_hour": 3.6, "kwh": 0.5, "pue": 2.0, "currency": "EUR"}


def on_gpus(number=1, energy_j=7200.0, tokens=1_000_000, duration_s=1000.0):
    """Return what puts records on so many GPUs, each of which was idle for a quarter of the time."""

    def change(record):
        telemetry = {
            "gpus": [{**GPU, "index": place} for place in range(number)],
            "num_gpus": number,
            "energy_j": energy_j,
        }
        host = record.host.model_copy(update={"telemetry": type(record.host.telemetry)(**telemetry)})
        values = {**record.values, "total_output_tokens": tokens, "duration_s": duration_s}
        return record.model_copy(update={"host": host, "values": values})

    return change


ONE_GPU = on_gpus()


def record_of(folder, change=ONE_GPU, **options):
    run_dir = make_run(folder, benchmarks=("serve",), concurrencies=(4,), repeats=1, change=change, **options)
    return load_run(run_dir).records[0]


@pytest.mark.parametrize(
    ("price", "change", "cost"),
    [
        ({"gpu_hour": 3.6}, on_gpus(), 1.0),  # 1,000 s of an hour's 3.6
        ({"gpu_hour": 3.6}, on_gpus(number=4), 4.0),
        ({"kwh": 0.5}, on_gpus(), 0.001),  # 0.002 kWh
        (PRICE, on_gpus(), 1.002),
        ({"gpu_hour": 3.6}, on_gpus(tokens=500_000), 2.0),
        ({"kwh": 0.5}, on_gpus(energy_j=None), None),
        (PRICE, on_gpus(energy_j=None), None),  # a part that is not known is not nothing
        (PRICE, on_gpus(tokens=0), None),
        ({"gpu_hour": 3.6}, lambda record: record, None),  # on a CPU
    ],
)
def test_a_cost_is_of_hours_and_energy_or_not_told(tmp_path, price, change, cost):
    found = priced_values(record_of(tmp_path, change), Price(**price))
    assert found["cost_per_mtok"] == (None if cost is None else pytest.approx(cost))


def test_energy_and_idle_time_are_told_apart(tmp_path):
    found = priced_values(record_of(tmp_path), Price(**PRICE))
    assert found["energy_j_per_good_token"] == pytest.approx(0.0072) and found["gpu_idle_share"] == pytest.approx(0.25)


def test_only_tokens_within_the_limits_of_a_request_count(tmp_path):
    def half_good(record):
        values = {**record.values, "request_throughput_rps": 10.0, "request_goodput_rps": 5.0}
        return on_gpus()(record.model_copy(update={"values": values}))

    limited = record_of(tmp_path, half_good, vary=lambda _, workload: [{**workload, "slo_ttft_ms": 100.0}])
    assert priced_values(limited, Price(gpu_hour=3.6))["cost_per_mtok"] == pytest.approx(2.0)


def priced_run(folder, change=ONE_GPU, **options):
    settings = {"benchmarks": ("serve",), "concurrencies": (1, 4, 8), "repeats": 3, "price": PRICE}
    return load_run(make_run(folder, **settings | options, change=change))


def cheaper_with_load(record):
    return on_gpus(duration_s=1000.0 / record.workload["max_concurrency"] * (1 + 0.01 * record.identity.repeat))(record)


def test_the_cheapest_load_is_one_within_the_slo(tmp_path):
    free, bound = (
        priced_run(tmp_path / name, cheaper_with_load, slo=slo) for name, slo in (("a", {}), ("b", {"p99_ttft_ms": 60}))
    )
    assert price_sentences(free)[0].startswith("The cheapest load is 8 requests in flight")
    limit = bound.cases.set_index("max_concurrency")["p99_ttft_ms_mean"]
    kept = max(load for load in (1, 4, 8) if limit[load].min() <= 60)
    assert kept < 8 and f"Within the SLO the cheapest load is {kept} request" in price_sentences(bound)[0]
    assert "EUR per 1M output tokens" in " ".join(answer(bound)) and "[" in price_sentences(bound)[0]


@pytest.mark.parametrize("slo", [{}, {"p99_ttft_ms": 1e9}])
@pytest.mark.parametrize(("right", "is_left"), [(600, True), (1000, False)])
def test_a_launch_whose_answers_are_lost_is_named_neither_cheapest_nor_best(tmp_path, right, is_left, slo):
    def change(record):
        name, number = record.identity.launch, record.identity.repeat
        faster = (2 if name == "new" else 1) * (1 + 0.01 * number)
        paid, right_here = on_gpus(duration_s=1000.0 / faster)(record), right if name == "new" else 1000
        marks = "1" * right_here + "0" * (1000 - right_here)
        guard = GuardAnswers(items_sha256="a" * 64, margin=0.01, guess=0.0, marks=marks) if number == 0 else None
        values = {**paid.values, "output_throughput_tok_s": paid.values["output_throughput_tok_s"] * faster}
        host = paid.host.model_copy(update={"random_weights": False})
        return paid.model_copy(update={"guard": guard, "host": host, "values": values})

    run = priced_run(tmp_path, change, launches=("now", "new"), slo=slo)
    told = price_sentences(run)
    assert ("(now, " in told[0]) is is_left and ("Left out of it: new, whose answers" in told[1]) is is_left
    told = [text for text in answer(run) if text.startswith(("Within the SLO (", "From "))]
    assert len(told) == 1 + bool(slo) and all(("(now, " in text) is is_left for text in told), told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slo": {"p99_ttft_ms": 0.001}}, "No load tried keeps the SLO"),
        ({"change": lambda record: record}, "cannot be told"),
        ({"repeats": 2}, "(no interval)"),
    ],
)
def test_what_cannot_be_told_of_a_price_is_said(tmp_path, options, said):
    assert said in " ".join(price_sentences(priced_run(tmp_path, **options)))


def test_without_a_price_nothing_is_said_and_no_column_is_there(tmp_path):
    run = priced_run(tmp_path, price=None)
    assert price_sentences(run) == [] and not set(PRICED) & set(run.table)


@pytest.mark.parametrize(
    ("faster", "said"), [(1.2, "cheaper than now"), (0.8, "dearer than now"), (1.0, "No difference in cost")]
)
def test_launches_are_compared_in_price_by_the_rules_of_speed(tmp_path, faster, said):
    def change(record):
        speed = faster if record.identity.launch == "new" else 1.0
        noise = 1 + 0.004 * math.sin(7 * record.identity.repeat + 3 * (record.identity.launch == "new"))
        return on_gpus(duration_s=1000.0 / speed * noise)(record)

    run = priced_run(tmp_path, change, launches=("now", "new"), repeats=8)
    assert said in price_sentences(run)[1]


def test_tables_and_definitions_have_what_a_price_adds(tmp_path, capsys):
    run = priced_run(tmp_path)
    page = results_html(run) + definitions_html(run)
    assert "Cost (per 1M tok)" in page and "Costs are in EUR: 3.6 for an hour of a GPU, 0.5 for a kWh" in page
    print_table(run, "text", console(), ["case_id", "cost_per_mtok"])
    assert "1.00" in capsys.readouterr().out
    assert set(PRICED) <= set(entries())


def test_an_interval_is_of_starts_where_there_are_several():
    values = [1.0, 1.1, 0.9, 1.0, 1.2, 1.05]
    by_repeat, by_start = (mean_interval(values, starts) for starts in ([None] * 6, list("aabbcc")))
    assert by_start[1] - by_start[0] > by_repeat[1] - by_repeat[0]
    assert mean_interval(values, list("aaabbb")) is None


FILE = """question: q
model: tiny
launches: {{a: {{}}}}
price: {price}
benchmarks:
  - serve: {{max_concurrency: 1, lengths: [[8, 8]], num_prompts: 1}}
"""


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("{}", "names no price"),
        ("{gpu_hour: 0}", "gpu_hour"),
        ("{gpu_hours: 2}", "did you mean 'gpu_hour'"),
        ("{gpu_hour: 2, pue: 0.9}", "pue"),
        ("{gpu_hour: two}", "gpu_hour"),
        ("{kwh: 0.1, currency: '$ or €'}", "currency"),
        ("2.5", "price"),
    ],
)
def test_a_price_that_is_none_is_refused_with_its_line(tmp_path, price, said):
    file = tmp_path / "x.yaml"
    file.write_text(FILE.format(price=price))
    with pytest.raises(ExperimentError, match=said):
        load_experiment(file)


def test_a_price_is_read_with_its_defaults(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(FILE.format(price="{gpu_hour: 2}"))
    price = load_experiment(file).price
    assert (price.gpu_hour, price.currency, price.kwh, price.pue) == (2.0, "USD", None, 1.0)


def test_of_a_search_over_launches_the_confirmed_ones_alone_are_compared_and_no_load_is_called_the_cheapest(tmp_path):
    speeds = {"a": 1.3, "b": 1.2, "c": 1.1, "d": 0.9}

    def change(record):
        name = record.identity.launch
        faster = speeds.get(name, 1.0) * (1 + 0.002 * math.sin(7 * record.identity.repeat + ord(name[0])))
        paid = on_gpus(duration_s=1000.0 / faster)(record)
        return paid.model_copy(update={"values": {**paid.values, "output_throughput_tok_s": 100.0 * faster}})

    settings = {"launches": ("default", *speeds), "concurrencies": (8,), "repeats": 9}
    plan = priced_run(tmp_path / "all", change, **settings).plan
    search = {"default": "default", "cases": {row.launch: row.case_id for row in plan},
              "metric": "output_throughput_tok_s", "confirmations": 8}  # fmt: skip
    run = priced_run(tmp_path / "search", change, search=search, **settings)
    told = " ".join(price_sentences(run))
    assert run.searched.course.finalists == ("a", "b", "c") and run.searched.best.launch == "a"
    assert all(f"{name} is " in told for name in "abc") and "d is " not in told and "cheapest" not in told
