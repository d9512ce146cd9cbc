"""Checks over starts of hosts: did the repeats of a case, and the arms of a comparison, run on the same kind of host?"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Finding, kv_cache_tokens
from benchbook.judge.kv_cache import sequences_held
from benchbook.records.host import HostFacts
from benchbook.records.record import Outcome, Record
from benchbook.records.settings import settings_of
from benchbook.terms.asked import held_in_flight
from benchbook.terms.wording import time_text

KV_SLACK_REPEATS, KV_SLACK_LAUNCHES = 0.02, 0.10
_OF_ONE_START = {"--port", "--host", "--served-model-name", "--socket"}  # flags whose values differ from start to start


def start_of(record: Record) -> str | None:
    """Return which start a repeat was measured on: when its host was ready (UTC); None where that was not noted."""
    return record.host.ready_utc


def has_not_started(record: Record) -> bool:
    """Return whether a repeat has no number since its host was never ready."""
    return record.outcome is Outcome.HOST_FAILED and start_of(record) is None


def host_restarted(records: Sequence[Record]) -> Iterator[Finding]:
    """Note that a case was measured on several starts of its host."""
    starts = sorted({start for record in records if (start := start_of(record))})
    if len(starts) > 1:
        found = reason("host_restarted", f"{len(starts)} starts, ready at {' and '.join(map(time_text, starts[:3]))}")
        yield from ((record, found) for record in records)


def host_differs(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect a case whose repeats ran on hosts of different version, command, backend, or KV capacity."""
    for what, read in _HOST_FACTS.items():
        seen = list(dict.fromkeys(value for record in records if (value := read(record.host)) is not None))
        if len(seen) > 1 and not _are_near(seen, KV_SLACK_REPEATS):
            found = reason("host_differs", f"{what}: {' and '.join(str(value)[:200] for value in seen[:3])}")
            return (yield from ((record, found) for record in records))
    return None


def kv_capacity_differs(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect launches that ask for the same memory and got KV capacities of which the smallest may be too small.

    Weights are packed larger for one kernel than for another; where the load fits in any case, no number knows of it.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    settings: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # all hosts of a launch and kind are asked for the same
    for record in records:
        if kv_cache_tokens(record.host):
            what = record.host.kind, record.host.model
            asker = (record.identity.launch, *what)
            if asker not in settings:
                settings[asker] = (*what, *settings_of(record.host).of_kv_cache)
            groups.setdefault(settings[asker], []).append(record)
    for group in groups.values():
        hosts = {record.identity.launch: record.host for record in group}
        by_launch = {launch: kv_cache_tokens(host) for launch, host in hosts.items()}
        if len(by_launch) < 2 or _are_near(list(by_launch.values()), KV_SLACK_LAUNCHES):
            continue
        said = ", ".join(f"{launch} {tokens:,}" for launch, tokens in sorted(by_launch.items()))
        found = reason("kv_capacity_differs", f"KV cache in tokens by launch: {said}; the same memory was asked for")
        for record in group:
            requests, tokens = held_in_flight(record), record.asked.tokens_each
            if not (requests and tokens) or requests > min(sequences_held(host, tokens) for host in hosts.values()):
                yield record, found


def _command(host: HostFacts) -> str | None:
    """Return the host's command without what every start has of its own: port, names, socket."""
    return _lasting(host.argv) if host.argv else None


@lru_cache(maxsize=256)  # all records of a start hold the same command
def _lasting(argv: tuple[str, ...]) -> str:
    kept, flag = [], ""
    for word in argv:
        flag = word if word.startswith("--") else flag
        if flag not in _OF_ONE_START:
            kept.append(word)
    return shlex.join(kept)


def _are_near(values: Sequence[Any], slack: float) -> bool:
    """Return whether all `values` are numbers within `slack` of the largest."""
    numbers = [value for value in values if isinstance(value, int | float)]
    return len(numbers) == len(values) and max(numbers) - min(numbers) <= slack * max(numbers)


_HOST_FACTS: Mapping[str, Callable[[HostFacts], Any]] = {
    "vLLM": lambda host: host.version,
    "command": _command,
    "attention backend": lambda host: host.facts.attention_backend,
    "MoE backend": lambda host: host.facts.moe_backend,
    "dtype": lambda host: host.facts.dtype,
    "KV cache (tokens)": kv_cache_tokens,
}

CASE_CHECKS = (host_restarted, host_differs)
