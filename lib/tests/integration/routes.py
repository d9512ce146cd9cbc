"""Every path that the installed vLLM can answer, whatever its model does, as JSON: [[path, is_websocket], ...].

    python routes.py

The application is built as `vllm serve` builds it, once for each task, with developer mode; no engine is started. What
it has only for certain models or flags is read off the sources.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

_ALLOWED = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
_DECORATED = re.compile(r"@\w+\.(get|post|put|patch|delete|head|options|api_route|websocket)\(\s*\"(/[^\"]*)\"")


def of_application(router: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each route of an application, and of what is mounted or included in it."""
    for route in router.routes:
        path = getattr(route, "path", None)
        if path is not None:
            yield prefix + path, "WebSocket" in type(route).__name__
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(inner, "routes"):
            yield from of_application(inner, prefix + (path or ""))


def of_sources() -> Iterator[tuple[str, bool]]:
    """Yield each route that a decorator in vLLM's sources names, without importing it."""
    for path in Path(find_spec("vllm").origin).with_name("entrypoints").rglob("*.py"):
        for method, route in _DECORATED.findall(path.read_text(encoding="utf-8")):
            yield route, method == "websocket"


def main() -> None:
    """Print the routes."""
    gc.disable()  # which would take a quarter of the time that vLLM's imports do
    os.environ |= _ALLOWED
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.tasks import SupportedTask
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args = make_arg_parser(FlexibleArgumentParser()).parse_args(["model"])
    found = {route for task in get_args(SupportedTask) for route in of_application(build_app(args, (task,)))}
    json.dump(sorted({*found, *of_sources()}), sys.stdout)


if __name__ == "__main__":
    main()
