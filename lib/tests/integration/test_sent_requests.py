"""Frozen requests, sent by vLLM's own client to a server that keeps the bytes: those of the file, in its order."""

from __future__ import annotations

import contextlib
import time

import pytest
from benchbook.hosts.model.files import resolve_model
from benchbook.judge.checks import record_reasons
from benchbook.judge.evidence import Measured
from benchbook.measure.client.meter import meter_path
from benchbook.measure.client.sent import of_those_sent, sent_facts
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.records.conditions import Conditions, Sent
from benchbook.records.files import read_json
from benchbook.records.frozen import FrozenHeader, FrozenRequest, sha256_of, write_frozen
from benchbook.terms.asked import Asked
from benchbook.terms.errors import MeasureError
from benchbook.terms.metrics import values_from_raw
from stream_server import counted, delta, stream_server, token, usage

pytestmark = pytest.mark.integration

ENDPOINTS = {"openai": "/v1/completions", "openai-chat": "/v1/chat/completions"}
ODD_TEXTS = ("w5 w6", '  "quoted" \\ and\ttabs\n\n', "naïve 🙂 \u2028 end", "7", "\u0085", "{}", "null", "1e5")


@pytest.fixture
def send(vllms_client, tmp_path):
    """Return a function that has vLLM's client send requests to a server and returns (run, raw file, notes)."""

    def send(
        server, requests, *more, backend="openai", is_warm=True, skip=0, addresses=(), ends_after_s=None, **stretch
    ):
        path = tmp_path / "requests.jsonl.gz"
        header = FrozenHeader(name="a", requests=len(requests), distinct=len(requests), seed=0, spec={})
        write_frozen(path, header, requests)
        stretch = Stretch(str(path), skip, len(requests) - skip, **stretch)
        log_path, tiny = tmp_path / "bench.log", resolve_model("tiny").path
        argv = ["serve", "--backend", backend, "--base-url", server.url, "--endpoint", ENDPOINTS[backend]]
        argv += ["--model", tiny, "--served-model-name", "served", *stretch.words(tmp_path / "requests.jsonl")]
        argv += ["--ready-check-timeout-sec", "0", "--save-result", "--save-detailed", "--percentile-metrics"]
        argv += ["ttft,tpot,itl,e2el", "--result-dir", str(tmp_path), "--result-filename", "raw.json", *more]
        run = run_bench(
            argv,
            socket_path=vllms_client.socket_path if is_warm else None,
            env={"no_proxy": "127.0.0.1"},
            on_line=None,
            log_path=log_path,
            limit_s=120.0,
            stretch=stretch,
            addresses=addresses,
            ends_after_s=ends_after_s,
        )
        assert run.exit_code == 0 and run.way == (WARM if is_warm else COMMAND_LINE), log_path.read_text()[-3000:]
        notes = read_json(meter_path(log_path))["sent"] if is_warm else None
        return run, read_json(tmp_path / "raw.json"), notes

    return send


def answer(body):
    """Answer with the tokens asked for."""
    count = body.get("max_tokens") or body["max_completion_tokens"]
    chunk = token if "prompt" in body else lambda text: delta(content=text)
    said = body.get("prompt") or " ".join(message["content"] for message in body["messages"])
    return [*(chunk(f"w{number} ") for number in range(count)), usage(len(said.split()), count)]


def one_at_a_time(*more):
    return ("--max-concurrency", "1", "--temperature", "0", "--ignore-eos", *more)


def test_the_prompts_that_reach_a_server_are_those_of_the_file_with_and_without_a_warm_client(send):
    requests = [
        FrozenRequest(prompt=text, input_tokens=2, output_tokens=3 + number) for number, text in enumerate(ODD_TEXTS)
    ]
    sent, columns = [], []
    for is_warm in (True, False):
        with stream_server(answer) as server:
            _, raw, notes = send(server, requests, *one_at_a_time("--top-p", "0.5"), is_warm=is_warm, skip=1)
        sent.append(server.requests)
        columns.append(list(raw))
        assert [body["prompt"] for body in server.bodies] == list(ODD_TEXTS[1:])
        assert [body["max_tokens"] for body in server.bodies] == raw["output_lens"] == [4, 5, 6, 7, 8, 9, 10]
        assert {(body["ignore_eos"], body["temperature"], body["top_p"]) for body in server.bodies} == {(True, 0, 0.5)}
        if is_warm:
            assert notes["sha256"] == sha256_of(requests[1:]) and notes["sent_tokens"] == [2] * 7
            assert notes["counted_tokens"] == raw["input_lens"]
    assert sent[0] == sent[1] and columns[0] == columns[1]


def test_a_service_of_several_addresses_gets_its_requests_at_each_in_turn(send):
    requests = [FrozenRequest(prompt=f"w{number}", input_tokens=1, output_tokens=2) for number in range(7)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(stream_server(answer)) for _ in range(3)]
        addresses = [server.url for server in servers]
        _, raw, notes = send(servers[0], requests, *one_at_a_time(), addresses=addresses)
        with pytest.raises(MeasureError, match="nothing was sent: only the warm client sends to 3 addresses in turn"):
            send(servers[0], requests, *one_at_a_time(), addresses=addresses, is_warm=False)
    sent = [[body["prompt"] for body in server.bodies] for server in servers]
    assert sent == [["w0", "w3", "w6"], ["w1", "w4"], ["w2", "w5"]]
    assert raw["completed"] == 7 and notes["counted_tokens"] == [1] * 7


# How a server may tell that an answer had five tokens, whose three words are three by the tokenizer; and what is heard.
COUNTED = {
    "in an event of their own": ([token("w1 "), token("w2 "), token("w3 ", "length"), usage(2, 5)], 5, 0, 0),
    "beside the last text": ([token("w1 "), token("w2 "), counted(token("w3 ", "length"), 2, 5)], 5, 1, 0),
    "beside each text": ([counted(token(f"w{n} "), 2, tokens) for n, tokens in ((1, 1), (2, 4), (3, 5))], 5, 3, 0),
    "beside a last chunk without text": ([token("w1 "), token("w2 w3 "), counted(token("", "length"), 2, 5)], 5, 1, 1),
    "as by LiteLLM": (
        [token("w1 w2 w3 "), {"choices": [{"index": 0, "finish_reason": "length"}]}, counted({"choices": [{"index": 0}]}, 2, 5)],
        5, 1, 2,
    ),
    "both ways": ([token("w1 w2 "), counted(token("w3 ", "length"), 2, 4), usage(2, 5)], 5, 1, 0),
    "by null": ([{**token("w1 w2 w3 ", "length"), "usage": None}], 3, 0, 0),
    "by what is no count": ([{**token("w1 w2 w3 ", "length"), "usage": {"completion_tokens": None}}], 3, 0, 0),
    "in its words": ([token('w1 w2 w3 "usage": {"finish_reason": "x"}', "length"), usage(2, 5)], 5, 0, 0),
}  # fmt: skip


def test_counts_of_tokens_are_heard_in_an_event_of_their_own_and_beside_text(send, tmp_path):
    requests = [FrozenRequest(prompt=f"{number} w5", input_tokens=2, output_tokens=5) for number in range(len(COUNTED))]
    forms = list(COUNTED.values())
    with stream_server(lambda body: forms[int(body["prompt"].split()[0])][0]) as server:
        _, raw, _ = send(server, requests, *one_at_a_time())
    assert dict(zip(COUNTED, raw["output_lens"])) == {form: tokens for form, (_, tokens, _, _) in COUNTED.items()}
    notes = read_json(meter_path(tmp_path / "bench.log"))
    assert notes["counts_beside"] == sum(beside for _, _, beside, _ in forms) and raw["completed"] == len(COUNTED)
    assert notes["textless_ends"] == sum(textless for _, _, _, textless in forms)
    chunks = [sum(bool(event["choices"]) for event in events) for events, _, _, _ in forms]
    assert [len(gaps) + 1 for gaps in raw["itls"]] == chunks, "what is heard beside is no chunk"


def slowly(body):
    """Answer as asked, half a second later."""
    time.sleep(0.5)
    return answer(body)


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_clock_ends_a_closed_loop_and_what_was_sent_by_then_is_answered_and_counted(send, at_once):
    requests = [FrozenRequest(prompt=f"w{number}", input_tokens=1, output_tokens=3) for number in range(400)]
    with stream_server(slowly) as server:
        _, raw, notes = send(server, requests, "--max-concurrency", str(at_once), "--ignore-eos", ends_after_s=1.0)
    sent = [body["prompt"] for body in server.bodies]
    assert 1 <= len(sent) < 400 and sorted(sent) == sorted(one.prompt for one in requests[: len(sent)])
    assert raw["completed"] == len(raw["start_times"]) == len(sent) and raw["failed"] == 0
    assert raw["total_output_tokens"] == 3 * len(sent)
    assert notes["sha256"] == sha256_of(requests), "all that were to be sent tell which set it is"
    kept = of_those_sent(notes, raw)
    assert kept["counted_tokens"] == raw["input_lens"] and len(kept["sent_tokens"]) == len(sent)
    facts = sent_facts(kept, raw, 16)
    assert facts["sent_tokens"] == len(sent) and facts["uncounted"] == 0


def test_a_load_that_is_over_before_its_time_ends_as_ever(send):
    requests = [FrozenRequest(prompt=f"w{number}", input_tokens=1, output_tokens=3) for number in range(5)]
    with stream_server(answer) as server:
        _, raw, _ = send(server, requests, *one_at_a_time(), ends_after_s=600.0)
    assert raw["completed"] == 5 and [body["prompt"] for body in server.bodies] == [f"w{n}" for n in range(5)]


def test_a_command_line_which_has_no_end_by_the_clock_sends_nothing(send):
    with stream_server(answer) as server, pytest.raises(MeasureError, match="only the warm client ends by the clock"):
        send(server, [FrozenRequest(prompt="w1", input_tokens=1, output_tokens=3)], is_warm=False, ends_after_s=5.0)
    assert not server.bodies


def test_messages_tools_and_adapters_reach_the_server_as_they_are_in_the_file(send):
    talks = [({"role": "system", "content": "w1"}, {"role": "user", "content": text}) for text in ODD_TEXTS]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    requests = [
        FrozenRequest(messages=talk, input_tokens=3, output_tokens=4, adapter=adapter, body=body)
        for talk, adapter, body in zip(talks, ("a", None) * 4, (None, None, {"tools": tools}, None) * 2)
    ]
    with stream_server(answer) as server:
        _, raw, notes = send(server, requests, *one_at_a_time(), backend="openai-chat")
    assert [body["messages"] for body in server.bodies] == [list(talk) for talk in talks]
    assert [body["model"] for body in server.bodies] == ["a", "served"] * 4
    assert [body.get("tools") for body in server.bodies] == [None, None, tools, None] * 2
    assert {path for path, _ in server.requests} == {ENDPOINTS["openai-chat"]} and raw["completed"] == 8


def test_recorded_times_are_kept_and_one_place_for_all_of_them_makes_them_late(send):
    due_s = [0.0, 0.3, 0.3, 0.35, 0.8]
    requests = [FrozenRequest(prompt="w5", input_tokens=1, output_tokens=2, due_s=due) for due in due_s]
    facts = []
    for more, pause_s in ((), 0.0), (("--max-concurrency", "1"), 0.4):
        with stream_server(lambda body, pause_s=pause_s: [pause_s, *answer(body)]) as server:
            _, raw, notes = send(server, requests, *more, is_timed=True)
        assert notes["due_s"] == due_s and raw["completed"] == 5
        assert raw["start_times"][-1] - raw["start_times"][0] > 0.3  # the first one may be late as well
        facts.append(sent_facts(notes, raw, None))
    late_ms = facts[1]["late_p99_ms"]
    assert late_ms > 800  # five waits of 0.4 s behind each other, of which 0.8 s were to pass
    (found,) = [why for why in reasons_of(raw, sent=facts[1]) if why.code == "arrivals_late"]
    assert f"{late_ms:.1f} ms" in found.evidence


TALKS = [
    FrozenRequest(
        messages=({"role": "user", "content": f"w{talk} w{turn}"},),
        input_tokens=2,
        output_tokens=3,
        conversation=talk,
        turn=turn,
        think_s=0.01 if turn else None,
    )
    for talk in range(3)
    for turn in range(5)
]


@pytest.mark.parametrize("backend", ENDPOINTS)
def test_every_turn_begins_with_the_bytes_of_the_turn_before_and_of_its_answer(send, backend):
    requests = TALKS if backend == "openai-chat" else [as_text(one) for one in TALKS]
    with stream_server(answer) as server:
        _, raw, notes = send(server, requests, "--max-concurrency", "2", backend=backend)
    sent = {}
    for body in server.bodies:
        text = body.get("prompt") or "".join(message["content"] for message in body["messages"])
        sent.setdefault(text[:2], []).append(text)
    assert {talk: len(turns) for talk, turns in sent.items()} == {"w0": 5, "w1": 5, "w2": 5}
    for turns in sent.values():
        for before, after in zip(turns, turns[1:]):
            assert after.startswith(before + "w0 w1 w2 ")
    assert raw["completed"] == 15 and raw["max_concurrency"] == 2
    assert notes["turns"] == [0, 1, 2, 3, 4] * 3
    assert raw["input_lens"] == notes["counted_tokens"] == notes["sent_tokens"] == [2, 7, 12, 17, 22] * 3
    assert [least for least, _ in notes["cached_tokens"]] == [0, 4, 9, 14, 19] * 3
    facts = Sent.of(**sent_facts(notes, raw, 4))
    # Of a turn whose answer fills a block of 4 to its last token, that block may be there or not.
    assert facts.least_cached_tokens == 3 * (4 + 8 + 12 + 16) and facts.most_cached_tokens == 3 * (4 + 8 + 12 + 20)
    assert 0 < facts.conversations_at_once <= 2 and len(facts.median_ttft_by_turn_ms) == 5


def as_text(one):
    """Return a turn of a chat as one of completions, whose text goes on where the answer ended."""
    fields = one.model_dump() | {"messages": None, "prompt": one.messages[0]["content"] + " "}
    return FrozenRequest(**fields)


def test_a_conversation_ends_with_the_turn_that_fails_and_the_others_go_on(send):
    def refusing(body):
        return None if len(body["messages"]) == 3 and body["messages"][0]["content"] == "w1 w0" else answer(body)

    with stream_server(refusing) as server:
        _, raw, notes = send(server, TALKS, "--max-concurrency", "1", backend="openai-chat")
    assert [bool(error) for error in raw["errors"]] == [False] * 6 + [True] * 4 + [False] * 5
    assert (raw["completed"], raw["failed"], len(server.requests)) == (11, 4, 12)
    assert notes["counted_tokens"][6:10] == [None] * 4
    assert "requests_failed" in {why.code for why in reasons_of(raw)}


def test_a_history_that_the_server_does_not_take_is_cut_and_said_to_be(send):
    with stream_server(answer) as server:
        _, raw, notes = send(server, TALKS, backend="openai-chat", max_model_len=15)
    assert raw["input_lens"] == [2, 7, 12, 12, 12] * 3 and notes["histories_cut"] == 6
    found = {why.code: why.evidence for why in reasons_of(raw, sent=sent_facts(notes, raw, None))}
    assert found["history_cut"].startswith("6 turns were sent without the beginning")


def reasons_of(raw, ends_by="length", output_tokens=3, **conditions):
    """Return what is found in a raw file of requests that were to get so many tokens each."""
    asked = Asked(requests=len(raw["errors"]), output_tokens_each=output_tokens, varies_by=0.0, ends_by=ends_by)
    values = values_from_raw("serve", raw)
    return record_reasons(Measured("serve", {}, values, raw, conditions=Conditions(**conditions), asked=asked))


ROLE = delta(role="assistant", content="")
PAUSE = 0.02  # between tokens: a busy machine hands on a faster stream in heaps
WORDS = [PAUSE, delta(content="w0 "), PAUSE, delta(content="w1 "), PAUSE, delta("length", content="w2 ")]
# How a chat may be streamed; of each answer the tokens that vLLM's client counts, its gaps, its text, and our codes.
CHUNKS = {
    "as completions are": ([*WORDS, usage(2, 3)], 3, 2, "w0 w1 w2 ", set()),
    "opened with the first token": (
        [PAUSE, [ROLE, WORDS[1]], *WORDS[2:], usage(2, 3)], 3, 3, "w0 w1 w2 ", {"opening_chunk"},
    ),
    # vLLM's client takes the role for a token: its TTFT is no wait for one.
    "opened at once": ([ROLE, 0.2, *WORDS[1:], usage(2, 3)], 3, 3, "w0 w1 w2 ", {"empty_first_chunk"}),
    "with empty deltas": ([*WORDS[:4], PAUSE, delta(), PAUSE, *WORDS[5:], usage(2, 3)], 3, 3, "w0 w1 w2 ", None),
    "with a reason in a chunk of its own": ([*WORDS, PAUSE, delta("stop", content=""), usage(2, 3)], 3, 3, None, None),
    "uncounted": (WORDS, 3, 2, "w0 w1 w2 ", set()),
    "counted beside the last text": ([*WORDS[:5], counted(WORDS[5], 2, 3)], 3, 2, None, set()),
    "reasoning first": (
        [PAUSE, delta(reasoning="w8 "), PAUSE, delta(reasoning_content="w9 "), *WORDS[4:], usage(2, 3)], 3, 2, "w2 ", set(),
    ),
    # Of a text that was not shown nobody counts the tokens: the answer seems shorter than its chunks.
    "reasoning first, uncounted": (
        [PAUSE, delta(reasoning="w8 "), PAUSE, delta(reasoning="w9 "), *WORDS[4:]], 1, 2, "w2 ",
        {"empty_first_chunk", "outputs_short"},
    ),
    "a tool is called": (
        [PAUSE, delta(tool_calls=[{"index": 0, "function": {"name": "f"}}]), PAUSE,
         delta("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]), usage(2, 3)],
        3, 1, "", {"itl_per_chunk"},
    ),
    "stopped by itself": ([*WORDS[:4], usage(2, 2)], 2, 1, "w0 w1 ", {"outputs_short"}),
    "several tokens a chunk": ([PAUSE, delta(content="w0 w1 "), *WORDS[4:], usage(2, 3)], 3, 1, "w0 w1 w2 ", {"itl_per_chunk"}),
}  # fmt: skip
OF_STREAMS = {
    "opening_chunk",
    "closing_chunk",
    "empty_first_chunk",
    "itl_per_chunk",
    "outputs_short",
    "requests_failed",
}


def test_what_vllms_client_counts_of_each_form_of_a_chat_and_which_code_speaks(send):
    requests = [
        FrozenRequest(messages=({"role": "user", "content": f"{number} w5"},), input_tokens=2, output_tokens=3)
        for number in range(len(CHUNKS))
    ]
    forms = list(CHUNKS.values())
    with stream_server(lambda body: forms[int(body["messages"][0]["content"].split()[0])][0]) as server:
        _, raw, _ = send(server, requests, *one_at_a_time(), backend="openai-chat")
    for number, (form, (_, tokens, gaps, text, codes)) in enumerate(CHUNKS.items()):
        alone = {key: value[number : number + 1] for key, value in raw.items() if isinstance(value, list)}
        assert alone["output_lens"] == [tokens] and len(alone["itls"][0]) == gaps, form
        assert text is None or alone["generated_texts"] == [text], form
        found = {why.code for why in reasons_of({**alone, "completed": 1, "failed": 0})} & OF_STREAMS
        assert codes is None or found == codes, form
    free = {why.code for why in reasons_of({**alone, "output_lens": [2]}, ends_by="any")}
    assert "outputs_short" not in free  # who lets answers stop by themselves is not told of it
