"""vLLM's result file: what is read of it is of the kind that it must be, or the file is refused with the key."""

from __future__ import annotations

import pytest
from benchbook.judge.evidence import answers_of
from benchbook.records.files import write_json
from benchbook.records.raw import read_raw
from benchbook.terms.errors import StoreError

RAW = {
    "start_times": [0.0, 0.1],
    "ttfts": [0.1, 0.1],
    "itls": [[0.01], [0.01]],
    "latencies": [0.11, 0.11],
    "queue_times": [0.0, 0.0],
    "input_lens": [8, 8],
    "output_lens": [2, 2],
    "errors": ["", ""],
}


def test_a_whole_file_gives_its_answers(tmp_path):
    write_json(tmp_path / "raw.json", RAW)
    assert [answer.tokens for answer in answers_of(read_raw(tmp_path / "raw.json"))] == [2, 2]


ANYTHING = (7, "x", [[], 2], {"a": 1})
DAMAGES = [(key, damage) for key in RAW for damage in ANYTHING if key != "errors" or not isinstance(damage, list)]


@pytest.mark.parametrize(("key", "damage"), DAMAGES, ids=str)
def test_a_list_that_holds_something_else_is_refused_with_its_key(tmp_path, key, damage):
    write_json(tmp_path / "raw.json", {**RAW, key: damage})
    with pytest.raises(StoreError, match=rf"raw.json is not a benchmark's result: {key}"):
        read_raw(tmp_path / "raw.json")
