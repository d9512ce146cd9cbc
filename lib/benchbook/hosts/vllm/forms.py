"""The form that each flag of the installed vLLM wants its value in, and a value of a file in that form.

One table, which vLLM's own parser gives (`parser_dump`), says what may stand behind a flag; everything here follows from
it: `problem_of` (form_problems.py) refuses what the parser would, `words_of` says the rest as it understands it. Without a
table (no vLLM here, or one whose parser cannot be made) values are said in the form that most flags have, and none is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchbook.hosts.process.caches import cache_dir, remember, remembered
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.process.shell import child_environment
from benchbook.hosts.vllm import flags
from benchbook.hosts.vllm.kinds import ANY_DASH, Bounds, Option
from benchbook.hosts.vllm.switches import on_or_off
from benchbook.terms.errors import ExperimentError
from benchbook.terms.sizes import size_of

DUMP_LIMIT_S = 180.0  # importing vLLM takes six seconds, on a cold disk a minute
_LOOKS_LIKE_JSON = re.compile(r"\s*(\{.*\}|\[.*\])\s*", re.DOTALL)  # which vLLM then reads as such
_PAIRS = re.compile(r"\w+=[^,=\s]+(,\w+=[^,=\s]+)*")  # image=2,video=1, as limit_mm_per_prompt was until 0.10
_SIZE_IN_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|\b[0-9]+(?:\.[0-9]+)?[kKmMgGtT]\b')  # which vLLM takes for a config


@dataclass(frozen=True)
class Form:
    """What one flag takes."""

    short: Sequence[str] = ()  # other spellings: '-tp'
    is_switch: bool = False  # takes no value
    may_stand_alone: bool = False  # takes a value or none: then it is as true
    has_negative: bool = True  # a switch with a --no- form
    repeats: bool = False  # stands once for each of several values
    takes_several: bool = False  # has several values behind it
    takes: Sequence[str] = ()  # of int, size, auto, float, object, array, commas, text, normalised
    choices: Sequence[str] = ()  # which the parser itself knows
    members: Sequence[str] = ()  # which the engine knows
    compared: str = ANY_DASH  # with the members
    bounds: Bounds = ()  # which the engine keeps
    options: Mapping[str, Option] | None = None  # those inside a config, nested as they are
    values: Option = Option()  # what each value of a mapping is


Forms = Mapping[str, Form]  # by '--flag'


@functools.cache
def installed_forms(python: Python = HERE) -> Forms:
    """Return the table of the vLLM of `python`, made once an installation (some seconds); empty where none can be made.

    It is kept in the environment that it describes, or, where that is not ours to write to, in the cache. Raises
    ExperimentError for another environment whose vLLM cannot be imported.
    """
    return _installed("forms", python)


@functools.cache
def dataset_forms() -> Forms:
    """Return the same table of the flags by which the installed `vllm bench` is told of a data set."""
    return _installed("datasets", HERE, "datasets")


def _installed(kind: str, python: Python, *asked_for: str) -> Forms:
    known = flags.known(python)
    if known is None or not known.flags:
        return {}
    askers = (
        Path(__file__).with_name(name).read_bytes() for name in ("parser_dump.py", "config_fields.py", "kinds.py")
    )
    asked = hashlib.sha256(b"".join(askers)).hexdigest()[:8]
    name = f"{kind}-{known.version}-{flags.source_state(python)}-{asked}.json"
    own = (Path(sys.prefix) / "share" / "benchbook" / name,) if python.is_here else ()
    places = (*own, cache_dir() / name)
    there = next((forms for place in places if (forms := _forms_of(remembered(place))) is not None), None)
    if there is not None:
        return there
    table = _dumped(python, known.version, *asked_for)
    if table is not None:
        any(remember(place, table) for place in places)
    return _forms_of(table) or {}


def _forms_of(table: dict[str, Any] | None) -> Forms | None:
    """Return the forms of a table; None where it is none, or damaged."""
    try:
        return None if table is None else TypeAdapter(dict[str, Form]).validate_python(table)
    except ValidationError:
        return None


def _dumped(python: Python, version: str, *asked_for: str) -> dict[str, Any] | None:
    """Return the table as the parser gives it: {} where it cannot, None where it was not let to, by time or memory.

    Raises ExperimentError where it is that of another environment, which none of our commands has ever run.
    """
    command = [python.path, "-P", "-m", "benchbook.hosts.vllm.parser_dump", *asked_for]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=DUMP_LIMIT_S,
            stdin=subprocess.DEVNULL,
            env=None if python.is_here else child_environment(python=python),
        )
        if done.returncode < 0:  # killed
            return None
        if done.returncode and not python.is_here:
            why = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise ExperimentError(f"the vLLM {version} of {python.path} cannot be imported: {why[:300]}")
        return json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, subprocess.TimeoutExpired):
        return None
    except ValueError:
        return {}


def flag_of(name: str) -> str:
    """Return '--max-model-len' for the arg max_model_len."""
    return "--" + name.replace("_", "-")


def negative_of(flag: str) -> str:
    """Return '--no-enforce-eager' for --enforce-eager."""
    return "--no-" + flag.removeprefix("--")


def words_of(name: str, value: Any, forms: Forms) -> list[str]:
    """Return the words by which a command line says that the arg `name` is `value`: none where that is how it is anyway."""
    flag = flag_of(name)
    form = forms.get(flag)
    if form is None and name.startswith("no_") and isinstance(value, bool):
        return words_of(name.removeprefix("no_"), not value, forms)
    if isinstance(value, bool) and (form is None or form.is_switch):
        return _switched(flag, value, form or Form())
    if form is None:
        return _behind(flag, [as_word(item) for item in value] if is_list(value) else [as_word(value)])
    if form.is_switch:
        return _switched(flag, bool(on_or_off(value)), form)
    if value is True and form.may_stand_alone:
        return [flag]
    if is_list(value) and form.repeats:
        return [word for item in value for word in _behind(flag, [as_word(item)])]
    if is_list(value) and form.takes_several:
        return _behind(flag, [as_word(item) for item in value])
    if is_list(value) and "array" not in form.takes:
        return _behind(flag, [",".join(map(as_word, value))])
    return _behind(flag, [as_word(value)])


def parsed(value: Any, form: Form | None) -> Any:
    """Return what a value stands for: true or false of a switch, the mapping or list of a text in JSON where the flag takes one.

    Any other value is returned unchanged. Raises ValueError, with what is wrong and where, for text that is no JSON where
    nothing else will do, or that looks like it.
    """
    if form is not None and form.is_switch and (is_on := on_or_off(value)) is not None:
        return is_on  # whoever else asks whether it is on knows no "false" and no 0
    if form is None or not isinstance(value, str) or not {"object", "array"} & set(form.takes):
        return value
    try:
        found = json.loads(value if form.options is None else _SIZE_IN_JSON.sub(_size_as_number, value))
    except ValueError as error:
        if {"text", "commas"} & set(form.takes) and not _LOOKS_LIKE_JSON.fullmatch(value):
            return value
        raise ValueError(_no_json(value, form, error)) from None
    return found if isinstance(found, dict | list) else value


def _no_json(text: str, form: Form, error: ValueError) -> str:
    """Return what to write instead of a text that is no JSON, where that can be told."""
    if pairs := _PAIRS.fullmatch(text):
        return f"must be a mapping: write {{{', '.join(pair.replace('=', ': ') for pair in pairs[0].split(','))}}}"
    if "object" not in form.takes and not _LOOKS_LIKE_JSON.fullmatch(text):
        return f"must be a list: write {json.dumps(text.replace(',', ' ').split(), ensure_ascii=False)}"
    return f"must be a {'mapping' if 'object' in form.takes else 'list'}, or JSON: {error}"


def _size_as_number(match: re.Match[str]) -> str:
    """Return the number of a size; a text in quotes, and what is no size, as it is."""
    number = None if match[0].startswith('"') else size_of(match[0])
    return match[0] if number is None else str(number)


def _switched(flag: str, is_on: bool, form: Form) -> list[str]:
    if is_on:
        return [flag]
    return [negative_of(flag)] if form.has_negative else []


def _behind(flag: str, words: list[str]) -> list[str]:
    """Return the flag and its values; one that begins with a dash, and so looks like a flag, is bound to it."""
    if len(words) == 1 and words[0].startswith("-"):
        return [f"{flag}={words[0]}"]
    return [flag, *words]


def as_word(value: Any) -> str:
    """Return a value as one word: mappings and lists as JSON, never as Python's own text of them."""
    return json.dumps(value) if isinstance(value, Mapping | bool) or is_list(value) else str(value)


def is_list(value: Any) -> bool:
    """Return whether a value is a list of others, and no text."""
    return isinstance(value, Sequence) and not isinstance(value, str)
