"""Axes to cases: every combination of what a benchmark varies, for every launch it runs on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchbook.plan.axes import (
    LENGTHS,
    MAX_CASES,
    REQUESTS,
    Point,
    crossed,
    read_axes,
    read_axis,
)
from benchbook.plan.case import Case
from benchbook.plan.document import Document, Where
from benchbook.plan.find import read_find
from benchbook.plan.launches import Launch
from benchbook.plan.maxima import with_maxima
from benchbook.plan.pace import Pace
from benchbook.plan.prompts import PaceOf, Planned, Planner
from benchbook.plan.requests import RequestSet
from benchbook.plan.strict import FieldError, unknown
from benchbook.plan.workload import Workload
from benchbook.plan.workloads import WORKLOADS, FirstRequestWorkload, ServeWorkload
from benchbook.terms.asked import PROMPTS

BENCHMARKS_EXAMPLE = f"benchmarks: [{ServeWorkload.example}]"


@dataclass(frozen=True)
class _Beside:
    """What a workload is read beside: the sets of the file, and what makes numbers of prompts of words."""

    sets: Mapping[str, RequestSet]
    planner: Planner

    def known(self, workload: Workload) -> Workload:
        """Return the workload with what is known of its set, where it has one, and of what its rate may be a share of."""
        if found := self.sets.get(getattr(workload, REQUESTS, None)):
            workload = workload.of_set(found.facts)
        if getattr(workload, "share", None):
            workload = workload.at_maximum(self.planner.maximum_rps(workload))
        return workload


def read_cases(
    doc: Document,
    launches: tuple[Launch, ...],
    sets: Mapping[str, RequestSet] | None = None,
    pace_of: PaceOf = lambda launch: Pace(),
) -> tuple[Case, ...]:
    """Return all cases of the file's `benchmarks:` list, in its order, each of them once; what is refused is noted.

    `sets` are those of its `requests:` that could be read. `pace_of` tells how fast a launch may be, where a time of
    load is to become a number of prompts.
    """
    entries = doc.at(("benchmarks",))
    if not isinstance(entries, list):
        raise doc.error(("benchmarks",), f"must be a list, such as {BENCHMARKS_EXAMPLE}")
    if not entries:
        raise doc.error(("benchmarks",), f"is empty: list at least one benchmark, such as {BENCHMARKS_EXAMPLE}")
    places: dict[str, Where] = {}
    cases: list[Case] = []
    beside = _Beside(sets or {}, Planner(launches[0] if launches else None, pace_of))
    for index in range(len(entries)):
        with doc.faults.noted():
            for case, where in _entry_cases(doc, ("benchmarks", index), launches, beside):
                first = places.setdefault(case.case_id, where)
                if len(places) == len(cases):
                    raise doc.error(where, f"duplicate case {case.case_id!r}, first in line {doc.line(first)}")
                cases.append(case)
            if len(cases) > MAX_CASES:
                raise doc.error(("benchmarks", index), f"makes more than {MAX_CASES} cases")
    _check_busy(doc, entries, "launches", "no benchmark runs on this launch", is_all=True)
    _check_busy(doc, entries, REQUESTS, "no benchmark sends this set", is_all=False)
    return with_maxima(cases, beside.sets)


def _check_busy(doc: Document, entries: Sequence[Any], key: str, problem: str, is_all: bool) -> None:
    """Note each launch or set that no benchmark has; none when a benchmark does not say plainly which it has.

    One that does not say it has all of them, or none.
    """
    names = doc.data.get(key)
    bodies = [body for entry in entries if isinstance(entry, dict) for body in entry.values()]
    if not isinstance(names, dict) or len(bodies) < len(entries):
        return
    unsaid = list(names) if is_all else []
    busy: set[Any] = set()
    for body in bodies:
        chosen = body.get(key, unsaid) if isinstance(body, dict) else list(names)
        busy.update(map(str, chosen if isinstance(chosen, list) else [chosen]))
    if busy <= names.keys():
        for name in names.keys() - busy:
            doc.faults.note(doc.error((key, name), problem))


def _entry_cases(
    doc: Document, where: Where, launches: tuple[Launch, ...], beside: _Beside
) -> Iterator[tuple[Case, Where]]:
    """Yield the cases of one item of `benchmarks:`, launch by launch, each with where its workload is asked for."""
    entry = doc.mapping(where, FirstRequestWorkload.example)
    if len(entry) != 1:
        raise doc.error(where, f"must have one key, the benchmark (known: {', '.join(WORKLOADS)})")
    (benchmark,) = entry
    where = (*where, benchmark)
    if benchmark not in WORKLOADS:
        raise doc.unknown(where, list(WORKLOADS))
    model = WORKLOADS[benchmark]
    axes = read_axes(doc, where, model)
    chosen = _chosen_launches(doc, where, launches)
    if doc.faults.has_within(where):
        return  # what the axes make together is looked at when each of them is right
    find = read_find(doc, where) if model.plans_prompts else None
    workloads = _workloads(doc, where, model, crossed(doc, where, axes, len(chosen)), beside)
    for launch in chosen:
        for workload, planned, said, place in workloads:
            with doc.faults.noted():
                if launch.name not in doc.optional:
                    _check_fits(doc, place, workload, launch)
                yield Case(launch.name, workload, planned.why, planned.targets, said, find=find), place


def _chosen_launches(doc: Document, where: Where, launches: tuple[Launch, ...]) -> list[Launch]:
    """Return the launches that the entry's `launches:` names, or all of them."""
    if "launches" not in doc.mapping(where):
        return list(launches)
    names, chosen = doc.data.get("launches"), []  # of the file: one that was refused is not unknown
    for point in read_axis(doc, (*where, "launches")):
        if isinstance(names, dict) and (not isinstance(point.value, str) or point.value not in names):
            doc.faults.note(doc.error(point.where, unknown(str(point.value), names, "launch")))
        chosen += [launch for launch in launches if launch.name == point.value]
    return chosen


def _workloads(
    doc: Document,
    where: Where,
    model: type[Workload],
    combinations: Sequence[Mapping[str, Point]],
    beside: _Beside,
) -> list[tuple[Workload, Planned, dict[str, str], Where]]:
    """Return the workload of each combination, its number of prompts with the reason, what was said, and where.

    A refusal is noted.
    """
    found = []
    for points in combinations:
        with doc.faults.noted():
            found.append((*_workload(doc, where, model, points, beside), _place(where, points)))
        if doc.faults.has(where):
            break  # what holds for the whole benchmark is said once
    return found


def _workload(
    doc: Document, where: Where, model: type[Workload], points: Mapping[str, Point], beside: _Beside
) -> tuple[Workload, Planned, dict[str, str]]:
    """Return the workload of one combination, its prompts, and its fields that were said otherwise; raise what does not fit."""
    fields = {key: point.value for key, point in points.items() if key != "lengths"}
    if "lengths" in points:
        fields |= zip(LENGTHS, points["lengths"].value, strict=True)
    said = {key: value for key, value in fields.items() if key in model.worded and isinstance(value, str)}
    planned = Planned(0, "")
    try:
        if model.plans_prompts:
            draft = beside.known(model(**{**fields, PROMPTS: 1}))
            planned = beside.planner.planned(fields[PROMPTS], draft)
            fields[PROMPTS] = planned.number
            said |= {PROMPTS: planned.said} if planned.said else {}
        workload = beside.known(model(**fields))
    except FieldError as error:  # each field is right by itself
        raise doc.error(points[REQUESTS].where if error.where == (REQUESTS,) else where, error.problem) from None
    except ValueError as error:
        raise doc.error(points[PROMPTS].where, str(error)) from None
    idle = [f"{key} {said[key]} is no more than its cap" for key in said if getattr(workload, key) is None]
    return workload, replace(planned, why="; ".join([planned.why, *idle])), said


def _place(where: Where, points: Mapping[str, Point]) -> Where:
    """Return where to point when a whole workload is refused: at its lengths or its set, if it has any."""
    return next((points[key].where for key in ("lengths", REQUESTS) if key in points), where)


def _check_fits(doc: Document, where: Where, workload: Workload, launch: Launch) -> None:
    limit_tokens = launch.max_model_len
    if limit_tokens is not None and workload.max_request_tokens > limit_tokens:
        line = doc.line(("launches", launch.name, "args", "max_model_len"))
        needed = f"a request of {workload.max_request_tokens} tokens (input + output)"
        raise doc.error(where, f"{needed} exceeds max_model_len {limit_tokens} of launch {launch.name!r} (line {line})")
