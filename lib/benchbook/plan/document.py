"""A YAML file as plain data that can say where a value stands: every refusal is 'file:line: key: value: problem'."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from benchbook.plan.faults import Fault, Faults, Where
from benchbook.plan.strict import NO_TEXT, FieldError, StrictModel, key_text, one_line, shown, unknown
from benchbook.terms.secret_names import holds_secret, is_secret_name, sounds_secret

__all__ = ["Document", "Where"]

Model = TypeVar("Model", bound=StrictModel)


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, which can say where in the file a value stands."""

    path: Path
    text: str
    data: dict[str, Any]
    root: yaml.MappingNode
    faults: Faults  # of this file; what is read of it notes there what is wrong and goes on
    origins: Mapping[Where, Where] = field(default_factory=dict)  # of what is written out: where it stands in the file
    optional: frozenset[str] = frozenset()  # launches that a matrix made for a search: one that cannot run is left out

    def at(self, where: Where) -> Any:
        """Return the value at `where`, or raise the refusal of a file without it."""
        try:
            return self._find(where)
        except LookupError:
            raise self.error(where, "is missing") from None

    def line(self, where: Where) -> int:
        """Return the line (from 1) of the key or list item at `where`, or of the nearest parent that exists."""
        return self._nodes(self._origin(where))[0].start_mark.line + 1

    def source(self, where: Where) -> str:
        """Return the scalar at `where` as it is written: '1.10' where `at` gives 1.1."""
        return self._nodes(self._origin(where))[1].value

    def source_of_number(self, where: Where) -> str:
        """Return the number at `where` as it is written; '' where there is none."""
        with contextlib.suppress(LookupError, TypeError):
            value = self._find(where)
            return self.source(where) if isinstance(value, int | float) and not isinstance(value, bool) else ""
        return ""

    def error(self, where: Where, problem: str, *, is_secret: bool = False, is_unknown: bool = False) -> Fault:
        """Return the refusal of the value at `where` as one line: 'file:line: key: value: problem', a secret without value.

        With `is_unknown` nobody knows the name: what only sounds like a secret's is then taken for one.
        """
        try:
            value = self._find(where)
            is_secret = is_secret or any(is_secret_name(str(step)) for step in where) or holds_secret("", value)
            is_private = is_secret or is_unknown and sounds_secret(str(where[-1]), value)
            value_text = "" if is_private else shown(value)
        except (LookupError, TypeError):
            value_text = ""  # a missing key
        parts = (self.place_text(where), value_text if where else "", problem)
        return Fault(one_line(": ".join(part for part in parts if part)), self.line(where), self._origin(where))

    def place_text(self, where: Where) -> str:
        """Return where the value at `where` stands, as 'file:line: key'."""
        return ": ".join(filter(None, (f"{self.path}:{self.line(where)}", key_text(self._origin(where)))))

    def unknown(self, where: Where, known: list[str]) -> Fault:
        """Return the refusal of the key at the end of `where`, with the nearest known one."""
        return self.error(where, unknown(str(where[-1]), known), is_unknown=True)

    def mapping(self, where: Where, example: str = "") -> dict[str, Any]:
        """Return the mapping at `where`, or raise its refusal with an `example` of the right form."""
        value = self.at(where)
        if not isinstance(value, dict):
            raise self.error(where, "must be a mapping of keys to values" + (f", such as {example}" if example else ""))
        return value

    def parse(
        self, where: Where, model: type[Model], example: str = "", fields: Mapping[str, Any] | None = None
    ) -> Model:
        """Return the mapping at `where` as a `model`, or raise the refusal of a field, the others being noted.

        `fields` are what has been made of the mapping before, where parts of it were read by themselves.
        """
        try:
            return model(**(self.mapping(where, example) if fields is None else fields))
        except FieldError as error:
            for other in error.others:
                self.faults.note(self._refused(where, other))
            raise self._refused(where, error) from None

    def _refused(self, where: Where, error: FieldError) -> Fault:
        """Return the refusal of a field of the mapping at `where`; a number in a text's place with what to write."""
        place = where + error.where
        text = self.source_of_number(place) if error.problem.startswith(NO_TEXT) else ""
        return self.error(place, error.problem + (f": write '{text}'" if text else ""), is_unknown=error.is_unknown)

    def _origin(self, where: Where) -> Where:
        """Return where the value at `where` stands in the file: it may have been written once for several launches."""
        for end in range(len(where), 0, -1):
            if where[:end] in self.origins:
                return (*self.origins[where[:end]], *where[end:])
        return where

    def _find(self, where: Where) -> Any:
        """Return the value at `where`; raises LookupError if there is none."""
        value: Any = self.data
        for step in where:
            value = value[step]
        return value

    def _nodes(self, where: Where) -> tuple[yaml.Node, yaml.Node]:
        """Return the node that names the value at `where` and the value's own, or those of the nearest parent."""
        found = (self.root, self.root)
        for step in where:
            child = _child(found[1], step)
            if child is None:
                break
            found = child
        return found


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the node that names the child (its key, or the item itself) and the child, or None if there is none."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None
