"""The first request: one streamed completion, timed at the client, with every field of the answer kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchbook import parameters
from benchbook.errors import Cause, MeasureError
from benchbook.measure.recording import Recording
from benchbook.measure.repeat import Repeat, read_repeat
from benchbook.measure.servers import AnyServer, host_facts, refuse_stale
from benchbook.plan.workloads import FirstRequestWorkload
from benchbook.records.store import Saved

TIMEOUT_S = 300.0


def completion_request(server: AnyServer, workload: FirstRequestWorkload) -> dict[str, Any]:
    """Return the JSON body of the article's request for this server."""
    return {
        "model": server.served_name,
        "prompt": workload.prompt,
        "max_tokens": workload.max_tokens,
        "temperature": workload.temperature,
    }


def request_headers(server: AnyServer) -> dict[str, str]:
    """Return the headers that carry this server's API key; empty when it has none."""
    return {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}


def first_request(
    server: AnyServer,
    workload: FirstRequestWorkload,
    *,
    record_path: str | Path = "",
    repeat: Repeat | str = "",
) -> Saved:
    """Send one streamed completion, write and return its record: TTFT and E2EL in ms, the text, the token counts.

    vLLM has no benchmark of one request, so this is the one clock of our own: monotonic, around the HTTP call.
    """
    parameters.refuse_stale("workload", workload, workload.model_dump())
    refuse_stale(server, "server")
    with Recording(workload, record_path, read_repeat(repeat).case) as recording:
        server.check_alive()
        recording.argv = ["POST", f"{server.base_url}/v1/completions"]
        raw = _timed_answer(server, workload)
        recording.write_raw(raw)
        return recording.finish(raw, host=host_facts(server), way="requests")


def _timed_answer(server: AnyServer, workload: FirstRequestWorkload) -> dict[str, Any]:
    """Return text, finish reason, usage, ttft_ms (None when no text came) and e2el_ms of one streamed completion."""
    start_s = time.perf_counter()
    first_s, text, usage, finish_reason = None, "", {}, None
    for event in _stream(server, workload):
        if event.get("error"):  # what vLLM sends when its engine fails in mid-stream
            raise _failed(f"the server broke off: {str(event['error'])[:300]}")
        for choice in event.get("choices") or []:
            if choice.get("text") and first_s is None:
                first_s = time.perf_counter()
            text += choice.get("text") or ""
            finish_reason = choice.get("finish_reason") or finish_reason
        usage = event.get("usage") or usage
    if finish_reason is None:
        raise _failed("the answer broke off: the server never said why it ended")
    return {
        "text": text,
        "finish_reason": finish_reason,
        "usage": usage,
        "e2el_ms": (time.perf_counter() - start_s) * 1000,
        "ttft_ms": None if first_s is None else (first_s - start_s) * 1000,
    }


def _stream(server: AnyServer, workload: FirstRequestWorkload) -> Iterator[dict[str, Any]]:
    """Yield the events of a streamed completion; raise MeasureError when the server refuses or breaks off."""
    import requests

    body = {**completion_request(server, workload), "stream": True, "stream_options": {"include_usage": True}}
    try:
        with requests.post(
            f"{server.base_url}/v1/completions",
            json=body,
            headers=request_headers(server),
            stream=True,
            timeout=TIMEOUT_S,
        ) as answer:
            if answer.status_code != 200:
                raise _failed(f"HTTP {answer.status_code}: {answer.text[:300]}")
            for line in answer.iter_lines(chunk_size=None):
                payload = line.removeprefix(b"data: ")
                if payload == b"[DONE]":
                    return
                if payload:
                    yield json.loads(payload)
    except (requests.RequestException, ValueError) as error:
        raise _failed(f"{type(error).__name__}: {error}") from error
    raise _failed("the stream ended without [DONE]")


def _failed(evidence: str) -> MeasureError:
    return MeasureError(
        f"the first request failed: {evidence}", Cause("request_failed", evidence, "see the server's log")
    )
