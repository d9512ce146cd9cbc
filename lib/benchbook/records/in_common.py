"""The JSON of a record, read so that the records of one start share what they have in common.

That is the host as it started, and where they come from: half of each file, and of ten thousand records a few texts, each
of which is read once. They are found by the lines that a file of ours has. What stands in a file in any other way is read
in one piece, which gives the same record.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from pydantic import ValidationError

from benchbook.records.host import HostFacts
from benchbook.records.parts import Provenance
from benchbook.records.record import Record
from benchbook.records.samples import TelemetrySummary
from benchbook.records.typed import Number, Part


class _Start(Part):
    """What the records of one start have in common."""

    host: HostFacts
    provenance: Provenance


class _Meanwhile(Part):
    """What a host did while one repeat was measured."""

    counters: dict[str, Number] = {}
    telemetry: TelemetrySummary = TelemetrySummary()


def record_in(content: bytes) -> Record:
    """Return the record in `content`; raises pydantic's ValidationError."""
    with suppress(ValidationError):  # of a part: that of the whole names what is damaged
        if found := _in_parts(content):
            return found
    return Record.model_validate_json(content, strict=True)


def _in_parts(content: bytes) -> Record | None:
    """Return the record, with what it has in common shared; None where its lines do not tell it apart."""
    host, rest = _taken(content, b"host", b"  ")
    provenance, rest = _taken(rest, b"provenance", b"  ")
    counters, host = _taken(host, b"counters", b"    ")
    telemetry, host = _taken(host, b"telemetry", b"    ")
    record = Record.model_validate_json(rest, strict=True)
    start = _start_in(b"{%b,%b}" % (host, provenance))
    meanwhile = _Meanwhile.model_validate_json(b"{%b}" % b",".join(filter(None, (counters, telemetry))))
    own = meanwhile.model_fields_set
    if record.model_fields_set & start.model_fields_set or start.host.model_fields_set & own:
        return None  # there twice
    then = start.host.model_copy(update={name: getattr(meanwhile, name) for name in own})
    return record.model_copy(update={"host": then, "provenance": start.provenance})


@lru_cache(maxsize=1024)
def _start_in(text: bytes) -> _Start:
    return _Start.model_validate_json(text)


def _taken(text: bytes, name: bytes, indent: bytes) -> tuple[bytes, bytes]:
    """Return the lines of the object `name` that begin at `indent`, b'' where there are none, and all other lines.

    No string of JSON has a line break inside, so that what begins a line is no part of one.
    """
    line, end = b'\n%b"%b": {\n' % (indent, name), b"\n%b}" % indent
    before, found, rest = text.partition(line)
    inside, _, after = rest.partition(end)
    return (found + inside + end, before + after.removeprefix(b",")) if found else (b"", text)
