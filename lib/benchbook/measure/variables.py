"""What a launch's environment says to the installed vLLM: switches in its words, and what it does not know as faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchbook.hosts.process import shell
from benchbook.hosts.vllm.command import private_environment
from benchbook.hosts.vllm.flags import Known, is_read, is_vllms
from benchbook.hosts.vllm.kinds import none_of
from benchbook.hosts.vllm.switches import spelt_switch
from benchbook.hosts.vllm.translations import old_variables
from benchbook.measure.names import Places
from benchbook.plan.document import Document
from benchbook.plan.launches import NO_BOOLEANS, Launch
from benchbook.terms.likeness import nearest

_LEVELS = tuple(logging.getLevelNamesMapping())  # vLLM hands its level to Python's logging
_WAY_THROUGH = "a variable of a plugin or a patched image stands in plugin_env, beside the env of an experiment"


def spelt_switches(doc: Document, launch: Launch, places: Places, there: Known | None) -> tuple[Launch, list[str]]:
    """Return the launch with each of vLLM's switches in the word by which it reads it, and a line for each respelt one.

    What says neither on nor off, and a boolean where there is no switch, is noted as a fault of `doc`.
    """
    env, notes = dict(launch.env), []
    for name in _vllms(launch):
        place, words = places.of(name), there.on_words(name) if there else []
        if not words and isinstance(doc.at(place), bool):
            doc.faults.note(doc.error(place, NO_BOOLEANS))
        if not words:
            continue
        try:
            env[name] = spelt_switch(launch.env[name], words, is_number=there.number_of(name) == "switch")
        except ValueError as error:
            doc.faults.note(doc.error(place, str(error)))
        if env[name] != launch.env[name]:
            notes.append(f"translated: {doc.place_text(place)}: is {env[name]}, as vLLM {there.version} reads a switch")
    return replace(launch, env=env), notes


def check_variables(doc: Document, launch: Launch, places: Places, there: Known) -> list[str]:
    """Note each variable that is a slip of one of vLLM's, or has none of its values; return what is to be told of others."""
    notes = []
    for name, text in launch.env.items():
        place = places.of_variable(name)
        what = ""
        if name in launch.plugin_env:
            what = "passed on unchecked, for a plugin or a patched image"
        elif name != name.upper() and name.upper() in there.variables:
            doc.faults.note(doc.error(place, f"vLLM asks for {name.upper()}", is_unknown=True))
        elif problem := _value_problem(name, text, there):
            doc.faults.note(doc.error(place, problem))
        elif is_vllms(name) and name not in there.variables and not is_read(name):
            if near := nearest(name, there.variables | old_variables(there.version)):
                problem = f"vLLM {there.version} has no such variable; did you mean {near}?"
                doc.faults.note(doc.error(place, f"{problem} ({_WAY_THROUGH})", is_unknown=True))
            else:
                what = f"vLLM {there.version} has no such variable: passed on, for a plugin or a patched image"
        notes += [f"note: {doc.place_text(place)}: {what}"] if what else []
    return notes


def check_shell(doc: Document, launches: Sequence[Launch], there: Known) -> None:
    """Note each variable that the shell hands on with a value that would be refused in the file, at the first launch to get it."""
    ours = private_environment(needs_download=False)
    for name, text in shell.child_environment().items():
        heirs = [launch.name for launch in launches if name not in (ours | launch.env)]
        if heirs and (problem := _switch_problem(name, text, there) or _value_problem(name, text, there)):
            told = f"{name}={text} of your shell {problem} (unset it there, or set another here)"
            doc.faults.note(doc.error(("launches", heirs[0], "env", name), told))


def _switch_problem(name: str, text: str, there: Known) -> str:
    """Return why vLLM does not read a switch as it is meant, which nobody can respell in a shell; '' where it does."""
    words, is_number = there.on_words(name), there.number_of(name) == "switch"
    if not words or not (text or is_number):
        return ""
    try:
        spelt = spelt_switch(text, words, is_number=is_number)
    except ValueError as error:
        return str(error)
    return "" if spelt == text else f"is no word by which vLLM reads this switch: write {spelt}"


def _value_problem(name: str, text: str, there: Known) -> str:
    """Return why a variable's text is none of the values that vLLM takes for it; '' where it is one, or any will do."""
    if members := _LEVELS if name == "VLLM_LOGGING_LEVEL" else there.values_of(name):
        return next(filter(None, (none_of(part.strip(), members) for part in text.split(","))), "")  # some are lists
    return _number_problem(text, there.number_of(name)) if is_vllms(name) else ""


def _vllms(launch: Launch) -> Iterator[str]:
    """Yield the variables that are named as vLLM's own, without those of plugins."""
    return (name for name in launch.env if is_vllms(name) and name not in launch.plugin_env)


def _number_problem(text: str, kind: str) -> str:
    """Return why vLLM cannot make the number of a variable's text; '' where it can, or wants none."""
    try:
        float(text) if kind == "float" else int(text) if kind == "int" else None
    except ValueError:
        return {"float": "must be a number"}.get(kind, "must be a whole number")
    return ""
