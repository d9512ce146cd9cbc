"""A record as today's code reads it, whichever benchbook wrote it."""

from __future__ import annotations

import re

from benchbook.records.record import Record

# Before counters had neutral names, a record had those of the engine's page: maker:num_preemptions_total.
_OF_A_PAGE = re.compile(r"\w+:(?:num_)?(\w+?)_total(?:\{finished_reason=(\w+)\})?")
_RENAMED = {"request_success": "requests_ended"}


def upgraded(record: Record) -> Record:
    """Return `record` with the neutral names of its counters."""
    counters, back = record.host.get("counters"), record.conditions.get("counters_went_back")
    if not any(":" in name for name in (*(counters or ()), *(back or ()))):
        return record
    host, conditions = dict(record.host), dict(record.conditions)
    if counters:
        host["counters"] = {neutral_name(name): value for name, value in counters.items()}
    if back:
        conditions["counters_went_back"] = [neutral_name(name) for name in back]
    return record.model_copy(update={"host": host, "conditions": conditions})


def neutral_name(name: str) -> str:
    """Return the neutral name of a counter that has its page's: 'requests_ended_by_length'; others stay as they are."""
    found = _OF_A_PAGE.fullmatch(name)
    if not found:
        return name
    stem, reason = _RENAMED.get(found[1], found[1]), found[2]
    return f"{stem}_by_{reason}" if reason else stem
