"""Records of one start share what they have in common, and each is still what its file alone says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbook.records.files import write_json
from benchbook.records.in_common import record_in
from benchbook.records.record import Record
from benchbook.records.upgrade import RECORD_FORMAT
from pydantic import ValidationError

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
OF_TODAY = [
    path
    for path in sorted(REFERENCE.glob("*/cases/*/*/record.json"))
    if f'"schema_version": {RECORD_FORMAT}' in path.read_text()
]
FILE = next(path for path in OF_TODAY if "/tuned/" in path.as_posix()).read_bytes()


def in_one_piece(content: bytes) -> Record:
    return Record.model_validate_json(content, strict=True)


def said_of(read, content: bytes) -> str:
    """Return all that a reader says of `content`: the record, or what is wrong with it."""
    try:
        return read(content).model_dump_json()
    except ValidationError as error:
        return str(error)


@pytest.fixture
def rewritten(tmp_path):
    """Return a function that gives the bytes of FILE with another host, written as records are."""

    def rewrite(**host) -> bytes:
        content = json.loads(FILE)
        content["host"].update(host)
        write_json(tmp_path / "record.json", content)
        return (tmp_path / "record.json").read_bytes()

    return rewrite


def test_every_committed_record_is_read_as_in_one_piece():
    for path in OF_TODAY:
        content = path.read_bytes()
        assert record_in(content) == in_one_piece(content), path
        assert said_of(record_in, content) == said_of(in_one_piece, content), path


def test_two_records_of_one_start_hold_one_host_but_for_what_it_did_meanwhile(rewritten):
    first, second = (record_in(rewritten(counters={"prompt_tokens": number})) for number in (1, 2))
    assert first.host.argv is second.host.argv and first.host.config is second.host.config
    assert first.host.facts is second.host.facts and first.provenance is second.provenance
    assert first.host.counters == {"prompt_tokens": 1} and second.host.counters == {"prompt_tokens": 2}


def test_two_records_of_which_one_word_differs_share_no_host(rewritten):
    first, second = (record_in(rewritten(ready_utc=f"2026-11-27T17:40:3{second}+00:00")) for second in (1, 2))
    assert first.host.argv == second.host.argv and first.host.argv is not second.host.argv
    assert first.host.ready_utc != second.host.ready_utc


def test_a_host_without_counters_is_shared_as_well(rewritten):
    first, second = (record_in(rewritten(counters={})) for _ in range(2))
    assert first.host.argv is second.host.argv and first.host.counters == {}


def test_what_is_shared_cannot_be_changed(rewritten):
    record = record_in(rewritten())
    for part in (record, record.host, record.host.facts, record.provenance):
        with pytest.raises(ValidationError):
            setattr(part, next(iter(type(part).model_fields)), None)


@pytest.mark.parametrize("indent", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_record_that_others_wrote_in_their_way_is_read_the_same(indent, is_sorted):
    backwards = dict(reversed(json.loads(FILE).items()))
    content = json.dumps(backwards, indent=indent, sort_keys=is_sorted).encode()
    assert said_of(record_in, content) == FILE_SAYS


def test_a_file_that_lacks_a_line_or_has_one_twice_is_read_or_refused_as_in_one_piece():
    lines = FILE.splitlines(keepends=True)
    for place, line in enumerate(lines):
        for instead in (b"", line + line, line.replace(b"{", b"["), line.replace(b'"', b"")):
            content = b"".join([*lines[:place], instead, *lines[place + 1 :]])
            assert said_of(record_in, content) == said_of(in_one_piece, content), line


@pytest.mark.parametrize("name", ["host", "provenance"])
def test_of_a_part_that_a_file_has_twice_the_last_counts_as_in_one_piece(name):
    for part in (b"{}", b'{\n    "env": {}\n  }'):
        twice = FILE.replace(b'\n  "verdict"', b'\n  "%b": %b,\n  "verdict"' % (name.encode(), part))
        assert said_of(record_in, twice) == said_of(in_one_piece, twice) != FILE_SAYS


FILE_SAYS = said_of(in_one_piece, FILE)
