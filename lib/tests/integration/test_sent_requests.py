"""Frozen requests, sent by vLLM's own client to a server that keeps the bytes: those of the file, in its order."""

from __future__ import annotations

import pytest
from benchbook.hosts.model.files import resolve_model
from benchbook.measure.client.meter import meter_path
from benchbook.measure.client.stretch import Stretch
from benchbook.measure.client.tasks import COMMAND_LINE, WARM, run_bench
from benchbook.measure.client.warm import WarmClient
from benchbook.records.files import read_json
from benchbook.records.frozen import FrozenHeader, FrozenRequest, sha256_of, write_frozen
from stream_server import delta, stream_server, token, usage

pytestmark = pytest.mark.integration

ENDPOINTS = {"openai": "/v1/completions", "openai-chat": "/v1/chat/completions"}
ODD_TEXTS = ("w5 w6", '  "quoted" \\ and\ttabs\n\n', "naïve 🙂 \u2028 end", "7", "\u0085", "{}", "null", "1e5")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Yield a warm worker with vLLM's own client."""
    with WarmClient(log_dir=tmp_path_factory.mktemp("client")) as client:
        yield client


@pytest.fixture
def send(client, tmp_path):
    """Return a function that has vLLM's client send requests to a server and returns (run, raw file, notes)."""

    def send(server, requests, *more, backend="openai", is_warm=True, skip=0, **stretch):
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
            socket_path=client.socket_path if is_warm else None,
            env={},
            on_line=None,
            log_path=log_path,
            limit_s=120.0,
            stretch=stretch,
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
    sent = []
    for is_warm in (True, False):
        with stream_server(answer) as server:
            _, raw, notes = send(server, requests, *one_at_a_time("--top-p", "0.5"), is_warm=is_warm, skip=1)
        sent.append(server.requests)
        assert [body["prompt"] for body in server.bodies] == list(ODD_TEXTS[1:])
        assert [body["max_tokens"] for body in server.bodies] == raw["output_lens"] == [4, 5, 6, 7, 8, 9, 10]
        assert {(body["ignore_eos"], body["temperature"], body["top_p"]) for body in server.bodies} == {(True, 0, 0.5)}
        if is_warm:
            assert notes["sha256"] == sha256_of(requests[1:]) and notes["sent_tokens"] == [2] * 7
            assert notes["counted_tokens"] == raw["input_lens"]
    assert sent[0] == sent[1]


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
