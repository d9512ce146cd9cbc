"""`benchbook compare` and the section of the report that compares launches."""

import csv
import io
import json
import shutil

import pytest
from benchbook.cli import app
from benchbook.errors import ExperimentError
from benchbook.report.differences import comparisons_html
from benchbook.report.run import load_run
from report_runs import make_run
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
