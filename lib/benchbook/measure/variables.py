"""What a launch's environment says to the installed vLLM: switches in its words, and what it does not know as faults."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import yaml

from benchbook.hosts.machine import cpu_cores
from benchbook.hosts.process import shell
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.command import private_environment
from benchbook.hosts.vllm.flags import Known, is_read, is_vllms
from benchbook.hosts.vllm.forms import Form, Forms, flag_of
from benchbook.hosts.vllm.kinds import not_among
from benchbook.hosts.vllm.switches import on_or_off, spelt_switch
from benchbook.hosts.vllm.translations import old_variables, translate
from benchbook.measure.names import Places
from benchbook.plan.document import Document
from benchbook.plan.launches import NO_BOOLEANS, Launch
from benchbook.refused_args import refused
from benchbook.terms.engines import VLLM
from benchbook.terms.likeness import nearest
from benchbook.terms.secret_names import holds_secret, is_secret_variable

_HUB = "HF_ENDPOINT"
_LEVEL = "VLLM_LOGGING_LEVEL"
_LEVELS = tuple(logging.getLevelNamesMapping())  # vLLM hands its level to Python's logging, in capitals
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_EMPTY = "is empty: leave it out"
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
            env[name] = _spelt(name, launch.env[name], there)
        except ValueError as error:
            doc.faults.note(doc.error(place, str(error)))
        if env[name] != launch.env[name]:
            notes.append(f"translated: {doc.place_text(place)}: is {env[name]}, as vLLM {there.version} reads a switch")
    return replace(launch, env=env), notes


def filled_variables(doc: Document, launch: Launch, places: Places, version: str) -> dict[str, str]:
    """Return the variables of a launch that are vLLM's to hear; old ones that are empty are noted as faults of `doc`."""
    own = {name: text for name, text in launch.env.items() if name not in launch.plugin_env}
    for name in [name for name, text in own.items() if not text and name in old_variables(version)]:
        doc.faults.note(doc.error(places.of(name), _EMPTY))
        del own[name]
    return own


def check_variables(
    doc: Document, launch: Launch, places: Places, there: Known, forms: Forms, python: Python = HERE
) -> list[str]:
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
        elif is_vllms(name) and name not in there.variables and not is_read(name, python):
            if meant := _meant(name, text, there, forms):
                problem = f"vLLM {there.version} has no such variable{meant}"
                doc.faults.note(doc.error(place, f"{problem} ({_WAY_THROUGH})", is_unknown=True))
            else:
                what = f"vLLM {there.version} has no such variable: passed on, for a plugin or a patched image"
        notes += [f"note: {doc.place_text(place)}: {what}"] if what else []
    return notes


def check_shell(
    doc: Document, launches: Sequence[Launch], there: Known, forms: Forms, python: Python = HERE
) -> list[str]:
    """Note each variable that the shell hands on with a value that would be refused in the file, at the first launch to get it.

    Returns a line for each that vLLM does not heed, with what to write in its place.
    """
    ours, notes = private_environment(needs_download=False), []
    for name, text in shell.child_environment(python=python).items():
        heirs = [launch.name for launch in launches if launch.engine == VLLM and name not in (ours | launch.env)]
        if heirs and (problem := _switch_problem(name, text, there) or _value_problem(name, text, there)):
            told = f"{name}={text} of your shell {problem} (unset it there, or set another here)"
            doc.faults.note(doc.error(("launches", heirs[0], "env", name), told))
        elif heirs and text and (why := _why_unheeded(name, text, there, forms, python)):
            notes.append(f"note: {name} of your shell is not heeded: {why}")
    return notes


def _why_unheeded(name: str, text: str, there: Known, forms: Forms, python: Python) -> str:
    """Return why the installed vLLM does not ask a variable that is named as one of its own, and what to write; '' where it may."""
    if name in old_variables(there.version):
        done = translate({}, {name: text}, there.version)
        why = next((refusal for refusal in done.refusals), None) or done.changes[0].reason
        said = [_written(key, settings) for key, settings in (("args", done.args), ("env", done.env)) if settings]
        return f"{why}: write {' and '.join(said)}" if said else str(why)
    if not is_vllms(name) or name in there.variables or shell.is_of_a_service(name) or is_read(name, python):
        return ""
    return f"vLLM {there.version} has no such variable{_meant(name, text, there, forms)}"


def _meant(name: str, text: str, there: Known, forms: Forms) -> str:
    """Return ': write args: {...}' of a variable named after a flag, or which known one is meant; '' where nobody can tell."""
    if arg := _arg_named(name.removeprefix("VLLM_").lower(), there, forms):
        value = _value_of(text, forms.get(flag_of(arg), Form()))
        if is_secret_variable(name, text) or holds_secret(arg, value):
            return ""
        why = next((why for _, why in refused({arg: value})), "")
        return f": it is the flag {arg}, which {why}" if why else f": write {_written('args', {arg: value})}"
    near = nearest(name, there.variables | old_variables(there.version))
    return f"; did you mean {near}?" if near else ""


def _value_of(text: str, form: Form) -> bool | int | float | str:
    """Return what an arg of this form has for a variable's text, as it is written in a file."""
    if form.is_switch and (is_on := on_or_off(text)) is not None:
        return is_on
    return (float(text) if "." in text else int(text)) if _NUMBER.fullmatch(text) else text


def _arg_named(name: str, there: Known, forms: Forms) -> str:
    """Return the arg of this name, or of this short one: max_model_len, tp, tp_size; '' where there is none."""
    if flag_of(name) in there.flags:
        return name
    short = {flag_of(name), "-" + name.removesuffix("_size").replace("_", "-")}
    flag = next((flag for flag, form in forms.items() if short & set(form.short)), "")
    return flag.removeprefix("--").replace("-", "_")


def _written(key: str, settings: dict) -> str:
    """Return settings as a launch says them: 'args: {attention_backend: FLASHINFER}'."""
    return yaml.safe_dump({key: settings}, default_flow_style=True, sort_keys=False, width=math.inf).strip()[1:-1]


def _spelt(name: str, text: str, there: Known) -> str:
    """Return a switch as vLLM reads it; raises ValueError for a text that says neither on nor off."""
    is_number, off_words = there.number_of(name) == "switch", there.off_words(name)
    return spelt_switch(text, there.on_words(name), is_number=is_number, off_words=off_words)


def _switch_problem(name: str, text: str, there: Known) -> str:
    """Return why vLLM does not read a switch as it is meant, which nobody can respell in a shell; '' where it does."""
    if not there.on_words(name) or not (text or there.number_of(name) == "switch"):
        return ""
    try:
        spelt = _spelt(name, text, there)
    except ValueError as error:
        return str(error)
    return "" if spelt == text else f"is no word by which vLLM reads this switch: write {spelt}"


def _value_problem(name: str, text: str, there: Known) -> str:
    """Return why a variable's text is none of the values that vLLM takes for it; '' where it is one, or any will do."""
    if members := _LEVELS if name == _LEVEL else there.values_of(name):
        parts = text.split(",") if name in there.comma_lists else [text]
        texts = list(filter(None, map(str.strip, parts))) if name in there.comma_lists else parts
        return next(filter(None, (_choice_problem(part, members, name, there) for part in texts)), "")
    if name == _HUB and "://" not in text:
        return f"is no address: write https://{text}" if text else _EMPTY
    if name == cpu_cores.BIND and "+cpu" in there.version:
        return cpu_cores.misnamed(text)
    return _number_problem(text, there.number_of(name)) if is_vllms(name) else ""


def _choice_problem(text: str, members: Sequence[str], name: str, there: Known) -> str:
    """Return why a text is none of those that a variable lists, which most take in their own case alone."""
    if not text:
        return _EMPTY
    alike = [member for member in members if member.lower() == text.lower()]
    if text in members or alike and (name in there.any_case or name == _LEVEL):
        return ""
    return f"is not read in this case: write {alike[0]}" if alike else not_among(text, members)


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
