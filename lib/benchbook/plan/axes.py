"""Axes of one benchmark entry of the file, and the combinations of their values that are to be measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchbook.plan.document import Document, Where
from benchbook.plan.precision import read_precision
from benchbook.plan.workloads import ServeWorkload, Workload

MAX_CASES = 5_000
MAX_EXCLUDES = 100
LENGTHS = ("input_len_tokens", "output_len_tokens")  # one key in the file, `lengths`, since the two vary together


@dataclass(frozen=True)
class Point:
    """One value of an axis, and where it stands in the file."""

    value: Any
    where: Where


def read_axes(doc: Document, where: Where, model: type[Workload]) -> dict[str, list[Point]]:
    """Return the values of every axis; a key with one value is an axis of one, a precision is that of num_prompts."""
    body = doc.mapping(where)
    # The first of the two lengths stands for both.
    fields = {"lengths" if name == LENGTHS[0] else name: field for name, field in model.model_fields.items()}
    required = [name for name, field in fields.items() if field.is_required() and name != LENGTHS[1]]
    optional = [name for name, field in fields.items() if not field.is_required()]
    others = ["exclude", "launches", *(["precision"] if model is ServeWorkload else [])]
    known = [*required, *optional, *others]
    for key in body:
        if key not in known:
            raise doc.unknown((*where, key), known)
    has_precision = "precision" in body
    if has_precision and "num_prompts" in body:
        raise doc.error((*where, "precision"), "plans num_prompts: give one of the two")
    missing = [key for key in required if key not in body and not (key == "num_prompts" and has_precision)]
    if missing:
        raise doc.error(where, f"lacks {' and '.join(missing)}")
    axes = {key: read_axis(doc, (*where, key)) for key in body if key not in others}
    if has_precision:
        axes["num_prompts"] = [Point(read_precision(doc, (*where, "precision")), (*where, "precision"))]
    for point in axes.get("lengths", []):
        if not isinstance(point.value, list) or len(point.value) != 2:
            raise doc.error(point.where, "must be a pair: [input_len_tokens, output_len_tokens]")
    return axes


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


def crossed(doc: Document, where: Where, axes: Mapping[str, list[Point]], num_launches: int) -> list[dict[str, Point]]:
    """Return the crossed axes without those combinations that an exclude matches."""
    if math.prod(map(len, axes.values())) * num_launches > MAX_CASES:
        raise doc.error(where, f"makes more than {MAX_CASES} cases")
    combinations = [dict(zip(axes, points, strict=True)) for points in itertools.product(*axes.values())]
    for place, pattern in _excludes(doc, where, axes):
        kept = [points for points in combinations if not _matches(points, pattern)]
        if len(kept) == len(combinations):
            raise doc.error(place, "excludes nothing: no combination has these values")
        combinations = kept
    if not combinations:
        raise doc.error((*where, "exclude"), "leaves no combination to measure")
    return combinations


def _matches(points: Mapping[str, Point], pattern: Mapping[str, str]) -> bool:
    # Compared as text, so that "8" does not match 8, nor true 1.
    return all(repr(points[key].value) == text for key, text in pattern.items())


def _excludes(doc: Document, where: Where, axes: Mapping[str, list[Point]]) -> Iterator[tuple[Where, dict[str, str]]]:
    """Yield each item of the entry's `exclude:` list with its values as text."""
    where = (*where, "exclude")
    items = doc.mapping(where[:-1]).get("exclude", [])
    if not isinstance(items, list) or len(items) > MAX_EXCLUDES:
        raise doc.error(where, f"must be a list of at most {MAX_EXCLUDES} mappings")
    for index in range(len(items)):
        place = (*where, index)
        pattern = doc.mapping(place)
        if not pattern:
            raise doc.error(place, "is empty: it would exclude everything")
        for key in pattern:
            if key not in axes:
                raise doc.unknown((*place, key), list(axes))
        yield place, {key: repr(value) for key, value in pattern.items()}
