"""How a process of ours becomes a Jupyter kernel after it has imported what the notebook will; and one that does, once.

    python -m benchbook.notebooks.kernels.ahead_main MODULE ...

It imports the modules, and then reads from standard input, on one line, which kernel it is:

    {"argv": ["python", "-m", "ipykernel_launcher", "-f", "..."], "env": {...}, "cwd": "/..."}

It ends with its parent, whether it is a kernel yet or not.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchbook import collector
from benchbook.hosts.process import processes

_INLINE_BACKEND = "module://matplotlib_inline.backend_inline"  # what a kernel sets before anybody imports matplotlib
_OF_JUPYTER = ("JPY_PARENT_PID", "JPY_INTERRUPT_EVENT")  # of the runner's own kernel, where it is run in a notebook


def import_ahead(modules: Iterable[str]) -> None:
    """Import what every kernel needs, and `modules`; but no debugger, which a kernel loads otherwise, used or not."""
    os.environ["MPLBACKEND"] = _INLINE_BACKEND
    sys.modules["debugpy"] = None  # ipykernel takes this for an optional package that is not installed
    try:
        for module in ("ipykernel.kernelapp", "ipykernel.debugger"):
            importlib.import_module(module)
    finally:
        del sys.modules["debugpy"]
    for module in modules:
        importlib.import_module(module)


def take_on(order: Mapping[str, Any]) -> None:
    """Take on the environment, folder and, where there are any, arguments of a new process, and random generators of its own."""
    import random

    import numpy

    for name in set(os.environ) - set(order["env"]):
        del os.environ[name]
    os.environ.update(order["env"])
    for name in _OF_JUPYTER:
        os.environ.pop(name, None)
    os.chdir(order["cwd"])
    if argv := order["argv"]:
        sys.argv = ["ipykernel_launcher", *argv[argv.index("-m") + 2 :]]
    random.seed()
    numpy.random.seed()


def run_kernel(before_messages: Callable[[], object] = lambda: None) -> int:
    """Be the kernel that `take_on` was told of; return the exit code when it has ended.

    It listens when `before_messages` is called, and takes none before that has returned.
    """
    from ipykernel.kernelapp import IPKernelApp

    try:
        kernel = IPKernelApp.instance()
        kernel.initialize()
        before_messages()
        kernel.start()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main() -> int:
    """Import, wait to be told, be a kernel; return the exit code."""
    # Not Jupyter's own watch for a parent: it begins seconds later, and finds no orphan that a subreaper has adopted.
    processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
    with collector.importing(), contextlib.suppress(ImportError):  # the notebook's own import will tell
        import_ahead(sys.argv[1:])
    line = sys.stdin.readline()
    if not line:
        return 0  # nobody wants it any more
    take_on(json.loads(line))
    return run_kernel()


if __name__ == "__main__":
    sys.exit(main())
