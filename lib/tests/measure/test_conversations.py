"""Turns of conversations, sent by a stand-in for vLLM's request function that answers at once or when it is let."""

import argparse
import asyncio
import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from benchbook.measure.client.sender import Sender
from benchbook.measure.client.stretch import Stretch
from benchbook.records.frozen import FrozenHeader, FrozenRequest, write_frozen
from benchbook.terms.errors import MeasureError, StoreError


@dataclass
class Output:
    """What of vLLM's output is read or changed."""

    prompt_len: int = 0
    generated_text: str = ""
    success: bool = True
    latency: float = 1.0
    ttft: float = 0.1
    itl: list[float] = field(default_factory=list)
    output_tokens: int = 0
    error: str = ""
    start_time: float = 0.0


@dataclass
class Input:
    """What of vLLM's input is read or changed."""

    request_id: str
    prompt: Any
    prompt_len: int
    chat_messages: Any


def words(text, **_):
    return SimpleNamespace(input_ids=text.split())


class Server:
    """Answers 'a1 a2' to the first request that it gets, and so on; keeps what was sent and how many were under way."""

    def __init__(self, counts=True, template=0, fails=()):
        self.sent, self.counts, self.template, self.fails = [], counts, template, fails
        self.under_way = self.most_under_way = 0

    async def request(self, request_func_input, session, pbar=None):
        number = len(self.sent)
        sent = request_func_input.chat_messages or request_func_input.prompt
        self.sent.append(sent)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        output = Output(prompt_len=request_func_input.prompt_len)
        if number in self.fails:
            return dataclasses.replace(output, success=False, error="boom", latency=0.0)
        if self.counts:
            output.output_tokens, output.prompt_len = 2, self.prompt_tokens(sent)
        output.generated_text = f" a{number} b{number}"
        return output

    def prompt_tokens(self, sent):
        texts = [sent] if isinstance(sent, str) else [message["content"] for message in sent]
        return sum(len(text.split()) + self.template for text in texts)


def user(text):
    return {"role": "user", "content": text}


def chat(conversation, turn, text, *before, **more):
    messages = (*before, user(text))
    tokens = sum(len(message["content"].split()) for message in messages)
    turn = {"conversation": conversation, "turn": turn}
    return FrozenRequest(messages=messages, input_tokens=tokens, output_tokens=2, **turn, **more)


def said(conversation, turn, text, **more):
    turn = {"conversation": conversation, "turn": turn}
    return FrozenRequest(prompt=text, input_tokens=len(text.split()), output_tokens=2, **turn, **more)


@pytest.fixture
def talk(tmp_path):
    """Return a function that sends `requests` as vLLM's benchmark does, and returns (outputs, notes)."""

    def talk(server, requests, at_once=None, backend="openai-chat", **stretch):
        sender = Sender(Stretch(str(frozen(tmp_path, requests)), 0, len(requests), **stretch))
        args = argparse.Namespace(backend=backend, max_concurrency=at_once, request_id_prefix="r")
        samples = sender.samples(args, words)
        request_func = sender.around(server.request)

        async def send_all():
            sent = (Input(one["request_id"], one["prompt"], one["prompt_len"], one["chat_messages"]) for one in samples)
            return await asyncio.gather(*(request_func(request_func_input=one, session=None) for one in sent))

        return asyncio.run(send_all()), sender.notes

    return talk


def frozen(folder, requests):
    path = folder / "a.jsonl.gz"
    header = FrozenHeader(name="a", requests=len(requests), distinct=len(requests), seed=0, spec={})
    write_frozen(path, header, requests)
    return path


SYSTEM = {"role": "system", "content": "s1 s2 s3"}
THREE_TURNS = [chat(0, 0, "u0", SYSTEM), chat(0, 1, "u1 v1"), chat(0, 2, "u2")]


def test_a_stretch_that_begins_inside_a_conversation_says_so(talk):
    for requests, num_cut in ((THREE_TURNS[1:], 1), (THREE_TURNS, 0), ([*THREE_TURNS[2:], chat(1, 0, "w0")], 1)):
        assert talk(Server(), requests)[1]["histories_cut"] == num_cut


def test_a_turn_is_sent_after_all_that_was_said_and_answered_before_it(talk):
    server = Server()
    outputs, notes = talk(server, THREE_TURNS)
    assert all(output.success for output in outputs)
    first = [SYSTEM, user("u0")]
    second = [*first, {"role": "assistant", "content": " a0 b0"}, user("u1 v1")]
    assert server.sent == [first, second, [*second, {"role": "assistant", "content": " a1 b1"}, user("u2")]]
    assert notes["sent_tokens"] == notes["counted_tokens"] == [4, 8, 11]
    assert notes["cached_tokens"] == [
        (0, 0),
        (5, 6),
        (9, 10),
    ]  # all of the turn before, and of its answer all but the last token at least
    assert notes["turns"] == [0, 1, 2] and notes["histories_cut"] == 0


def test_a_text_goes_on_where_the_answer_ended(talk):
    server = Server()
    _, notes = talk(server, [said(0, 0, "u0"), said(0, 1, " u1 v1"), said(0, 2, " u2")], backend="openai")
    assert server.sent == ["u0", "u0 a0 b0 u1 v1", "u0 a0 b0 u1 v1 a1 b1 u2"]
    assert notes["sent_tokens"] == notes["counted_tokens"] == [1, 5, 8]


def test_an_answer_that_is_other_tokens_as_text_may_not_be_found_again(talk):
    class Server3(Server):
        async def request(self, request_func_input, session, pbar=None):
            output = await super().request(request_func_input, session, pbar)
            return dataclasses.replace(output, generated_text=f"{output.generated_text} c")  # of the two tokens counted

    assert talk(Server3(), THREE_TURNS)[1]["cached_tokens"] == [(0, 0), (3, 6), (8, 11)]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_conversations_are_held_at_once_whatever_the_order_of_the_file(talk, at_once):
    by_conversation = [chat(number, turn, f"u{number}") for number in range(5) for turn in range(3)]
    by_turn = sorted(by_conversation, key=lambda one: one.turn)
    for requests in (by_conversation, by_turn):
        server = Server()
        outputs, _ = talk(server, requests, at_once)
        assert all(output.success for output in outputs) and len(server.sent) == 15
        assert server.most_under_way == at_once
    assert talk(Server(), by_turn, at_once)[1]["conversations"] == [0, 1, 2, 3, 4] * 3


def test_a_turn_that_fails_ends_its_conversation_and_gives_its_seat_to_the_next(talk):
    server = Server(fails=(1,))
    requests = [chat(number, turn, f"u{number}") for number in range(2) for turn in range(4)]
    outputs, notes = talk(server, requests, at_once=1)
    assert [output.success for output in outputs] == [True, False, False, False] + [True] * 4
    assert [output.error for output in outputs[1:4]] == ["boom"] + [
        "not sent: an earlier turn of its conversation failed"
    ] * 2
    assert len(server.sent) == 6 and notes["counted_tokens"][2:4] == [None, None]


def test_a_turn_waits_for_the_answer_and_then_thinks(talk, monkeypatch):
    slept, sleep = [], asyncio.sleep

    async def noted(seconds):
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    talk(Server(), [chat(0, 0, "u0", think_s=9.0), chat(0, 1, "u1", think_s=0.25), chat(0, 2, "u2", think_s=0.5)])
    assert slept == [0, 0.25, 0, 0.5, 0]  # what stands at a first turn is before the conversation


def test_what_the_server_does_not_count_is_counted_by_the_clients_tokenizer(talk):
    outputs, notes = talk(Server(counts=False), THREE_TURNS)
    assert notes["counted_tokens"] == [None] * 3 and notes["cached_tokens"] == [(0, 0), (5, 6), (9, 10)]
    assert [output.prompt_len for output in outputs] == notes["sent_tokens"] == [4, 8, 11]


@pytest.mark.parametrize(
    ("most_tokens", "template", "num_cut", "last"),
    [
        (None, 0, 0, 11),
        (13, 0, 0, 11),  # 11 and an answer of two: just so
        (12, 0, 1, 8),  # the first exchange is forgotten, what the system said is not
        (9, 0, 2, 4),  # the second turn forgets the first one, the third both
        (19, 1, 0, 11),  # with six messages of a token more
        (18, 1, 1, 8),
    ],
)
def test_a_history_that_no_longer_fits_loses_its_beginning_and_says_so(talk, most_tokens, template, num_cut, last):
    server = Server(template=template)
    outputs, notes = talk(server, THREE_TURNS, max_model_len=most_tokens)
    assert notes["histories_cut"] == num_cut and notes["sent_tokens"][-1] == last
    assert (notes["cached_tokens"][-1][0] == 0) == bool(num_cut)
    assert [messages[0] for messages in server.sent] == [SYSTEM] * 3
    assert all(most_tokens is None or output.prompt_len + 2 <= most_tokens for output in outputs)


def test_requests_of_no_conversation_are_sent_beside_those_that_are(talk):
    alone = FrozenRequest(messages=(user("x"),), input_tokens=1, output_tokens=2, shared_tokens=1)
    server = Server()
    _, notes = talk(server, [alone, *THREE_TURNS, alone], at_once=1)
    assert notes["sent_tokens"] == [1, 4, 8, 11, 1] and notes["cached_tokens"] == [
        (0, 1),
        (0, 0),
        (5, 6),
        (9, 10),
        (1, 1),
    ]


def test_what_cannot_be_sent_is_refused_before_anything_is(talk, tmp_path):
    ids = FrozenRequest(prompt=(5, 6), input_tokens=2, output_tokens=2, conversation=0)
    with pytest.raises(ValueError, match="cannot be token ids"):
        talk(Server(), [ids], backend="openai")
    with pytest.raises(ValueError, match="cannot be sent by the backend openai"):
        talk(Server(), THREE_TURNS, backend="openai")
    frozen(tmp_path, THREE_TURNS)
    with pytest.raises(StoreError, match="has 3 requests"):
        Stretch(str(tmp_path / "a.jsonl.gz"), 1, 3).requests()


def plain(**fields):
    return FrozenRequest(**{"prompt": "w5", "input_tokens": 1, "output_tokens": 1, **fields})


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (THREE_TURNS, "messages of a chat"),
        ([plain(), plain(prompt=(5, 6))], "token ids"),
        ([plain(conversation=0), plain(conversation=0, turn=1)], "follow answers"),
        ([plain(), plain(adapter="a")], "adapter"),
        ([plain(body={"tools": []})], "more than a prompt"),
        ([plain(prompt="12"), plain(prompt="1e5")], "numerals"),  # which pandas would make numbers of
        ([plain(due_s=0.0), plain(due_s=1.0)], "recorded times"),
    ],
)
def test_what_vllms_command_line_cannot_send_by_itself_is_said_and_no_file_is_written(requests, said, tmp_path):
    is_timed = requests[0].due_s is not None
    stretch = Stretch(str(frozen(tmp_path, requests)), 0, len(requests), is_timed=is_timed)
    argv = stretch.words(tmp_path / "plain.jsonl")
    with pytest.raises(MeasureError, match=said), stretch.plain_file(argv):
        pass
    assert not (tmp_path / "plain.jsonl").exists()


def test_a_plain_file_is_there_for_the_command_line_and_gone_after(tmp_path):
    stretch = Stretch(str(frozen(tmp_path, [plain(), plain(prompt="1"), plain(prompt="x y")])), 1, 2)
    path = tmp_path / "plain.jsonl"
    with stretch.plain_file(stretch.words(path)):
        assert path.read_text() == '{"prompt": "1", "output_tokens": 1}\n{"prompt": "x y", "output_tokens": 1}\n'
    assert not path.exists()
