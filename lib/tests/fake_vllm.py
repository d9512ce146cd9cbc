"""A scripted stand-in for `vllm serve`: the same command line, log lines, endpoints and metric names, and any fault.

    python fake_vllm.py serve MODEL --host 127.0.0.1 --port 8000 --served-model-name MODEL NONCE [any other flag]

It behaves as the environment variable FAKE_VLLM says, a JSON object with the fields of `Script`; what is left out is
healthy. Give the variable to `VllmServer(program=fake_vllm.PROGRAM, env=fake_vllm.scripted(ready_after_s=0.1))`.
A token is a word, split at white space, as in the embedded model "tiny".
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = (sys.executable, str(Path(__file__).resolve()))
VARIABLE = "FAKE_VLLM"
OPEN = ("/health", "/ping", "/version", "/metrics", "/tokenize", "/detokenize")  # without the key, as by our door


@dataclass(frozen=True, kw_only=True)
class Script:
    """What one fake server does."""

    # the start
    ready_after_s: float = 0.0  # until it listens
    never_ready: bool = False  # it listens to nobody, for ever
    log_text: str = ""  # written first, as it stands
    exit_code: int | None = None  # end with it instead of becoming ready
    helpers: int = 0  # processes with a session of their own, as EngineCore and Worker, that outlive a killed parent
    ignore_sigterm: bool = False  # it and its helpers
    # who it says it is
    served_names: list[str] | None = None  # None: those of the command line
    version: str | None = None  # None: that of the installed vLLM
    # each list is walked through in a circle: ttft_s by requests, itl_s by the tokens of a request
    ttft_s: list[float] = field(default_factory=lambda: [0.005])
    itl_s: list[float] = field(default_factory=lambda: [0.001])
    tokens_per_chunk: int = 1
    output_tokens: int | None = None  # None: max_tokens of the request
    jitter: float = 0.0  # standard deviation of every TTFT and ITL, as a share of it
    seed: int = 0  # of the jitter
    # what it counts and says about itself
    cached_share: float = 0.0  # of each prompt's tokens, counted as hits of the prefix cache
    preempt_every: int | None = None  # a preemption is counted at every request of that number
    count_factor: float = 1.0  # tokens counted for one token made: above 1, somebody else is served as well
    finish_reason: str = "length"
    word_step: int = 1  # between the words of an answer: another one is another output
    stall_at_request: int | None = None  # when that request comes, everything stands still for `stall_s` ...
    stall_s: float = 0.0
    stall_log: str = ""  # ... after this line of log
    # what goes wrong with requests; `fault_every` 3 hits the requests number 3, 6, 9 ...
    fault_every: int = 1
    status: int = 200  # another one: the answer is that, at once
    cut_after_tokens: int | None = None  # the connection is dropped
    silent_after_tokens: int | None = None  # the connection stays open and nothing more comes
    byte_s: float | None = None  # each byte of the answer takes that long (slow loris)
    die_at_request: int | None = None  # the process ends by `die_by_signal` when that request comes
    die_by_signal: int = int(signal.SIGKILL)
    engine_dead_at_request: int | None = None  # from then on /health answers 503 and requests are refused
    deaf_at_request: int | None = None  # from then on nothing at all is answered, as when the event loop hangs
    extra_metrics: dict[str, float] = field(default_factory=dict)  # added to the page as they stand
    has_door: bool = True  # False: it takes no middleware, and its key guards /v1 alone
    # the prefix cache: a prompt that came before is found in it; VLLM_SERVER_DEV_MODE=1 lets it be emptied
    prefix_caching: bool = False
    busy_resets: int = 0  # so many times the answer is that blocks are still held


def scripted(**fields: object) -> dict[str, str]:
    """Return the environment that makes a fake server follow a Script with these `fields`."""
    Script(**fields)  # a misspelt field is an error here, not in the server's log
    return {VARIABLE: json.dumps(fields)}


class FakeServer:
    """The endpoints and the counters behind them."""

    def __init__(self, script: Script, names: list[str]) -> None:
        self.script, self.names = script, script.served_names or names
        self.num_requests = self.running = 0
        self.prompt_tokens = self.generated_tokens = self.finished = self.preemptions = 0
        self.cached: set[str] = set()
        self.hit_tokens = self.num_resets = 0
        self.random = random.Random(script.seed)

    async def serve(self, host: str, port: int) -> None:
        """Answer until the process ends."""
        server = await asyncio.start_server(self._connection, host, port, reuse_address=True)
        log("INFO:     Application startup complete.", stamped=False)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await self._answer(writer, method, path.partition("?")[0], headers, json.loads(body or b"null"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, path: str, headers: dict, body: dict | None
    ) -> None:
        if self._is_past(self.script.deaf_at_request):
            await asyncio.sleep(3600)
        key = os.environ.get("BENCHBOOK_API_KEY" if self.script.has_door else "VLLM_API_KEY")
        is_guarded = path not in OPEN if self.script.has_door else path.startswith("/v1")
        if is_guarded and key and headers.get("authorization") != f"Bearer {key}":
            return await self._send(writer, 401, {"error": "Unauthorized"})
        if path in ("/v1/completions", "/tokenize") and body["model"] not in self.names:
            return await self._send(writer, 404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        if path == "/v1/completions":
            return await self._complete(writer, body)
        if path == "/health":
            return await self._send(writer, 503 if self._is_past(self.script.engine_dead_at_request) else 200, "")
        pages = {"/version": self._version, "/v1/models": self._models, "/metrics": self._metrics}
        if path == "/tokenize":
            tokens = [token_id(word) for word in body.get("prompt", "").split()]
            return await self._send(writer, 200, {"count": len(tokens), "max_model_len": 4096, "tokens": tokens})
        if path == "/reset_prefix_cache" and method == "POST" and os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
            return await self._send(writer, 200, {"success": self._reset()})
        if path not in pages:
            return await self._send(writer, 404, {"detail": "Not Found"})
        await self._send(writer, 200, pages[path]())

    def _is_past(self, number: int | None) -> bool:
        return number is not None and self.num_requests >= number

    def _version(self) -> dict:
        return {"version": self.script.version or installed_version()}

    def _models(self) -> dict:
        cards = [{"id": name, "object": "model", "root": sys.argv[2], "max_model_len": 4096} for name in self.names]
        return {"object": "list", "data": cards}

    def _metrics(self) -> str:
        values = {
            "vllm:num_requests_running": self.running,
            "vllm:num_requests_waiting": 0,
            "vllm:kv_cache_usage_perc": 0,
            "vllm:prompt_tokens_total": self.prompt_tokens * self.script.count_factor,
            "vllm:generation_tokens_total": self.generated_tokens * self.script.count_factor,
            "vllm:prefix_cache_queries_total": self.prompt_tokens,
            "vllm:prefix_cache_hits_total": self.hit_tokens + self.prompt_tokens * self.script.cached_share,
            "vllm:num_preemptions_total": self.preemptions,
            **self.script.extra_metrics,
        }
        labels = f'engine="0",model_name="{self.names[0]}"'
        lines = [f"{name}{{{labels}}} {float(value)}" for name, value in values.items()]
        lines.append(
            f'vllm:request_success_total{{{labels},finished_reason="{self.script.finish_reason}"}} {self.finished:.1f}'
        )
        cache = f'block_size="16",enable_prefix_caching="{self.script.prefix_caching}",{labels},num_gpu_blocks="4096"'
        lines.append(f"vllm:cache_config_info{{{cache}}} 1.0")
        return "\n".join(lines) + "\n"

    def _reset(self) -> bool:
        self.num_resets += 1
        if self.num_resets <= self.script.busy_resets:
            return False
        self.cached.clear()
        return True

    def _look_up(self, prompt: object, num_prompt: int) -> None:
        self.prompt_tokens += num_prompt
        if self.script.prefix_caching:
            self.hit_tokens += num_prompt if str(prompt) in self.cached else 0
            self.cached.add(str(prompt))

    async def _complete(self, writer: asyncio.StreamWriter, body: dict) -> None:
        self.num_requests += 1
        number, script = self.num_requests, self.script
        if script.die_at_request == number:
            os.kill(os.getpid(), script.die_by_signal)
        if script.stall_at_request == number:
            log(script.stall_log)
            time.sleep(script.stall_s)
        if script.preempt_every and number % script.preempt_every == 0:
            self.preemptions += 1
        is_faulty = number % script.fault_every == 0
        if is_faulty and script.status != 200 or self._is_past(script.engine_dead_at_request):
            return await self._send(writer, script.status if script.status != 200 else 500, {"error": "scripted"})
        prompt = body["prompt"]
        num_prompt = len(prompt) if isinstance(prompt, list) else len(prompt.split())
        self.running += 1
        try:
            await self._stream(writer, body, number, num_prompt, is_faulty)
        finally:
            self.running -= 1

    async def _stream(
        self, writer: asyncio.StreamWriter, body: dict, number: int, num_prompt: int, is_faulty: bool
    ) -> None:
        script, streams = self.script, body.get("stream", False)
        num_output = script.output_tokens or body.get("max_tokens") or 16
        start_s, words = time.monotonic(), []
        due_s = start_s + self._around(script.ttft_s[(number - 1) % len(script.ttft_s)])
        first_word = zlib.crc32(" ".join(prompt_words(body)).encode()) if body.get("temperature") == 0 else number * 31
        if streams:
            await self._write(writer, head(200, "text/event-stream; charset=utf-8", "Transfer-Encoding: chunked"))
        for index in range(num_output):
            if is_faulty and index == script.cut_after_tokens:
                return writer.transport.abort()
            if is_faulty and index == script.silent_after_tokens:
                await asyncio.sleep(3600)
            # Due times, not naps: what one nap oversleeps, the next one makes up for.
            due_s += self._around(script.itl_s[(index - 1) % len(script.itl_s)]) if index else 0.0
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.generated_tokens += 1
            if index == 0:
                self._look_up(body["prompt"], num_prompt)
            words.append(f"w{(first_word + index * script.word_step) % 16384}")
            if streams and (len(words) == script.tokens_per_chunk or index == num_output - 1):
                is_last = index == num_output - 1
                await self._event(
                    writer, completion(body, " ".join(words) + " ", script.finish_reason if is_last else None)
                )
                words = []
        self.finished += 1
        usage = {"prompt_tokens": num_prompt, "completion_tokens": num_output, "total_tokens": num_prompt + num_output}
        if not streams:
            return await self._send(writer, 200, completion(body, " ".join(words), script.finish_reason, usage))
        if (body.get("stream_options") or {}).get("include_usage"):
            await self._event(writer, {**completion(body, "", None, usage), "choices": []})
        await self._write(writer, chunk(b"data: [DONE]\n\n") + chunk(b""))

    def _around(self, seconds: float) -> float:
        return max(0.0, self.random.gauss(seconds, self.script.jitter * seconds)) if self.script.jitter else seconds

    async def _event(self, writer: asyncio.StreamWriter, payload: dict) -> None:
        await self._write(writer, chunk(b"data: " + json.dumps(payload).encode() + b"\n\n"))

    async def _send(self, writer: asyncio.StreamWriter, status: int, payload: dict | str) -> None:
        is_text = isinstance(payload, str)
        data = (payload if is_text else json.dumps(payload)).encode()
        kind = "text/plain; version=0.0.4" if is_text else "application/json"
        await self._write(writer, head(status, kind, f"Content-Length: {len(data)}") + data)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        is_slow = (
            self.script.byte_s is not None and self.num_requests and self.num_requests % self.script.fault_every == 0
        )
        for piece in [data[i : i + 1] for i in range(len(data))] if is_slow else [data]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.script.byte_s if is_slow else 0)


def head(status: int, kind: str, length: str) -> bytes:
    """Return the head of an answer."""
    return f"HTTP/1.1 {status} Scripted\r\nContent-Type: {kind}\r\n{length}\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """Return `data` as one HTTP chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def completion(body: dict, text: str, finish_reason: str | None, usage: dict | None = None) -> dict:
    """Return a completion, or a chunk of one, in the form of vLLM's."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
    return {
        "id": "cmpl-fake",
        "object": "text_completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def installed_version() -> str:
    """Return the version of the installed vLLM as /version tells it, or one that looks like it.

    By its folder's name: importlib.metadata would take a third of this program's start.
    """
    installed = (path.stem for folder in sys.path for path in Path(folder).glob("vllm-*.dist-info"))
    return next(installed, "vllm-0.32.0").removeprefix("vllm-").partition("+")[0]


def prompt_words(body: dict) -> list[str]:
    """Return the prompt's words: the same prompt gets the same greedy answer."""
    prompt = body["prompt"]
    return [f"w{token}" for token in prompt] if isinstance(prompt, list) else prompt.split()


def token_id(word: str) -> int:
    """Return the id of a word of tiny's vocabulary; 0 for any other."""
    return int(word[1:]) if word.startswith("w") and word[1:].isdigit() else 0


def log(line: str, stamped: bool = True) -> None:
    """Write one line of log, by default with vLLM's prefix."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    print(f"(APIServer pid={os.getpid()}) INFO {stamp} [fake_vllm.py:1] {line}" if stamped else line, flush=True)


def start_helper(ignore_sigterm: bool) -> None:
    """Start a process that leaves our session and our parenthood, as hard to find as vLLM's workers can be."""
    code = "import signal, time; signal.signal(15, signal.SIG_IGN)" if ignore_sigterm else "import time"
    argv = [sys.executable, "-S", "-c", f"{code}; time.sleep(600)"]
    twice_forked = f"import subprocess; subprocess.Popen({argv!r}, start_new_session=True)"
    subprocess.run([sys.executable, "-S", "-c", twice_forked], check=True)


def main() -> None:
    """Follow the script in the environment."""
    script = Script(**json.loads(os.environ.get(VARIABLE, "{}")))
    words = sys.argv[sys.argv.index("--served-model-name") + 1 :]
    names = words[: next((i for i, word in enumerate(words) if word.startswith("--")), len(words))]
    host, port = (sys.argv[sys.argv.index(flag) + 1] for flag in ("--host", "--port"))
    if script.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(script.helpers):
        start_helper(script.ignore_sigterm)
    if script.log_text:
        log(script.log_text, stamped=False)
    log("Initializing a V1 LLM engine (v0.32.0) with config: dtype=torch.bfloat16, max_seq_len=4096, quantization=None")
    if os.environ.get("VLLM_ENABLE_STARTUP_PLAN") == "1":
        log("Applying persisted startup plan (fingerprint 0a1b): kv_cache_memory_bytes=42949672960 (40.00 GiB)")
    time.sleep(3600 if script.never_ready else script.ready_after_s)
    if script.exit_code is not None:
        sys.exit(script.exit_code)
    log("CPU KV cache size: 65,536 tokens, Maximum concurrency for 4,096 tokens per request: 16.00x")
    asyncio.run(FakeServer(script, names).serve(host, int(port)))


if __name__ == "__main__":
    main()
