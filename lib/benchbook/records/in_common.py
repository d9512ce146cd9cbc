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

    counters: dict[str, Number]
    telemetry: TelemetrySummary


# Where these parts begin and end, in the order of a file of ours, and how far behind: an end takes its comma along. No string
# of JSON has a line break inside, so that what begins a line is no part of one; half a part would be no JSON.
_MARKS = (
    (b'\n  "host": {', 0),
    (b'\n    "counters": {', 0),
    (b"}", len("},")),
    (b'\n    "telemetry": {', 0),
    (b"\n    }", len("\n    },")),
    (b"\n  }", len("\n  },")),
    (b'\n  "provenance": {', 0),
    (b"\n  }", len("\n  },")),
)


def record_in(content: bytes) -> Record:
    """Return the record in `content`; raises pydantic's ValidationError."""
    with suppress(ValidationError):  # of a part: that of the whole names what is damaged
        if found := _in_parts(content):
            return found
    return Record.model_validate_json(content, strict=True)


def _in_parts(content: bytes) -> Record | None:
    """Return the record, with what it has in common shared; None where its lines do not tell it apart."""
    places, at = [], 0
    for mark, num_behind in _MARKS:
        found = content.find(mark, at)
        if found < 0:
            return None
        at = found + num_behind
        places.append(at)
    host, counters, counters_end, telemetry, telemetry_end, host_end, provenance, provenance_end = places
    record = Record.model_validate_json(
        content[:host] + content[host_end:provenance] + content[provenance_end:], strict=True
    )
    of_start = content[host:counters], content[counters_end:telemetry], content[telemetry_end:host_end]
    start = _start_in(b"{%b%b%b%b}" % (*of_start, content[provenance : provenance_end - 1]))
    own = content[counters:counters_end], content[telemetry : telemetry_end - 1]
    meanwhile = _Meanwhile.model_validate_json(b"{%b%b}" % own)
    if record.model_fields_set & start.model_fields_set or start.host.model_fields_set & meanwhile.model_fields_set:
        return None  # there twice
    then = start.host.model_copy(update=vars(meanwhile))
    return record.model_copy(update={"host": then, "provenance": start.provenance})


@lru_cache(maxsize=1024)
def _start_in(text: bytes) -> _Start:
    return _Start.model_validate_json(text)
