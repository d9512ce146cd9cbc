"""A matrix of launches: the combinations of its axes, and a name for each.

matrix: {args.max_num_seqs: [64, 128], args.block_size: {from: 16, to: 64}}     # 16, 32, 64: every doubling
matrix: {zip: {args.tensor_parallel_size: [1, 2], args.max_num_seqs: [64, 128]}, exclude: [{args.max_num_seqs: 64}]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchbook.plan.axes import EXCLUDE, Point, crossed, read_axis
from benchbook.plan.document import Document, Where
from benchbook.plan.launches import LAUNCH_KEYS, SAFE_NAME

PARTS = ("args", "env", "plugin_env")  # of a launch: mappings, of which each key is taken over by itself
MATRIX, ZIP, ENDS = "matrix", "zip", ("from", "to")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")


def combinations_of(doc: Document, where: Where) -> list[dict[str, Point]]:
    """Return the points of each launch that the matrix at `where` makes, by its keys."""
    matrix = doc.mapping(where, "{args.max_num_seqs: [64, 128]}")
    axes = {key: _axis(doc, (*where, key)) for key in matrix if key not in (ZIP, EXCLUDE)}
    zipped = {}
    if ZIP in matrix:
        pairs = doc.mapping((*where, ZIP), "{args.a: [1, 2], args.b: [3, 4]}")
        zipped = {key: _axis(doc, (*where, ZIP, key), may_repeat=True) for key in pairs}
        if len({len(points) for points in zipped.values()}) > 1:
            raise doc.error((*where, ZIP), "its axes go side by side: give each as many values")
        if both := axes.keys() & zipped.keys():
            raise doc.error((*where, ZIP, min(both)), "is an axis of the matrix already")
    if not axes and not zipped:
        raise doc.error(where, "has no axis, such as args.max_num_seqs: [64, 128]")
    return crossed(doc, where, {**axes, **zipped}, 1, is_wanted=_side_by_side(zipped))


def _side_by_side(zipped: Mapping[str, Sequence[Point]]) -> Callable[[Mapping[str, Point]], bool]:
    """Return whether a combination has the values of one place on all axes that go side by side."""
    return lambda points: len({axis.index(points[key]) for key, axis in zipped.items()}) <= 1


def _axis(doc: Document, where: Where, may_repeat: bool = False) -> list[Point]:
    part, dot, name = str(where[-1]).partition(".")
    if (part not in PARTS or not name) if dot else (part not in LAUNCH_KEYS or part in PARTS):
        raise doc.error(where, f"is no axis of launches: write args.{where[-1]}, or env.NAME for a variable")
    values = doc.at(where)
    if isinstance(values, dict) and set(values) == set(ENDS):
        return _doublings(doc, where, *(values[end] for end in ENDS))
    if may_repeat and isinstance(values, list) and values:
        return [Point(value, (*where, index)) for index, value in enumerate(values)]
    return read_axis(doc, where)


def _doublings(doc: Document, where: Where, least: Any, most: Any) -> list[Point]:
    """Return `least`, its doublings below `most`, and `most` itself."""
    if type(least) is not int or type(most) is not int or not 0 < least < most:
        raise doc.error(where, "goes from a whole number above 0 to a larger one, such as {from: 64, to: 1024}")
    values = [least]
    while values[-1] < most:
        values.append(min(2 * values[-1], most))
    return [Point(value, where) for value in values]


def names_of(doc: Document, name: str, combinations: Sequence[Mapping[str, Point]]) -> list[str]:
    """Return a name for each launch of a matrix: `name` with its value where one axis varies, else with keys and values.

    Where these are too long for the name of a folder, values alone; where values do not tell launches apart, numbers.
    """
    varied = [key for key in combinations[0] if len({repr(points[key].value) for points in combinations}) > 1]
    values = [[_value_text(doc, points[key]) for key in varied] for points in combinations]
    keys = [key.partition(".")[2] or key for key in varied]
    long = [[f"{_UNSAFE.sub('_', key)}_{value}" for key, value in zip(keys, row)] for row in values]
    for rows in (values if len(varied) == 1 and name else long, values):
        found = ["-".join(filter(None, [name, *row])) for row in rows]
        if len(set(found)) == len(found) and all(map(SAFE_NAME.fullmatch, found)):
            return found
    return [f"{name or 'candidate'}-{number}" for number in range(1, len(combinations) + 1)]


def _value_text(doc: Document, point: Point) -> str:
    is_written = doc.at(point.where) is point.value and not isinstance(point.value, (dict, list))
    text = doc.source(point.where) if is_written else str(point.value)
    return _UNSAFE.sub("_", text).strip("_") or "null"
