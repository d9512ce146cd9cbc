"""Launches: which vLLM configurations an experiment starts or which servers it attaches to, and what may not be set in one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from benchbook.plan.attached import read_attached
from benchbook.plan.commands import read_command, read_words
from benchbook.plan.document import Document, Where
from benchbook.plan.models import SHAPE_PREFIX, ModelRef, read_model
from benchbook.plan.pythons import read_python
from benchbook.plan.strict import StrictModel, unknown
from benchbook.refused_args import OURS
from benchbook.terms.attached import Attached
from benchbook.terms.engines import COMMAND, VLLM, other_engines
from benchbook.terms.load_formats import OURS as OUR_FORMAT
from benchbook.terms.load_formats import makes_weights
from benchbook.terms.secret_names import is_secret_variable, secret_ways
from benchbook.terms.sizes import size_of

UNNAMED = "its first model"  # of an attached server that lists several
SHAPE_WEIGHTS = {"load_format": OUR_FORMAT}  # random weights that behave, from our own loader

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
SAFE_NAME_RULE = "must be letters, digits, '_', '-' and '.', start with a letter or digit, have at most 60 characters"
SECRET = "looks like a secret: take it out of the file and export it in the environment instead"
NO_BOOLEANS = "the environment has no booleans: write 1, 0, or the text in quotes"
_ARG_NAME = re.compile(r"(O[0-9]?|[a-z][a-z0-9_]*)(\.[^.=]+)*")  # keys of a config are whatever it has
_SHELL_WORD = re.compile(r"\$(\{\w+[^}]*\}|[A-Za-z_]\w*|\([^)]*\))|`[^`]+`")  # $HOME, ${HOME:-/root}, $(nproc), `nproc`
_FREE_TEXT = ("default_chat_template_kwargs", "override_generation_config", "reasoning_config")  # for a model
_BESIDE_SHELL_WORDS = re.compile(r"[0-9.,]*[kKmMgGtT]?|\S*[/:=]\S*")
_NO_SHELLS = ("{{", "{%", "\n", "\\", ".*", ".+", "(?", "^")  # signs of Jinja and of patterns
_PATH_SIGNS = ("/", "./", "../", "~/", "$HOME", "${HOME}")  # a path may have spaces in it
_COMMA = "; a value with a comma in it stands in quotes"  # {A: 0-1,3-4}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_REVISION = "set it in model: {hub: ..., revision: ...}"
_OUR_ENV = re.compile(r"BENCHBOOK_\w*|SPT_NOENV")  # by these a host is found and ended


@dataclass(frozen=True)
class Launch:
    """One distinct server: a configuration that is started, whose args keep vLLM's own names, or one that is attached."""

    name: str
    model: ModelRef  # of an attached one, the name that is asked for
    args: Mapping[str, Any]
    env: Mapping[str, str]
    plugin_env: frozenset[str] = (
        frozenset()
    )  # names in env that a plugin or a patched image reads: vLLM may not know them
    engine: str = VLLM
    python: str = ""  # path of the interpreter whose engine it is; '' for that of benchbook itself
    attached: Attached | None = None  # somebody else's server, which is neither started nor ended
    program: tuple[str, ...] = ()  # in place of the engine's own first words
    command: tuple[str, ...] = ()  # all that is started, with {port} and its like; the engine is what it speaks

    @property
    def client_args(self) -> Mapping[str, Any]:
        """The args by which a client finds the server's tokenizer."""
        tokenizer = self.attached.tokenizer if self.attached else ""
        return {"tokenizer": tokenizer} if tokenizer else self.args

    @property
    def model_text(self) -> str:
        """The model as people are told of it, with "(random weights)" where they are, by its kind or by the load format."""
        if self.attached:
            return self.attached.model or UNNAMED
        is_made = makes_weights(self.args) and not self.model.has_random_weights
        return f"{self.model} (random weights)" if is_made else str(self.model)

    @property
    def named_engine(self) -> dict[str, str]:
        """Its engine's name, and the python, program and command that are named; what is vLLM's, or benchbook's own, is left out.

        So stood it before there were others.
        """
        words = {"program": shlex.join(self.program), "command": shlex.join(self.command)}
        named = {"engine": "" if self.engine == VLLM else self.engine, "python": self.python, **words}
        return {name: text for name, text in named.items() if text}

    @property
    def settings(self) -> dict[str, Any]:
        """Return all that tells this launch from another, as name to value: its model, flags and variables."""
        if self.attached:
            return self.attached.settings
        engine = {name: value for name, value in self.named_engine.items() if name != "python"}  # a place is no setting
        return {"model": str(self.model), **engine, **self.args, **self.env}

    @property
    def max_model_len(self) -> int | None:
        """The longest sequence (tokens) that args allow; None where vLLM decides by itself."""
        value = size_of(str(self.args.get("max_model_len")))
        return value or None


def read_launches(doc: Document, default_model: ModelRef | None) -> tuple[Launch, ...]:
    """Return the launches of the file's `launches:` mapping, in its order, without those whose form is refused.

    `default_model` is None where the file's own was refused.
    """
    names = doc.mapping(("launches",))
    if not names:
        raise doc.error(("launches",), "is empty: name at least one launch")
    launches = []
    for name in names:
        with doc.faults.noted():
            launches.append(_read_launch(doc, ("launches", name), default_model))
    return tuple(launches)


def is_attached(doc: Document, name: str) -> bool:
    """Return whether the file's launch of this name is a server that runs already."""
    keys = doc.mapping(("launches",))[name]
    return isinstance(keys, dict) and "attach" in keys


def read_base(alone: Document, default_model: ModelRef | None) -> Launch:
    """Return what all launches begin with as a launch; `alone` is written_out.base_alone of the file's document."""
    return _read_launch(alone, ("launches", "base"), default_model)


class _LaunchKeys(StrictModel):
    args: dict[str, Any] = Field({}, examples=["args: {enforce_eager: true, max_model_len: 4096}"])
    env: dict[str, Any] = Field({}, examples=["env: {VLLM_LOGGING_LEVEL: INFO}"])
    plugin_env: dict[str, Any] = Field({}, examples=["plugin_env: {VLLM_SPYRE_USE_CB: 1}"])
    model: Any = None
    engine: str = Field(VLLM, examples=["engine: vllm"])
    python: str = Field("", examples=["python: /opt/vllm-0.33/bin/python"])
    program: Any = None
    command: Any = None
    attach: Any = None  # a launch that has it has other keys, see attached.py


LAUNCH_KEYS = tuple(_LaunchKeys.model_fields)


def _read_launch(doc: Document, where: Where, default_model: ModelRef | None) -> Launch:
    name = str(where[-1])
    if not SAFE_NAME.fullmatch(name):
        doc.faults.note(doc.error(where, f"the launch's name {SAFE_NAME_RULE}: it names a folder"))
    if is_attached(doc, name):
        attached = read_attached(doc, where, _LaunchKeys.model_fields)
        return Launch(name, ModelRef(attached.model or UNNAMED), {}, {}, attached=attached)
    keys = doc.parse(
        where, _LaunchKeys, f"{name}: {{args: {{enforce_eager: true}}, env: {{VLLM_LOGGING_LEVEL: INFO}}}}"
    )
    _check_engine(doc, (*where, "engine"), keys.engine)
    program, command = _read_words(doc, where, keys)
    engine = COMMAND if command and "engine" not in keys.model_fields_set else keys.engine
    args = {}
    for arg, value in keys.args.items():
        with doc.faults.noted():
            _check_arg(doc, (*where, "args", arg), value, engine)
            args[arg] = value
    env: dict[str, str] = {}
    for mapping, values in (("env", keys.env), ("plugin_env", keys.plugin_env)):
        for key, value in values.items():
            place = (*where, mapping, key)
            with doc.faults.noted():
                if key in env:
                    raise doc.error(place, "stands in env too: give it once")
                env[key] = _env_value(doc, place, value)
    python = ""
    with doc.faults.noted():
        python = "" if "python" not in keys.model_fields_set else read_python(doc, (*where, "python"), keys.python)
    model = default_model
    with doc.faults.noted():
        model = default_model if keys.model is None else read_model(doc, (*where, "model"))
        args = _with_model(doc, (*where, "args"), model, args, COMMAND if command else engine)
    return Launch(name, model, args, env, frozenset(keys.plugin_env), engine, python, program=program, command=command)


def _read_words(doc: Document, where: Where, keys: _LaunchKeys) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the program and the command of a launch; what does not go together is noted as a fault."""
    program = command = ()
    with doc.faults.noted():
        program = () if keys.program is None else read_words(doc, (*where, "program"), keys.program)
    with doc.faults.noted():
        command = () if keys.command is None else read_command(doc, (*where, "command"), keys.command)
    if keys.command is not None:
        for name in ("args", "python", "program"):
            if name in keys.model_fields_set:
                doc.faults.note(doc.error((*where, name), "stands beside command, which says all that is started"))
    elif keys.engine == COMMAND:
        problem = "needs a command: [...] beside it, which starts the server"
        doc.faults.note(doc.error((*where, "engine"), problem))
    elif program and keys.engine == VLLM:
        problem = "is for other engines: name another vLLM by python, or all that is started by command"
        doc.faults.note(doc.error((*where, "program"), problem))
    elif program and "python" in keys.model_fields_set:
        doc.faults.note(doc.error((*where, "python"), "stands beside program: name one of them"))
    return program, command


def _check_engine(doc: Document, where: Where, name: str) -> None:
    if name != VLLM and name not in other_engines():
        raise doc.error(where, unknown(name, [VLLM, *other_engines()], "engine"))


def _with_model(
    doc: Document, where: Where, model: ModelRef | None, args: dict[str, Any], engine: str
) -> dict[str, Any]:
    """Return `args` with what the model asks of vLLM: its revision, or, for a shape, our loader of random weights."""
    if engine != VLLM:
        if model is not None and (model.revision is not None or model.path_or_id.startswith(SHAPE_PREFIX)):
            what = "a revision of the hub" if model.revision is not None else "a shape, which has no weights"
            raise doc.error(where[:-1], f"vLLM alone is told of {what}: name a folder as the launch's model")
        return args
    if model is not None and model.revision is not None:
        return {**args, "revision": model.revision}
    if model is None or not model.path_or_id.startswith(SHAPE_PREFIX):
        return args
    if "load_format" in args and not makes_weights(args):
        raise doc.error((*where, "load_format"), "a shape has no weights to load: leave the key out")
    return {**SHAPE_WEIGHTS, **args}


def _check_arg(doc: Document, where: Where, value: Any, engine: str) -> None:
    name = str(where[-1])
    bare = name.lstrip("-").replace("-", "_").lower()
    if engine == VLLM and (why := {**OURS, "revision": _REVISION}.get(bare)):
        raise doc.error(where, f"is not yours to set: {why}")
    for way in secret_ways(name, value):
        raise doc.error((*where, *way), SECRET, is_secret=True)
    _check_value(doc, where, value)
    if not _ARG_NAME.fullmatch(name):
        hint = f": write {bare!r}" if _ARG_NAME.fullmatch(bare) else ""
        raise doc.error(where, f"an arg is named as in its engine, in lower case and with underscores{hint}")
    is_length = type(value) is not bool and size_of(str(value))
    if name == "max_model_len" and str(value).lower() not in ("auto", "-1") and not is_length:
        raise doc.error(where, "must be a whole number of tokens, at least 1, or a size such as 128k")


def _check_value(doc: Document, where: Where, value: Any) -> None:
    """Refuse what has no value and a shell's words anywhere in an arg's value: a scalar, a list or a mapping.

    A null that is written out inside a config is a value: hf_overrides: {quantization_config: null} takes one away. None
    is Python's word for it, and there a member of some.
    """
    is_inside = len(where) > 4 or "." in str(where[-1])
    if value in (None, "None") and not (is_inside and doc.source(where)):
        raise doc.error(where, "has no value: leave the key out to keep vLLM's default")
    if isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_value(doc, (*where, step), item)
    elif str(where[3]).partition(".")[0] not in _FREE_TEXT:
        _check_expanded(doc, where, value)


def _check_expanded(doc: Document, where: Where, value: Any) -> None:
    """Refuse what waits for a shell, which no file has: alone, or in a path, an address, a pair or a number.

    Prose, a pattern and a template may say what they like.
    """
    text = str(value)
    rest = _SHELL_WORD.sub("", text)
    is_for_a_shell = text.startswith(_PATH_SIGNS) or _BESIDE_SHELL_WORDS.fullmatch(rest)
    if is_for_a_shell and (found := _SHELL_WORD.search(text)) and not any(sign in text for sign in _NO_SHELLS):
        raise doc.error(
            where, f"{found[0]} is not expanded here, since no shell reads this file: write out what it stands for"
        )


def _env_value(doc: Document, where: Where, value: Any) -> str:
    name = str(where[-1])
    if is_secret_variable(name, value):
        raise doc.error(where, SECRET, is_secret=True)
    if not _ENV_NAME.fullmatch(name):
        raise doc.error(where, f"is not the name of an environment variable{_COMMA if value is None else ''}")
    if _OUR_ENV.fullmatch(name):
        raise doc.error(where, "is not yours to set: benchbook finds and ends its processes by it")
    may_be_switch = name.startswith("VLLM_") and where[-2] == "env"  # which is later spelt as vLLM reads it
    if isinstance(value, bool) and not may_be_switch:
        raise doc.error(where, NO_BOOLEANS)
    if value is None:
        raise doc.error(where, f"has no value: write '' for an empty one{_COMMA}")
    if not isinstance(value, (str, int, float)):
        raise doc.error(where, "must be a number or text")
    _check_expanded(doc, where, value)
    return doc.source(where)  # as written: a version such as 1.10 is not 1.1
