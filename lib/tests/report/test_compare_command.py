"""`benchbook compare` and the section of the report that compares launches."""

import csv
import io
import json
import re
import shutil
import sys

import pytest
from benchbook.cli import app
from benchbook.judge.compare import Finding
from benchbook.records.files import read_json, write_json
from benchbook.records.record import Reason, Verdict
from benchbook.report.compare_command import two_launches
from benchbook.report.comparisons import comparisons_html
from benchbook.report.differences import comparisons_of, how_to_read
from benchbook.report.forest import forest_figure
from benchbook.report.run import REMARK_FILE, load_run
from benchbook.terms.errors import ExperimentError
from report_runs import make_run
from terminal import on_terminal
from typer.testing import CliRunner

TWO = ("eager", "compiled")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a results folder with two runs of two launches."""
    folder = tmp_path_factory.mktemp("results")
    run_dir = make_run(folder, launches=TWO, repeats=4, benchmarks=("serve", "latency"), concurrencies=(1, 4))
    shutil.copytree(run_dir, run_dir.with_name("20261124-090000"))
    return folder


def compare(results, *words):
    return CliRunner().invoke(app, ["compare", *words, "--results", str(results)], catch_exceptions=False)


def test_it_prints_sentences_and_a_row_a_case_and_metric(results):
    done = compare(results, "quickstart/20261123-201500", *TWO)
    assert done.exit_code == 0
    assert "4 serve cases together: compiled is 3" in done.stdout
    assert "2 latency cases together: compiled is 2" in done.stdout
    assert "change [95 %]" in done.stdout and "[+3" in done.stdout


def test_two_launches_need_no_names_and_one_name_leaves_the_other(results):
    named = compare(results, "quickstart/20261123-201500", *TWO).stdout
    assert compare(results, "quickstart/20261123-201500").stdout == named
    assert compare(results, "quickstart/20261123-201500", "eager").stdout == named


@pytest.mark.parametrize("launches", [(*TWO, "third"), (*TWO, *"cdef"), (*TWO, *"cdefgh")])
def test_one_pair_of_many_has_the_bounds_that_the_report_gives_it(tmp_path, launches):
    make_run(tmp_path, launches=launches, repeats=4, benchmarks=("serve",), concurrencies=(4,))
    shown = comparisons_of(load_run(tmp_path / "quickstart" / "20261123-201500"))
    for of_report in shown:
        alone = two_launches("quickstart", "quickstart", of_report.base, of_report.other, tmp_path)
        assert [row.bounds for row in alone.rows] == [row.bounds for row in of_report.rows]
        assert [row.finding for row in alone.rows] == [row.finding for row in of_report.rows]
        back = two_launches("quickstart", "quickstart", of_report.other, of_report.base, tmp_path)
        assert [row.confidence for row in back.rows] == [row.confidence for row in alone.rows]
    assert f"{len(launches) - 1} such comparisons" in how_to_read(alone)


def test_launches_of_two_versions_are_told_with_them_and_all_packages_that_differ(tmp_path):
    started = {"kind": "server", "argv": ["/next/bin/python", "serve"], "python": "/next/bin/python"}
    host = {**started, "packages": {"vllm": "0.33.0+cpu", "torch": "2.14.0+cpu", "transformers": "5.19.0"}}
    folder = make_run(tmp_path, launches=TWO, repeats=4, benchmarks=("serve",), concurrencies=(4,))
    header = read_json(folder / "run.json")
    header["launches"]["compiled"] |= {"python": "/next/bin/python", "hosts": [host]}
    write_json(folder / "run.json", header)
    (of_report,) = comparisons_of(load_run(folder))
    alone = two_launches("quickstart", "quickstart", "", "", tmp_path)
    for comparison in (of_report, alone):
        assert (comparison.base, comparison.other) == ("eager (vLLM 0.32.0+cpu)", "compiled (vLLM 0.33.0+cpu)")
        said = comparison.difference
        assert "vllm 0.33.0+cpu (eager" in said and "torch 2.14.0+cpu (eager" in said and "transformers" not in said
    assert [row.bounds for row in alone.rows] == [row.bounds for row in of_report.rows]
    assert "compiled (vLLM 0.33.0+cpu) is 3" in compare(tmp_path, "quickstart/20261123-201500").stdout


def test_a_pair_without_the_first_launch_shares_with_all_pairs(tmp_path):
    make_run(tmp_path, launches=(*TWO, "third", "fourth"), repeats=4, benchmarks=("serve",), concurrencies=(4,))
    error = {
        pair: sum(1 - row.confidence for row in two_launches("quickstart", "quickstart", *pair, tmp_path).rows)
        for pair in (("eager", "third"), ("third", "fourth"))
    }
    assert error == {("eager", "third"): pytest.approx(0.05 / 3), ("third", "fourth"): pytest.approx(0.05 / 6)}


def test_of_three_launches_those_to_compare_must_be_named(tmp_path):
    make_run(tmp_path, launches=(*TWO, "third"), repeats=2)
    done = CliRunner().invoke(app, ["compare", "quickstart", "eager", "--results", str(tmp_path)])
    assert isinstance(done.exception, ExperimentError) and "name the launches to compare, such as eager" in str(
        done.exception
    )


def test_of_one_launch_it_is_said_that_there_is_no_other(tmp_path):
    make_run(tmp_path, launches=("eager",), repeats=2)
    done = CliRunner().invoke(app, ["compare", "quickstart", "--results", str(tmp_path)])
    assert "eager is the only one here, and takes another run" in str(done.exception)


def test_repeats_in_doubt_that_cannot_answer_are_said_first(tmp_path):
    def doubtful(record):
        reasons = (Reason(code="machine_busy", severity="suspect", evidence="others used 90 %"),)
        return record.model_copy(update={"verdict": Verdict.SUSPECT, "reasons": reasons})

    make_run(tmp_path, launches=TWO, repeats=4, change=doubtful)
    assert "This run cannot answer" in compare(tmp_path, "quickstart").stdout


@pytest.mark.parametrize("text_format", ["csv", "json"])
def test_other_formats_hold_the_digits_and_the_sentence(results, text_format):
    printed = compare(results, "quickstart/20261123-201500", *TWO, "--format", text_format).stdout
    rows = json.loads(printed) if text_format == "json" else list(csv.DictReader(io.StringIO(printed)))
    assert rows[0]["finding"] == "better" and rows[0]["metric"] == "output_throughput_tok_s"
    assert float(rows[0]["ratio_low_95"]) < float(rows[0]["ratio"]) < float(rows[0]["ratio_high_95"])
    assert all(row["sentence"].endswith(".") for row in rows)


def test_markdown_is_a_table(results):
    lines = compare(results, "quickstart/20261123-201500", *TWO, "--format", "md").stdout.splitlines()
    assert lines[0].startswith("| case | metric |") and lines[1].startswith("| --- |")


def test_launches_of_two_runs_are_compared_with_a_warning(results):
    words = ["quickstart/20261123-201500", "eager", "eager", "--other-run", "quickstart/20261124-090000"]
    done = compare(results, *words)
    assert "eager (20261124-090000)" in done.stdout and "not in turn" in done.stdout
    as_csv = compare(results, *words, "--format", "csv")
    assert "caveat: " in as_csv.stderr and "not in turn" in as_csv.stderr and "caveat" not in as_csv.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eager", "compild"], "no launch 'compild'; did you mean 'compiled'?"),
        (["eager", "zzz"], r"no launch 'zzz' \(it has: eager, compiled\)"),
        (["eager", "eager"], "A and B are both 'eager'"),
        (["eager", "compiled", "--other-run", "nowhere"], "no run 'nowhere'"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(results, words, said):
    with pytest.raises(ExperimentError, match=said) as refused:
        compare(results, "quickstart/20261123-201500", *words)
    assert len(str(refused.value).splitlines()) == 1


def test_launches_without_a_number_in_common_are_refused_with_the_reason(tmp_path):
    make_run(tmp_path, launches=TWO, change=lambda record: None if record.identity.launch == "eager" else record)
    with pytest.raises(ExperimentError, match="no number to compare: Measured on one of the launches only"):
        compare(tmp_path, "quickstart/20261123-201500", *TWO)


def test_the_report_says_plainly_when_there_is_nothing_to_compare(tmp_path):
    assert "nothing to compare" in comparisons_html(load_run(make_run(tmp_path)))


def test_the_report_compares_every_launch_with_the_first(tmp_path):
    launches = ("eager", "compiled", "third")
    html = comparisons_html(load_run(make_run(tmp_path, launches=launches, repeats=4)))
    assert "<h3>compiled against eager</h3>" in html and "<h3>third against eager</h3>" in html
    assert "8 serve cases together: compiled is 3" in html and "better, at least " in html


def test_a_terminal_of_80_columns_breaks_no_case_number_or_interval(results):
    words = [
        sys.executable,
        "-m",
        "benchbook",
        "compare",
        "quickstart/20261123-201500",
        *TWO,
        "--results",
        str(results),
    ]
    with on_terminal(words, cwd=results) as terminal:
        text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.read_to_end())
    lines = text.splitlines()
    assert all(case in lines for case in {row.name for row in comparison_rows(results)})
    assert len(re.findall(r"\d %\s\[[^\]]+\]", text)) >= 10
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)


def comparison_rows(results):
    return two_launches("quickstart/20261123-201500", "quickstart/20261123-201500", *TWO, results).rows


def test_the_report_draws_every_row_of_a_comparison_with_its_interval_and_the_line_at_one(tmp_path):
    run = load_run(make_run(tmp_path, launches=TWO, repeats=6, concurrencies=(4,), benchmarks=("serve",)))
    (comparison,) = comparisons_of(run)
    figure, caption = forest_figure(comparison)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["", "Output throughput (tok/s) ↑"] and labels.count("p99 TTFT (ms) ↓") == 2
    assert "2 serve cases together" in [text.get_text() for text in axes.texts]
    assert [1.0, 1.0] in [list(line.get_xdata()) for line in axes.lines]
    drawn = [tuple(line.get_xdata()) for line in axes.lines]
    assert all(row.interval in drawn and (row.ratio.ratio,) in drawn for row in comparison.rows)
    assert "compiled against eager" in caption and "6 pairs of rounds" in caption
    assert comparisons_html(run).count("<figure>") == 1


def test_a_claim_is_filled_and_what_is_none_is_hollow(tmp_path):
    def change(record):
        key = "output_throughput_tok_s"
        factor = 1.35 if record.identity.launch == "compiled" else 1
        values = {key: factor * 100 + record.identity.repeat, "p99_ttft_ms": 50.0 + record.identity.repeat % 3}
        return record.model_copy(update={"values": {**record.values, **values}})

    options = {"launches": TWO, "repeats": 6, "concurrencies": (4,), "benchmarks": ("serve",)}
    run = load_run(make_run(tmp_path, **options, change=change))
    comparison = comparisons_of(run)[0]
    figure, _ = forest_figure(comparison)
    marks = {line.get_xdata()[0]: line for line in figure.axes[0].lines if len(line.get_xdata()) == 1}
    findings = {row.finding for row in comparison.rows}
    assert {Finding.BETTER, Finding.UNKNOWN} <= findings
    for row in comparison.rows:
        is_hollow = marks[row.ratio.ratio].get_markerfacecolor() == "white"
        assert is_hollow is (row.finding in (Finding.OPEN, Finding.UNKNOWN)), row


def test_many_rows_are_cut_to_the_headlines_by_metric_and_the_caption_counts_the_rest(tmp_path):
    run = load_run(make_run(tmp_path, launches=TWO, repeats=6))
    (comparison,) = comparisons_of(run)
    figure, caption = forest_figure(comparison)
    headlines = [row for row in comparison.rows if row.is_headline]
    assert f"{len(comparison.rows) - len(headlines)} more rows are in the table" in caption
    assert "128 in / 64 out, 8 requests in flight" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_two_pairs_are_said_once_to_have_no_interval_and_no_format_has_an_absurd_number(tmp_path):
    make_run(tmp_path, launches=TWO, repeats=2, concurrencies=(1, 4))
    done = compare(tmp_path, "quickstart/20261123-201500", *TWO)
    assert done.stdout.count("there is no interval to speak of") == 1 and ">1,000" not in done.stdout
    rows = json.loads(compare(tmp_path, "quickstart/20261123-201500", *TWO, "--format", "json").stdout)
    for row in rows:
        assert row["bounds_low"] is row["bounds_high"] is row["ratio_high_95"] is row["detectable_share"] is None
    table = compare(tmp_path, "quickstart/20261123-201500", *TWO, "--format", "csv").stdout
    assert not re.search(r"e\+\d", table)


def test_two_cases_that_differ_in_more_than_load_and_lengths_keep_their_whole_text(tmp_path):
    def vary(benchmark, workload):
        return [{**workload, "temperature": temperature} for temperature in (0.0, 1.0)]

    options = {"launches": TWO, "repeats": 3, "concurrencies": (4,), "benchmarks": ("serve",)}
    run = load_run(make_run(tmp_path, **options, vary=vary))
    names = [row.name for row in comparisons_of(run)[0].rows if row.num_cases == 1 and row.is_headline]
    assert len(set(names)) == len(names) == 4 and all(name.startswith("serve,input_len_tokens") for name in names)


def test_a_remark_on_a_run_is_told_with_its_comparison_and_its_summary(tmp_path):
    run_dir = make_run(tmp_path, launches=TWO, repeats=3, benchmarks=("throughput",))
    (run_dir / REMARK_FILE).write_text("The fan\nwas off.\n")
    for words in (["compare", run_dir.name, *TWO], ["show", run_dir.name]):
        done = CliRunner().invoke(app, [*words, "--results", str(tmp_path)], catch_exceptions=False)
        assert " ".join(done.output.split()).count("The fan was off.") == 1
