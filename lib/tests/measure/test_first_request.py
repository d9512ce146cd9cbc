"""The first request: what a stream may hold, and that an answer which broke off is no answer."""

import json
import time

import pytest
from benchbook.judge.accounting import accounting_rows
from benchbook.measure import first_request as module
from benchbook.measure.events import Event, events
from benchbook.plan.workloads import FirstRequestWorkload
from benchbook.terms.errors import MeasureError
from measured import measured_of

WORKLOAD = FirstRequestWorkload(max_tokens=6)
DONE = "data: [DONE]"


def token(text, finish=None):
    return {"choices": [{"text": text, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
WHOLE = [token("w1 "), token("w2", "length"), USAGE]


def lines_of(told):
    return [line for event in told for line in (f"data: {json.dumps(event)}", "")]


def answer(lines, silence_s=60.0):
    return module._timed_answer(iter(lines), WORKLOAD, silence_s)


def test_a_whole_answer_has_its_text_its_tokens_its_end_and_the_gaps_between_its_pieces():
    raw = answer([*lines_of(WHOLE), DONE])
    assert (raw["text"], raw["finish_reason"], raw["usage"]["completion_tokens"]) == ("w1 w2", "length", 2)
    assert len(raw["itls"][0]) == 1 and 0 <= raw["ttft_ms"] <= raw["e2el_ms"]


@pytest.mark.parametrize(
    "told",
    [
        [token("w1 "), {"error": {"message": "EngineCore died"}}],
        [token("w1 "), {"error": {"message": "EngineCore died"}, "choices": None}, *WHOLE],
        [token("w1 "), token("w2"), USAGE],
        [token("w1 ")],
        [],
        [USAGE],
    ],
)
def test_an_answer_that_broke_off_is_a_failure_that_says_so(told):
    with pytest.raises(MeasureError, match="broke off"):
        answer([*lines_of(told), DONE])
    with pytest.raises(MeasureError, match=r"broke off|without \[DONE\]"):
        answer(lines_of(told))


@pytest.mark.parametrize(
    "lines",
    [
        [": ping", "event: message", "id: 7", "retry: 3", *lines_of(WHOLE), DONE, DONE, "data: {"],
        [line.replace("data: ", "data:") for line in lines_of(WHOLE)] + ["data:[DONE]"],
        [*lines_of([{"choices": None}, token(None), {**token("w1 w2", "length"), "usage": None}, USAGE]), DONE],
    ],
)
def test_pauses_comments_and_events_without_text_are_no_error(lines):
    assert answer(lines)["text"] == "w1 w2"


def test_an_event_without_text_before_the_first_token_is_not_the_first_token():
    def late():
        yield from lines_of([token("")])
        time.sleep(0.05)
        yield from [*lines_of(WHOLE), DONE]

    assert module._timed_answer(late(), WORKLOAD, 60.0)["ttft_ms"] > 45


@pytest.mark.parametrize(
    "payload",
    [
        *("NaN", "[]", "5", "null", '"text"', "{", "[" * 100_000, '{"choices": 5}', '{"choices": [5]}'),
        *('{"choices": {"text": "a"}}', '{"choices": "text"}', '{"choices": [{"text": 5}]}'),
        *('{"choices": [{"text": "a", "finish_reason": {}}]}', '{"usage": 3}', '{"usage": {"completion_tokens": "2"}}'),
        *('{"usage": {"completion_tokens": 2.5}}', '{"usage": {"completion_tokens": 1e300}}'),
    ],
)
def test_what_is_no_event_is_an_error_of_ours_in_one_line(payload):
    with pytest.raises(MeasureError, match=r"^the first request failed: [^\n]+$"):
        answer([f"data: {payload}", *lines_of(WHOLE), DONE])


def test_an_answer_that_is_no_stream_is_quoted():
    with pytest.raises(MeasureError, match=r"no stream of events: '<html>"):
        answer(["<html>", *lines_of(WHOLE), DONE])


def test_half_of_a_surrogate_pair_is_kept_as_a_question_mark():
    assert list(events(iter([r'data: {"choices": [{"text": "a\ud800"}]}', DONE]))) == [Event("a?")]


def test_pings_for_ever_are_silence_and_more_pieces_than_anybody_asked_for_are_an_error():
    def pings():
        while True:
            time.sleep(0.01)
            yield ": ping"

    with pytest.raises(MeasureError, match=r"no token for 0\.05 s"):
        module._timed_answer(pings(), WORKLOAD, 0.05)
    with pytest.raises(MeasureError, match="25 pieces of text, and 6 tokens were asked for"):
        answer(lines_of([token("w")] * 1000))


@pytest.mark.parametrize(("counted", "agrees"), [(1, True), (6, True), (0, False), (-3, False), (7, False)])
def test_more_tokens_than_asked_for_or_less_than_one_are_not_what_was_asked(counted, agrees):
    raw = {"text": "w1", "usage": {"completion_tokens": counted}}
    rows = accounting_rows(measured_of("first_request", WORKLOAD.model_dump(), {}), raw)
    assert all(row["agrees"] for row in rows) is agrees


@pytest.mark.parametrize(("pieces", "agrees"), [(6, True), (7, False), (20, False)])
def test_more_pieces_of_text_than_tokens_asked_for_are_not_what_was_asked(pieces, agrees):
    raw = {"text": "w1", "itls": [[0.1] * (pieces - 1)]}
    rows = accounting_rows(measured_of("first_request", WORKLOAD.model_dump(), {}), raw)
    assert all(row["agrees"] for row in rows) is agrees
