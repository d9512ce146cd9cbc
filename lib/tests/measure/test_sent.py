"""What is made of the notes of frozen requests, and what of their prompts a prefix cache is to find."""

from types import SimpleNamespace

import pytest
from benchbook.measure.client.sent import sent_facts
from benchbook.measure.client.shared import shared_tokens
from benchbook.records.conditions import Sent
from benchbook.records.frozen import FrozenRequest


def notes(count=4, **changed):
    """Return the notes of `count` requests of ten tokens, without a template and without anything in common."""
    return {
        "sha256": "0" * 64,
        "due_s": None,
        "turns": None,
        "conversations": None,
        "sent_tokens": [10] * count,
        "counted_tokens": [10] * count,
        "cached_tokens": [(0, 0)] * count,
        "histories_cut": 0,
        **changed,
    }


def raw(starts, latencies=None, ttfts=None, errors=None):
    count = len(starts)
    return {
        "start_times": starts,
        "latencies": latencies or [1.0] * count,
        "ttfts": ttfts or [0.5] * count,
        "errors": errors or [""] * count,
    }


def facts(noted, result, block=None):
    return Sent.of(**sent_facts(noted, result, block))


@pytest.mark.parametrize(
    ("starts", "late_ms"),
    [
        ([5.0, 6.0, 7.0, 8.0], 0.0),  # whatever the clock
        ([5.3, 6.3, 7.3, 8.3], 0.0),  # all alike
        ([5.0, 6.0, 7.0, 8.03], 30.0),
        ([5.2, 6.0, 7.0, 8.0], 200.0),
    ],
)
def test_how_late_requests_are_is_told_behind_the_most_punctual_one(starts, late_ms):
    assert facts(notes(due_s=[0.0, 1.0, 2.0, 3.0]), raw(starts)).late_p99_ms == pytest.approx(late_ms)


def test_one_late_request_of_a_hundred_is_beyond_the_percentile_and_two_are_not():
    due = [float(second) for second in range(200)]
    for num_late, late_ms in ((2, 0.0), (3, 500.0)):
        starts = [second + (0.5 if second < num_late else 0.0) for second in due]
        assert facts(notes(200, due_s=due), raw(starts)).late_p99_ms == pytest.approx(late_ms)


def test_what_a_template_adds_is_told_by_the_prompts_that_the_server_counted():
    counted = [14, None, 13, None]
    found = facts(notes(counted_tokens=counted), raw([0.0] * 4, errors=["", "", "", "boom"]))
    assert (found.sent_tokens, found.counted_tokens, found.uncounted) == (20, 27, 1)
    assert found.late_p99_ms is None and found.conversations_at_once is None and found.least_cached_tokens is None


def test_a_cache_finds_whole_blocks_and_computes_the_last_token_always():
    cached = [(8, 10), (3, 4), (0, 0), (9, 9)]
    found = facts(notes(cached_tokens=cached), raw([0.0] * 4, errors=["", "", "", "boom"]), block=4)
    assert (found.least_cached_tokens, found.most_cached_tokens) == (8 + 0, 8 + 4)
    found = facts(notes(cached_tokens=[(10, 10)] * 4), raw([0.0] * 4), block=5)
    assert found.least_cached_tokens == 4 * 5


def test_in_a_cache_that_was_emptied_is_no_more_than_what_these_requests_brought_there():
    cached = [(8, 16), (0, 12), (4, 4), (12, 16)]
    turns = {"turns": [0, 0, 0, 1], "conversations": [0, 1, 2, 2]}
    for noted, most in ((notes(cached_tokens=cached), 24), (notes(cached_tokens=cached, **turns), 28)):
        noted["sent_tokens"] = noted["counted_tokens"] = [20] * 4
        found = [
            Sent.of(**sent_facts(noted, raw([0.0, 1.0, 2.0, 3.0]), 4, was_emptied=was_emptied))
            for was_emptied in (False, True)
        ]
        assert [one.least_cached_tokens for one in found] == [24, 24]
        assert [one.most_cached_tokens for one in found] == [48, most]


def test_what_a_template_adds_may_be_found_too_since_it_may_begin_all_prompts_alike():
    for counted, turns, most in (
        ([58, 58, 58], None, 3 * 48),  # 48 of a system prompt, of which whole blocks are found
        ([10, 10, 10], None, 0),
        ([58, 58, 10], [0, 1, 0], 48),  # a later turn is bounded by what was counted of the one before
    ):
        noted = notes(3, counted_tokens=counted, turns=turns, conversations=turns and [0, 0, 1])
        found = facts(noted, raw([0.0, 1.0, 2.0]), block=16)
        assert (found.least_cached_tokens, found.most_cached_tokens) == (0, most)


def test_conversations_last_from_their_first_turn_to_their_last_answer():
    turns = {"turns": [0, 1, 0, 1], "conversations": [0, 0, 7, 7]}
    result = raw([0.0, 6.0, 0.0, 2.0], [1.0, 4.0, 1.0, 3.0], [0.1, 0.2, 0.3, 0.6])
    found = facts(notes(**turns), result)
    assert found.conversations_at_once == 1.5  # ten seconds and five
    assert found.median_ttft_by_turn_ms == (200.0, 400.0)
    result["errors"][3] = "boom"
    assert facts(notes(**turns), result).median_ttft_by_turn_ms == (200.0, 200.0)


def words(text, **_):
    return SimpleNamespace(input_ids=[int(word[1:]) for word in text.split()])


def prompt(text, shared=0, **more):
    return FrozenRequest(prompt=text, input_tokens=len(text.split()), output_tokens=1, shared_tokens=shared, **more)


def test_what_was_sent_before_is_there_and_what_is_sent_later_may_be():
    requests = [
        prompt("w1 w2 w3 w9"),
        prompt("w5 w6", 2),  # begins as a request did that is not of this stretch
        prompt("w1 w2 w3 w8", 3),
        prompt("w7 w7 w7"),
        prompt("w1 w2 w4", 2),
    ]
    assert shared_tokens(requests, words) == [(0, 3), (0, 2), (3, 3), (0, 0), (2, 2)]


def test_messages_and_token_ids_share_by_their_tokens_and_later_turns_by_their_history():
    def messages(*texts, **more):
        said = tuple({"role": "user", "content": text} for text in texts)
        return FrozenRequest(messages=said, input_tokens=4, output_tokens=1, shared_tokens=1, **more)

    parts = [{"type": "text", "text": "w1"}, {"type": "image_url", "image_url": {"url": "x"}}]
    requests = [messages("w1 w2", "w3"), messages("w1", "w2 w4"), messages(parts, "w2"), messages("w1", turn=1)]
    assert shared_tokens(requests, words) == [(0, 2), (2, 2), (2, 2), (0, 0)]
    ids = [FrozenRequest(prompt=(1, 2, last), input_tokens=3, output_tokens=1, shared_tokens=2) for last in (3, 4)]
    assert shared_tokens(ids, words) == [(0, 2), (2, 2)]
    assert shared_tokens(ids, None) == [(2, 2), (2, 2)]  # by who drew them, where nobody here can count


def test_of_prompts_that_share_nothing_none_is_read():
    def unread(*_, **__):
        raise AssertionError

    assert shared_tokens([prompt("w1"), prompt("w2")], unread) == [(0, 0), (0, 0)]
