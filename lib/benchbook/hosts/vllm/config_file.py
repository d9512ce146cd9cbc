"""A launch as a file for `vllm serve --config`: the words of a command line by their flags, as vLLM takes them from there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from benchbook.hosts.process.pythons import Python
from benchbook.hosts.vllm.command import flags
from benchbook.hosts.vllm.environments import vllm_python
from benchbook.hosts.vllm.forms import installed_forms, words_of
from benchbook.hosts.vllm.spelling import spelt_out


def config_text(model: str, args: Mapping[str, Any], env: Mapping[str, str], name: str, python: str = "") -> str:
    """Return the file called `name`, headed by the command that reads it, and by the one that needs no file.

    It is for the vLLM of the interpreter at `python`, our own for ''.
    """
    there = vllm_python(python)
    before = "".join(f"{variable}={shlex.quote(value)} " for variable, value in env.items())
    whole = shlex.join(["vllm", "serve", model, *flags(args, there)])
    config = yaml.safe_dump({"model": model, **_config(args, there)}, sort_keys=False, allow_unicode=True)
    commands = [f"{before}vllm serve --config {name}", f"{before}{whole}"]
    return "".join(f"#   {' '.join(command.splitlines())}\n" for command in commands) + config


def _config(args: Mapping[str, Any], python: Python) -> dict[str, Any]:
    forms, config = installed_forms(python), {}
    for name, value in spelt_out(args, forms).args.items():
        match words_of(name, value, forms):
            case [flag]:
                config[flag.lstrip("-")] = True
            case [flag, word]:  # a list in one word is JSON, which vLLM would take apart if it were a list here
                is_plain = isinstance(value, Mapping | int | float) and not isinstance(value, bool)
                config[flag.lstrip("-")] = value if is_plain else word
            case [flag, *several]:
                config[flag.lstrip("-")] = several
    return config
