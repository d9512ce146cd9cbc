"""Records and run.json of earlier formats, made into ones of today: the one place that knows what changed between formats.

Records  1 - first; later `conditions` was added.
         2 - warmup, prefix_cache and way_reason; later not_looked, median_itl_by_sixths_ms, and `disturbed` in the identity.
         3 - counters have neutral names: 'prompt_tokens', and not those of an engine's page; asked, curve and load; the host
             says which engine it is. Parts of host, conditions and provenance that were null are absent.
run.json 1 - first; of each job's times only the last, later all of them.
         2 - all of a job's times, always.

What a format has not is absent in it. A step leaves what is damaged as it is: whoever validates the result names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from benchbook.records.described import described

RECORD_FORMAT, HEADER_FORMAT = 3, 2
# Before counters had neutral names, a record had those of the engine's page: maker:num_preemptions_total.
_OF_A_PAGE = re.compile(r"\w+:(?:num_)?(\w+?)_total(?:\{finished_reason=(\w+)\})?")
_FIRST_ENGINE = "vLLM"  # the only one before a launch could name another
_RENAMED = {"request_success": "requests_ended"}

Json = dict[str, Any]
Step = Callable[[Json], Json]  # from one format to the next


def upgraded_record(found: Json) -> Json:
    """Return the record `found`, of format 1 or later, as one of format RECORD_FORMAT."""
    return _upgraded(found, _RECORD_STEPS)


def upgraded_header(found: Json) -> Json:
    """Return `found`, what a run.json of format 1 or later holds, as one of format HEADER_FORMAT."""
    return _upgraded(found, _HEADER_STEPS)


def changed(found: Any, *way: str, of: type, change: Callable[[Any], Any]) -> Any:
    """Return `found` with what is at the end of `way` as `change` makes it, or as it is where there is no such thing."""
    if not way:
        return change(found) if isinstance(found, of) else found
    first, *rest = way
    if not isinstance(found, dict) or first not in found:
        return found
    return {**found, first: changed(found[first], *rest, of=of, change=change)}


def neutral_name(name: str) -> str:
    """Return the neutral name of a counter that has its page's: 'requests_ended_by_length'; others stay as they are."""
    found = _OF_A_PAGE.fullmatch(name)
    if not found:
        return name
    stem, reason = _RENAMED.get(found[1], found[1]), found[2]
    return f"{stem}_by_{reason}" if reason else stem


def _upgraded(found: Json, steps: Mapping[int, Step]) -> Json:
    while type(written := found.get("schema_version")) is int and written in steps:
        found = steps[written]({**found, "schema_version": written + 1})
    return found


def _record_2(found: Json) -> Json:
    return found


def _record_3(found: Json) -> Json:
    for way in (("host",), ("host", "telemetry"), ("conditions",), ("provenance",)):
        found = changed(found, *way, of=dict, change=_without_nulls)
    found = changed(found, "host", of=dict, change=lambda host: {"engine": _FIRST_ENGINE, **host} if host else host)
    found = changed(found, "host", "counters", of=dict, change=_with_neutral_names)
    found = changed(found, "conditions", "counters_went_back", of=list, change=_neutral_names)
    return _with_what_was_asked(found)


def _with_what_was_asked(found: Json) -> Json:
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        asked, curve, load = described(found["benchmark"], found["workload"])
        if curve or load is None:  # no record of a load was without its lengths
            return {**found, "asked": asked.model_dump(), "curve": curve, "load": load and load.model_dump()}
    return found


def _without_nulls(part: Json) -> Json:
    return {name: value for name, value in part.items() if value is not None}


def _with_neutral_names(counters: Json) -> Json:
    return {neutral_name(name): value for name, value in counters.items()}


def _neutral_names(names: list[Any]) -> list[Any]:
    return [neutral_name(name) if isinstance(name, str) else name for name in names]


def _header_2(found: Json) -> Json:
    found = changed(_without_nulls(found), "provenance", of=dict, change=_without_nulls)
    found = changed(found, "launches", of=dict, change=_launches)
    return changed(found, "wall_s_by_job", of=dict, change=_as_lists)


def _launches(launches: Json) -> Json:
    whole = {name: changed(launch, of=dict, change=_without_nulls) for name, launch in launches.items()}
    return {name: changed(launch, "hosts", of=list, change=_hosts) for name, launch in whole.items()}


def _hosts(hosts: list[Any]) -> list[Any]:
    return [changed(host, of=dict, change=_without_nulls) for host in hosts]


def _as_lists(times: Json) -> Json:
    return {job: noted if isinstance(noted, list) else [noted] for job, noted in times.items()}


_RECORD_STEPS: Mapping[int, Step] = {1: _record_2, 2: _record_3}
_HEADER_STEPS: Mapping[int, Step] = {1: _header_2}
