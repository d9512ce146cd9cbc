"""What the installed vLLM's parser would not take for a flag, and what to write instead, from the table in forms.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchbook.hosts.vllm.forms import Form, Forms, as_word, flag_of, is_list
from benchbook.hosts.vllm.kinds import folded, none_of, not_among, option_problem, out_of_bounds
from benchbook.hosts.vllm.switches import on_or_off
from benchbook.terms.sizes import size_of

_INT = re.compile(r"[+-]?[0-9]+")
_SEVERAL_PAIRS = re.compile(r"[\w.-]+=\S+(\s+[\w.-]+=\S+)+")  # a=/x b=/y, as a shell parts them
_WORDS = {"int": "a whole number", "size": "a size such as 64k", "auto": "auto", "float": "a number"}
_WORDS |= {"object": "a mapping", "array": "a list", "commas": "a list", "text": "text", "normalised": "text"}


def problem_of(name: str, value: Any, forms: Forms) -> str:
    """Return why the parser would not take `value` for the arg `name`, with what to write; '' when it would."""
    form = forms.get(flag_of(name))
    if form is None:
        return ""
    if form.is_switch:
        return "" if on_or_off(value) is not None else "is a switch: write true or false"
    if form.options and "mode" in form.options and _INT.fullmatch(str(value)):  # a level alone, until 0.11
        return f"must be a mapping: write {{mode: {value}}}"
    if isinstance(value, str) and form.takes_several and not {"text", "object"} & set(form.takes):
        if len(words := value.strip("[] ").replace(",", " ").split()) > 1 or value.startswith("["):
            return f"takes a list: write [{', '.join(words)}]"
    if isinstance(value, str) and form.takes_several and _SEVERAL_PAIRS.fullmatch(value):
        return f"takes a list: write [{', '.join(value.split())}]"
    if value is True and form.may_stand_alone:
        return ""
    if isinstance(value, bool) and not {"object", "array"} & set(form.takes):
        return f"takes a value, not {str(value).lower()}: {_wanted(form)}"
    if is_list(value) and (form.takes_several or form.repeats) and value:
        return next((problem for item in value if (problem := _item_problem(item, form))), "")
    if is_list(value) and not value and "array" not in form.takes:
        return "is an empty list: leave the key out"
    if is_list(value):
        return "" if {"array", "commas"} & set(form.takes) else f"takes one value, not a list: {_wanted(form)}"
    problem = _item_problem(value, form)
    return "is empty: leave the key out" if problem and value == "" else problem


def bounds_problem(name: str, value: Any, forms: Forms) -> str:
    """Return which bounds of the engine's the parser would let `value` break; '' where it keeps all."""
    form = forms.get(flag_of(name))
    return out_of_bounds(value, form.bounds) if form else ""


def _item_problem(value: Any, form: Form) -> str:
    """Return why one value will not do."""
    if isinstance(value, Mapping):
        if "object" not in form.takes:
            return f"takes no mapping: {_wanted(form)}"
        found = ((key, option_problem(item, form.values)) for key, item in value.items())
        return next((f"{key}: {problem}" for key, problem in found if problem), "")
    if is_list(value):
        return "" if "array" in form.takes else f"takes no list inside a list: {_wanted(form)}"
    text = as_word(value)
    if text == "--" or text.startswith("-") and form.takes_several and not _INT.fullmatch(text):
        return "begins with a dash, which no command line can say here"
    if form.members and not (_INT.fullmatch(text) and "int" in form.takes):
        return none_of(text, form.members, form.compared)
    if form.choices:
        chosen = folded(text) if "normalised" in form.takes else text
        return "" if chosen in form.choices else not_among(chosen, form.choices)
    return "" if _fits(text, form.takes) else f"must be {_wanted(form)}"


def _fits(text: str, takes: Sequence[str]) -> bool:
    """Return whether a text is read as one of the kinds; where text is taken, anything is."""
    if not takes or {"text", "normalised", "commas"} & set(takes):
        return True
    if _INT.fullmatch(text):
        return bool({"int", "float"} & set(takes))
    return (
        ("size" in takes and size_of(text) is not None)
        or ("auto" in takes and text.lower() == "auto")
        or ("float" in takes and _is_number(text))
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _wanted(form: Form) -> str:
    if form.choices:
        return f"one of {', '.join(form.choices)}"
    return " or ".join(dict.fromkeys(_WORDS[kind] for kind in form.takes)) or "text"
