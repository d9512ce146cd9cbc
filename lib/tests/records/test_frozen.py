"""Requests frozen in a file: the same bytes everywhere, read as a stream, and one line for whatever has happened to it."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from benchbook.records import frozen
from benchbook.records.frozen import FrozenHeader, FrozenRequest, read_frozen, read_header, sha256_of, write_frozen
from benchbook.terms.errors import StoreError
from pydantic import ValidationError

REQUESTS = (
    FrozenRequest(prompt="w1 w2 w3", input_tokens=3, output_tokens=8),
    FrozenRequest(prompt=(5, 6, 7), input_tokens=3, output_tokens=1, due_s=0.25, shared_tokens=2),
    FrozenRequest(
        messages=({"role": "user", "content": "Grüße, 世界 \u2028"},), input_tokens=4, output_tokens=9, turn=0
    ),
    FrozenRequest(prompt="and now?", input_tokens=2, output_tokens=5, conversation=0, turn=1, think_s=2.0),
    FrozenRequest(prompt="x", input_tokens=1, output_tokens=1, adapter="sql", body={"tools": [{"b": 1, "a": 2}]}),
)


def header(number: int = len(REQUESTS)) -> FrozenHeader:
    return FrozenHeader(name="chat", requests=number, distinct=number, seed=7, spec={"lengths": [[3, 8]]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl.gz"
    write_frozen(path, header(), REQUESTS)
    return path


def test_what_was_written_is_read_in_stretches_and_whole(file):
    assert tuple(read_frozen(file)) == REQUESTS
    assert tuple(read_frozen(file, 1, 3)) == REQUESTS[1:4]
    assert tuple(read_frozen(file, 5)) == ()
    assert read_header(file).spec == {"lengths": [[3, 8]]}


def test_the_hash_is_of_the_request_lines_as_anybody_can_unpack_them(file):
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)[1:]
    assert sha256_of(REQUESTS) == hashlib.sha256(b"".join(lines)).hexdigest()
    assert sha256_of(read_frozen(file, 1, 2)) == hashlib.sha256(b"".join(lines[1:3])).hexdigest()


def test_another_process_at_another_time_under_another_name_writes_the_same_bytes(file, tmp_path):
    program = (
        "import sys, time; sys.path[:0] = sys.argv[2:]; time.time = lambda: 1e9\n"
        "from pathlib import Path; from test_frozen import REQUESTS, header\n"
        "from benchbook.records.frozen import write_frozen\n"
        "print(write_frozen(Path(sys.argv[1]), header(), REQUESTS))\n"
    )
    other = tmp_path / "other.gz"
    folders = [str(Path(__file__).parent), str(Path(frozen.__file__).parents[2])]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    said = subprocess.check_output([sys.executable, "-c", program, str(other), *folders], env=environment, text=True)
    assert other.read_bytes() == file.read_bytes()
    assert said.strip() == sha256_of(REQUESTS)


def test_a_file_that_is_cut_anywhere_is_one_line_that_names_it(file):
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"^.*chat\.jsonl\.gz.*$") as caught:
            list(read_frozen(file))
        assert "\n" not in str(caught.value)


def test_a_file_with_any_byte_changed_is_one_line_or_says_what_was_written(file):
    whole, told = file.read_bytes(), 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert tuple(read_frozen(file)) == REQUESTS  # bytes of gzip's header that say nothing of the content
        except StoreError as error:
            told += str(file) in str(error) and "\n" not in str(error)
    assert told > len(whole) - 10


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b"[]\n"], "line 1, is damaged"),
        ([b"{}\n"], "name is missing"),
        ([b"\xff\xfe\n"], "cut or damaged"),
        ([b'{"format": 99, "name": "x"}\n'], "format 99, from a later benchbook"),
        ([b"", b'{"input_tokens": 3, "output_tokens": 8}\n'], "line 2, is damaged: must have a prompt or messages"),
        ([b"", b'{"prompt": "x", "input_tokens": -1, "output_tokens": 8}\n'], "line 2, is damaged: input_tokens: -1"),
        ([b"", b'{"prompt": "x", "input_tokens": 1, "output_tokens": NaN}\n'], "line 2, is cut or damaged: NaN"),
        ([b"", b'{"promt": "x", "prompt": "x", "input_tokens": 1, "output_tokens": 1}\n'], "line 2, is damaged: promt"),
        ([b"", REQUESTS[0].to_line(), REQUESTS[0].to_line()], "holds more than the 1 requests"),
        ([b""], "ends before request 0 of 1"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path, lines, said):
    path = tmp_path / "x.jsonl.gz"
    first = header(1).model_dump_json().encode() + b"\n"
    path.write_bytes(gzip.compress((lines[0] or first) + b"".join(lines[1:])))
    with pytest.raises(StoreError, match=said) as caught:
        list(read_frozen(path))
    assert str(caught.value).startswith(str(path))


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, said in ((tmp_path / "fifo", "FIFO"), (tmp_path, "Is a directory"), (tmp_path / "no", "No such file")):
        with pytest.raises(StoreError, match=said):
            list(read_frozen(path))


def test_a_stretch_that_is_not_there_is_refused_before_anything_is_read(file):
    for start, count in ((4, 2), (6, None), (-1, 2), (0, -1)):
        with pytest.raises(StoreError, match="has 5 requests: none from"):
            next(read_frozen(file, start, count))


def test_one_line_of_a_file_is_bounded_and_all_that_is_skipped_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "MOST_LINE_BYTES", 200_000)
    path, big = tmp_path / "x.gz", FrozenRequest(prompt="w" * 100_000, input_tokens=1, output_tokens=1)
    write_frozen(path, header(201), (*[big] * 200, REQUESTS[0]))
    tracemalloc.start()
    assert list(read_frozen(path, 200)) == [REQUESTS[0]]
    assert tracemalloc.get_traced_memory()[1] < 5_000_000  # of 20 MB
    tracemalloc.stop()
    path.write_bytes(gzip.compress(header(1).model_dump_json().encode() + b"\n" + b"x" * 10_000_000))
    with pytest.raises(StoreError, match="request 0 of 1 has more than 200,000 bytes"):
        list(read_frozen(path))


def test_fewer_or_more_requests_than_promised_leave_no_file(tmp_path):
    path = tmp_path / "x.gz"
    for number in (4, 6):
        with pytest.raises(StoreError, match=f"5 requests were drawn where {number} were asked for"):
            write_frozen(path, header(number), REQUESTS)
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_could_not_be_sent_is_refused():
    for wrong in (
        {"input_tokens": 1, "output_tokens": 1},
        {"prompt": "x", "messages": ({"role": "user"},), "input_tokens": 1, "output_tokens": 1},
        {"prompt": "x", "input_tokens": 1, "output_tokens": 0},
        {"prompt": "x", "input_tokens": 1, "output_tokens": 1, "due_s": float("nan")},
    ):
        with pytest.raises(ValidationError):
            FrozenRequest(**wrong)
