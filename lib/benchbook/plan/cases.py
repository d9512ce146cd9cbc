"""Axes to cases: every combination of what a benchmark varies, for every launch it runs on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from benchbook.plan.axes import (
    LENGTHS,
    MAX_CASES,
    PER_CONCURRENCY,
    REQUESTS,
    Point,
    crossed,
    read_axes,
    read_axis,
)
from benchbook.plan.document import Document, Where
from benchbook.plan.launches import Launch
from benchbook.plan.precision import Precision
from benchbook.plan.requests import RequestSet
from benchbook.plan.strict import FieldError, unknown
from benchbook.plan.workload import Workload
from benchbook.plan.workloads import WORKLOADS, FirstRequestWorkload, ServeWorkload

MAX_CASE_ID_CHARS = 150
BENCHMARKS_EXAMPLE = f"benchmarks: [{ServeWorkload.example}]"
_Targets = tuple[tuple[str, float], ...]  # of a precision


@dataclass(frozen=True)
class Case:
    """One point of the matrix: a workload on a launch."""

    launch: str
    workload: Workload
    why_num_prompts: str = field(default="", compare=False)  # the reason of a serve case's number of prompts
    precision: _Targets = field(default=(), compare=False)  # where it was planned for one

    @cached_property
    def axes_text(self) -> str:
        """The workload as text, made once: a plan asks for it once a repeat and more."""
        return self.workload.axes_text()

    @cached_property
    def warm_shape(self) -> str:
        """What one warm-up covers, made once as well."""
        return self.workload.warm_shape

    @cached_property
    def case_id(self) -> str:
        """E.g. 'eager,serve,lengths=128x64,max_concurrency=8,num_prompts=80': path-safe, at most 150 characters."""
        text = f"{self.launch},{self.axes_text}"
        if len(text) <= MAX_CASE_ID_CHARS:
            return text
        tail = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{text[: MAX_CASE_ID_CHARS - len(tail) - 1]}-{tail}"


def read_cases(
    doc: Document, launches: tuple[Launch, ...], sets: Mapping[str, RequestSet] | None = None
) -> tuple[Case, ...]:
    """Return all cases of the file's `benchmarks:` list, in its order, each of them once; what is refused is noted.

    `sets` are those of its `requests:` that could be read.
    """
    entries = doc.at(("benchmarks",))
    if not isinstance(entries, list):
        raise doc.error(("benchmarks",), f"must be a list, such as {BENCHMARKS_EXAMPLE}")
    if not entries:
        raise doc.error(("benchmarks",), f"is empty: list at least one benchmark, such as {BENCHMARKS_EXAMPLE}")
    places: dict[str, Where] = {}
    cases: list[Case] = []
    for index in range(len(entries)):
        with doc.faults.noted():
            for case, where in _entry_cases(doc, ("benchmarks", index), launches, sets or {}):
                first = places.setdefault(case.case_id, where)
                if len(places) == len(cases):
                    raise doc.error(where, f"duplicate case {case.case_id!r}, first in line {doc.line(first)}")
                cases.append(case)
            if len(cases) > MAX_CASES:
                raise doc.error(("benchmarks", index), f"makes more than {MAX_CASES} cases")
    _check_busy(doc, entries, "launches", "no benchmark runs on this launch", is_all=True)
    _check_busy(doc, entries, REQUESTS, "no benchmark sends this set", is_all=False)
    return tuple(cases)


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
    doc: Document, where: Where, launches: tuple[Launch, ...], sets: Mapping[str, RequestSet]
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
    workloads = _workloads(doc, where, model, crossed(doc, where, axes, len(chosen)), sets)
    for launch in chosen:
        for workload, why_num_prompts, precision, place in workloads:
            with doc.faults.noted():
                _check_fits(doc, place, workload, launch)
                yield Case(launch.name, workload, why_num_prompts, precision), place


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
    sets: Mapping[str, RequestSet],
) -> list[tuple[Workload, str, _Targets, Where]]:
    """Return the workload of each combination, why so many prompts and for which precision, and where it is asked for.

    A refusal is noted.
    """
    found = []
    for points in combinations:
        with doc.faults.noted():
            found.append((*_workload(doc, where, model, points, sets), _place(where, points)))
        if doc.faults.has(where):
            break  # what holds for the whole benchmark is said once
    return found


def _workload(
    doc: Document, where: Where, model: type[Workload], points: Mapping[str, Point], sets: Mapping[str, RequestSet]
) -> tuple[Workload, str, _Targets]:
    """Return the workload of one combination, why so many prompts and for which precision; raise what does not fit."""
    why_num_prompts, precision = "", ()
    fields = {key: point.value for key, point in points.items() if key != "lengths"}
    if "lengths" in points:
        fields |= zip(LENGTHS, points["lengths"].value, strict=True)
    if model.plans_prompts:
        fields["num_prompts"], why_num_prompts, precision = _num_prompts(doc, points)
    try:
        workload = model(**fields)
    except FieldError as error:  # each field is right by itself
        raise doc.error(where, error.problem) from None
    if found := sets.get(fields.get(REQUESTS)):
        workload = workload.of_set(found.facts)
    return workload, why_num_prompts, precision


def _num_prompts(doc: Document, points: Mapping[str, Point]) -> tuple[Any, str, _Targets]:
    """Return how many prompts this combination has, and why: a number, '10 per concurrency', or a wanted precision.

    Of a precision, what is to be known how well comes with it.
    """
    point = points["num_prompts"]
    concurrency = points["max_concurrency"].value if "max_concurrency" in points else None
    if isinstance(point.value, Precision):
        return *point.value.prompts(concurrency), point.value.targets
    if not isinstance(point.value, str):
        return point.value, "as the file says", ()
    number = int(PER_CONCURRENCY.fullmatch(point.value)[1])
    if concurrency is None:
        raise doc.error(point.where, "needs max_concurrency")
    return number * concurrency, f"{number} for each in flight", ()


def _place(where: Where, points: Mapping[str, Point]) -> Where:
    """Return where to point when a whole workload is refused: at its lengths or its set, if it has any."""
    return next((points[key].where for key in ("lengths", REQUESTS) if key in points), where)


def _check_fits(doc: Document, where: Where, workload: Workload, launch: Launch) -> None:
    limit_tokens = launch.max_model_len
    if limit_tokens is not None and workload.max_request_tokens > limit_tokens:
        line = doc.line(("launches", launch.name, "args", "max_model_len"))
        needed = f"a request of {workload.max_request_tokens} tokens (input + output)"
        raise doc.error(where, f"{needed} exceeds max_model_len {limit_tokens} of launch {launch.name!r} (line {line})")
