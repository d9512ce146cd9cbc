"""The figures: what is drawn, what the caption says, and runs that have little or too much to draw."""

import json
from collections import defaultdict
from types import SimpleNamespace

import pytest
from benchbook.records.conditions import Conditions
from benchbook.records.described import described
from benchbook.records.record import Identity, SentSet
from benchbook.report import drawing
from benchbook.report.captions import caption_of
from benchbook.report.curves import MAX_LINES, serve_curves
from benchbook.report.drawing import canvas, from_zero, rehearse
from benchbook.report.figures import floor_figure, latency_figure, throughput_figure, tradeoff_figure
from benchbook.report.markup import figure_html
from benchbook.report.repeat.figures import latency_figure as one_batch_figure
from benchbook.report.repeat.figures import serve_figure
from benchbook.report.repeat.length_figure import length_figure
from benchbook.report.repeat.readings import serve_reading
from benchbook.report.run import load_run
from benchbook.report.set_figure import given_figure, sets_figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from report_runs import LENGTHS, failed, judged, make_record, make_run

FIGURES = (throughput_figure, latency_figure, tradeoff_figure, floor_figure)


def a_case(benchmark, workload):
    return SimpleNamespace(workload=workload, **described(benchmark, workload)._asdict())


def drawn(draw, run, place=0):
    """Return the figure and caption of the run's first kind of load, or another."""
    return draw(run, run.curves[place])


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("highest", [0.003, 0.7, 9.0, 17.0, 26.0, 260.0, 1290.0])
def test_the_labels_of_an_axis_are_the_values_of_its_ticks(highest):
    """Once 2.5, 5, 7.5 and 10 were labelled 2, 5, 8 and 10."""
    figure, (axes,) = canvas(1, 1, height_in=3.0)
    axes.plot([1, 2], [0, highest])
    from_zero(axes)
    figure.draw_without_rendering()
    labels = [label.get_text().replace(",", "").replace("−", "-") for label in axes.get_yticklabels()]
    assert [float(label) for label in labels] == pytest.approx(list(axes.get_yticks()))


def test_captions_name_axes_units_direction_repeats_and_what_was_fixed(tmp_path):
    run = load_run(make_run(tmp_path))
    for draw in FIGURES:
        _, caption = drawn(draw, run)
        assert "er is better)" in caption
        assert "2 repeats of one start a point" in caption
        assert "Fixed: burstiness 1, num_prompts 10 for each request in flight" in caption.replace(
            "temperature 0, ", ""
        )


def test_captions_say_that_weights_are_random_and_only_where_they_are(tmp_path):
    run = load_run(make_run(tmp_path))
    assert all(drawn(draw, run)[1].endswith("Random weights.") for draw in FIGURES)
    trained = SimpleNamespace(measured_table=run.measured_table, has_random_weights=False)
    assert "Random weights" not in caption_of(trained, run.curves[0], ["output_throughput_tok_s"], "x", "")


def test_axes_carry_units_and_plain_concurrencies(tmp_path):
    figure, _ = drawn(throughput_figure, load_run(make_run(tmp_path)))
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert axes.get_ylabel() == "Output throughput (tok/s)"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8"]
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize("launches", [("eager",), ("eager", "compiled")])
def test_no_two_lines_share_a_marker(tmp_path, launches):
    run = load_run(make_run(tmp_path, launches=launches))
    figure, _ = drawn(throughput_figure, run)
    handles = [
        handle
        for handle in figure.legends[0].legend_handles
        if handle.get_label() in {line.label for line in run.lines}
    ]
    assert len(handles) == len(launches) * len(LENGTHS)
    assert len({handle.get_marker() for handle in handles}) == len(handles)


def test_doubtful_repeats_are_explained_in_the_legend_only_where_they_occur(tmp_path):
    def change(record):
        severity = {"=1,": "suspect", "=8,": "invalid"}.get(record.identity.case_id.split("max_concurrency")[-1][:3])
        return judged(record, severity, "odd", "because") if record.benchmark == "serve" and severity else record

    sound, odd = (drawn(throughput_figure, load_run(make_run(tmp_path / name, change=how)))[0]
                  for name, how in (("sound", lambda record: record), ("odd", change)))  # fmt: skip
    assert not any("SUSPECT" in text or "INVALID" in text for text in legend_texts(sound))
    assert any("SUSPECT" in text for text in legend_texts(odd))
    assert any("INVALID" in text for text in legend_texts(odd))


def test_one_repeat_says_that_its_spread_is_unknown(tmp_path):
    _, caption = drawn(throughput_figure, load_run(make_run(tmp_path, repeats=1)))
    assert "1 repeat a point, spread unknown" in caption


@pytest.mark.parametrize("launches", [("eager",), ("eager", "compiled")])
def test_several_lines_with_one_load_each_are_drawn_side_by_side_and_not_as_curves_of_one_point(tmp_path, launches):
    run = load_run(make_run(tmp_path, launches=launches, concurrencies=(8,), repeats=3, slo={"p99_ttft_ms": 60.0}))
    for draw, panels in ((throughput_figure, 1), (latency_figure, 4)):
        figure, caption = drawn(draw, run)
        figure.draw_without_rendering()
        assert len(figure.axes) == panels and "with 8 requests in flight" in caption
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [line.label for line in run.lines]
    assert drawn(tradeoff_figure, run) is None
    drawn(floor_figure, run)[0].draw_without_rendering()


def test_a_single_line_with_one_load_can_be_drawn(tmp_path):
    def change(record):
        return record if record.workload.get("input_len_tokens") == 128 else None

    run = load_run(make_run(tmp_path, concurrencies=(8,), repeats=1, change=change))
    for draw in FIGURES:
        drawn(draw, run)[0].draw_without_rendering()


def test_an_open_loop_is_drawn_by_its_rate_with_what_is_offered_as_a_diagonal(tmp_path):
    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 4.5, 12), slo={"p50_ttft_ms": 60.0}))
    (curves,) = run.curves
    assert curves.load.is_open and curves.loads == [2, 4.5, 12]
    for draw in FIGURES:
        figure, caption = draw(run, curves)
        figure.draw_without_rendering()
        assert draw is tradeoff_figure or "by offered rate (req/s)." in caption
    reached = throughput_figure(run, curves)[0].axes[0]
    assert [label.get_text() for label in reached.get_xticklabels()] == ["2", "4.5", "12"]
    assert [0, 12] in [list(line.get_xdata()) for line in reached.lines if list(line.get_ydata()) == [0, 12]]
    assert "the SLO's limit" in latency_figure(run, curves)[1], "a p50 is the median"


def test_goodput_is_drawn_beside_what_is_answered_where_it_was_measured(tmp_path):
    def change(record):
        good = record.values.get("request_throughput_rps")
        return record.model_copy(update={"values": {**record.values, "request_goodput_rps": good and 0.9 * good}})

    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 4), change=change))
    figure, caption = drawn(throughput_figure, run)
    assert [axes.get_ylabel() for axes in figure.axes] == ["Request throughput (req/s)", "Goodput (req/s)"]
    assert caption.startswith("Request throughput, Goodput (req/s, higher is better)")


def test_a_run_of_closed_and_open_loops_has_each_figure_twice(tmp_path):
    run = load_run(make_run(tmp_path, rates=(2, 4)))
    assert [curves.load.key for curves in run.curves] == ["max_concurrency", "request_rate_rps"]
    assert all(draw(run, curves) for curves in run.curves for draw in FIGURES)


def test_a_cap_below_a_rate_leaves_the_loop_open_and_splits_its_line(tmp_path):
    def vary(benchmark, workload):
        return [{**workload, "max_concurrency": cap} for cap in (None, 8)]

    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 4), benchmarks=("serve",), vary=vary))
    labels = {line.label for line in run.lines if line.curve == "128 in / 64 out"}
    assert labels == {"128 in / 64 out, max_concurrency=8", "128 in / 64 out, max_concurrency=none"}


@pytest.mark.parametrize("options", [{"change": failed}, {"benchmarks": ("latency", "throughput")}])
def test_a_run_without_measured_serve_cases_has_no_figure(tmp_path, options):
    run = load_run(make_run(tmp_path, **options))
    assert run.curves == []


def test_without_a_latency_case_of_the_same_lengths_there_is_no_floor_figure(tmp_path):
    run = load_run(make_run(tmp_path, benchmarks=("first_request", "serve")))
    assert drawn(floor_figure, run) is None
    assert drawn(throughput_figure, run) is not None


def test_only_invalid_repeats_still_show_as_crosses(tmp_path):
    def change(record):
        return judged(record, "invalid", "requests_failed", "all of them")

    figure, caption = drawn(throughput_figure, load_run(make_run(tmp_path, change=change)))
    figure.draw_without_rendering()
    assert "0 repeats a point" in caption


def test_the_limit_of_the_slo_is_drawn_where_it_applies(tmp_path):
    figure, caption = drawn(latency_figure, load_run(make_run(tmp_path, slo={"p99_ttft_ms": 40.0})))
    assert "limit of the SLO" in legend_texts(figure)
    assert "the SLO's limit" in caption


def test_more_lines_than_can_be_told_apart_are_cut_to_the_highest_and_said_so(tmp_path):
    launches = tuple(f"launch{number}" for number in range(6))
    run = load_run(make_run(tmp_path, launches=launches, concurrencies=(1, 8), repeats=1, benchmarks=("serve",)))
    _, caption = drawn(throughput_figure, run)
    assert (len(run.lines), run.curves[0].num_lines) == (MAX_LINES, 12)
    assert "8 of 12 lines" in caption
    every_line = serve_curves(run.table, run.curve_of, limit=100)[0].lines
    peaks = {line.key: max(line.means("output_throughput_tok_s").values()) for line in every_line}
    assert {line.key for line in run.lines} == set(sorted(peaks, key=peaks.get)[-MAX_LINES:])


def test_what_comes_all_at_once_or_rises_is_no_point_of_a_curve(tmp_path):
    run = load_run(make_run(tmp_path, rates=(1.0, 4.0, 8.0), benchmarks=("serve",)))
    for said in ("inf", "1 to 16 linear", "2 to 8 exponential"):
        rates = run.table["request_rate_rps"].astype(object)
        table = run.table.assign(request_rate_rps=rates.where(rates != 8.0, said), max_concurrency=32)
        (curves,) = serve_curves(table[rates.notna()], run.curve_of)
        assert curves.load.is_open and curves.loads == [1.0, 4.0]


def test_the_axes_keep_their_height_however_many_lines_the_legend_names(tmp_path):
    heights_in = []
    for launches in (("eager",), tuple(f"launch{number}" for number in range(8))):
        run = load_run(make_run(tmp_path / str(len(launches)), launches=launches, benchmarks=("serve",)))
        figure, _ = drawn(latency_figure, run)
        FigureCanvasAgg(figure).draw()
        heights_in.append(figure.axes[0].bbox.height / figure.dpi)
    assert heights_in[1] == pytest.approx(heights_in[0], rel=0.03)


def test_a_further_axis_splits_a_line(tmp_path):
    def vary(benchmark, workload):
        return [{**workload, "temperature": temperature} for temperature in (0.0, 0.5)]

    labels = [line.label for line in load_run(make_run(tmp_path, benchmarks=("serve",), vary=vary)).lines]
    assert labels[:2] == ["128 in / 64 out, temperature=0", "128 in / 64 out, temperature=0.5"]


def test_the_figure_of_a_serving_case_ends_each_bar_at_the_last_token_also_where_vllm_kept_no_latencies():
    workload = {"num_prompts": 2, "input_len_tokens": 8, "output_len_tokens": 3, "max_concurrency": 2}
    raw = {"start_times": [5.0, 5.5], "ttfts": [0.2, 0.3], "itls": [[0.1, 0.1], [0.25, 0.25]]}
    ends = []
    for kept in ({}, {"latencies": [0.4, 0.8]}):  # as vLLM 0.26 writes it, and as 0.32 does
        figure, _ = serve_figure(a_case("serve", workload), {**raw, **kept})
        ends.append(list(figure.axes[0].patches[1].get_data().values))
    assert ends == [pytest.approx([0.4, 1.3]), pytest.approx([0.4, 1.3])]


def test_a_serving_case_that_sent_nothing_has_a_figure_without_bars():
    workload = {"num_prompts": 2, "input_len_tokens": 8, "output_len_tokens": 3, "max_concurrency": 2}
    raw = {"start_times": [], "ttfts": [], "itls": []}
    figure, _ = serve_figure(a_case("serve", workload), raw)
    assert not figure.axes[0].patches


def test_lengths_are_drawn_where_requests_differ_and_turns_where_there_are_any():
    workload = {"num_prompts": 3, "input_len_tokens": 8, "output_len_tokens": 3, "max_concurrency": 2}
    raw = {"start_times": [5.0, 5.5, 6.0], "ttfts": [0.2, 0.3, 0.1], "itls": [[0.1], [0.2], [0.1]],
           "output_lens": [2, 2, 2]}  # fmt: skip
    record = make_record(Identity(), "serve", workload)
    assert length_figure(record, {**raw, "input_lens": [8, 8, 8]}) is None
    assert length_figure(record, {"input_lens": [], "start_times": []}) is None
    for lengths in ([8, 100, 3000], [1, 1, 2], [0, 5, 5]):
        figure, caption = length_figure(record, {**raw, "input_lens": lengths})
        figure.draw_without_rendering()
        assert len(figure.axes) == 2 and "3 answered requests" in caption
        assert sorted(figure.axes[1].lines[0].get_xdata()) == sorted(lengths)
    turns = record.model_copy(update={"conditions": Conditions(sent={"median_ttft_by_turn_ms": [5.0, None, 9.0]})})
    figure, caption = length_figure(turns, {**raw, "input_lens": [8, 8, 8]})
    assert len(figure.axes) == 3 and list(figure.axes[2].lines[0].get_xdata()) == [1, 3]
    assert "turn of the conversation" in caption
    (said,) = [line for line in serve_reading(turns, raw) if "By turn" in line]
    assert "5.0, 9.0 ms" in said


def test_a_report_draws_a_row_for_each_set_from_what_can_be_read_and_nothing_without_sets(tmp_path):
    without = make_run(tmp_path / "without", benchmarks=("serve",), concurrencies=(1,))
    assert sets_figure(load_run(without), "serve") is None

    def of_set(record):
        name = {1: "chat", 2: "chat", 4: "talks", 8: "lost"}[record.workload["max_concurrency"]]
        sent = SentSet(name=name, sha256="", start=0, endpoint="chat", ends_by="any", sampling={})
        turns = {"sent": {"median_ttft_by_turn_ms": [5.0, 9.0] if name == "talks" else None}}
        return record.model_copy(update={"requests": sent, "conditions": Conditions(**turns)})

    run_dir = make_run(tmp_path, benchmarks=("serve",), launches=("eager", "graphs"), change=of_set)
    for record_path in run_dir.glob("cases/*/repeat=0/record.json"):
        record = json.loads(record_path.read_text())
        in_flight = record["workload"]["max_concurrency"]
        raw = {"start_times": [1.0] * 3, "ttfts": [0.1, 0.2, 0.3], "itls": [[0.1]] * 3, "output_lens": [2] * 3,
               "latencies": [0.3] * 3, "input_lens": [in_flight * 10] * 3}  # fmt: skip
        text = json.dumps(raw)
        record_path.with_name("raw.json").write_text(text[:40] if in_flight == 8 else text)
    figure, caption = sets_figure(load_run(run_dir), "serve")
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["chat", "talks"]
    assert len(figure.axes) == 6 and "lost" not in caption
    assert "chat (eager, 2 requests in flight), talks (eager, 4 requests in flight)" in caption
    assert set(figure.axes[1].lines[0].get_xdata()) == {20} and list(figure.axes[5].lines[0].get_xdata()) == [1, 2]


def test_a_set_that_an_engine_was_given_is_drawn_from_what_it_noted_and_not_where_it_noted_nothing(tmp_path):
    def of_set(record):
        sent = SentSet(name="words", sha256="", start=0, endpoint="completions", ends_by="length", sampling={})
        return record.model_copy(update={"requests": sent})

    run_dir = make_run(tmp_path, benchmarks=("throughput",), launches=("eager", "graphs"), change=of_set)
    assert given_figure(load_run(run_dir), "throughput") is None
    record_paths = sorted(run_dir.glob("cases/*/repeat=0/record.json"))
    for lengths in (
        {"counted_tokens": [3, None]},
        {"answered_tokens": [5, 5]},
        {"counted_tokens": [], "answered_tokens": []},
    ):
        for path in record_paths:
            path.with_name("sent.json").write_text(json.dumps(lengths))
        assert given_figure(load_run(run_dir), "throughput") is None
    for path in record_paths:
        path.with_name("sent.json").write_text(json.dumps({"counted_tokens": [3, 9, 9], "answered_tokens": [5, 5, 5]}))
    figure, caption = given_figure(load_run(run_dir), "throughput")
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["words"] and caption.endswith("words (eager).")
    assert sets_figure(load_run(run_dir), "serve") is None


def test_what_was_guessed_cached_and_waited_for_is_read_out_where_it_was_counted():
    workload = {"num_prompts": 3, "input_len_tokens": 8, "output_len_tokens": 3, "max_concurrency": 2}
    record = make_record(Identity(), "serve", workload)
    for more, words in (
        (
            {"spec_acceptance_pct": 61.5, "spec_acceptance_length_tok": 2.85},
            "62 % came true: each sequence got 2.85 tokens",
        ),
        (
            {"prefix_hit_pct": 80.25, "cached_tokens": 12345},
            "80.2 % of the prompt tokens came from the prefix cache: 12,345",
        ),
        ({"mean_server_queue_ms": 4.2}, "waited 4.2 ms in the server"),
        (
            {"mean_client_queue_ms": 1.5, "mean_server_queue_ms": 4.2},
            "waited 1.5 ms in the client and 4.2 ms in the server",
        ),
    ):
        with_more = record.model_copy(update={"values": {**record.values, **more}})
        assert words in " ".join(serve_reading(with_more, {}))
        assert words not in " ".join(serve_reading(record, {}))


def test_every_iteration_of_a_latency_case_lies_inside_its_figure():
    workload = {"num_iters_warmup": 3, "batch_size": 1, "input_len_tokens": 8, "output_len_tokens": 3}
    raw = {"latencies": [0.200, 0.205, 0.219], "percentiles": {"50": 0.205}}
    figure, _ = one_batch_figure(a_case("latency", workload), raw)
    FigureCanvasAgg(figure).draw()
    marks = figure.axes[0].lines[0]
    tops = figure.axes[0].transData.transform(marks.get_xydata())[:, 1] + marks.get_markersize() / 2 * figure.dpi / 72
    assert tops.max() < figure.axes[0].bbox.y1


def test_a_figure_that_was_made_ahead_is_the_same_to_the_last_dot(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_made_ahead", defaultdict(list))
    run = load_run(make_run(tmp_path, launches=("a", "b")))
    figures = (throughput_figure, latency_figure, tradeoff_figure, throughput_figure)
    drawn = [figure_html(*draw(run, *run.curves)) for draw in figures]
    rehearse()
    assert [figure_html(*draw(run, *run.curves)) for draw in figures] == drawn
    assert not drawing._made_ahead[2, 2] and len(drawing._made_ahead[1, 1]) == 1, "they were made ahead"
    assert figure_html(*latency_figure(run, *run.curves)) == drawn[1], "and each is given once"
