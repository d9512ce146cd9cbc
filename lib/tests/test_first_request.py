"""The first request: what a stream may hold, and that an answer which broke off is no answer."""

import pytest
from benchbook.errors import MeasureError
from benchbook.judge.accounting import accounting_rows
from benchbook.measure import first_request as module
from benchbook.plan import FirstRequestWorkload

WORKLOAD = FirstRequestWorkload(max_tokens=6)


def token(text, finish=None):
    return {"choices": [{"text": text, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
WHOLE = [token("w1 "), token("w2", "length"), USAGE]


@pytest.fixture
def answer(monkeypatch):
    """Return a function that gives what is made of these events."""

    def give(events):
        monkeypatch.setattr(module, "_stream", lambda server, workload: iter(events))
        return module._timed_answer(None, WORKLOAD)

    return give


def test_a_whole_answer_has_its_text_its_tokens_and_its_end(answer):
    raw = answer(WHOLE)
    assert (raw["text"], raw["finish_reason"], raw["usage"]["completion_tokens"]) == ("w1 w2", "length", 2)


@pytest.mark.parametrize(
    "events",
    [
        [token("w1 "), {"error": {"message": "EngineCore died"}}],
        [token("w1 "), {"error": {"message": "EngineCore died"}, "choices": None}, *WHOLE],
        [token("w1 "), token("w2"), USAGE],
        [token("w1 ")],
        [],
        [USAGE],
    ],
)
def test_an_answer_that_broke_off_is_a_failure_that_says_so(answer, events):
    with pytest.raises(MeasureError, match="broke off"):
        answer(events)


@pytest.mark.parametrize(("counted", "agrees"), [(1, True), (6, True), (0, False), (-3, False), (7, False)])
def test_more_tokens_than_asked_for_or_less_than_one_are_not_what_was_asked(counted, agrees):
    raw = {"text": "w1", "usage": {"completion_tokens": counted}}
    rows = accounting_rows("first_request", WORKLOAD.model_dump(), raw)
    assert all(row["agrees"] for row in rows) is agrees
