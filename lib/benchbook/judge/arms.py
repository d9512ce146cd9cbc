"""Launches that send one set of requests: were they sent the same, and did they answer alike?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Finding
from benchbook.records.fingerprint import digest
from benchbook.records.record import Record

MAX_APART = 0.02  # of the output tokens


def requests_differ(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect the repeats of one round of which one launch was sent other requests of the set than another."""
    for together in _rounds(records):
        same = [
            record for record in together if not record.identity.disturbed
        ]  # of which none was sent others on purpose
        for first, other in zip(same, same[1:]):
            if other.request_set_sha256 != first.request_set_sha256:
                hashes = (f"{one.identity.launch!r} {_short(one.request_set_sha256)}" for one in (first, other))
                found = reason("requests_differ", f"set {first.requests.name!r}: launch {' and '.join(hashes)}")
                yield from ((record, found) for record in (first, other))


def natural_stops_differ(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect the repeats of one round whose launches ended the answers to the same requests elsewhere."""
    for together in _rounds(records):
        answered = [record for record in together if record.asked.ends_by == "any" and _tokens(record)]
        if len({record.values.get("completed") for record in answered}) > 1:  # the clock has ended them
            continue
        if len({record.request_set_sha256 for record in answered}) != 1:
            continue
        least, most = min(answered, key=_tokens), max(answered, key=_tokens)
        if _tokens(most) > (1 + MAX_APART) * _tokens(least):
            told = (f"{one.identity.launch!r} {_tokens(one):,.0f}" for one in (least, most))
            found = reason("natural_stops_differ", f"output tokens of the same requests: launch {' and '.join(told)}")
            yield from ((record, found) for record in answered)


def _rounds(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield the records of several launches that send one load of a set in one round."""
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        if record.requests is not None:
            key = digest([record.benchmark, record.workload]), record.identity.repeat
            found.setdefault(key, []).append(record)
    yield from (together for together in found.values() if len({one.identity.launch for one in together}) > 1)


def _tokens(record: Record) -> float:
    return record.values.get("total_output_tokens") or 0


def _short(sha256: str | None) -> str:
    return (sha256 or "unknown")[:12]


CHECKS = (requests_differ, natural_stops_differ)
