"""The suite itself: samples are samples, the longest files are known, and no two files have one name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import rows as rows_module
from conftest import LONGEST
from rows import rows

FILES = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]


@pytest.mark.parametrize(
    ("every", "quick", "sample"),
    [
        (range(10), 3, [0, 3, 6]),
        ("abcd", "db", ["b", "d"]),
        (({"a": 1}, {}), [{}], [{}]),
        ([("a", 1), ("b", 2)], [("b", 2)], [("b", 2)]),
    ],
)
@pytest.mark.parametrize("is_full", [False, True])
def test_a_sample_is_of_the_rows_and_in_their_order_and_a_full_run_has_all(monkeypatch, every, quick, sample, is_full):
    every = list(every)
    monkeypatch.setattr(rows_module, "IS_FULL", is_full)
    assert rows(every, quick) == (every if is_full else sample)


def test_what_is_no_row_is_no_sample():
    with pytest.raises(AssertionError, match="a sample of something else"):
        rows("abc", "x")


def test_the_longest_files_are_there_and_no_two_files_have_one_name():
    assert set(LONGEST) <= set(FILES)
    assert [name for name, number in Counter(FILES).items() if number > 1] == []
