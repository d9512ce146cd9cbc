"""A YAML file as plain data that can say where a value stands: every refusal is 'file:line: key: value: problem'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from benchbook.errors import ExperimentError
from benchbook.plan.strict import FieldError, StrictModel, cut, one_line, shown, unknown
from benchbook.redaction import is_secret_name

Where = tuple[str | int, ...]  # the way to a value, e.g. ("benchmarks", 0, "serve", "max_concurrency")
Model = TypeVar("Model", bound=StrictModel)


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, which can say where in the file a value stands."""

    path: Path
    text: str
    data: dict[str, Any]
    root: yaml.MappingNode

    def at(self, where: Where) -> Any:
        """Return the value at `where`; raises LookupError if there is none."""
        value: Any = self.data
        for step in where:
            value = value[step]
        return value

    def line(self, where: Where) -> int:
        """Return the line (from 1) of the key or list item at `where`, or of the nearest parent that exists."""
        return self._nodes(where)[0].start_mark.line + 1

    def source(self, where: Where) -> str:
        """Return the scalar at `where` as it is written: '1.10' where `at` gives 1.1."""
        return self._nodes(where)[1].value

    def error(self, where: Where, problem: str) -> ExperimentError:
        """Return the refusal of the value at `where` as one line: 'file:line: key: value: problem'."""
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{cut(step)}" for step in where).lstrip(".")
        try:
            value_text = shown(self.at(where))
        except (LookupError, TypeError):
            value_text = ""  # a missing key
        if any(isinstance(step, str) and is_secret_name(step) for step in where):
            value_text = ""
        parts = (f"{self.path}:{self.line(where)}", key, value_text if where else "", problem)
        return ExperimentError(one_line(": ".join(part for part in parts if part)))

    def unknown(self, where: Where, known: list[str]) -> ExperimentError:
        """Return the refusal of the key at the end of `where`, with the nearest known one."""
        return self.error(where, unknown(str(where[-1]), known))

    def mapping(self, where: Where) -> dict[str, Any]:
        """Return the mapping at `where`, or raise its refusal."""
        value = self.at(where)
        if not isinstance(value, dict):
            raise self.error(where, "must be a mapping of keys to values")
        return value

    def parse(self, where: Where, model: type[Model]) -> Model:
        """Return the mapping at `where` as a `model`, or raise the refusal of the field that does not fit."""
        try:
            return model(**self.mapping(where))
        except FieldError as error:
            raise self.error(where + error.where, error.problem) from None

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
