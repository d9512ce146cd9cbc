"""vLLM's own `vllm bench`, run inside a process that has it imported.

The command line's own `main()` is called, so parsers, defaults, checks and output are vLLM's. What is ours for the while
stands beside this: what is sent, in bench_requests.py; the engine of offline benchmarks, in bench_engine.py.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock


def run_vllm_bench(argv: Sequence[str]) -> int:
    """Run `vllm bench *argv` in this process and return its exit code."""
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", "bench", *argv]
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:  # as the interpreter does at the end of a program: show it, exit code 1
        traceback.print_exc()
        return 1
    return 0


def run_when_told(name: str, told: Callable[[], Sequence[str]]) -> int:
    """Run `vllm bench NAME` to where its words are read, ask `told` for them, and go on; return its exit code.

    `told` returns what follows `vllm bench`. It is not asked by a vLLM that reads its words elsewhere.
    """
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parse_args = FlexibleArgumentParser.parse_args

    def when_told(parser: Any, *args: Any, **options: Any) -> Any:
        reading.stop()
        sys.argv = ["vllm", "bench", *told()]
        return parse_args(parser, *args, **options)

    reading = mock.patch.object(FlexibleArgumentParser, "parse_args", when_told)
    reading.start()
    return run_vllm_bench([name])


def rehearse() -> None:
    """Have vLLM's command line import and build all that `vllm bench` needs. Raises what has moved in this vLLM."""
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", "bench"]  # no benchmark is named, so the parser complains once all of it is there
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.suppress(SystemExit):
        main()
    with contextlib.suppress(ImportError):  # of a vLLM that sets up its loggers once, at its import
        from vllm.logger import configure_logging_from_args

        # A command line that says nothing of logging finds it as it wants it, and needs not go through all loggers.
        configure_logging_from_args(argparse.Namespace())
