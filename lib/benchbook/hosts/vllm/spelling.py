"""The args of a launch under their full names: as vLLM's command line understands what people write.

{tp: 8}                                                 →  {tensor_parallel_size: 8}
{cc.pass_config.fuse_rope_kvcache: true}                →  {compilation_config: {pass_config: {fuse_rope_kvcache: true}}}
{cc.custom_ops+: 'none,+rms_norm'}                      →  {compilation_config: {custom_ops: [none, +rms_norm]}}
{speculative_config: '{"method": "mtp"}'}               →  {speculative_config: {method: mtp}}
{no_enable_prefix_caching: true}                        →  {enable_prefix_caching: false}
{enforce_eager: "true"}                                 →  {enforce_eager: true}
{O3: true} {O: O3}                                      →  {optimization_level: 3}
{max_num_batched: 8192}                                 →  {max_num_batched_tokens: 8192}, as argparse completes it
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbook.hosts.vllm.forms import Form, Forms, flag_of, negative_of, parsed
from benchbook.hosts.vllm.kinds import Option, option_problem
from benchbook.hosts.vllm.switches import on_or_off
from benchbook.terms.sizes import size_of

_LEVEL = re.compile("[oO][0-3]")


class Misspelt(Exception):
    """What an arg says cannot be understood; `name` is the arg as it is written."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


@dataclass(frozen=True)
class Spelt:
    """The args of a launch under their full names."""

    args: dict[str, Any]
    written: Mapping[
        str, str
    ]  # full name, or way to an option: the name in the file that it comes from, the first of several
    notes: Mapping[str, str]  # name in the file: what it is in full, where that is another one


def spelt_out(args: Mapping[str, Any], forms: Forms, left_alone: Collection[str] = ()) -> Spelt:
    """Return `args` under the full names of `forms`; names in `left_alone` and unknown ones stay as they are.

    Raises Misspelt for a name given twice with different values, and for text that is no JSON where only that will do.
    """
    found: dict[str, Any] = {}
    written: dict[str, str] = {}
    notes: dict[str, str] = {}
    for name, value in args.items():
        is_more = "." in name and name.endswith("+")
        option, *path = (name[:-1] if is_more else name).split(".")
        long, value = _without_o(name, option, path, value)
        full = long if long in left_alone else _full_name(long, forms)
        is_negated = (_is_negation(full, forms) or _is_old_negation(full, left_alone, forms)) and not path
        full = full.removeprefix("no_") if is_negated else full
        try:
            form = forms.get(flag_of(full))
            value = _dotted_value(value, is_more, _option_of(form, path)) if path else parsed(value, form)
        except ValueError as error:
            raise Misspelt(name, str(error)) from None
        if is_negated and (is_on := on_or_off(value)) is not None:
            value = not is_on
        for step in reversed(path):
            value = {step: value}
        if full in found:
            value = _merged(found[full], value, name, full, is_more)
        found[full] = value
        written.setdefault(".".join([full, *path]), name)
        written.setdefault(full, name)
        if full != option:
            notes[name] = ".".join([full, *path])
        if option.startswith("O") and full == "optimization_level":
            notes[name] += f"; as vLLM until 0.11 read it, it would be compilation_config: {{mode: {value}}}"
    return Spelt(found, written, notes)


def _dotted_value(value: Any, is_more: bool, option: Option) -> Any:
    """Return what vLLM makes of the value behind --config.key: JSON, a size, or text; behind --config.key+ a list.

    A text that the option takes as nothing else stays one.
    """
    if is_more:
        return value if isinstance(value, list) else str(value).split(",")
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        size = size_of(value)
        found = value if size is None else size
    takes_text = bool(option.kinds) and not option_problem(value, option)
    return value if takes_text and (found is None or option_problem(found, option)) else found  # a revision of digits


def _option_of(form: Form | None, path: Sequence[str]) -> Option:
    """Return what the option at the end of a way in a config takes: anything where that is not known."""
    options, option = form.options if form else None, Option()
    for step in path:
        option = (options or {}).get(step, Option())
        options = option.options
    return option


def _full_name(option: str, forms: Forms) -> str:
    """Return the flag's own name for a short, other or cut one, as argparse finds it; unknown and ambiguous ones as they are."""
    if not forms or flag_of(option) in forms:
        return option
    if option == "O":  # which vLLM itself replaces before it parses
        return "optimization_level"
    for flag, form in forms.items():
        if {f"-{option}", flag_of(option)} & set(form.short):
            return _name_of(flag)
    begun = [flag for flag in _spellings(forms) if flag.startswith(flag_of(option))]
    return _name_of(begun[0]) if len(begun) == 1 else option


def _without_o(name: str, option: str, path: Sequence[str], value: Any) -> tuple[str, Any]:
    """Return -O and what stands behind it in full: -O3 is level 3, and until 0.11 -O.mode and -O {…} were the compiler's."""
    level = option.removeprefix("O")
    if option in ("O", "optimization_level") and isinstance(value, str) and _LEVEL.fullmatch(value):
        return "optimization_level", int(value[1:])  # as -O2 is said
    if option.startswith("O") and level.isdecimal():
        if path or on_or_off(value) is not True:
            raise Misspelt(name, f"write O: {level}, which is optimization_level")
        return "optimization_level", int(level)
    is_config = bool(path) or isinstance(value, Mapping) or str(value).lstrip().startswith("{")
    return ("compilation_config" if option == "O" and is_config else option), value


def _spellings(forms: Forms) -> list[str]:
    return [*forms, *(negative_of(flag) for flag, form in forms.items() if _has_negative(form))]


def _is_negation(name: str, forms: Forms) -> bool:
    """Return whether a name says that a switch is off, whether or not the command line has a word for that."""
    positive = forms.get(flag_of(name.removeprefix("no_")))
    return name.startswith("no_") and flag_of(name) not in forms and positive is not None and positive.is_switch


def _is_old_negation(name: str, old: Collection[str], forms: Forms) -> bool:
    """Return whether a name says that a switch is off which an earlier vLLM had."""
    return name.removeprefix("no_") in old and name.startswith("no_") and not {name, flag_of(name)} & {*old, *forms}


def _has_negative(form: Form) -> bool:
    return form.is_switch and form.has_negative


def _name_of(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _merged(there: Any, value: Any, name: str, full: str, is_more: bool) -> Any:
    """Return two sayings of one arg as one: mappings joined, equal values once, a list with what is to be added to it."""
    if isinstance(there, Mapping) and isinstance(value, Mapping):
        joined = dict(there)
        for key, inner in value.items():
            joined[key] = _merged(joined[key], inner, name, f"{full}.{key}", is_more) if key in joined else inner
        return joined
    if is_more and isinstance(there, list):
        return [*there, *value]
    if there != value:
        raise Misspelt(name, f"says {value!r} of {full}, of which the launch says {there!r} as well")
    return value
