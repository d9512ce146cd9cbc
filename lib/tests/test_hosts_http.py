"""A question to a server is answered within its limit or not at all, however the server behaves."""

from __future__ import annotations

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


def test_an_answer_that_is_not_json_is_quoted(answering: Callable[[Answer], str]) -> None:
    with pytest.raises(ConnectionError, match="did not answer in JSON: 'hello'"):
        questions.get_json(
            answering(lambda request: request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nhello")), "/", timeout_s=5
        )
    with pytest.raises(ConnectionError, match="answered 404"):
        questions.get_json(answering(lambda request: request.send_error(404)), "/", timeout_s=5)
