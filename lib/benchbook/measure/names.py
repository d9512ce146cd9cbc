"""Does the installed vLLM know each flag, option and value of a launch? What it does not is a fault at its line in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.flags import Known, plugins
from benchbook.hosts.vllm.form_problems import bounds_problem, problem_of
from benchbook.hosts.vllm.forms import Forms, flag_of
from benchbook.hosts.vllm.kinds import Option, option_problem
from benchbook.hosts.vllm.renaming import is_on, is_variable
from benchbook.hosts.vllm.spelling import Spelt
from benchbook.plan.document import Document, Where
from benchbook.plan.hints import habitual
from benchbook.plan.launches import Launch
from benchbook.terms.likeness import nearest
from benchbook.terms.load_formats import OURS
from benchbook.terms.sizes import number_of

_COMPILATION = "compilation_config"
_PERMIT = "allow_deprecated_quantization"
# Args whose values are registered by name, with the file in which a launch may bring its own, and what vLLM calls them.
_REGISTERED = {
    "tool_call_parser": ("tool_parser_plugin", "parser"),
    "reasoning_parser": ("reasoning_parser_plugin", "parser"),
    "quantization": ("", "quantization"),
    "load_format": ("", "load format"),
    "tokenizer_mode": ("", "tokenizer mode"),
    "config_format": ("", "config format"),
    "distributed_executor_backend": ("", "executor"),
    "kv_connector": ("kv_connector_module_path", "connector"),
    "ec_connector": ("ec_connector_module_path", "connector"),
}
_HOLDERS = (
    "structured_outputs_config",
    "reasoning_config",
    "speculative_config",
    "kv_transfer_config",
    "ec_transfer_config",
)
_CLASS = re.compile(r"[A-Za-z_]\w*(\.\w+)+")  # the import path of one
_ANY_CASE = ("quantization", "load_format", "tokenizer_mode")


class Places:
    """Where the file says what a launch has, by names in full: they may be written short, or come from an old name."""

    def __init__(self, launch: Launch, spelt: Spelt) -> None:
        self._launch: Where = ("launches", launch.name)
        self._plugin_env = launch.plugin_env
        self._written = spelt.written
        self._translated: dict[str, Where] = {}

    @property
    def args(self) -> Where:
        """Where the launch's args stand."""
        return (*self._launch, "args")

    def note(self, old: str, new: Iterable[str]) -> None:
        """Remember that the names `new` come from an old one."""
        self._translated.update(dict.fromkeys(new, self.of(old)))

    def of_variable(self, name: str) -> Where:
        """Return the way to a variable, in capitals or not."""
        key = "plugin_env" if name in self._plugin_env else "env"
        return self._translated.get(name, (*self._launch, key, name))

    def of(self, name: str, *path: str | int) -> Where:
        """Return the way to a variable, or to an arg or what is in one: 'pooler_config.softmax', or step by step."""
        if is_variable(name):
            return self.of_variable(name)
        steps = (*name.split("."), *path)
        for end in range(len(steps), 0, -1):
            way = ".".join(map(str, steps[:end]))
            if way in self._translated:
                return self._translated[way]
            if way in self._written:
                return (*self.args, self._written[way], *steps[end:])
        return (*self.args, *steps)


def check_args(
    doc: Document,
    args: Mapping[str, Any],
    places: Places,
    there: Known,
    forms: Forms,
    has_offline: bool,
    python: Python = HERE,
) -> None:
    """Note each flag, option and value that this vLLM does not have, or has for a server alone where there is none."""
    for name, value in args.items():
        place = places.of(name)
        with doc.faults.noted():
            _check_flag(doc, place, name, there, has_offline)
            _check_digits(doc, name, value, places, forms)
            if problem := problem_of(name, value, forms) or bounds_problem(name, value, forms):
                raise doc.error(place, problem)
            _check_options(doc, name, value, _options_of(name, there, forms), places, there)
    _check_registered(doc, args, places, there, python)


def _check_flag(doc: Document, place: Where, name: str, there: Known, has_offline: bool) -> None:
    flag = flag_of(name)
    if flag not in there.flags:
        flags = [known_flag.removeprefix("--").replace("-", "_") for known_flag in there.flags]
        variable = f"VLLM_{name.upper()}"
        hint = f"; {variable} is a variable: it stands in env" if variable in there.variables else ""
        raise doc.error(place, _unknown(there, "flag", name, flags) + hint, is_unknown=True)
    if has_offline and flag not in there.engine_flags:
        problem = "is a flag of the server alone, and latency and throughput run without one: "
        raise doc.error(place, problem + "restrict them to other launches with launches:")


def _check_digits(doc: Document, name: str, value: Any, places: Places, forms: Forms) -> None:
    """Refuse a number without quotes, alone or in a list, that a flag takes as text and that loses what is written: 1.10."""
    form = forms.get(flag_of(name))
    if form is None or not set(form.takes) or set(form.takes) & {"int", "size", "float"}:
        return
    items = [((name,), value)] if not isinstance(value, list) else [((name, at), item) for at, item in enumerate(value)]
    for way, item in items:
        place = places.of(*way)
        text = doc.source_of_number(place)
        if text and number_of(text) == item and text != str(item):
            raise doc.error(place, f"is text: write '{text}', in quotes")


def _check_registered(doc: Document, args: Mapping[str, Any], places: Places, there: Known, python: Python) -> None:
    """Note each name that is registered nowhere, with which vLLM would not start; plugins may bring their own.

    So may a launch by a file of its own, or by the import path of a class.
    """
    holders = [(), *((name,) for name in _HOLDERS if isinstance(args.get(name), Mapping))]
    for path, (arg, (plugin, what)) in product(holders, _REGISTERED.items()):
        holder = args[path[0]] if path else args
        said, names = holder.get(arg), there.registered_of(arg)
        name = str(said) if isinstance(said, str | int | float) and not isinstance(said, bool) else ""
        if not name or _CLASS.fullmatch(name) or not names or holder.get(plugin):
            continue
        wanted, problem = name.lower() if arg in _ANY_CASE else name, ""
        if wanted not in (*names, OURS):
            near = nearest(name, names)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
            problem = f"vLLM {there.version} has no such {what}; {hint}"
        elif arg == "quantization" and wanted in there.deprecated_quantization and not is_on(args.get(_PERMIT)):
            problem = f"is deprecated: vLLM {there.version} starts with it beside {_PERMIT}: true alone"
        if problem and not plugins(python):  # asked last: it opens a file of every package that is installed
            doc.faults.note(doc.error(places.of(*path, arg), problem))


def _options_of(name: str, there: Known, forms: Forms) -> Mapping[str, Option] | None:
    """Return the options that the config behind a flag has, None where it is none of vLLM's configs."""
    form = forms.get(flag_of(name))
    if form is not None:
        return form.options
    return dict.fromkeys(there.compilation_options, Option()) if name == _COMPILATION else None


def _check_options(
    doc: Document, way: str, value: Any, options: Mapping[str, Option] | None, places: Places, there: Known
) -> None:
    """Note each key and value of a config, and of the configs inside it, that the installed one does not have."""
    if not isinstance(value, Mapping) or options is None:
        return
    for key, inner in value.items():
        place = places.of(f"{way}.{key}")
        if key not in options:
            doc.faults.note(doc.error(place, _unknown_option(there, way, key, options), is_unknown=True))
        elif problem := option_problem(inner, options[key]):
            text = doc.source_of_number(place) if "text" in options[key].kinds else ""
            doc.faults.note(doc.error(place, problem + (f": write '{text}', in quotes" if text else "")))
        else:
            _check_options(doc, f"{way}.{key}", inner, options[key].options, places, there)


def _unknown_option(there: Known, way: str, name: str, names: Iterable[str]) -> str:
    """Return that a config has no such option; one whose name begins as the config's own is meant without that."""
    begun = way.rpartition(".")[2].removesuffix("config")  # speculative_model in speculative_config is its model
    short = name.removeprefix(begun)
    return _unknown(there, "option", short if short in names else name, names)


def _unknown(there: Known, what: str, name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    near = habitual(name, known) or nearest(name.removeprefix("no_"), known)
    return f"vLLM {there.version} has no such {what}" + (f"; did you mean {near}?" if near else "")
