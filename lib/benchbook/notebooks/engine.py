"""A Papermill engine that saves less often; a module of its own, since it cannot do without Papermill."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines

NAME = "benchbook"


class SparingEngine(NBClientEngine):
    """Saves before each cell of code and at the end; Papermill saves before and after every cell, prose included.

    Neither does it note when it saved: Papermill's saving every so often while a cell is executed is to be turned off.
    """

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        between_cells: Callable[[], object],
        **options: Any,
    ) -> Any:
        """Execute as Papermill does, and call `between_cells` before each cell of code."""
        nb_man.save = partial(_save, nb_man, between_cells)
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


def _save(manager: NotebookExecutionManager, between_cells: Callable[[], object]) -> None:
    is_running = any(
        cell.cell_type == "code" and cell.metadata.papermill["status"] == manager.RUNNING for cell in manager.nb.cells
    )
    if is_running:
        between_cells()
    if manager.output_path and (is_running or manager.end_time):
        # Not indented, which takes six times as long: whoever executes a notebook writes it once more at the end.
        Path(manager.output_path).write_text(json.dumps(manager.nb), encoding="utf-8")


papermill_engines.register(NAME, SparingEngine)
