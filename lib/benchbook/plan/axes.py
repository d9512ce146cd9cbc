"""Axes of one benchmark entry of the file, and the combinations of their values that are to be measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchbook.plan.document import Document, Where
from benchbook.plan.faults import Fault
from benchbook.plan.find import FIND, read_find
from benchbook.plan.hints import meant
from benchbook.plan.precision import Precision, read_precision
from benchbook.plan.prompts import FORMS, is_worded
from benchbook.plan.strict import FieldError, unknown
from benchbook.plan.workload import Workload

MAX_CASES = 5_000
MAX_EXCLUDES = 100
LENGTHS = ("input_len_tokens", "output_len_tokens")  # one key in the file, `lengths`, since the two vary together
EXCLUDE = "exclude"
REQUESTS = "requests"  # in place of the two: the name of a set
_NOT_OF_A_SET = "sets are sent by serve, and offline all at once by throughput; vLLM's bench latency takes random tokens of two lengths"


@dataclass(frozen=True)
class Point:
    """One value of an axis, and where it stands in the file."""

    value: Any
    where: Where


def read_axes(doc: Document, where: Where, model: type[Workload]) -> dict[str, list[Point]]:
    """Return the values of every axis; a key with one value is an axis of one, a precision is that of num_prompts.

    What does not fit is noted among the file's faults.
    """
    body = doc.mapping(where, model.example)
    # The first of the two lengths stands for both.
    fields = {"lengths" if name == LENGTHS[0] else name: field for name, field in model.model_fields.items()}
    fields.pop(LENGTHS[1], None)
    required = [name for name, field in fields.items() if field.is_required()]
    optional = [name for name, field in fields.items() if not field.is_required()]
    others = [EXCLUDE, "launches", *(["precision", FIND] if model.plans_prompts else [])]
    known = [*required, *optional, *others]
    has_precision = "precision" in body
    explained = {meant(key, known) for key in body}  # by what is refused below
    if REQUESTS in body and REQUESTS not in fields:
        explained.add("lengths")
    missing = [key for key in required if key not in explained and not (key == "num_prompts" and has_precision)]
    if REQUESTS in fields and not explained & {"lengths", REQUESTS}:
        missing.insert(0, f"lengths or {REQUESTS}")
    if missing:
        doc.faults.note(doc.error(where, f"lacks {' and '.join(missing)}"))
    axes = {}
    for key in body:
        with doc.faults.noted():
            if key == REQUESTS and key not in known:
                raise doc.error((*where, key), _NOT_OF_A_SET)
            if key not in known:
                raise doc.unknown((*where, key), known)
            if key == FIND:
                if find := read_find(doc, where):
                    axes[find.by] = [Point(load, (*where, FIND, find.by)) for load in find.loads]
            elif key == "precision":
                axes["num_prompts"] = [_planned_prompts(doc, where)]
            elif key not in others:
                axes[key] = read_axis(doc, (*where, key))
    _check_points(doc, model, axes)
    return axes


def _planned_prompts(doc: Document, where: Where) -> Point:
    place = (*where, "precision")
    if "num_prompts" in doc.mapping(where):
        raise doc.error(place, "plans num_prompts: give one of the two")
    return Point(read_precision(doc, place), place)


def _check_points(doc: Document, model: type[Workload], axes: Mapping[str, list[Point]]) -> None:
    """Note each value that the workload does not take, whatever the other axes have."""
    for key, points in axes.items():
        for point in points:
            with doc.faults.noted():
                _check_point(doc, model, key, point)


def _check_point(doc: Document, model: type[Workload], key: str, point: Point) -> None:
    value, names = point.value, LENGTHS if key == "lengths" else (key,)
    if key == "lengths" and (not isinstance(value, list) or len(value) != 2):
        raise doc.error(point.where, "must be a pair: [input_len_tokens, output_len_tokens]")
    if key == REQUESTS:
        _check_set(doc, point)
    if key == "num_prompts" and isinstance(value, Precision):
        return
    if key == "num_prompts" and model.plans_prompts and isinstance(value, str):
        if not is_worded(value):
            raise doc.error(point.where, f"must be {FORMS}")
        return
    try:
        model(**dict(zip(names, value if key == "lengths" else [value], strict=True)))
    except FieldError as error:
        for refused in (error, *error.others):  # the other fields are missing here, and not looked at
            if refused.where and refused.where[0] in names:
                doc.faults.note(_located(doc, key, point, refused))


def _check_set(doc: Document, point: Point) -> None:
    sets = doc.data.get(REQUESTS)  # of the file: one that was refused is not unknown
    if not isinstance(point.value, str):
        raise doc.error(point.where, "must be the name of a set of requests; how many are sent is num_prompts")
    if not isinstance(sets, dict) or not sets:
        raise doc.error(point.where, "names a set, and the file has no requests: that would hold it")
    if point.value not in sets:
        raise doc.error(point.where, unknown(point.value, map(str, sets), "set"))


def _located(doc: Document, key: str, point: Point, refused: FieldError) -> Fault:
    if key != "lengths":
        return doc.error(point.where, refused.problem)
    name = str(refused.where[0])
    return doc.error((*point.where, LENGTHS.index(name)), f"{name} {refused.problem}")


def read_axis(doc: Document, where: Where) -> list[Point]:
    """Return the values at `where`, a list or a single one; none may be there twice."""
    value = doc.at(where)
    if value == []:
        raise doc.error(where, "is an empty axis: give at least one value")
    is_one_pair = where[-1] == "lengths" and isinstance(value, list) and not isinstance(value[0], list)
    if not isinstance(value, list) or is_one_pair:
        return [Point(value, where)]
    texts = [repr(item) for item in value]
    if len(set(texts)) < len(texts):
        again = next(index for index, text in enumerate(texts) if text in texts[:index])
        raise doc.error((*where, again), "duplicate case: this value is on the axis already")
    return [Point(item, (*where, index)) for index, item in enumerate(value)]


def crossed(
    doc: Document,
    where: Where,
    axes: Mapping[str, list[Point]],
    num_launches: int,
    is_wanted: Callable[[Mapping[str, Point]], bool] = lambda points: True,
) -> list[dict[str, Point]]:
    """Return those combinations of the axes that are wanted, without what an exclude matches."""
    if math.prod(map(len, axes.values())) * num_launches > MAX_CASES:
        raise doc.error(where, f"makes more than {MAX_CASES} cases")
    products = (dict(zip(axes, points, strict=True)) for points in itertools.product(*axes.values()))
    combinations = list(filter(is_wanted, products))
    for place, pattern in _excludes(doc, where, axes):
        kept = [points for points in combinations if not _matches(points, pattern)]
        if len(kept) == len(combinations):
            doc.faults.note(doc.error(place, "excludes nothing: no combination has these values"))
        combinations = kept
    if not combinations:
        raise doc.error((*where, EXCLUDE), "leaves no combination to measure")
    return combinations


def _matches(points: Mapping[str, Point], pattern: Mapping[str, str]) -> bool:
    # Compared as text, so that "8" does not match 8, nor true 1.
    return all(repr(points[key].value) == text for key, text in pattern.items())


def _excludes(doc: Document, where: Where, axes: Mapping[str, list[Point]]) -> Iterator[tuple[Where, dict[str, str]]]:
    """Yield each item of the entry's `exclude:` list with its values as text."""
    where = (*where, EXCLUDE)
    items = doc.mapping(where[:-1]).get(EXCLUDE, [])
    if not isinstance(items, list) or len(items) > MAX_EXCLUDES:
        raise doc.error(where, f"must be a list of at most {MAX_EXCLUDES} mappings")
    for index in range(len(items)):
        place = (*where, index)
        with doc.faults.noted():
            pattern = doc.mapping(place)
            if not pattern:
                raise doc.error(place, "is empty: it would exclude everything")
            for key in pattern:
                if key not in axes:
                    raise doc.unknown((*place, key), list(axes))
            yield place, {key: repr(value) for key, value in pattern.items()}
