"""Files of ours in JSON are, to the byte, what Python's own writer makes of them."""

import enum
import json
from pathlib import Path

import pytest
from benchbook.records.files import json_text

RUNS = Path(__file__).parents[3] / "results" / "reference"


class Text(enum.StrEnum):
    A = "a text"


class Number(enum.IntEnum):
    A = 3


def by_python(payload):
    return json.dumps(payload, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def test_the_files_of_runs_are_written_as_they_are():
    paths = [*RUNS.glob("*/run.json"), *RUNS.glob("*/cases/*/repeat=0/record.json")]
    assert len(paths) > 20
    for path in paths:
        payload = json.loads(path.read_text(encoding="utf-8"))
        assert json_text(payload) == by_python(payload), path


@pytest.mark.parametrize(
    "value",
    [
        *(
            [],
            {},
            [[], {}, [1, [2]]],
            (1, (2, "x")),
            {1: 2, 3: [4]},
            {True: None},
            {1.5: 2},
            {Text.A: 1},
            {Number.A: 1},
        ),
        *(Text.A, Number.A, True, None, -0.0, 0.1, 1e22, 1e-300, 10**30, 'é\u2028"\\\n\x00🙂', ""),
    ],
    ids=repr,
)
def test_a_value_of_any_kind_is_written_as_it_is(value):
    payload = {"z": value, "a": [value], "m": {"in it": value}}
    assert json_text(payload) == by_python(payload)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object, {1, 2}, {"a": 1, 1: 2}, {(1, 2): 3}], ids=repr)
def test_what_is_no_json_is_refused(value):
    for write in (by_python, json_text):
        with pytest.raises((ValueError, TypeError)):
            write({"it": [value]})
