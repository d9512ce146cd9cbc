"""A question to a server is answered within its limit or not at all, however the server behaves."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from benchbook.hosts import http as questions
from benchbook.hosts.server import VllmServer

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], str]]:
    """Return a function that starts a server with one way to answer, and returns its address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        members = {"do_GET": answer, "log_message": lambda *_: None}
        handler = type("Handler", (http.server.BaseHTTPRequestHandler,), members)
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def drip(request: http.server.BaseHTTPRequestHandler) -> None:
    """Answer at once, and then go on for two seconds, a byte at a time."""
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.02)
    except OSError:
        pass  # the client has had enough


def test_an_answer_that_never_ends_is_cut_at_the_limit(answering: Callable[[Answer], str]) -> None:
    start_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no whole answer within 0\.2 s"):
        questions.get(answering(drip), "/", timeout_s=0.2)
    assert time.monotonic() - start_s < 1.5


def test_headers_that_come_a_byte_at_a_time_are_cut_at_the_limit(
    fake_server: Callable[..., VllmServer], complete: Callable[[VllmServer], int]
) -> None:
    with fake_server(byte_s=0.01, output_tokens=1) as server:
        complete(server)  # from the first request on, every answer is that slow
        start_s = time.monotonic()
        with pytest.raises(TimeoutError):
            questions.get(server.base_url, "/metrics", timeout_s=0.2)
        assert time.monotonic() - start_s < 1.5


def test_silence_is_a_timeout_and_a_closed_port_is_refused_at_once(answering: Callable[[Answer], str]) -> None:
    with pytest.raises(TimeoutError):
        questions.get(answering(lambda request: time.sleep(0.2)), "/", timeout_s=0.05)
    with pytest.raises(ConnectionRefusedError):
        questions.get("http://127.0.0.1:9", "/", timeout_s=5)


def test_what_is_not_http_is_a_connection_error(answering: Callable[[Answer], str]) -> None:
    with pytest.raises(ConnectionError, match="did not answer in HTTP"):
        questions.get(answering(lambda request: request.wfile.write(b"SSH-2.0-x\r\n")), "/", timeout_s=5)


@pytest.mark.parametrize(
    "text",
    ["NaN", '{"a": Infinity}', "[1e999]", "[" * 100_000, "hello", "", '{"a": 1' + "0" * 5000 + "}", '{"a"'],
)
def test_what_a_stranger_calls_json_and_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        questions.json_of(text)


def test_half_of_a_surrogate_pair_is_no_text_that_a_file_can_hold() -> None:
    assert questions.json_of(r'{"a": ["\ud83d", "\ud83d\ude00"]}') == {"a": ["?", "\U0001f600"]}


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        (b"", b"x" * (questions.MAX_BODY_BYTES + 2), "larger than 16 MiB"),
        (b"Content-Length: 100\r\n", b"{}", "was cut: 98 bytes are missing"),
        (b"Transfer-Encoding: chunked\r\n", b"ffff\r\nabc", "did not answer in HTTP"),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\nabc", "did not answer in HTTP"),
        (b"X: " + b"y" * 70_000 + b"\r\n", b"", "did not answer in HTTP"),
    ],
)
def test_a_body_that_is_too_large_or_cut_is_a_connection_error(
    answering: Callable[[Answer], str], head: bytes, body: bytes, why: str
) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):  # the client has had enough
            request.wfile.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\n" + body)

    with pytest.raises(ConnectionError, match=why):
        questions.get(answering(answer), "/", timeout_s=5)


def test_a_head_without_end_is_cut_at_the_limit(answering: Callable[[Answer], str]) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            while True:
                request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    with pytest.raises(TimeoutError):
        questions.get(answering(answer), "/", timeout_s=0.3)
