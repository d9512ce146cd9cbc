"""Notebooks as programs: which there are, their parameters checked by name, executed by Papermill, hashed by source."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from benchbook import collector
from benchbook.notebooks.kernels import source
from benchbook.parameters import unknown
from benchbook.records.files import read_json, write_text
from benchbook.terms.errors import ExperimentError, StoreError

COMPARE_NOTEBOOK = "06_compare.ipynb"
KERNEL_LIMIT_S = 300  # until a kernel answers: 3 s of imports, minutes on a machine where all else goes first

_loading: threading.Thread | None = None  # what is loaded ahead


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Return {name: default} of the cell tagged `parameters`, read from its syntax; nothing is executed.

    Papermill's own inspection misses some annotated lines, so the assignments are parsed instead.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if not tagged:
        return {}
    defaults = {}
    for statement in ast.parse("".join(tagged[0]["source"])).body:
        if isinstance(statement, ast.AnnAssign | ast.Assign) and statement.value is not None:
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            defaults[ast.unparse(target)] = ast.literal_eval(statement.value)
    return defaults


def modules_of(notebook: Path) -> set[str]:
    """Return what the cells of `notebook` import at their top; a cell that is more than Python tells nothing."""
    found: set[str] = set()
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        with contextlib.suppress(SyntaxError):
            for statement in ast.parse("".join(cell["source"])).body:
                if isinstance(statement, ast.Import):
                    found |= {alias.name for alias in statement.names}
                elif isinstance(statement, ast.ImportFrom) and statement.module:
                    found.add(statement.module)
    return found


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Raise ExperimentError when `notebook` lacks one of `parameters`; Papermill would only warn and run the defaults."""
    known = parameters_of(notebook)
    for name in parameters:
        if name not in known:
            raise ExperimentError(f"{notebook.name}: {unknown(name, known)}")


def source_sha256(notebook: Path) -> str:
    """Return a hash of the code cells of `notebook`: prose may change without making records stale."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    env: Mapping[str, str] | None = None,
    limit_s: float | None = None,
    save_each_cell: bool = True,
    between_cells: Callable[[], object] = lambda: None,
) -> None:
    """Execute `notebook` into `output`, in that folder and a fresh kernel, with `parameters` and `env` added to its environment.

    `output` is written before each cell of code, so that it tells how far a killed one got, or else once at the end;
    before each, `between_cells` is called.
    Inside of `warm_kernels` the kernel is a fork of a process that has imported what notebooks need, inside of
    `kernel_ahead` one that was started before.
    Raises what Papermill raises; a notebook with a cell that failed is saved all the same. A killed kernel may raise
    nothing: only a record on disk says that something was measured.
    """
    # What goes wrong is raised and recorded; an interrupt's remains need not be told in tracebacks as well.
    for name in ("papermill", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    output = output.resolve()
    check_parameters(notebook, parameters)
    with _environment(env or {}), _nameless_folders(output):
        papermill().execute_notebook(
            _unformatted(notebook),
            _unformatted(output),
            engine_name=_engine_name(),
            parameters=dict(parameters),
            progress_bar=False,
            log_output=False,
            kernel_name="python3",
            cwd=str(output.parent),
            start_timeout=KERNEL_LIMIT_S,  # one that dies is noticed at once
            execution_timeout=limit_s,
            request_save_on_cell_execute=save_each_cell,
            autosave_cell_every=0,  # not beside what a cell measures
            extra_arguments=list(source.ARGUMENTS),
            # Asked politely, one kernel in ten takes 2.5 s to end; what it holds, guardians end and records keep.
            shutdown_kernel="immediate",
            between_cells=between_cells,
            **_kernel_options(),
        )


def load_ahead(then: Callable[[], object] = lambda: None) -> None:
    """Import, in a thread, what executing and rendering notebooks takes, and call `then`: a sweep first waits anyway."""

    def load() -> None:
        with collector.at_rest(), contextlib.suppress(Exception):  # who comes to need it is told
            papermill()
            importlib.import_module("nbconvert.exporters.html")
            then()

    global _loading
    _loading = threading.Thread(target=load, name="load ahead", daemon=True)
    _loading.start()


def wait_loaded() -> None:
    """Return once all is there that was to be loaded ahead: none of that goes on beside what is measured."""
    if _loading:
        _loading.join()


def _engine_name() -> str:
    """Return the name of the engine that saves notebooks while they are executed, after its module has registered it."""
    from benchbook.notebooks import engine

    return engine.NAME


def _kernel_options() -> dict[str, Any]:
    """Return how Papermill gets its kernels."""
    from traitlets.config import Config

    from benchbook.notebooks.kernels.manager import OwnKernelManager

    # Unix sockets instead of TCP ports: nobody else on the machine can talk to the kernel.
    config = Config(KernelManager={"transport": "ipc", "connection_file": str(source.connection_file())})
    return {"config": config, "kernel_manager_class": OwnKernelManager}


def _unformatted(path: Path) -> str:
    """Return `path` as Papermill takes it, who fills what stands in braces from the parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def papermill() -> ModuleType:
    """Import Papermill, but not the grammar that jsonschema would compile to check URIs, which no notebook has: 0.8 s."""
    grammar = "rfc3987_syntax"
    if grammar in sys.modules:
        return importlib.import_module("papermill")
    sys.modules[grammar] = None  # jsonschema takes this for an optional package that is not installed
    try:
        return importlib.import_module("papermill")
    finally:
        sys.modules.pop(grammar, None)  # `load_ahead` may have been here at the same time


@contextlib.contextmanager
def _nameless_folders(output: Path) -> Iterator[None]:
    """Shorten the paths that Papermill notes in `output` to names: who shares a notebook does not share where it lay."""
    try:
        yield
    finally:
        with contextlib.suppress(StoreError):  # of a notebook that is cut or missing, Papermill's own error tells more
            executed = read_json(output)
            noted = executed["metadata"].get("papermill", {})
            noted.update({key: Path(noted[key]).name for key in ("input_path", "output_path") if noted.get(key)})
            write_text(output, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the kernel that starts inside, and put the old ones back; a kernel inherits its parent's."""
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
