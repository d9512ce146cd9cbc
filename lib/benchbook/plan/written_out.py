"""Launches without repetition: what a file says in short, written out as one mapping of args and variables a launch.

    base: {args: {max_model_len: 8192}}                    # every launch begins with it, but one that is attached to
    launches:
      default: {}
      sync:    {args: {async_scheduling: false}}           # base, and this
      smaller: {like: sync, args: {max_model_len: null}}   # sync, and this; null takes away what it begins with
      batched: {matrix: {args.max_num_batched_tokens: [4096, 8192]}}   # two launches: batched-4096, batched-8192

The document that is returned has each launch in full, and knows of each value where it stands in the file: whoever reads
it needs to know nothing of this. A value replaces that of the same key whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchbook.plan.axes import EXCLUDE, Point, crossed, read_axis
from benchbook.plan.document import Document, Where
from benchbook.plan.launches import LAUNCH_KEYS, SAFE_NAME
from benchbook.plan.strict import unknown

PARTS = ("args", "env", "plugin_env")  # of a launch: mappings, of which each key is taken over by itself
MAX_LAUNCHES = 200
LIKE, MATRIX, ZIP = "like", "matrix", "zip"
_ATTACHED = "attach"  # a launch with this key is started by somebody else
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")


@dataclass
class _Launch:
    """A launch as far as it is written out, and where each value of it stands in the file."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Where, Where] = field(default_factory=dict)

    def copy(self) -> _Launch:
        values = {key: dict(value) if key in PARTS else value for key, value in self.values.items()}
        return _Launch(values, dict(self.origins))

    def take(self, way: Where, value: Any, origin: Where) -> None:
        """Set the value at `way`, such as ("args", "dtype"); a null takes away what the launch began with.

        A null of a matrix is a launch without the key, whatever the launch began with.
        """
        inside = self.values.setdefault(way[0], {}) if len(way) > 1 else self.values
        if value is None and (way in self.origins or MATRIX in origin):
            inside.pop(way[-1], None)
            self.origins.pop(way, None)
            return
        inside[way[-1]] = value
        self.origins[way] = origin


def written_out(doc: Document) -> Document:
    """Return the document with every launch of the file in full; what cannot be written out is noted as a fault."""
    if not isinstance(doc.data.get("base", {}), dict):
        with doc.faults.noted():
            doc.mapping(("base",), "{args: {max_model_len: 4096}}")
        doc = replace(doc, data={key: value for key, value in doc.data.items() if key != "base"})
    launches = doc.data.get("launches")
    is_plain = not isinstance(launches, dict) or not any(LIKE in one or MATRIX in one for one in _mappings(launches))
    if is_plain and "base" not in doc.data:
        return doc
    names, full = launches if isinstance(launches, dict) else {}, {}
    for name in names:
        with doc.faults.noted():
            for each, launch in _launches_of(doc, str(name)):
                if each != name and (each in names or each in full):
                    raise doc.error(("launches", name), f"makes a launch {each!r}, and there is another of that name")
                full[each] = launch
    origins = {
        ("launches", name, *way): origin for name, launch in full.items() for way, origin in launch.origins.items()
    }
    return replace(
        doc, data={**doc.data, "launches": {name: one.values for name, one in full.items()}}, origins=origins
    )


def base_alone(doc: Document) -> Document:
    """Return a document whose only launch, called "base", is what every launch of the file begins with."""
    return replace(doc, data={"launches": {"base": doc.data["base"]}}, origins={("launches", "base"): ("base",)})


def _mappings(launches: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in launches.values() if isinstance(one, dict))


def _launches_of(doc: Document, name: str) -> Iterator[tuple[str, _Launch]]:
    """Yield the launch that the file calls `name`, or those of its matrix, each with its name."""
    where = ("launches", name)
    launch = _begun(doc, name, ())
    if MATRIX not in launch.values:
        launch.origins[()] = where
        yield name, launch
        return
    del launch.values[MATRIX], launch.origins[MATRIX,]
    combinations = _combinations(doc, (*where, MATRIX))
    if len(combinations) > MAX_LAUNCHES:
        raise doc.error((*where, MATRIX), f"makes more than {MAX_LAUNCHES} launches")
    for each, points in zip(_names(doc, name, combinations), combinations, strict=True):
        one = launch.copy()
        for key, point in points.items():
            one.take(tuple(key.split(".", maxsplit=1)), point.value, point.where)
        one.origins[()] = where
        yield each, one


def _begun(doc: Document, name: str, seen: Sequence[str]) -> _Launch:
    """Return the launch of this name with what it begins with: what it is like, or the base."""
    where = ("launches", name)
    own = doc.mapping(where, "{args: {enforce_eager: true}}; with nothing of its own, {}")
    if LIKE in own:
        launch = _begun(doc, _liked(doc, (*where, LIKE), (*seen, name)), (*seen, name))
    elif "base" in doc.data and _ATTACHED not in own:
        launch = _with(_Launch(), doc.mapping(("base",)), ("base",))
    else:
        launch = _Launch()
    return _with(launch, {key: value for key, value in own.items() if key != LIKE}, where)


def _liked(doc: Document, where: Where, seen: Sequence[str]) -> str:
    """Return the name of the launch that another is like; refuse one that is not there, a matrix, and a circle."""
    name, launches = doc.at(where), doc.mapping(("launches",))
    if not isinstance(name, str) or name not in launches:
        raise doc.error(where, unknown(str(name), launches, "launch"))
    if name in seen:
        raise doc.error(where, f"goes in a circle: {' is like '.join([*seen[seen.index(name) :], name])}")
    if isinstance(launches[name], dict) and MATRIX in launches[name]:
        raise doc.error(where, "is a matrix, of several launches: a launch is like one")
    return name


def _with(launch: _Launch, own: Mapping[str, Any], where: Where) -> _Launch:
    for key, value in own.items():
        if key in PARTS and isinstance(value, dict):
            launch.values.setdefault(key, {})
            for name, each in value.items():
                launch.take((key, name), each, (*where, key, name))
        else:
            launch.values[key] = value
            launch.origins[key,] = (*where, key)
    return launch


def _combinations(doc: Document, where: Where) -> list[dict[str, Point]]:
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
    if may_repeat and isinstance(values, list) and values:
        return [Point(value, (*where, index)) for index, value in enumerate(values)]
    return read_axis(doc, where)


def _names(doc: Document, name: str, combinations: Sequence[Mapping[str, Point]]) -> list[str]:
    """Return a name for each launch of a matrix: with its value where one axis varies, else with keys and values.

    Where these are too long for the name of a folder, values alone; where values do not tell launches apart, numbers.
    """
    varied = [key for key in combinations[0] if len({repr(points[key].value) for points in combinations}) > 1]
    values = [[_value_text(doc, points[key]) for key in varied] for points in combinations]
    keys = [key.partition(".")[2] or key for key in varied]
    long = [[f"{_UNSAFE.sub('_', key)}_{value}" for key, value in zip(keys, row)] for row in values]
    for rows in (values if len(varied) == 1 else long, values):
        found = ["-".join([name, *row]) for row in rows]
        if len(set(found)) == len(found) and all(map(SAFE_NAME.fullmatch, found)):
            return found
    return [f"{name}-{number}" for number in range(1, len(combinations) + 1)]


def _value_text(doc: Document, point: Point) -> str:
    text = str(point.value) if isinstance(point.value, (dict, list)) else doc.source(point.where)
    return _UNSAFE.sub("_", text).strip("_") or "null"
