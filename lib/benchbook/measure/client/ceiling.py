"""The client's own ceiling: how many chunks a second vLLM's request code reads from a server that does nothing.

Server and client run in children forked for it, a quarter of a second, once a session. Chunks are as long as vLLM's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable

WINDOW_S = 0.25
LIMIT_S = 5.0
CONNECTIONS, CHUNKS = 8, 64
_CHUNK = (
    b"data: "
    + json.dumps(
        {
            "id": "cmpl-null",
            "object": "text_completion",
            "created": 1700000000,
            "model": "null",
            "choices": [{"index": 0, "text": "null ", "logprobs": None, "finish_reason": None, "stop_reason": None}],
            "usage": None,
        }
    ).encode()
    + b"\n\n"
)


def measured_ceiling() -> float | None:
    """Return the chunks per second that vLLM's client can read, None where this vLLM's client is not as we know it.

    Forks: to be called from a process that is ready to.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(LIMIT_S)
    server_pid = _forked(lambda: asyncio.run(_serve(listener)))
    reading, writing = os.pipe()  # made after the server's child, which would hold it open
    client_pid = _forked(lambda: os.write(writing, repr(asyncio.run(_read(listener.getsockname()[1]))).encode()))
    os.close(writing)
    listener.close()
    try:
        with os.fdopen(reading, "rb") as stream:
            told = stream.read()  # ends when the client's child does
    finally:
        for pid in (client_pid, server_pid):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return float(told) if told else None


def _forked(work: Callable[[], object]) -> int:
    """Run `work` in a child that ends without its parent's clean-up, within LIMIT_S, and return its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work()
    finally:
        os._exit(0)


async def _serve(listener: socket.socket) -> None:
    """Answer every request with CHUNKS chunks, one write each, as fast as they are taken."""
    server = await asyncio.start_server(_answer, sock=listener)
    async with server:
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    framed = f"{len(_CHUNK):x}\r\n".encode() + _CHUNK + b"\r\n"
    end = b"data: [DONE]\n\n"
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(CHUNKS):
                writer.write(framed)
                await writer.drain()
                await asyncio.sleep(0)  # the next connection's turn: chunks of one answer come one by one
            writer.write(f"{len(end):x}\r\n".encode() + end + b"\r\n0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _read(port: int) -> float:
    """Return chunks per second that vLLM's own request function reads over several connections."""
    import aiohttp
    from vllm.benchmarks.lib.endpoint_request_func import RequestFuncInput, async_request_openai_completions

    request = RequestFuncInput(
        prompt="null",
        api_url=f"http://127.0.0.1:{port}/v1/completions",
        prompt_len=1,
        output_len=CHUNKS,
        model="null",
    )

    async def one_after_another(session: aiohttp.ClientSession, until_s: float) -> int:
        chunks = 0
        while time.perf_counter() < until_s:
            output = await async_request_openai_completions(request, session)
            chunks += len(output.itl) + 1
        return chunks

    async with aiohttp.ClientSession() as session:
        await async_request_openai_completions(request, session)  # the first one opens and imports
        start_s = time.perf_counter()
        counts = await asyncio.gather(*(one_after_another(session, start_s + WINDOW_S) for _ in range(CONNECTIONS)))
        return round(sum(counts) / (time.perf_counter() - start_s), 1)
