"""A stand-in for what may really stand at an address: a sound server of vLLM's protocol, and one thing odd about it.

    python odd_server.py HOST KIND ROOT [CERTIFICATE]   (prints its port; with certificate and key in PEM it speaks TLS)

KIND is a name in KINDS, whose answers to one path are hostile, or in ODDITIES, which are odd and harmless, or "" for a
sound server. ROOT is where it says that its model lies.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NAME = "odd-model"
COMPLETIONS, MODELS, METRICS, VERSION, HEALTH = "/v1/completions", "/v1/models", "/metrics", "/version", "/health"
MIB = 1 << 20
PACE_S = 0.01  # from token to token: a busy machine hands on a faster stream in heaps


class Connection:
    """One request and the socket that its answer goes to."""

    def __init__(self, server: OddServer, peer: socket.socket) -> None:
        self.server, self.peer = server, peer
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := peer.recv(MIB)):
                raise ConnectionError
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
        while len(body) < length:
            body += peer.recv(MIB)
        self.path = lines[0].split(" ")[1].partition("?")[0]
        self.body = json.loads(body or b"{}")

    @property
    def asked(self) -> int:
        return self.body.get("max_tokens") or 16

    def write(self, data: bytes) -> None:
        self.peer.sendall(data)

    def head(self, status: str = "200 OK", kind: str = "text/event-stream", *more: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close", *more, "", ""]
        self.write("\r\n".join(lines).encode())

    def whole(self, body: bytes | str, status: str = "200 OK", kind: str = "application/json", *more: str) -> None:
        data = body if isinstance(body, bytes) else body.encode()
        self.head(status, kind, f"Content-Length: {len(data)}", *more)
        self.write(data)

    def event(self, payload: object) -> None:
        self.write(b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n")

    def token(self, number: int, finish: object = None, text: object = None) -> None:
        self.event({"choices": [{"text": f"w{number} " if text is None else text, "finish_reason": finish}]})

    def tokens(self, count: int, ends: bool = True) -> None:
        for number in range(count):
            time.sleep(PACE_S)
            self.token(number, "length" if ends and number == count - 1 else None)

    def usage(self, **other: object) -> None:
        counts = {"prompt_tokens": self.num_prompt, "completion_tokens": self.asked}
        if (self.body.get("stream_options") or {}).get("include_usage"):
            self.event({"choices": [], "usage": {**counts, **other}})

    @property
    def num_prompt(self) -> int:
        prompt = self.body.get("prompt", "")
        return len(prompt) if isinstance(prompt, list) else len(prompt.split())

    def done(self) -> None:
        self.event(b"[DONE]")

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def drip(self, data: bytes, every_s: float) -> None:
        while True:
            for index in range(len(data)):
                self.write(data[index : index + 1])
                time.sleep(every_s)


Answer = Callable[[Connection], None]
KINDS: dict[str, tuple[str, Answer]] = {}


def kind(path: str, name: str = "") -> Callable[[Answer], Answer]:
    """Register a way to answer `path` under the name of its function."""

    def register(answer: Answer) -> Answer:
        KINDS[name or answer.__name__] = (path, answer)
        return answer

    return register


def whole_kind(
    path: str, name: str, body: bytes | str, status: str = "200 OK", media: str = "application/json", *more: str
) -> None:
    """Register a whole answer."""
    kind(path, name)(lambda c: c.whole(body, status, media, *more))


class OddServer:
    """Answers soundly, but for the one path of its kind."""

    def __init__(self, odd: str, root: str) -> None:
        path, answer = KINDS.get(odd, ("", not_found))
        self.answers = {**SOUND, **ODDITIES.get(odd, {path: answer})}
        self.root = root
        self.num_asked = dict.fromkeys((COMPLETIONS, MODELS, METRICS, VERSION, HEALTH), 0)
        self.prompt = self.generated = self.finished = 0
        self.lock = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def answer(self, peer: socket.socket) -> None:
        try:
            connection = Connection(self, peer)
            self.num_asked[connection.path] = self.num_asked.get(connection.path, 0) + 1
            self.answers.get(connection.path, not_found)(connection)
            # Closed while the other side still sends, a socket would reset instead of ending.
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(1)
            while peer.recv(MIB):
                pass
        except OSError:
            pass  # the client has had enough
        finally:
            peer.close()


def not_found(c: Connection) -> None:
    c.whole('{"detail": "Not Found"}', "404 Not Found")


def health(c: Connection) -> None:
    c.whole("")


def version(c: Connection) -> None:
    c.whole('{"version": "0.32.0"}')


def models(c: Connection, **other: object) -> None:
    card = {"id": NAME, "root": c.server.root, "max_model_len": 4096, **other}
    c.whole(json.dumps({"object": "list", "data": [card]}))


def page(c: Connection, engines: int = 1, **other: float) -> str:
    server, lines = c.server, []
    for engine in range(engines):
        label = f'engine="{engine}",model_name="{NAME}"'
        share = 1.0 if engine == 0 else 0.0
        values = {
            "num_requests_running": 0, "num_requests_waiting": 0, "kv_cache_usage_perc": 0.6,
            "prompt_tokens_total": server.prompt * share, "generation_tokens_total": server.generated * share,
            "num_preemptions_total": 0, "prefix_cache_queries_total": 0, "prefix_cache_hits_total": 0, **other,
        }  # fmt: skip
        lines += [f"vllm:{name}{{{label}}} {value}" for name, value in values.items()]
        lines.append(f'vllm:request_success_total{{{label},finished_reason="length"}} {server.finished * share}')
    return "\n".join(lines) + "\n"


def metrics(c: Connection) -> None:
    c.whole(page(c), kind="text/plain")


def count(c: Connection, generated: int | None = None) -> None:
    """Count an answer for /metrics: of `generated` tokens, by default of those asked for."""
    with c.server.lock:
        c.server.prompt += c.num_prompt
        c.server.generated += c.asked if generated is None else generated
        c.server.finished += 1


def completions(c: Connection) -> None:
    count(c)
    c.head()
    c.tokens(c.asked)
    c.usage()
    c.done()


SOUND = {HEALTH: health, VERSION: version, MODELS: models, METRICS: metrics, COMPLETIONS: completions}


# ---- what goes wrong with the answer itself
whole_kind(COMPLETIONS, "empty_200", "")
whole_kind(COMPLETIONS, "html_200", "<html><body>welcome</body></html>", media="text/html")
whole_kind(COMPLETIONS, "html_500", "<html>\n<b>upstream\n</html>", "500 Internal Server Error", "text/html")
whole_kind(COMPLETIONS, "status_204", "", "204 No Content")
whole_kind(COMPLETIONS, "redirect_loop", "", "307 Temporary Redirect", "text/html", f"Location: {COMPLETIONS}")
whole_kind(COMPLETIONS, "redirect_to_health", "", "302 Found", "text/html", f"Location: {HEALTH}")
whole_kind(COMPLETIONS, "not_streamed", json.dumps({"choices": [{"text": "w1 w2", "finish_reason": "length"}]}))
whole_kind(COMPLETIONS, "gzip_that_is_none", b"data: hello", "200 OK", "text/event-stream", "Content-Encoding: gzip")
whole_kind(COMPLETIONS, "binary", bytes(range(256)) * 64, "200 OK", "application/octet-stream")


@kind(COMPLETIONS)
def gzip_bomb(c: Connection) -> None:
    packer = zlib.compressobj(1, wbits=31)
    first, next_one = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # A gigabyte without its end, to which nobody comes; packing all of it takes seconds.
    c.whole(first + 1023 * next_one, "200 OK", "text/event-stream", "Content-Encoding: gzip")


@kind(COMPLETIONS)
def closed_at_once(c: Connection) -> None:
    pass


@kind(COMPLETIONS)
def reset_at_once(c: Connection) -> None:
    c.reset()


@kind(COMPLETIONS)
def silent(c: Connection) -> None:
    time.sleep(600)


@kind(COMPLETIONS)
def head_dripped(c: Connection) -> None:
    c.drip(b"HTTP/1.1 200 OK\r\nX: y\r\n", 0.3)


@kind(COMPLETIONS)
def not_http(c: Connection) -> None:
    c.write(b"SSH-2.0-OpenSSH_9\r\n")


@kind(COMPLETIONS)
def odd_status_line(c: Connection) -> None:
    c.write(b"HTTP/1.1 abc Fine\r\n\r\n")


@kind(COMPLETIONS)
def continued_for_ever(c: Connection) -> None:
    while True:
        c.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        time.sleep(0.01)


@kind(COMPLETIONS)
def huge_header(c: Connection) -> None:
    c.head("200 OK", "text/event-stream", "X: " + "y" * MIB)
    c.done()


@kind(COMPLETIONS)
def thousands_of_headers(c: Connection) -> None:
    c.head("200 OK", "text/event-stream", *(f"X-{number}: y" for number in range(20_000)))
    c.done()


@kind(COMPLETIONS)
def stream_dripped(c: Connection) -> None:
    c.head()
    c.drip(b'data: {"choices": [{"text": "w1 "}]}\n\n', 0.2)


@kind(COMPLETIONS)
def pings_for_ever(c: Connection) -> None:
    c.head()
    while True:
        c.write(b": ping\n\n")
        time.sleep(0.05)


@kind(COMPLETIONS)
def tokens_for_ever(c: Connection) -> None:
    c.head()
    while True:
        c.token(1)


@kind(COMPLETIONS)
def line_without_end(c: Connection) -> None:
    c.head()
    c.write(b"data: ")
    while True:
        c.write(b"x" * MIB)


@kind(COMPLETIONS)
def comments_without_end(c: Connection) -> None:
    c.head()
    while True:
        c.write(b": " + b"x" * MIB + b"\n\n")


@kind(COMPLETIONS)
def blank_lines_for_ever(c: Connection) -> None:
    c.head()
    while True:
        c.write(b"\n" * MIB)


@kind(COMPLETIONS)
def stalls_after_a_token(c: Connection) -> None:
    c.head()
    c.token(1)
    time.sleep(600)


@kind(COMPLETIONS)
def cut_in_mid_stream(c: Connection) -> None:
    count(c, 2)
    c.head()
    c.tokens(2, ends=False)


@kind(COMPLETIONS)
def reset_in_mid_stream(c: Connection) -> None:
    count(c, 2)
    c.head()
    c.tokens(2, ends=False)
    time.sleep(0.05)
    c.reset()


# ---- framing
@kind(COMPLETIONS)
def chunk_of_no_size(c: Connection) -> None:
    c.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked")
    c.write(b"zz\r\ndata: hello\r\n")


@kind(COMPLETIONS)
def chunk_of_negative_size(c: Connection) -> None:
    c.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked")
    c.write(b"-5\r\ndata: hello\r\n0\r\n\r\n")


@kind(COMPLETIONS)
def chunk_larger_than_sent(c: Connection) -> None:
    c.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked")
    c.write(b"FFFFFFF\r\ndata: hello\n\n")


@kind(COMPLETIONS)
def length_too_large(c: Connection) -> None:
    c.head("200 OK", "text/event-stream", "Content-Length: 1000000")
    c.tokens(1, ends=False)


@kind(COMPLETIONS)
def length_too_small(c: Connection) -> None:
    count(c)
    c.head("200 OK", "text/event-stream", "Content-Length: 60")
    c.tokens(c.asked)


@kind(COMPLETIONS)
def two_lengths(c: Connection) -> None:
    count(c)
    c.head("200 OK", "text/event-stream", "Content-Length: 10", "Content-Length: 20")
    c.tokens(c.asked)


# ---- what events hold
def stream_kind(name: str, *payloads: bytes | object) -> None:
    """Register a stream of these events, at a server's pace, then a usage and the end."""

    @kind(COMPLETIONS, name)
    def answer(c: Connection) -> None:
        count(c)
        c.head()
        for payload in payloads:
            time.sleep(PACE_S)
            c.event(payload)
        c.usage()
        c.done()


def text_event(text: object, finish: object = None) -> dict:
    """Return an event with one choice."""
    return {"choices": [{"text": text, "finish_reason": finish}]}


stream_kind("json_malformed", b'{"choices": [')
stream_kind("json_nested_deeply", b"[" * 200_000 + b"]" * 200_000)
stream_kind("json_of_nan", b'{"choices": NaN}')
stream_kind("event_is_a_list", b"[1, 2]")
stream_kind("choices_null", {"choices": None})
stream_kind("choices_number", {"choices": 5})
stream_kind("text_is_a_number", text_event(5, "length"))
stream_kind("texts_empty", *[text_event("")] * 5, text_event("", "length"))
stream_kind("finish_reason_is_an_object", *[text_event("w1 ")] * 5, text_event("w1 ", {"a": 1}))
stream_kind("half_surrogates", *[text_event("\ud800")] * 5, text_event("\udfff", "length"))
stream_kind("not_utf8", b'{"choices": [{"text": "\xff\xfe", "finish_reason": "length"}]}')
stream_kind("error_at_first", {"error": {"message": "no\nway", "code": 500}})
stream_kind("nothing_but_the_end")
stream_kind("event_of_8_mib", text_event("w1 " * (8 * MIB // 3), "length"))


@kind(COMPLETIONS)
def error_in_mid_stream(c: Connection) -> None:
    """End as vLLM does when its engine dies: without a usage, and without a finished request."""
    c.head()
    c.token(1)
    c.event({"error": {"message": "EngineCore died"}})
    c.done()


def counted_kind(name: str, usage: object) -> None:
    """Register a sound stream with another count of its tokens."""

    @kind(COMPLETIONS, name)
    def answer(c: Connection) -> None:
        count(c)
        c.head()
        c.tokens(c.asked)
        if usage != "absent":
            c.event(usage if isinstance(usage, bytes) else {"choices": [], "usage": usage})
        c.done()


counted_kind("usage_of_nan", b'{"choices": [], "usage": {"completion_tokens": NaN, "prompt_tokens": 5}}')
counted_kind("usage_infinite", b'{"choices": [], "usage": {"completion_tokens": 1e999, "prompt_tokens": 5}}')
counted_kind("usage_negative", {"completion_tokens": -3, "prompt_tokens": -5})
counted_kind("usage_of_text", {"completion_tokens": "many", "prompt_tokens": "few"})
counted_kind("usage_beyond_counting", {"completion_tokens": 10**400, "prompt_tokens": 5})
counted_kind("usage_absent", "absent")


@kind(COMPLETIONS)
def more_than_asked(c: Connection) -> None:
    count(c, 3 * c.asked)
    c.head()
    c.tokens(3 * c.asked)
    c.usage(completion_tokens=3 * c.asked)
    c.done()


@kind(COMPLETIONS)
def more_pieces_than_counted(c: Connection) -> None:
    count(c)
    c.head()
    c.tokens(2 * c.asked)
    c.usage()
    c.done()


@kind(COMPLETIONS)
def less_than_asked(c: Connection) -> None:
    count(c, 1)
    c.head()
    c.tokens(1)
    c.usage(completion_tokens=0)
    c.done()


@kind(COMPLETIONS)
def two_ends_and_rubbish(c: Connection) -> None:
    count(c, 1)
    c.head()
    c.token(0)
    c.done()
    c.done()
    c.write(b"data: {{{\n\n")


@kind(COMPLETIONS)
def in_one_heap(c: Connection) -> None:
    time.sleep(0.1)
    events = [text_event(f"w{number} ", "length" if number == c.asked - 1 else None) for number in range(c.asked)]
    count(c)
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    usage = {"choices": [], "usage": {"prompt_tokens": c.num_prompt, "completion_tokens": c.asked}}
    c.whole(body + b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n", kind="text/event-stream")


# ---- who it says that it is
@kind(MODELS)
def models_without_end(c: Connection) -> None:
    c.head("200 OK", "application/json")
    while True:
        c.write(b'{"data": [' + b" " * MIB)


@kind(MODELS)
def models_dripped(c: Connection) -> None:
    c.head("200 OK", "application/json")
    c.drip(b" ", 0.2)


@kind(MODELS)
def models_with_a_root_that_no_path_can_be(c: Connection) -> None:
    models(c, root="/" + "x" * 300)


@kind(MODELS)
def models_that_change(c: Connection) -> None:
    models(c, **({"id": "another"} if c.server.num_asked[MODELS] > 1 else {}))


whole_kind(MODELS, "models_empty", '{"data": []}')
whole_kind(MODELS, "models_null", '{"data": null}')
whole_kind(MODELS, "models_numbers", '{"data": [{"id": 5}]}')
whole_kind(MODELS, "models_nested_deeply", "[" * 200_000)
whole_kind(MODELS, "models_html", "<html>", media="text/html")
whole_kind(MODELS, "models_moved", "", "307 Temporary Redirect", "text/html", "Location: http://127.0.0.1:9/v1/models")
whole_kind(MODELS, "models_refused", '{"error": "who are you?"}', "401 Unauthorized")


# ---- what it counts
@kind(METRICS)
def metrics_without_end(c: Connection) -> None:
    c.head("200 OK", "text/plain")
    while True:
        c.write(b'vllm:prompt_tokens_total{engine="0"} 1\n' * 10_000)


@kind(METRICS)
def metrics_of_600_000_lines(c: Connection) -> None:
    lines = b"".join(b'vllm:x_total{engine="%d"} 1\n' % number for number in range(600_000))
    c.whole(lines, kind="text/plain")


@kind(METRICS)
def metrics_that_go_back(c: Connection) -> None:
    c.whole(page(c, generation_tokens_total=1000.0 - c.server.num_asked[METRICS]), kind="text/plain")


@kind(METRICS)
def metrics_malformed(c: Connection) -> None:
    c.whole("vllm:a{{{ b\n" + page(c, prompt_tokens_total=float("nan"), x=float("inf")), kind="text/plain")


whole_kind(METRICS, "metrics_404", "{}", "404 Not Found")
whole_kind(METRICS, "metrics_html", "<html>", media="text/html")


whole_kind(METRICS, "metrics_401", '{"error": "Unauthorized"}', "401 Unauthorized")
whole_kind(METRICS, "metrics_empty", "", media="text/plain")
whole_kind(METRICS, "metrics_of_another", "nginx_connections_active 3\nsglang:num_running_reqs 1\n", media="text/plain")


@kind(METRICS)
def metrics_reset(c: Connection) -> None:
    c.reset()


# ---- the rest
@kind(HEALTH)
def health_silent(c: Connection) -> None:
    time.sleep(600)


whole_kind(HEALTH, "health_500", "", "500 Internal Server Error")


@kind(VERSION)
def version_without_end(c: Connection) -> None:
    c.head("200 OK", "application/json")
    while True:
        c.write(b" " * MIB)


# ---- what is odd and does no harm: less is known of it
def two_engines(c: Connection) -> None:
    """Count everything for the first of two engines, and nothing for the second."""
    c.whole(page(c, engines=2), kind="text/plain")


def with_an_adapter(c: Connection) -> None:
    """Serve an adapter beside its own model, with a root that holds no tokenizer."""
    own = {"id": NAME, "root": c.server.root, "max_model_len": 4096}
    c.whole(json.dumps({"data": [own, {"id": "sql", "root": "/adapters/sql", "parent": NAME, "max_model_len": 4096}]}))


_NO_PAGES = {VERSION: not_found, METRICS: not_found, HEALTH: not_found}
ODDITIES: dict[str, dict[str, Answer]] = {
    "router": _NO_PAGES,
    "no_version": {VERSION: not_found},
    "no_health": {HEALTH: not_found},
    "gateway": {**_NO_PAGES, MODELS: not_found},
    "two_engines": {METRICS: two_engines},
    "adapter": {MODELS: with_an_adapter},
    "other_model": {MODELS: lambda c: models(c, id="another")},
}


@contextmanager
def odd_server(
    odd: str = "", root: str = "/models/elsewhere", certificate: str = "", host: str = "127.0.0.1"
) -> Iterator[str]:
    """Start a server of this kind in a process of its own and yield its address."""
    words = [sys.executable, "-S", __file__, host, odd, root, *filter(None, [certificate])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http{'s' if certificate else ''}://{host}:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    listening = socket.create_server((sys.argv[1], 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    if sys.argv[4:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4])
        listening = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    OddServer(*sys.argv[2:4]).serve(listening)
