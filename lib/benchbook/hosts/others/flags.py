"""Args of a launch as the words of a command line whose flags nobody here knows: `--name value`, lists, switches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from benchbook.terms.errors import ExperimentError
from benchbook.terms.redaction import find_secrets
from benchbook.terms.secret_names import holds_secret

ADDRESS = {"host": "benchbook chooses the address", "port": "benchbook chooses a free port"}
MODEL = "set it in model:, beside args:"
NAME = "benchbook proves by it that the server is its own"
NO_KEY = "a key on a command line can be read by every user of the machine"


def words_of(args: Mapping[str, object], joint: str = "-") -> list[str]:
    """Return `args` in their order; `joint` stands between the words of a name, where the file has an underscore.

    True is a switch, and False leaves it out; a list is its items behind the name, a mapping JSON. Raises
    ExperimentError for a secret, which must not stand on a command line, and for null.
    """
    words: list[str] = []
    for name, value in args.items():
        if holds_secret(name, value) or find_secrets(str(value)):
            raise ExperimentError(f"argument {name!r}: a secret must not stand on a command line")
        if value is None:
            raise ExperimentError(f"argument {name!r} is null: leave it out to have the engine's own default")
        if value is not False:
            words += [f"--{name.lstrip('-').replace('_', joint)}", *_values(value)]
    return words


def _values(value: object) -> Sequence[str]:
    if value is True:
        return ()
    if isinstance(value, Mapping):
        return (json.dumps(value),)
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else (str(value),)


def refused_of(theirs: Mapping[str, str], args: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each of `args` that is not the launch's to set, and why; `theirs` has the engine's own, with underscores."""
    known = {**ADDRESS, **theirs}
    for name in args:
        if why := known.get(name.lstrip("-").replace("-", "_").lower()):
            yield name, f"is not yours to set: {why}"
