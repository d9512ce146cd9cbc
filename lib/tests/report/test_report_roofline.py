"""The roofline in table, figure and sentence, on synthetic runs."""

import gzip
import itertools
import json
import re

import pytest
from benchbook.judge.columns import COLUMNS
from benchbook.judge.roofline import roofline_of
from benchbook.judge.telemetry_summary import COUNTER, POWER_AREA, telemetry_summary
from benchbook.records.host import HostFacts
from benchbook.records.samples import TelemetrySummary
from benchbook.report.cells import show_roofline
from benchbook.report.repeat.timeline import absent_text, gpu_text, timeline_figure
from benchbook.report.results import MAX_ROWS
from benchbook.report.roofline import bounded_cases, roofline_html, roofline_reading
from benchbook.report.roofline_figures import roofline_figure, timeline_of
from benchbook.report.roofline_sentences import amount_text, energy_sentence, experts_sentence, roofline_sentences
from benchbook.report.run import load_run
from benchbook.report.table import case_table
from matplotlib.backends.backend_agg import FigureCanvasAgg
from parts import having
from report_runs import judged, make_run
from shapes import CPU, GPT_OSS_120B, H200, LLAMA_8B, TINY, served
from test_judge_telemetry import gpu, samples

_FLOPS, _READ = "estimated_flops_per_gpu", "estimated_read_bytes_per_gpu"
RAW = {"start_times": [101.0, 101.5], "latencies": [1.0, 2.5]}
SERVER = {
    "t_s": [0.5, 1.5, 2.5, 4.5],
    "running": [0, 2, 2, 0],
    "waiting": [0, 0, 1, 0],
    "kv_use_ratio": [0, 0.1, 0.2, 0],
    "prompt_tokens": [0, 256, 512, 512],
    "generation_tokens": [0, 10, 70, 128],
}


def with_limits(record):
    return record.model_copy(update={"host": having(record.host, model_config=TINY, peaks=CPU)})


@pytest.fixture
def run(tmp_path):
    return load_run(make_run(tmp_path, change=with_limits))


def test_a_long_table_of_limits_is_cut_with_a_note_and_the_rest_is_in_the_csv(tmp_path):
    launches = tuple(f"launch{number}" for number in range(12))
    run = load_run(make_run(tmp_path, launches=launches, repeats=1, benchmarks=("serve",), change=with_limits))
    html = roofline_html(bounded_cases(run)[0])
    assert html.count("<tr>") == 1 + MAX_ROWS
    assert f"The first {MAX_ROWS} of 96 cases are shown; all are in table.csv." in html


def test_limits_are_columns_of_every_repeat_and_means_of_every_case(run):
    assert list(run.table.columns[-len(COLUMNS) :]) == list(COLUMNS)
    served_rows = run.table[run.table["benchmark"] == "serve"]
    assert (served_rows["step_share_of_limit"] < 1).all() and (served_rows["limited_by"] == "launch overhead").all()
    latency = run.table[run.table["benchmark"] == "latency"]
    assert latency["step_floor_ms"].isna().all() and latency["batch_latency_floor_s"].notna().all()
    assert case_table(run.table)["output_throughput_share_of_limit_mean"].notna().sum() == 9


def test_a_tiny_model_on_a_cpu_is_said_to_be_bound_by_overhead_with_floor_and_step(run):
    cases, reasons = bounded_cases(run)
    reading = " ".join(roofline_reading(cases))
    assert "What binds is launch overhead" in reading and "the floor is 0.232 ms, the step takes" in reading
    assert "57.8 GB/s" in reading and "measured before the start" in reading
    assert "routing" not in reading and not reasons


def test_the_tables_name_floor_measured_share_and_what_binds(run):
    html = roofline_html(bounded_cases(run)[0])
    assert html.count("<table") == 3 and html.count("launch overhead") == 11
    assert "0.232 / " in html and "Energy" not in html


def busy(record):
    return judged(with_limits(record), "suspect", "machine_busy", "45 % of all processors")


def test_what_binds_a_case_without_a_valid_repeat_is_not_told_and_its_mark_is_hollow(tmp_path):
    run = load_run(make_run(tmp_path, change=busy))
    cases, _ = bounded_cases(run)
    assert {case.binding.name for case in cases} == {"not told: machine_busy"}
    said = " ".join(roofline_reading(cases))
    assert "What binds is not told: no repeat is VALID (machine_busy)" in said and "launch overhead" not in said
    assert "launch overhead" not in roofline_html(cases)
    roof, _ = roofline_figure(run, cases)[0].axes
    marks = [line for line in roof.lines if line.get_marker() != "None"]
    assert marks and all(line.get_markerfacecolor() == "white" for line in marks)


def test_one_valid_repeat_is_enough_to_tell_what_binds_a_case(tmp_path):
    run = load_run(
        make_run(tmp_path, change=lambda record: with_limits(record) if record.identity.repeat else busy(record))
    )
    assert {case.binding.name for case in bounded_cases(run)[0]} == {"launch overhead"}


def test_of_a_case_in_doubt_the_reason_that_is_said_most_often_is_told(tmp_path):
    def change(record):
        return judged(with_limits(record), "suspect", ("too_short", "machine_busy")[record.identity.repeat > 0], "seen")

    run = load_run(make_run(tmp_path, benchmarks=("latency",), repeats=3, change=change))
    assert {case.binding.name for case in bounded_cases(run)[0]} == {"not told: machine_busy"}


@pytest.mark.parametrize(
    "key",
    ["median_itl_ms", "median_tpot_ms", "median_ttft_ms", "avg_batch_latency_s", "output_throughput_tok_s"],
)
def test_a_number_below_the_floor_is_called_impossible_and_never_a_share_of_the_limit(tmp_path, key):
    def change(record):
        factor = 1e4 if key == "output_throughput_tok_s" else 1e-4
        values = {**record.values, key: record.values[key] * factor} if key in record.values else record.values
        return busy(record.model_copy(update={"values": values}))

    cases, _ = bounded_cases(load_run(make_run(tmp_path, change=change)))
    html, said = roofline_html(cases), " ".join(roofline_reading(cases))
    assert "<td>below the floor</td>" in html
    assert ("impossible" in html) == (key != "median_tpot_ms"), "the share of a step is that of ITL"
    assert "That is below the floor: this cannot be; see its verdict" in said
    shares = [float(share) for share in re.findall(r">([\d.]+)%<", html)]
    assert shares and max(shares) <= 100


def test_energy_has_a_column_where_power_was_read(tmp_path):
    def change(record):
        return with_limits(
            record.model_copy(update={"host": having(record.host, telemetry={"energy_j": 100.0, "gpus": []})})
        )

    cases, _ = bounded_cases(load_run(make_run(tmp_path, change=change)))
    assert "Energy (J per output token)" in roofline_html(cases)
    assert any("J for each of" in sentence and "lag" not in sentence for sentence in roofline_reading(cases))


@pytest.mark.parametrize(("source", "is_late"), [(COUNTER, False), (POWER_AREA, True), (None, False)])
def test_energy_from_power_samples_is_said_to_lag(source, is_late):
    card = {"index": 0, "name": None, "energy_source": source}
    host = HostFacts(telemetry={"energy_j": 100.0, "gpus": [card]})
    measured = served(8, 10.0)
    read = measured.model_copy(update={"host": host, "values": {**measured.values, "total_output_tokens": 50}})
    assert ("lag" in energy_sentence(read)) is is_late


def test_records_without_peaks_give_a_reason_and_no_figure(tmp_path, capsys):
    run = load_run(make_run(tmp_path))
    cases, reasons = bounded_cases(run)
    assert not cases and "the record does not hold the model's shape" in reasons[0]
    assert roofline_figure(run, cases) is None and timeline_of(run)[0] is None
    show_roofline(run)


def test_the_roofline_lies_over_every_point_and_its_caption_names_axes(run):
    figure, caption = roofline_figure(run, bounded_cases(run)[0])
    roof, shares = figure.axes
    assert roof.get_xscale() == roof.get_yscale() == "log"
    bandwidth, peak = CPU["bandwidth_gb_s"] * 1e9, CPU["tflops"]["bfloat16"] * 1e12
    points = [line for line in roof.lines if line.get_marker() != "None"]
    assert len(points) == 8 and not any(line.get_markerfacecolor() == "white" for line in points)
    for line in points:
        assert all(y < min(x * bandwidth, peak) for x, y in zip(*line.get_data(), strict=True))
    assert shares.get_ylim()[1] >= 1.0
    assert "FLOP per byte" in caption and "higher is better" in caption and "measured before the start" in caption


def test_the_roofline_and_its_reading_run_from_few_to_many_in_flight_whatever_the_plans_order(tmp_path):
    shuffled = make_run(tmp_path, concurrencies=(4, 1, 8, 2), benchmarks=("serve",), change=with_limits)
    cases, _ = bounded_cases(run := load_run(shuffled))
    roof, _ = roofline_figure(run, cases)[0].axes
    assert [label.get_text() for label in roof.texts[:2]] == ["1", "8"]
    assert all(list(line.get_xdata()) == sorted(line.get_xdata()) for line in roof.lines)
    reading = " ".join(roofline_reading(cases))
    assert "1 in flight" in reading and "8 in flight" in reading and "4 in flight" not in reading


def test_no_two_labels_of_the_roofline_lie_upon_each_other(tmp_path):
    run = load_run(make_run(tmp_path, concurrencies=(8,), benchmarks=("serve",), change=with_limits))
    figure, _ = roofline_figure(run, bounded_cases(run)[0])
    FigureCanvasAgg(figure).draw()
    labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels(which="both") if label.get_text()]
    inside = [box for box in labels if figure.axes[0].bbox.x0 <= (box.x0 + box.x1) / 2 <= figure.axes[0].bbox.x1]
    assert len(inside) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(sorted(inside, key=lambda box: box.x0)))


@pytest.mark.parametrize(("itl_ms", "tok_s"), [(6.15, 1948.0), (4.1, 3767.0), (5.0, 2476.0)])
def test_faster_than_even_routing_is_possible_and_explained_and_no_share_is_above_all(itl_ms, tok_s):
    record = served(16, itl_ms=itl_ms, tok_s=tok_s, config=GPT_OSS_120B, peaks=H200)
    (sentence, *_) = roofline_sentences(record)
    assert "A step of 16 must read 7.77 GB to 30.1 GB" in sentence
    assert "the floor is 1.62 ms for sure and 6.28 ms with experts used evenly" in sentence
    assert f"the step takes {itl_ms:.2f} ms (median ITL)" in sentence
    assert "What binds lies between launch overhead and the bandwidth" in sentence
    assert "That is faster than even routing allows: the router sends tokens to the same experts" in sentence
    assert all(float(share) <= 100 for share in re.findall(r"([\d.]+)%", sentence))


def test_a_dense_model_has_one_bound_and_one_number():
    (sentence, *_) = roofline_sentences(served(8, itl_ms=4.9, config=LLAMA_8B))
    assert "A step of 8 must read 19.8 GB, the floor is 4.13 ms, the step takes 4.90 ms (median ITL)" in sentence
    assert "What binds is the bandwidth: " in sentence and " to " not in sentence and "sure" not in sentence


def test_what_several_devices_tell_each_other_is_named_as_left_out_of_every_bound():
    one, two = (
        " ".join(roofline_sentences(served(8, tok_s=300.0, argv=argv))) for argv in ("", "--tensor-parallel-size 2")
    )
    assert "What binds is launch overhead or communication" in two
    assert "What the 2 devices tell each other is left out of every bound here: 72 all-reduces a step" in two
    assert "What binds is launch overhead:" in one and "left out" not in one


def test_experts_cannot_be_faster_than_a_step_that_reads_the_fewest_of_them():
    record = served(16, itl_ms=1.5, tok_s=1948.0, config=GPT_OSS_120B, peaks=H200)
    (sentence, *_) = roofline_sentences(record)
    assert "That is below the floor: this cannot be" in sentence and "What binds" not in sentence


def test_whether_experts_were_counted_is_said():
    record = served(16, itl_ms=6.15, tok_s=1948.0, config=GPT_OSS_120B, peaks=H200)

    def told(routing):
        one = record.model_copy(update={"host": having(record.host, routing=routing)})
        return experts_sentence(one, roofline_of(one))

    counted = {"experts": 128, "active": 4, "decode": {"1": 4.0, "16": 30.0}, "prefill": {"512": 128.0}}
    said = "the experts that were counted for this model: 4.00, 30.0, 128 in steps of 1, 16, 512 tokens"
    assert said in told(counted) and "evenly routed it would be 4.00, 51.0, 128" in told(counted)
    assert "steps to read 4 of 128 experts a layer, the same for all tokens, and nothing is faster" in told(counted)
    why_not = "what even routing is expected to need, for experts were not counted (out of memory)."
    assert why_not in told({"why_not": "out of memory"}) and "for experts were not counted. " in told({})


def test_what_routing_explains_is_said_of_a_number_in_doubt_too():
    record = served(16, itl_ms=6.15, tok_s=1948.0, config=GPT_OSS_120B, peaks=H200)
    (sentence, *_) = roofline_sentences(judged(record, "suspect", "too_short", "seen"))
    assert "What binds is not told: no repeat is VALID (too_short)" in sentence and "the same experts" in sentence


def test_vllms_own_counters_are_compared_and_a_contradiction_is_said():
    def counters(flops, read):
        return {
            "counters": {
                _FLOPS: flops,
                _READ: read,
            }
        }

    agreeing = " ".join(roofline_sentences(served(8, **counters(4.3e15, 1.9e14))))
    assert "so the two agree" in agreeing
    doubted = " ".join(roofline_sentences(served(8, **counters(4.3e15, 1.9e12))))
    assert "believe the limit only once it is known why" in doubted
    assert "counters" not in " ".join(roofline_sentences(served(8)))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_counters_that_know_of_no_experts_are_no_reason_to_doubt_the_limit(share):
    record = served(8)
    shape, tokens = roofline_of(record).shape, 80 * (4096 + 1023)
    rest = share * 2 * shape.active_attention * tokens
    told = " ".join(roofline_sentences(served(8, engine="vLLM", counters={_FLOPS: rest, _READ: 1.9e12})))
    assert (
        "vLLM's own counters saw" in told
        and "for vLLM does not count this model's experts: no reason to doubt the limit" in told
    )
    dense = served(8, config=LLAMA_8B, counters={_FLOPS: rest * 0.1, _READ: 1.9e12})
    assert "believe the limit only once it is known why" in " ".join(roofline_sentences(dense))


def test_the_timeline_has_a_panel_a_quantity_on_the_seconds_since_the_first_send():
    record = served(2)
    figure, caption = timeline_figure(record, samples([gpu()], server=SERVER), RAW)
    labels = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes]
    assert labels == ["requests", "output tok/s", "prompt tok/s", "KV cache in use (%)", "GPU power (W)"]
    assert list(figure.axes[0].lines[0].get_xdata()) == [-0.5, 0.5, 1.5, 3.5]
    assert list(figure.axes[1].lines[0].get_ydata()) == [10, 60, 29]
    assert "every 250 ms" in caption and "max_concurrency 2" in caption
    assert timeline_figure(record, samples(), RAW) is None


def test_what_happens_rarely_has_a_panel_only_where_it_happened():
    def labels(**more):
        return [axes.get_ylabel() for axes in timeline_figure(served(2), samples(server=SERVER | more), RAW)[0].axes]

    assert "preempted\nso far" in labels(preemptions=[0, 0, 1, 2]) and "preempted\nso far" not in labels(
        preemptions=[2] * 4
    )


def test_a_gpu_is_summed_up_in_one_sentence_and_what_it_lacks_is_left_out():
    (summed,) = telemetry_summary(samples([gpu()]), RAW).gpus
    assert gpu_text(TelemetrySummary(gpus=(summed,))) == ["GPU 0 (x): 400 W on average."]
    hot = having(summed, throttled_share={"thermal_hardware": 0.25})
    assert gpu_text(TelemetrySummary(gpus=(hot,))) == [
        "GPU 0 (x): 400 W on average, thermal_hardware in 25% of the samples."
    ]


def test_what_was_not_sampled_is_said():
    assert absent_text(TelemetrySummary(absent={"gpu": "NVML: no GPU"})) == ["No GPU was sampled: NVML: no GPU."]
    assert absent_text(TelemetrySummary()) == []


def test_the_report_shows_the_timeline_of_the_fastest_repeat(run):
    assert timeline_of(run)[0] is None
    record = max(
        (record for record in run.records if record.benchmark == "serve"),
        key=lambda record: record.values["output_throughput_tok_s"],
    )
    folder = run.run_dir / run.repeat_path(record, "x").parent
    (folder / "telemetry.json.gz").write_bytes(gzip.compress(json.dumps(samples(server=SERVER)).encode()))
    assert timeline_of(run)[0] is None, "the raw file is not there"
    (folder / "raw.json").write_text(json.dumps(RAW))
    (_, _, title), _ = timeline_of(run)
    assert "8 requests in flight" in title


def test_amounts_have_three_digits_and_a_decimal_prefix():
    assert [amount_text(value) for value in (4.8e12, 13.22e6, 989.4e12, 12.0)] == ["4.80 T", "13.2 M", "989 T", "12.0 "]
