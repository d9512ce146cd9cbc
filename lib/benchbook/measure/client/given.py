"""Requests of a frozen file as `vllm bench throughput` gives them to a loaded engine: all at once, after those of its warm-up.

Its command line reads no such file: without a loaded engine nothing is given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbook.hosts.vllm.bench_given import TOKEN_IDS, given_sha256
from benchbook.measure.client.shared import shared_in
from benchbook.measure.client.stretch import Stretch
from benchbook.records.files import read_json
from benchbook.records.frozen import FrozenRequest, sha256_of
from benchbook.terms.errors import Cause, ExperimentError, MeasureError

GIVEN_FILE = "given.json"  # beside a record, what its engine noted, until that is read


@dataclass(frozen=True)
class Given:
    """The requests that are measured, those of the warm-up before them, and where the engine notes what came of the former."""

    measured: Stretch
    warmup: Stretch | None
    notes_path: Path

    def words(self) -> list[str]:
        """Return the words that name the file: vLLM's own loader cannot read it, so they never stand for other requests."""
        return ["--dataset-name", "sharegpt", "--dataset-path", self.measured.path]

    def to_json(self) -> dict[str, Any]:
        """Return what a task carries; ExperimentError where a request is more than a prompt."""
        lots = [stretch.requests() for stretch in (self.warmup, self.measured) if stretch]
        return {"lots": [[_fields(one) for one in lot] for lot in lots], "notes_path": str(self.notes_path.resolve())}

    @contextlib.contextmanager
    def plain_file(self, argv: Sequence[str]) -> Iterator[None]:
        """Raise MeasureError: the plain command line has no way to these requests."""
        cause = Cause("client_needed", "its command line reads no frozen requests", "a loaded engine is given them")
        raise MeasureError(f"vllm bench throughput by itself cannot give an engine this set: {cause.evidence}", cause)
        yield

    def notes(self) -> dict[str, Any]:
        """Return what the engine noted, as `sent_facts` takes it, with `block_tokens` and `hit_tokens`; {} where it did not.

        Its hash is that of the frozen requests where the engine was given these.
        """
        try:
            noted = read_json(self.notes_path) if self.notes_path.exists() else {}
        finally:
            self.notes_path.unlink(missing_ok=True)
        return _as_sent(noted, self.measured.requests()) if noted else {}


def _as_sent(noted: Mapping[str, Any], requests: Sequence[FrozenRequest]) -> dict[str, Any]:
    meant = given_sha256((_prompt(one), one.output_tokens) for one in requests)
    shares = len(noted["prompts"]) == len(requests) and any(one.shared_tokens for one in requests)
    cached = noted["cached_tokens"]
    return {
        "sha256": sha256_of(requests) if noted["sha256"] == meant else noted["sha256"],
        "due_s": None,
        "turns": None,
        "conversations": None,
        "sent_tokens": [one.input_tokens for one in requests],
        "counted_tokens": [len(tokens) or None for tokens in noted["prompts"]],
        "answered_tokens": noted["answered_tokens"],
        "cached_tokens": shared_in(requests, noted["prompts"]) if shares else [(0, 0)] * len(requests),
        "histories_cut": 0,
        "block_tokens": noted["block_tokens"],
        "hit_tokens": None if None in cached else sum(cached),
    }


def _fields(one: FrozenRequest) -> dict[str, Any]:
    """Return the fields of vLLM's SampleRequest."""
    more = {"messages": one.messages, "an adapter": one.adapter, "a conversation": one.conversation, "a body": one.body}
    if has := [what for what, value in more.items() if value is not None]:
        raise ExperimentError(f"requests: offline an engine is given prompts alone, and one here has {has[0]}")
    prompt = _prompt(one)
    return {
        "prompt": prompt if isinstance(prompt, str) else {TOKEN_IDS: prompt},
        "prompt_len": one.input_tokens,
        "expected_output_len": one.output_tokens,
    }


def _prompt(one: FrozenRequest) -> str | list[int] | None:
    return list(one.prompt) if isinstance(one.prompt, tuple) else one.prompt
