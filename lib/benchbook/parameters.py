"""The parameters of the notebook that runs, as its kernel has them now; outside of a notebook there are none.

They are the names that the parameters cell annotates (`num_prompts: int = 40`), which Python remembers. Papermill
assigns those it was given in a cell of its own, without annotations.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean

RESULT = "saved"  # the name under which notebooks keep a measurement
_INJECTED = "# Parameters\n"  # how Papermill's cell begins


def shown() -> dict[str, Any]:
    """Return a copy of the parameters and their values."""
    names = _namespace()
    return {name: copy.deepcopy(names[name]) for name in names.get("__annotations__", {}) if name in names}


def refuse_unknown() -> None:
    """Raise ExperimentError when Papermill was given a parameter that the notebook lacks; it would only warn."""
    known = shown()
    for cell in _namespace().get("In", ()):
        if known and cell.startswith(_INJECTED):
            for statement in ast.parse(cell).body:
                if isinstance(statement, ast.Assign) and (name := ast.unparse(statement.targets[0])) not in known:
                    raise unknown(name, known)


def unknown(name: str, known: Iterable[str]) -> ExperimentError:
    """Return the error of a parameter that there is not, with the nearest one and all there are."""
    near = alike(name, known)
    hint = f"; {did_you_mean(near)}" if near else "."
    return ExperimentError(f"unknown parameter {name!r}{hint} The notebook has: {', '.join(known)}")


def refuse_stale(
    name: str,
    thing: object,
    made_with: Mapping[str, Any],
    held: Callable[[str, Any], Any] = lambda parameter, value: value,
) -> None:
    """Raise ExperimentError when the notebook's variable `name` is `thing`, and a parameter was another one for it.

    What somebody keeps under a name of their own is theirs to know. `held` tells how a parameter's value stands in
    `made_with`, where it may be said in several ways.
    """
    if _namespace().get(name) is not thing:
        return
    for parameter, value in shown().items():
        if parameter in made_with and made_with[parameter] != held(parameter, value):
            before = made_with[parameter]
            raise ExperimentError(
                f"{parameter} is {value!r} now, but `{name}` was made with {before!r}: run that cell again"
            )


class _Nothing:
    """Stands for the result of a measurement that did not end."""

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("_"):  # Jupyter asks every object how it wants to be shown
            raise AttributeError(attribute)
        raise ExperimentError("there is no result: the last measurement did not end; run its cell again")

    def __repr__(self) -> str:
        return "<no result: the measurement did not end>"


@contextmanager
def without_result() -> Iterator[None]:
    """Inside, and after an error too, the notebook's result of an earlier measurement is not to be had."""
    names = _namespace()
    before, names[RESULT] = names.get(RESULT), _Nothing()
    yield
    if before is None:
        del names[RESULT]
    else:
        names[RESULT] = before


def _namespace() -> dict[str, Any]:
    """Return the variables of the notebook; an empty mapping outside of one."""
    ipython = sys.modules.get("IPython")  # whoever runs in a notebook has it
    shell = ipython.get_ipython() if ipython else None
    return shell.user_ns if shell else {}
