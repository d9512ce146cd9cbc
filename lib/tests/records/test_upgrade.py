"""Records and run.json of earlier formats are read as those of today; what is damaged in them is still named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbook.records.files import write_json
from benchbook.records.header import read_header
from benchbook.records.record import Identity
from benchbook.records.record_file import read_record, write_record
from benchbook.records.store import Store
from benchbook.records.upgrade import HEADER_FORMAT, RECORD_FORMAT, changed
from benchbook.terms.errors import StoreError
from report_runs import make_record

REFERENCE = sorted((Path(__file__).parents[3] / "results" / "reference").glob("*/run.json"))
SERVE = {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 8, "max_concurrency": 4}


@pytest.fixture
def record_of(tmp_path):
    """Return a function that writes a record of a format, with these fields, and returns its path."""

    def make(version: int, without: tuple[str, ...] = (), **fields) -> Path:
        path = tmp_path / "record.json"
        write_record(path, make_record(Identity(), "serve", SERVE))
        content = {key: value for key, value in json.loads(path.read_text()).items() if key not in without}
        write_json(path, {**content, "schema_version": version, **fields})
        return path

    return make


def test_committed_runs_are_of_more_than_one_format():
    assert len({json.loads(path.read_text())["schema_version"] for path in REFERENCE}) > 1


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.parent.name)
def test_a_committed_run_of_any_format_is_read_whole_as_one_of_today(path):
    store = Store(path.parent)
    (header, damaged_header), (records, damaged_records) = store.read_header(), store.read_records()
    assert damaged_header == damaged_records == []
    assert header.schema_version == HEADER_FORMAT and all(record.schema_version == RECORD_FORMAT for record in records)
    tries = path.parent.glob("cases/*/*/record.json")  # of a repeat that was measured again, one counts
    assert len(records) == len({(each.parts[-3], each.parts[-2].partition(",")[0]) for each in tries})


def test_a_record_of_the_first_format_lacks_what_came_later(record_of):
    path = record_of(1, without=("conditions", "warmup", "prefix_cache", "way_reason", "not_looked"))
    record = read_record(path)
    assert record.is_measured and record.values["output_throughput_tok_s"] > 0
    assert record.warmup is record.prefix_cache is record.not_looked is None


@pytest.mark.parametrize("version", [0, -1, RECORD_FORMAT + 1])
def test_a_record_of_a_format_that_there_is_not_is_refused_with_those_that_are_read(record_of, version):
    with pytest.raises(StoreError, match=f"of format {version}; this benchbook reads 1 to {RECORD_FORMAT}"):
        read_record(record_of(version))


@pytest.mark.parametrize("version", range(1, RECORD_FORMAT + 1))
@pytest.mark.parametrize(
    ("part", "value"), [("host", None), ("host", {"facts": [1]}), ("conditions", "fine"), ("provenance", {"git": 7})]
)
def test_what_is_damaged_in_a_record_is_named_whatever_its_format(record_of, version, part, value):
    with pytest.raises(StoreError, match=rf"is not a whole record: {part}"):
        read_record(record_of(version, **{part: value}))


@pytest.mark.parametrize(
    ("times", "read"),
    [
        ({"start eager server": 21.5}, {"start eager server": [21.5]}),
        ({"a": 1.5, "b": [2.0, 3.0]}, {"a": [1.5], "b": [2.0, 3.0]}),
        ({"a": "long", "b": 2.0}, {"b": [2.0]}),
        ([], {}),
    ],
)
def test_a_jobs_time_of_the_first_format_is_a_list_of_one_and_a_damaged_one_is_left_out(tmp_path, times, read):
    path = tmp_path / "run.json"
    write_json(path, {"schema_version": 1, "wall_s_by_job": times})
    header, told = read_header(path)
    assert {job: list(noted) for job, noted in header.wall_s_by_job.items()} == read
    assert any("wall_s_by_job" in line for line in told) == (times == [] or "long" in times.values())


def test_counters_of_a_servers_page_have_neutral_names_and_those_that_have_them_keep_them(record_of):
    counters = {
        "maker:prompt_tokens_total": 640.0,
        "maker:request_success_total{finished_reason=stop}": 2.0,
        "mine": 1.0,
    }
    back = ["maker:num_preemptions_total", "generation_tokens"]
    record = read_record(record_of(2, host={"counters": counters}, conditions={"counters_went_back": back}))
    assert record.host.counters == {"prompt_tokens": 640.0, "requests_ended_by_stop": 2.0, "mine": 1.0}
    assert record.conditions.counters_went_back == ("preemptions", "generation_tokens")


@pytest.mark.parametrize(("version", "engine"), [(1, "vLLM"), (2, "vLLM"), (RECORD_FORMAT, None)])
def test_the_engine_of_an_earlier_record_is_the_only_one_that_there_was(record_of, version, engine):
    assert read_record(record_of(version, host={"version": "0.32.0"})).host.engine == engine


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("part", "value"), [("counters", ["x"]), ("counters", 7), ("counters_went_back", [1])])
def test_damaged_counters_of_an_earlier_format_are_named(record_of, version, part, value):
    room = "conditions" if part == "counters_went_back" else "host"
    with pytest.raises(StoreError, match=rf"is not a whole record: {room}.*{part}"):
        read_record(record_of(version, **{room: {part: value}}))


@pytest.mark.parametrize("found", [{}, {"host": None}, {"host": {"facts": 7}}, {"host": {"other": {}}}])
def test_a_step_leaves_what_is_not_there_or_is_damaged(found):
    assert changed(found, "host", "facts", of=dict, change=lambda facts: {"new": 1}) == found
