"""Starts share caches on disk: a plan says so beforehand, a comparison how many starts took compiled code from there."""

import pytest
from benchbook.judge.comparison_caveats import caveats
from benchbook.terms.shared_caches import MEANING
from parts import having
from test_compare import compared


def with_caches(states):
    """Return a change of records: the start of each round found its launch's caches in these states."""

    def change(record):
        repeat, launch = record.identity.repeat, record.identity.launch
        facts = {"compile_cache": states[launch][repeat]}
        return record.model_copy(update={"host": having(record.host, ready_utc=f"{launch} {repeat}", facts=facts)})

    return change


@pytest.mark.parametrize(
    ("eager", "compiled", "said"),
    [
        (
            "cold warm warm warm",
            "warm warm warm warm",
            "eager 4 starts: 3 from the cache, 1 anew; compiled 4 starts: 4 from",
        ),
        (
            "cold cold cold cold",
            "in part|warm|off|warm",
            "eager 4 starts: 4 anew; compiled 4 starts: 2 from the cache, 1 in",
        ),
        ("None None None None", "cold|None|None|None", "compiled 1 start: 1 anew)"),
    ],
)
def test_how_many_starts_took_compiled_code_from_the_cache_is_a_caveat(tmp_path, eager, compiled, said):
    split = [text.split("|" if "|" in text else " ") for text in (eager, compiled)]
    states = [[None if state == "None" else state for state in one] for one in split]
    found = caveats(compared(tmp_path, with_caches(dict(zip(("eager", "compiled"), states))), repeats=4))
    (sentence,) = [one for one in found if "share caches on disk" in one]
    assert said in sentence and sentence.endswith(f"{MEANING}.")


def test_where_nothing_was_compiled_nothing_is_said_of_caches(tmp_path):
    nothing = dict.fromkeys(("eager", "compiled"), [None] * 6)
    assert caveats(compared(tmp_path, with_caches(nothing))) == []
