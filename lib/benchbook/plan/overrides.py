"""`--set KEY=VALUE`: an experiment's text with another value, or one more key, and all else as it stands.

The text is changed and not the data, so that the run keeps a file that says what it measured, with its comments; as far
as can be, a line stays the line that it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchbook.plan.strict import cut, one_line
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import no_such
from benchbook.terms.secret_names import is_secret_name

_NAMED = {("launches",): "launch", ("requests",): "set of requests"}  # whose members have names of somebody's own
Compose = Callable[[str], yaml.Node | None]


def overridden(path: Path, text: str, told: str, compose: Compose) -> str:
    """Return `text`, of the file at `path`, with what `told`, 'repeats=5' or 'launches.eager.args.x=1', says.

    Raises ExperimentError for what is no such, and where the file has no launch or set of that name. Whether there is a
    key of that name, who reads the experiment says.
    """
    key, is_told, value = told.partition("=")
    way = re.sub(r"\[(\d+)\]", r".\1", key.strip())
    refused = _Refusal(path, told if not is_secret_name(way.rpartition(".")[2]) else f"{key}=…")
    if not is_told or not all(way.split(".")):
        raise refused("write KEY=VALUE, such as repeats=5 or launches.eager.args.max_model_len=4096")
    value = value.strip() or "null"
    wanted = None if "\n" in value else _composed(value, compose)
    if _is_cut(wanted, value):
        value = _quoted(value)
        wanted = _composed(value, compose)
    if wanted is None or (isinstance(wanted, yaml.CollectionNode) and not wanted.flow_style):
        raise refused("the value is none of YAML's in one line: brackets hold a list or a mapping, quotes a text")
    for written in (value, _quoted(value)):  # in braces, a text with a comma wants quotes
        changed = _Change(text, refused, written).at(way, compose(text), ())
        found = _composed(changed, compose)
        if found is not None and _found(way, found) == _plain(wanted):
            return changed
    raise refused("the value cannot be written there: change the file")


@dataclass(frozen=True)
class _Refusal:
    path: Path
    told: str

    def __call__(self, problem: str) -> ExperimentError:
        return ExperimentError(one_line(f"{self.path}: --set {cut(self.told)}: {problem}"))


@dataclass(frozen=True)
class _Change:
    """A value that goes into `text`."""

    text: str
    refused: _Refusal
    value: str

    def at(self, way: str, node: yaml.Node, where: tuple[str, ...]) -> str:
        """Return the text with the value at `way` below `node`, which stands at `where`."""
        if isinstance(node, yaml.ScalarNode):
            if node.value and node.tag != "tag:yaml.org,2002:null":
                raise self.refused(f"{'.'.join(where)} is no mapping, so it has no {way!r}")
            return self._replaced(node, _nested(way, self.value))
        step, rest = _step(way, node)
        child = _children(node).get(step)
        if child is not None:
            return self.at(rest, child, (*where, step)) if rest else self._replaced(child, self.value)
        if isinstance(node, yaml.SequenceNode):
            raise self.refused(f"which of {'.'.join(where)}: 0 to {len(node.value) - 1}?")
        if what := _NAMED.get(where):
            raise self.refused(no_such(what, step, list(_children(node))))
        return self._inserted(node, step, _nested(rest, self.value))

    def _replaced(self, node: yaml.Node, value: str) -> str:
        start, end = node.start_mark.index, _end(node)
        before = self.text[:start]
        if "\n" in before[len(before.rstrip()) :]:  # a block below its key
            before = _without_comments(before)
        space = "" if before[-1:] in " [{" else " "
        return before + space + value + "\n" * self.text.count("\n", len(before), end) + self.text[end:]

    def _inserted(self, node: yaml.MappingNode, key: str, value: str) -> str:
        if node.flow_style:
            end = node.end_mark.index - 1
            return f"{self.text[:end].rstrip()}{', ' if node.value else ''}{key}: {value}{self.text[end:]}"
        end = self.text.find("\n", _end(node))
        end = len(self.text) if end < 0 else end
        return f"{self.text[:end]}\n{' ' * node.start_mark.column}{key}: {value}{self.text[end:]}"


def _step(way: str, node: yaml.Node) -> tuple[str, str]:
    """Return the first step of `way` below `node`, and the rest: a key may have dots in it, an item the name of its key."""
    if isinstance(node, yaml.SequenceNode):
        step, _, rest = way.partition(".")
        named = enumerate(node.value if not step.isdecimal() else ())  # a number is the place of an item, never its key
        having = [str(place) for place, item in named if isinstance(item, yaml.MappingNode) and step in _children(item)]
        return (having[0], way) if len(having) == 1 else (step, rest)
    known = sorted((key for key in _children(node) if f"{way}.".startswith(f"{key}.")), key=len)
    step = known[-1] if known else way.partition(".")[0]
    return step, way[len(step) + 1 :]


def _found(way: str, node: yaml.Node | None) -> Any:
    """Return what stands at `way` below `node`, as `_plain` has it; None where nothing does."""
    while way and node is not None:
        step, way = _step(way, node)
        node = _children(node).get(step)
    return node and _plain(node)


def _children(node: yaml.Node) -> dict[str, yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    return {str(place): item for place, item in enumerate(node.value)} if isinstance(node, yaml.SequenceNode) else {}


def _end(node: yaml.Node) -> int:
    """Return where the text of `node` ends: of a block, with its last value."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    is_block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return node.end_mark.index - is_block


def _without_comments(text: str) -> str:
    """Return `text` without the blanks and comments that it ends in."""
    while True:
        text = text.rstrip()
        begin = text.rfind("\n") + 1
        comment = re.search(r"(?:^|[ \t])#", text[begin:])
        if comment is None:
            return text
        text = text[: begin + comment.start()]


def _nested(way: str, value: str) -> str:
    """Return the value as a mapping of mappings: '{a: {b: value}}' for 'a.b'; itself for ''."""
    for step in reversed(way.split(".") if way else []):
        value = f"{{{step}: {value}}}"
    return value


def _is_cut(node: yaml.Node | None, text: str) -> bool:
    """Return whether `node` is a text without quotes of which YAML left something out: what follows ' #', an anchor, a tag."""
    is_text = isinstance(node, yaml.ScalarNode) and node.style is None and node.tag == "tag:yaml.org,2002:str"
    return is_text and node.value != text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _composed(text: str, compose: Compose) -> yaml.Node | None:
    try:
        return compose(text)
    except (yaml.YAMLError, ValueError, OverflowError):
        return None


def _plain(node: yaml.Node) -> Any:
    """Return what tells a node from another: kinds and texts."""
    if isinstance(node, yaml.ScalarNode):
        return (node.tag, node.value)
    return [[_plain(part) for part in each] if isinstance(each, tuple) else _plain(each) for each in node.value]
