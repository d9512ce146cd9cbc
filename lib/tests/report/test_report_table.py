"""The tidy table, the table of cases, and their three formats."""

import csv
import io
import json

import pandas as pd
import pytest
from benchbook.records.store import Store
from benchbook.report.table import believed, case_table, render_table, tidy_table
from benchbook.terms.metrics import METRICS
from hypothesis import given
from hypothesis import strategies as st
from report_runs import failed, judged, make_run


@pytest.fixture
def records(tmp_path):
    def change(record):
        if "max_concurrency=8" in record.identity.case_id and record.identity.repeat == 1:
            return judged(record, "invalid", "short_output", "asked for 64 tokens, got 12")
        return failed(record) if record.benchmark == "latency" else record

    return Store(make_run(tmp_path, change=change)).records()


def test_there_is_one_row_a_repeat_with_every_metric_by_its_key(records):
    table = tidy_table(records)
    assert len(table) == len(records) == 24
    assert {metric.key for metric in METRICS} <= set(table.columns)
    row = table.iloc[0]
    assert (row["case_id"], row["repeat"]) == (records[0].identity.case_id, records[0].identity.repeat)


def test_a_failed_repeat_has_nothing_where_a_number_would_be(records):
    rows = tidy_table(records).query("outcome == 'host_failed'")
    assert len(rows) == 4
    assert rows[[metric.key for metric in METRICS]].isna().all(axis=None)
    assert set(rows["cause"]) == {"out_of_memory"}


def test_numbers_in_every_format_equal_the_records_to_the_digit(records):
    table = tidy_table(records)
    from_csv = list(csv.DictReader(io.StringIO(render_table(table, "csv"))))
    from_json = json.loads(render_table(table, "json"))
    for record, csv_row, json_row in zip(records, from_csv, from_json, strict=True):
        for key, value in record.values.items():
            assert json_row[key] == value
            assert csv_row[key] == ("" if value is None else repr(value))


def test_the_csv_is_that_of_pandas(records):
    table = tidy_table(records)
    assert render_table(table, "csv") == table.to_csv(index=False)


def test_a_secret_stands_neither_in_the_fields_nor_in_the_headings_of_the_csv(records, monkeypatch):
    shape, value = "hf_" + "a1" * 15, "known by its name alone"
    monkeypatch.setenv("MY_API_KEY", value)
    record = records[0].model_copy(update={"workload": {"note": f"sent with {shape}", shape: value}})
    content = render_table(tidy_table([record]), "csv")
    assert "sent with <redacted>" in content and shape not in content and value not in content


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"))  # Python before 3.13 leaves a bare \r unquoted


@given(st.lists(st.tuples(st.floats(), st.floats(-1e6, 1e6), _TEXT, st.none() | st.integers() | st.booleans())))
def test_the_csv_is_that_of_pandas_whatever_the_values(rows):
    table = pd.DataFrame(rows, columns=["any,number", "usual", "text", "mixed"]).astype({"any,number": float})
    assert render_table(table, "csv") == table.to_csv(index=False)


def test_a_setting_with_the_name_of_a_column_does_not_stand_in_for_it(records):
    record = records[0].model_copy(update={"workload": {"launch": "another", "p99_ttft_ms": 1.0}})
    row = tidy_table([record]).iloc[0]
    assert row["launch"] == record.identity.launch and pd.isna(row["p99_ttft_ms"])


def test_absent_values_are_null_in_json_and_empty_in_csv_and_markdown(records):
    table = tidy_table([record for record in records if record.benchmark == "latency"])
    assert json.loads(render_table(table, "json"))[0]["avg_batch_latency_s"] is None
    assert "nan" not in render_table(table, "csv").lower()
    assert "<NA>" not in render_table(table, "md")


def test_whole_numbers_stay_whole_beside_rows_that_have_none(records):
    row = next(csv.DictReader(io.StringIO(render_table(tidy_table(records).query("benchmark == 'serve'"), "csv"))))
    assert (row["input_len_tokens"], row["completed"]) == ("128", "10")


def test_a_markdown_table_escapes_its_own_separator(records):
    record = records[0].model_copy(update={"workload": {"prompt": "a|b\nc"}})
    assert "a\\|b c" in render_table(tidy_table([record]), "md")


def test_an_invalid_repeat_counts_in_no_mean(records):
    table = tidy_table(records)
    cases = case_table(table).set_index("case_id")
    case_id = next(case for case in cases.index if "input_len_tokens=128" in case and "max_concurrency=8" in case)
    first = table.query("case_id == @case_id and repeat == 0")["output_throughput_tok_s"].item()
    assert cases.loc[case_id, "output_throughput_tok_s_mean"] == first
    assert pd.isna(cases.loc[case_id, "output_throughput_tok_s_stdev"])
    assert tuple(cases.loc[case_id, ["valid", "suspect", "invalid", "not_measured"]]) == (1, 0, 1, 0)


def test_the_cases_keep_the_order_of_the_table(records):
    table = tidy_table(records)
    assert list(case_table(table)["case_id"]) == list(dict.fromkeys(table["case_id"]))


def test_a_run_without_records_has_an_empty_table():
    table = tidy_table([])
    assert len(table) == len(case_table(table)) == len(believed(table)) == 0
    assert json.loads(render_table(table, "json")) == []
    assert render_table(table, "csv").startswith(
        "verdict,reasons,experiment,run_id,launch,case_id,benchmark,gpus,repeat"
    )


def test_a_list_in_a_workload_becomes_one_field(records):
    record = records[0].model_copy(update={"workload": {"shape": [1, 2]}})
    assert tidy_table([record])["shape"].item() == "[1, 2]"
