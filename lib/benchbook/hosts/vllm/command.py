"""The command line and the environment of `vllm serve`, as pure functions of what was asked for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence

from benchbook.hosts.machine.devices import is_cpu_build
from benchbook.hosts.process import search_path, shell
from benchbook.hosts.process.guardian import OWN_FOLDER
from benchbook.hosts.process.pythons import HERE, Python
from benchbook.hosts.vllm.forms import installed_forms, words_of
from benchbook.hosts.vllm.spelling import spelt_out
from benchbook.refused_args import refused, spread_over
from benchbook.terms.errors import ExperimentError
from benchbook.terms.redaction import find_secrets, redacted_env
from benchbook.terms.secret_names import holds_secret, is_secret_name

# -P: as with the `vllm` script, the current folder is not searched for modules.
VLLM_PROGRAM = (sys.executable, "-P", "-m", "vllm.entrypoints.cli.main")
# What configures an engine without standing in any experiment file: exported in the shell, it changes numbers all the same.
_CONFIGURES = re.compile(
    r"(VLLM|CUDA|HIP|ROCR|NCCL|RCCL|TORCH|TORCHDYNAMO|TORCHINDUCTOR|PYTORCH|OMP|KMP|GOMP|MKL|ONEDNN|OPENBLAS|TRITON|"
    r"HSA|FLASHINFER|AITER)_|(LD_PRELOAD|PYTHONPATH)$"
)
_SOCKETS = "VLLM_RPC_BASE_PATH"
_EXECUTORS = ("distributed_executor_backend", "data_parallel_backend")
MONITOR_FLAG = "--jit-monitor-verbose"
SECRET_FLAGS = {"api_key": "VLLM_API_KEY", "hf_token": "HF_TOKEN"}  # and the variable of each


def serve_command(
    model_path: str,
    args: Mapping[str, object],
    port: int,
    host: str,
    served_names: Sequence[str],
    program: Sequence[str] = VLLM_PROGRAM,
    python: Python = HERE,
) -> list[str]:
    """Return the argv of a `vllm serve` with engine flags `args`, spelled as vLLM's own with _ or -."""
    address = ["--host", host, "--port", str(port)]
    return [*program, "serve", model_path, *address, "--served-model-name", *served_names, *flags(args, python)]


def vllm_program(python: Python) -> Sequence[str]:
    """Return the words by which `python` runs its vLLM."""
    return VLLM_PROGRAM if python.is_here else (python.path, *VLLM_PROGRAM[1:])


def flags(args: Mapping[str, object], python: Python = HERE) -> list[str]:
    """Return `args` as the words of a command line, each in the form that the flag of the vLLM of `python` wants."""
    words: list[str] = []
    known_forms = installed_forms(python)
    spelt = spelt_out(args, known_forms).args
    for name, value in spelt.items():
        _check(name, value)
    for name, why in refused(spelt):
        raise ExperimentError(f"argument {name!r} {why}")
    if why := spread_over(spelt):
        raise ExperimentError(f"what these args start {why}")
    for name, value in spelt.items():
        words += words_of(name, value, known_forms)
    return words


def monitor_words(args: Mapping[str, object], python: Python = HERE) -> list[str]:
    """Return the words by which vLLM's JIT monitor logs each kernel that is compiled meanwhile, not the first only.

    None for a vLLM without such a flag, for a build for CPUs, which has no such monitor, and where `args` speak of it.
    """
    has_none = is_cpu_build(python) or MONITOR_FLAG not in installed_forms(python)
    is_asked = any(f"--{name.replace('_', '-').lower()}" == MONITOR_FLAG for name in args)
    return [] if has_none or is_asked else [MONITOR_FLAG]


def _check(name: str, value: object) -> None:
    canonical = name.replace("-", "_").lower()
    if holds_secret(canonical, value) or find_secrets(str(value)):
        instead = f"set {SECRET_FLAGS.get(canonical, 'it')} in the environment"
        raise ExperimentError(f"argument {name!r}: a secret must not stand on a command line; {instead}")
    if value is None:
        raise ExperimentError(f"argument {name!r} is null: leave it out to have vLLM's default")


def private_environment(needs_download: bool, args: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return what every vLLM process of ours gets: nothing phones home, and nothing dangerous is on by inheritance.

    Its sockets lie in a folder of its own, since a killed one leaves them, and a long TMPDIR has no room for their names.
    """
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    plain = {"NO_COLOR": "1"}  # a notebook's kernel asks for colours, and a log full of their codes tells no times
    readable = {"SPT_NOENV": "1"}  # else vLLM's renaming of its processes writes over our marker in /proc
    safe = {"VLLM_SERVER_DEV_MODE": "0", "VLLM_ALLOW_INSECURE_SERIALIZATION": "0"}  # unless the experiment asks
    offline = {} if needs_download else {"HF_HUB_OFFLINE": "1"}
    return {**quiet, **plain, **readable, **safe, **offline, **_own_sockets(args or {})}


def _own_sockets(args: Mapping[str, object]) -> dict[str, str]:
    """Return where vLLM's sockets are to lie; {} where the shell says it, or Ray would say it on other machines too."""
    is_by_ray = any(name.replace("-", "_") in _EXECUTORS and value == "ray" for name, value in args.items())
    return {} if is_by_ray or _SOCKETS in os.environ else {_SOCKETS: OWN_FOLDER}


def inherited_environment(python: Python = HERE) -> dict[str, str]:
    """Return what every vLLM process inherits from this one's shell and is configured by, secrets left out or redacted."""
    folders = search_path.foreign() if python.is_here else ""  # another Python gets none of the shell's
    inherited = shell.child_environment(python=python) | {search_path.VARIABLE: folders}
    found = {name: value for name, value in inherited.items() if _CONFIGURES.match(name) and not is_secret_name(name)}
    return redacted_env({name: found[name] for name in sorted(found) if name != search_path.VARIABLE or found[name]})
