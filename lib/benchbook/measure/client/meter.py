"""What the warm client notes: its event loop's lag, its processor time, how long each answer is to be, what was sent.

The meter is one task in vLLM's own event loop that wakes ten times a second, which costs some 0.2 % of a core where the
loop is idle otherwise. It writes its notes when the benchmark has ended; times are on the clock of vLLM's
`start_times`, so the window is found afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from benchbook.terms.metrics import request_latencies_s

POLL_S = 0.1


def meter_path(log_path: str | Path) -> Path:
    """Return where the notes of a benchmark go: beside its log."""
    return Path(log_path).with_suffix(".client.json")


@contextlib.contextmanager
def metered(path: Path, ceiling_chunks_per_s: float | None) -> Iterator[dict[str, Any]]:
    """Inside, whatever `asyncio.run` runs is metered; the notes are in `path` after, with what is added to them."""
    samples: list[tuple[float, float, float]] = []  # time (s), lag (s), processor seconds of this process so far
    notes: dict[str, Any] = {"samples": samples, "ceiling_chunks_per_s": ceiling_chunks_per_s}
    run = asyncio.run

    def metered_run(main: Any, **options: Any) -> Any:
        async def beside() -> Any:
            task = asyncio.create_task(_watch(samples))
            try:
                return await main
            finally:
                task.cancel()

        return run(beside(), **options)

    try:
        with mock.patch.object(asyncio, "run", metered_run):
            yield notes
    finally:
        path.write_text(json.dumps(notes))


def read_notes(path: Path) -> dict[str, Any]:
    """Return the notes in `path`, which is gone after; {} where nothing was noted."""
    if not path.is_file():
        return {}
    notes = json.loads(path.read_bytes())
    path.unlink()
    return notes


def client_facts(notes: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the client did between its first send and its last chunk, None where nothing was noted.

    `cpu_cores` used, `loop_lag_median_ms` and `loop_lag_max_ms`, `chunks_per_s` read, `ceiling_chunks_per_s`,
    `counts_beside` text and `textless_ends` of answers that were heard; and of answers that ended early `cut_answers`: [tokens asked for, tokens that came].
    """
    starts, latencies = raw.get("start_times") or [], request_latencies_s(raw)
    if not notes or not starts or not latencies:
        return None
    begin_s, end_s = min(starts), max(start + latency for start, latency in zip(starts, latencies))
    inside = [sample for sample in notes["samples"] if begin_s <= sample[0] <= end_s]
    chunks = sum(len(gaps) + 1 for gaps in raw.get("itls") or [])
    facts: dict[str, Any] = {
        "chunks_per_s": round(chunks / (end_s - begin_s), 1) if end_s > begin_s else None,
        "ceiling_chunks_per_s": notes["ceiling_chunks_per_s"],
        **{name: notes.get(name) for name in ("counts_beside", "textless_ends")},
    }
    # Where the clock has ended it, the last ones were never sent.
    asked = (notes.get("asked_tokens") or [])[: len(raw.get("output_lens") or ())]
    if asked and len(asked) == len(raw["output_lens"]):
        facts["cut_answers"] = [
            [tokens, came]
            for tokens, came, error in zip(asked, raw["output_lens"], raw.get("errors") or [""] * len(asked))
            if came < tokens and not error
        ]
    if len(inside) >= 2:
        lags_ms = [lag_s * 1000 for _, lag_s, _ in inside]
        facts |= {
            "cpu_cores": round((inside[-1][2] - inside[0][2]) / (inside[-1][0] - inside[0][0]), 3),
            "loop_lag_median_ms": round(statistics.median(lags_ms), 3),
            "loop_lag_max_ms": round(max(lags_ms), 3),
        }
    return facts


async def _watch(samples: list[tuple[float, float, float]]) -> None:
    while True:
        due_s = time.perf_counter() + POLL_S
        await asyncio.sleep(POLL_S)
        now_s = time.perf_counter()
        samples.append((now_s, now_s - due_s, time.process_time()))
