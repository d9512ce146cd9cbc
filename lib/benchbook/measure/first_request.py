"""The first request: one streamed completion, timed at the client, with every field of the answer kept."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from benchbook import parameters
from benchbook.hosts import http
from benchbook.measure.events import events
from benchbook.measure.recording import Recording
from benchbook.measure.servers import AnyServer, host_facts, refuse_stale, silence_is_death
from benchbook.plan.workloads import FirstRequestWorkload
from benchbook.records.handover import Handover, read_handover
from benchbook.records.record_file import Saved
from benchbook.terms.errors import Cause, MeasureError

TIMEOUT_S = 300.0  # for the whole answer
PIECES_FACTOR = 4  # of the tokens asked for: no server that counts comes near


def completion_request(server: AnyServer, workload: FirstRequestWorkload) -> dict[str, Any]:
    """Return the JSON body of the article's request for this server."""
    return {
        "model": server.served_name,
        "prompt": workload.prompt,
        "max_tokens": workload.max_tokens,
        "temperature": workload.temperature,
    }


def request_headers(server: AnyServer) -> dict[str, str]:
    """Return the headers that this server wants, of which its API key is one; empty when it wants none."""
    return server.way.all_headers


def first_request(
    server: AnyServer,
    workload: FirstRequestWorkload,
    *,
    record_path: str | Path = "",
    repeat: Handover | str = "",
) -> Saved:
    """Send one streamed completion, write and return its record: TTFT and E2EL in ms, the text, the token counts.

    vLLM has no benchmark of one request, so this is the one clock of our own: monotonic, around the HTTP call.
    """
    parameters.refuse_stale("workload", workload, workload.model_dump())
    refuse_stale(server, "server")
    repeat = read_handover(repeat)
    with Recording(workload, record_path, repeat) as recording, silence_is_death(server):
        server.check_alive()
        # Asked before: a server that dies with its last answer has given a number all the same.
        facts = host_facts(server)
        recording.argv = ["POST", f"{server.base_url}/v1/completions"]
        with contextlib.closing(_lines(server, workload, repeat)) as lines:
            raw = _timed_answer(lines, workload, repeat.stall_limit_s)
        recording.write_raw(raw)
        return recording.finish(raw, host=facts, way="HTTP")


def _timed_answer(lines: Iterator[str], workload: FirstRequestWorkload, silence_s: float) -> dict[str, Any]:
    """Return text, finish reason, usage, ttft_ms (None when no text came), gaps and e2el_ms of the answer in `lines`."""
    start_s = time.perf_counter()
    words, times_s = [], []
    usage, finish_reason = {}, None
    try:
        for event in events(lines):
            now_s = time.perf_counter()
            if now_s - (times_s or [start_s])[-1] > silence_s:
                raise TimeoutError(f"no token for {silence_s:g} s")
            if event and event.text:
                times_s.append(now_s)
                words.append(event.text)
            if len(times_s) > PIECES_FACTOR * workload.max_tokens:
                raise ValueError(f"{len(times_s)} pieces of text, and {workload.max_tokens} tokens were asked for")
            usage = (event and event.usage) or usage
            finish_reason = (event and event.finish_reason) or finish_reason
    except (OSError, ValueError) as error:
        raise _failed(f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)) from error
    if finish_reason is None:
        raise _failed("the answer broke off: the server never said why it ended")
    return {
        "text": "".join(words),
        "finish_reason": finish_reason,
        "usage": usage,
        "e2el_ms": (time.perf_counter() - start_s) * 1000,
        "ttft_ms": (times_s[0] - start_s) * 1000 if times_s else None,
        "itls": [[later - earlier for earlier, later in itertools.pairwise(times_s)]] if times_s else [],
    }


def _lines(server: AnyServer, workload: FirstRequestWorkload, repeat: Handover) -> Generator[str]:
    """Yield the lines of the streamed completion, within the limits of the repeat and of one request."""
    return http.post_lines(
        server.base_url,
        "/v1/completions",
        {**completion_request(server, workload), "stream": True, "stream_options": {"include_usage": True}},
        timeout_s=min(TIMEOUT_S, repeat.limit_s),
        silence_s=repeat.stall_limit_s,
        way=server.way,
    )


def _failed(evidence: str) -> MeasureError:
    return MeasureError(
        f"the first request failed: {evidence}", Cause("request_failed", evidence, "see the server's log")
    )
