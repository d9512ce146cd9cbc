"""YAML read safely and strictly into a Document.

Stricter than YAML 1.1 on purpose: no aliases (nothing can blow up), no duplicate keys, no unquoted yes/no/on/off, no
octal, hexadecimal, sexagesimal, infinite or absurdly long numbers, no tags, no control characters. A number in the file
is the number that a reader sees: 1e6 too, as in JSON, which is text to YAML 1.1 for want of a dot and a sign.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from benchbook.plan.document import Document
from benchbook.plan.faults import Fault, Faults, Where
from benchbook.plan.hints import meant
from benchbook.plan.overrides import overridden
from benchbook.plan.strict import cut, key_text, one_line, shown
from benchbook.project import ROOT, named
from benchbook.reading import MOST_WRITTEN_BYTES
from benchbook.terms.errors import ExperimentError
from benchbook.terms.redaction import secret_position
from benchbook.terms.secret_names import is_secret_name

MAX_DEPTH = 16
MAX_NODES = 5_000  # keys and values; keeps the slowest file well under a second

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][-+]?[0-9]{1,2})?")
_EXPONENT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+")
_SCALAR_RULES = {
    "bool": "write true or false, or quote it",
    "int": "write a plain decimal number of at most 18 digits, or quote it",
    "float": "write a plain finite number, or quote it; for no limit leave the key out; a rate may be inf",
}
NO_ALIASES = (
    "YAML's anchors and aliases (*name) are not taken: what launches have in common stands in base, see like and matrix; "
    "a text that begins with * stands in quotes"
)
_QUOTES = "a text with a colon in it, or one that begins with a sign of YAML's own, stands in quotes"
_YAML_HINTS = {  # by what the parser says
    "'\\t'": "indent with spaces, not tabs",
    "mapping values are not allowed": _QUOTES,
    "that cannot start any token": _QUOTES,
    "while scanning an alias": "a text that begins with * stands in quotes",
    "while scanning a quoted scalar": "the quotes are never closed, or the same stand inside; use the other ones outside",
    "while scanning a block scalar": "a text that begins with | or > stands in quotes",
    "could not find expected ':'": "each line has a key, a colon, a space and a value",
    "while parsing a flow": "a bracket is never closed, or a comma is missing, or a text in brackets wants quotes",
    "while parsing a block mapping": "keys of one mapping begin in one column; text behind closed quotes belongs inside",
    "while parsing a block collection": "items of one list begin with - in one column",
}
_UNREADABLE = object()  # stands where a value was refused: no reader takes it, and none is heard about it
_CONTROL_OR_SURROGATE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def load_document(path: Path, sets: Sequence[str] = ()) -> Document:
    """Return the YAML mapping in the file at `path`; anything else raises an ExperimentError of one line.

    `sets` are values in place of the file's, see overrides.py. Single values that are refused are among the document's
    `faults`.
    """
    text = _read_text(path)
    for told in sets if sets and _is_mapping(text) else ():
        text = overridden(path, text, told, lambda text: _Loader(text).get_single_node())
    position = secret_position(text)
    if position is not None:
        problem = "looks like a secret: take it out of the file and export it in the environment instead"
        raise _refusal(path, text[:position].count("\n"), problem)
    try:
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        line = mark.line if mark else 0
        prefix = "" if reason == NO_ALIASES else "not valid YAML: "
        raise _refusal(path, line, f"{prefix}{reason}{_what_to_write(reason, text, line)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n")
        raise _refusal(path, line, f"not valid YAML: character U+{error.character:04X} is not allowed") from None
    except (ValueError, OverflowError):
        raise _refusal(path, 0, "not valid YAML: an escape such as \\U stands for no character") from None
    if not isinstance(root, yaml.MappingNode):
        raise _refusal(path, 0, "the file is empty" if root is None else "must be a mapping of keys to values")
    faults = Faults()
    data = _plain_data(_Place(path, faults), root)
    if data is _UNREADABLE:
        faults.raise_any()
    return Document(path, text, data, root, faults)


def experiment_text(path: Path, sets: Sequence[str] = ()) -> str:
    """Return the text of the experiment at `path` with `sets` in it, as its run keeps it; ExperimentError without one."""
    return load_document(path, sets).text if sets else _read_text(path)


def _is_mapping(text: str) -> bool:
    """Return whether there is anything that values can be set in; what is wrong with another text is said of it as it is."""
    try:
        return isinstance(_Loader(text).get_single_node(), yaml.MappingNode)
    except (yaml.YAMLError, ValueError, OverflowError):
        return False


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, composing no aliases and no more than a person would write."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        mark = self.peek_event().start_mark
        self.depth += 1
        self.nodes += 1
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, NO_ALIASES, mark)
        if self.depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limits = f"nested deeper than {MAX_DEPTH} or of more than {MAX_NODES} values"
            raise yaml.composer.ComposerError(None, None, f"{limits}: not an experiment", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            problem = "not a file" if path.exists() else f"no such file{_near_file(path)}"
            raise ExperimentError(one_line(f"{path}: {problem}"))
        raw = path.read_bytes() if path.stat().st_size <= MOST_WRITTEN_BYTES else None
    except OSError as error:
        raise ExperimentError(one_line(f"{path}: cannot be read: {error.strerror}")) from None
    if raw is None:
        raise ExperimentError(one_line(f"{path}: larger than {MOST_WRITTEN_BYTES // 1024} KiB: not an experiment file"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(path, raw[: error.start].count(b"\n"), "not UTF-8 text") from None


def _what_to_write(reason: str, text: str, line_from_0: int) -> str:
    """Return ": …", what to write instead of that which YAML's parser refuses; '' where nobody can tell."""
    line = text.splitlines()[line_from_0] if line_from_0 < len(text.splitlines()) else ""
    key, _, value = line.strip().partition(": ")
    hint = next((hint for part, hint in _YAML_HINTS.items() if part in reason), "")
    if hint == _QUOTES and (": " in value or not value[:1].isalnum()):
        quote = '"' if "'" in value else "'"
        hint += f", such as {key}: {quote}{cut(value)}{quote}"
    elif hint == _QUOTES:
        hint = "the line before lacks a colon and a space, or this one begins too far to the right"
    return f": {hint}" if hint else ""


def _near_file(path: Path) -> str:
    """Return which experiment is meant by the name of a file that is not there: here, or one of the project's own."""
    folders = (path.parent, Path("experiments"), ROOT / "experiments")
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    names = {file.name: file for file in reversed(files)}
    near = meant(path.name if path.suffix else f"{path.name}.yaml", names)
    return f"; did you mean {named(names[near])!r}?" if near else ""


def _refusal(path: Path, line_from_0: int, problem: str) -> ExperimentError:
    return ExperimentError(one_line(f"{path}:{line_from_0 + 1}: {problem}"))


@dataclass(frozen=True)
class _Place:
    """Where reading stands: the way to a value in a file, and who is told that it is refused."""

    path: Path
    faults: Faults
    where: Where = ()

    def at(self, step: str | int) -> _Place:
        return replace(self, where=(*self.where, step))

    def refuse(self, node: yaml.Node, problem: str) -> Any:
        line = node.start_mark.line + 1
        parts = (f"{self.path}:{line}", key_text(self.where), problem)
        self.faults.note(Fault(one_line(": ".join(part for part in parts if part)), line, self.where))
        return _UNREADABLE


def _plain_data(place: _Place, node: yaml.Node) -> Any:
    """Return `node` as dict, list, str, int, float, bool or None; what it may not hold is refused."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.ScalarNode):
        is_number = kind == "str" and node.style is None and _EXPONENT.fullmatch(node.value)
        return _scalar(place, node, "float" if is_number else kind)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_plain_data(place.at(index), item) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(place, node)
    return place.refuse(node, f"{kind}: tags are not supported")


def _mapping(place: _Place, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    told = 0  # up to which key a value that commas have cut is told of
    for number, (key_node, value_node) in enumerate(node.value):
        if key_node.tag != "tag:yaml.org,2002:str" or not isinstance(key_node, yaml.ScalarNode):
            text = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if number >= told:
                hint, told = _whole_value(node.value, number)
                place.at(text).refuse(key_node, f"the key is not plain text: {hint}")
            continue
        key = _scalar(place, key_node, "str")
        if key is _UNREADABLE:
            continue
        if key in mapping:
            place.at(key).refuse(key_node, "duplicate key")
            continue
        mapping[key] = _plain_data(place.at(key), value_node)
    return mapping


def _whole_value(pairs: list[tuple[yaml.Node, yaml.Node]], number: int) -> tuple[str, int]:
    """Return what to write for a key that is no text, and the number of the next one: in {A: 0,1,2} '0,1,2' for 1 and 2."""
    rest = [key.value for key, _ in takewhile(lambda pair: _is_bare(*pair), pairs[number:])]
    name, before = pairs[number - 1] if number else (None, None)
    if not rest or not isinstance(before, yaml.ScalarNode) or not before.value:
        return "quote it, or write it out", number + 1
    whole = "the whole of it" if is_secret_name(str(name.value)) else f"'{cut(','.join([before.value, *rest]))}'"
    return f"a comma ends a value in braces: quote {whole}", number + len(rest)


def _is_bare(key: yaml.Node, value: yaml.Node) -> bool:
    """Return whether a key is no text, and nothing stands behind it."""
    are_scalars = isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    return are_scalars and key.tag != "tag:yaml.org,2002:str" and value.tag.endswith(":null") and not value.value


def _scalar(place: _Place, node: yaml.ScalarNode, kind: str) -> Any:
    text = node.value
    if kind == "null" and text.lower() in ("", "~", "null"):
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    if kind not in ("str", "timestamp", "value"):  # a bare date and a bare "=" are text to us
        return place.refuse(node, f"{shown(text)}: {_SCALAR_RULES.get(kind, 'tags are not supported')}")
    if _CONTROL_OR_SURROGATE.search(text):
        return place.refuse(node, f"{shown(text)}: control characters are not allowed")
    return text
