"""Launches without repetition: what a file says in short, written out as one mapping of args and variables a launch.

    base: {args: {max_model_len: 8192}}                    # every launch begins with it, but one that is attached to
    launches:
      default: {}
      sync:    {args: {async_scheduling: false}}           # base, and this
      smaller: {like: sync, args: {max_model_len: null}}   # sync, and this; null takes away what it begins with
      batched: {matrix: {args.max_num_batched_tokens: [4096, 8192]}}   # two launches: batched-4096, batched-8192
    search: {matrix: {args.max_num_seqs: {from: 64, to: 256}}}           # three like the first: max_num_seqs_64, _128, _256

The document that is returned has each launch in full, and knows of each value where it stands in the file: whoever reads
it needs to know nothing of this. A value replaces that of the same key whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchbook.plan.document import Document, Where
from benchbook.plan.matrix import MATRIX, PARTS, combinations_of, names_of
from benchbook.plan.search import SEARCH
from benchbook.plan.strict import unknown

MAX_LAUNCHES = 200
LIKE = "like"
_ATTACHED = "attach"  # a launch with this key is started by somebody else


@dataclass
class _Launch:
    """A launch as far as it is written out, and where each value of it stands in the file."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Where, Where] = field(default_factory=dict)

    def copy(self) -> _Launch:
        values = {key: dict(value) if isinstance(value, dict) else value for key, value in self.values.items()}
        return _Launch(values, dict(self.origins))

    def take(self, way: Where, value: Any, origin: Where) -> None:
        """Set the value at `way`, such as ("args", "dtype"); a null takes away what the launch began with.

        A null of a matrix is a launch without the key, whatever the launch began with. What is no mapping where one must
        be stays as it is: whoever reads the launch refuses it.
        """
        inside = self.values.setdefault(way[0], {}) if len(way) > 1 else self.values
        if not isinstance(inside, dict):
            return
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
    if is_plain and "base" not in doc.data and SEARCH not in doc.data:
        return doc
    names, full, made = launches if isinstance(launches, dict) else {}, {}, set()
    for name in names:
        with doc.faults.noted():
            for each, launch in _launches_of(doc, str(name)):
                _check_new(doc, ("launches", name), each, {*names, *full} - {name})
                full[each] = launch
                made |= {each} - {name}
    with doc.faults.noted():
        for each, launch in _candidates(doc, names):
            _check_new(doc, (SEARCH, MATRIX), each, {*names, *full})
            full[each] = launch
            made.add(each)
    origins = {
        ("launches", name, *way): origin for name, launch in full.items() for way, origin in launch.origins.items()
    }
    data = {**doc.data, "launches": {name: one.values for name, one in full.items()}}
    return replace(doc, data=data, origins=origins, optional=frozenset(made if SEARCH in doc.data else ()))


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
    yield from _of_matrix(doc, (*where, MATRIX), name, launch)


def _candidates(doc: Document, names: Mapping[str, Any]) -> Iterator[tuple[str, _Launch]]:
    """Yield the launches that the matrix of the file's search makes of its first launch, each with its name."""
    search = doc.data.get(SEARCH)
    if names and isinstance(search, dict) and MATRIX in search:
        first = next(iter(names))
        if isinstance(names[first], dict) and MATRIX in names[first]:
            raise doc.error(("launches", first), "is the default of a search, and no matrix: name one launch first")
        yield from _of_matrix(doc, (SEARCH, MATRIX), "", _begun(doc, first, ()))


def _check_new(doc: Document, where: Where, name: str, others: Collection[str]) -> None:
    if name in others:
        raise doc.error(where, f"makes a launch {name!r}, and there is another of that name")


def _of_matrix(doc: Document, where: Where, name: str, launch: _Launch) -> Iterator[tuple[str, _Launch]]:
    """Yield the launches that the matrix at `where` makes of `launch`, each with its name, which begins with `name`."""
    combinations = combinations_of(doc, where)
    if len(combinations) > MAX_LAUNCHES:
        raise doc.error(where, f"makes more than {MAX_LAUNCHES} launches")
    for each, points in zip(names_of(doc, name, combinations), combinations, strict=True):
        one = launch.copy()
        for key, point in points.items():
            one.take(tuple(key.split(".", maxsplit=1)), point.value, point.where)
        one.origins[()] = where[:-1]
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
