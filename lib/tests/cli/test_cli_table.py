"""`benchbook table` and `show`: a row a case for people, a row a repeat for programs, and only records of the plan."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from benchbook.cli import app
from benchbook.patterns import matches
from benchbook.records.store import Store
from benchbook.report.run import load_run
from benchbook.report.summary import ending
from benchbook.report.table_command import MAX_COLUMNS
from benchbook.terms.exit_codes import OK
from report_runs import failed, judged, make_run
from rich.cells import cell_len
from terminal import on_terminal
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Return a results folder with a run of two launches, in which one repeat failed and one is in doubt."""

    def change(record):
        if record.identity.case_id.startswith("eager,latency") and record.identity.repeat == 1:
            return failed(record)
        if "max_concurrency=8" in record.identity.case_id and record.identity.repeat == 0:
            return judged(record, "suspect", "machine_busy", "another process used 0.8 of a core")
        return record

    folder = tmp_path_factory.mktemp("results")
    make_run(folder, launches=("eager", "compiled"), change=change)
    return folder


def run(results: Path, *words: str, command: str = "table"):
    words = (command, "quickstart/20261123-201500", *words, "--results", str(results))
    return CliRunner().invoke(app, words, catch_exceptions=True)


def sections(text: str) -> list[list[str]]:
    return [part.splitlines() for part in text.split("\n\n")]


def test_people_get_a_row_a_case_with_rounded_means_and_verdicts(results):
    title, serve, latency, *_ = sections(run(results).stdout)
    assert title[0].startswith("quickstart/20261123-201500: ")
    assert serve[0].startswith("Serving") and len(serve) == 3 + 16
    assert "1 VALID, 1 SUSPECT" in serve[-1] and " ± " in serve[-1]
    assert any("1 VALID, 1 failed" in line for line in latency)
    assert not any(len(word.partition(".")[2].rstrip(",")) > 4 for line in serve for word in line.split())


def test_rows_rise_with_the_load_launch_by_launch(results):
    rows = [line.split() for line in sections(run(results).stdout)[1][3:]]
    assert [row[0] for row in rows] == ["eager"] * 8 + ["compiled"] * 8
    assert [row[4] for row in rows] == ["1", "2", "4", "8"] * 4


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_a_table_fits_its_terminal_and_says_so_where_columns_are_left_out(results, columns):
    words = [sys.executable, "-m", "benchbook", "table", "quickstart/20261123-201500", "--results", str(results)]
    with on_terminal(words, cwd=results, columns=columns) as terminal:
        text = terminal.read_to_end()
    assert all(cell_len(line) <= columns for line in text.splitlines())
    assert ("More columns" in text) == (columns < 160)
    assert "Output" in text and "median TTFT" in text


def test_markdown_for_an_issue_is_small_and_rounded(results):
    text = run(results, "--format", "md").stdout
    tables = [part for part in sections(text) if part[0].startswith("|")]
    assert len(tables) == 4 and "**Serving (vllm bench serve)**" in text
    for table in tables:
        assert len({line.count(" | ") for line in table}) == 1 and table[0].count(" | ") < MAX_COLUMNS
        assert all(len(line) < 160 for line in table)


def test_programs_get_every_repeat_and_column_to_the_digit(results):
    rows = json.loads(run(results, "--format", "json").stdout)
    assert len(rows) == 48 and len(list(csv.DictReader(io.StringIO(run(results, "--format", "csv").stdout)))) == 48
    record = Store(results / "quickstart" / "20261123-201500").records()[0]
    row = next(row for row in rows if (row["case_id"], row["repeat"]) == (record.identity.case_id, 0))
    assert all(row[key] == value for key, value in record.values.items())


def test_columns_are_chosen_by_their_names_in_every_format(results):
    names = "launch,p99_ttft_ms,verdict,output_throughput_tok_s"
    lines = run(results, "--columns", names, "--format", "csv").stdout.splitlines()
    assert lines[0] == names and len(lines) == 49
    text = run(results, "--columns", names, "--case", "max_concurrency=8").stdout.splitlines()
    assert text[2].split() == ["case_id", *names.split(",")] and len(text) == 3 + 4 + 2
    assert all("SUSPECT, VALID" in line and "±" in line for line in text[3:7])
    assert text[-1].startswith("All repeats of a case share one start: ± and intervals tell of that")


def test_an_unknown_column_is_answered_with_what_looks_like_it(results):
    error = run(results, "--columns", "p99_tfft_ms").exception
    assert "no column 'p99_tfft_ms'; did you mean 'p99_ttft_ms'" in str(error)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("--case", "serve"), 32),
        (("--case", "max_concurrency=8"), 8),
        (("--case", "max_concurrency=8", "--launch", "eager"), 4),
        (("--launch", "comp*"), 24),
        (("--case", "eager,latency*"), 4),
    ],
)
def test_cases_and_launches_are_chosen_by_patterns(results, words, number):
    assert len(json.loads(run(results, *words, "--format", "json").stdout)) == number


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--case", "max_concurency=8"), "no case fits 'max_concurency=8'; did you mean 'max_concurrency=8'"),
        (("--case", "zzz"), "no case fits 'zzz'; parts of their names are eager, "),
        (("--launch", "egaer"), "no launch 'egaer'; did you mean 'eager'?"),
        (("--launch", "zz*"), "no launch 'zz*' (it has: eager, compiled)"),
    ],
)
def test_a_pattern_that_nothing_fits_is_answered_with_what_there_is(results, words, said):
    assert said in str(run(results, *words).exception)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("eager", True), ("serve", True), ("max_concurrency=8", True), ("max_concurrency=*", True), ("eager,serve,*", True),
     ("max_concurrency", False), ("max_concurrency=80", False), ("eage", False), ("*", True), ("", False)],
)  # fmt: skip
def test_a_pattern_fits_a_whole_name_or_a_part_of_it(pattern, fits):
    assert matches(pattern, "eager,serve,lengths=128x64,max_concurrency=8,num_prompts=80") == fits


@pytest.mark.parametrize("table_format", ["text", "csv", "json", "md"])
def test_a_stale_record_is_in_no_table_and_is_counted_on_the_side(tmp_path, table_format):
    run_dir = make_run(tmp_path)
    store = Store(run_dir)
    assert run(tmp_path, "--format", table_format).stderr == ""
    before = run(tmp_path, "--format", table_format).stdout
    stale = store.records()[0]
    changed = stale.identity.model_copy(update={"fingerprint": "f" * 64})
    store.save(f"{stale.identity.case_id}-ffffffff", stale.model_copy(update={"identity": changed}))
    after = run(tmp_path, "--format", table_format)
    assert after.stdout == before and "left out: 1 stale record of an older plan" in after.stderr


def test_a_run_without_records_has_a_table_all_the_same(tmp_path):
    make_run(tmp_path, change=lambda record: None)
    for table_format in ("text", "csv", "json", "md"):
        assert run(tmp_path, "--format", table_format).exit_code == 0


def test_show_sums_a_run_up_and_names_what_failed(results):
    text = run(results, command="show").stdout
    assert text.startswith("quickstart/20261123-201500 (finished): How do latency")
    assert "2 failed" in text and "out_of_memory" in text and "Answer" in text


def test_a_partial_run_ends_well_and_shows_what_is_missing(tmp_path):
    def only_serve(record):
        return record if record.benchmark == "serve" else None

    run_dir = make_run(tmp_path, change=only_serve, state="partial")
    assert ending(load_run(run_dir))[0] == OK
    assert "8 missing" in run(tmp_path, command="show").stdout


def column(results: Path, name: str, *words: str) -> list[str]:
    """Return the values of one column in the CSV, each once for a run of equal ones."""
    rows = list(csv.DictReader(io.StringIO(run(results, "--format", "csv", *words).stdout)))
    return [row[name] for place, row in enumerate(rows) if not place or rows[place - 1]["case_id"] != row["case_id"]]


def test_cases_are_chosen_by_what_they_are_and_by_the_mean_of_what_they_measured(results):
    all_cases, some = column(results, "case_id"), column(results, "case_id", "--where", "max_concurrency>=4")
    assert 0 < len(some) < len(all_cases) and all("max_concurrency=4" in case or "=8" in case for case in some)
    assert set(column(results, "launch", "--where", "launch=comp*", "--where", "benchmark != serve")) == {"compiled"}
    slow = column(results, "median_ttft_ms", "--where", "median_ttft_ms>1")
    assert slow and "" not in slow
    assert not any("max_concurrency=8" in case for case in column(results, "case_id", "--where", "verdict=VALID"))


def test_a_case_that_is_chosen_keeps_all_of_its_repeats(results):
    """A mean of the repeats that were chosen by their values would be none."""
    everything = list(csv.DictReader(io.StringIO(run(results, "--format", "csv").stdout)))
    median = sorted(float(row["output_throughput_tok_s"]) for row in everything if row["output_throughput_tok_s"])
    words = ("--where", f"output_throughput_tok_s > {median[len(median) // 2]}")
    chosen = list(csv.DictReader(io.StringIO(run(results, "--format", "csv", *words).stdout)))
    for case in {row["case_id"] for row in chosen}:
        assert [row for row in chosen if row["case_id"] == case] == [
            row for row in everything if row["case_id"] == case
        ]


def test_cases_stand_in_the_order_of_a_column_and_those_without_a_value_last(results):
    rising = column(results, "max_concurrency", "--sort", "max_concurrency")
    assert [value for value in rising if value] == sorted(filter(None, rising), key=float) and rising[-1] == ""
    falling = [line.split() for line in sections(run(results, "--sort", "-max_concurrency").stdout)[1][3:]]
    assert [row[4] for row in falling] == ["8"] * 4 + ["4"] * 4 + ["2"] * 4 + ["1"] * 4


def test_a_condition_or_an_order_that_cannot_be_is_refused_in_one_line(results):
    refused = {
        ("--where", "median_ttft"): "write COLUMN=VALUE",
        ("--where", "median_tft_ms<5"): "median_ttft_ms",
        ("--where", "median_ttft_ms<fast"): "'fast' is not a number",
        ("--where", "launch>5"): "'eager' is not a number",
        ("--where", "max_concurrency=77"): "no case meets it",
        ("--sort", "-max_concurency"): "max_concurrency",
    }
    for words, said in refused.items():
        result = run(results, *words)
        assert said in str(result.exception), words
