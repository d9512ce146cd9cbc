"""A Papermill engine that saves less often; a module of its own, since it cannot do without Papermill."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines

NAME = "benchbook"


class SparingEngine(NBClientEngine):
    """Saves before each cell of code and at the end; Papermill saves before and after every cell, prose included."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> Any:
        """Execute as Papermill does."""
        nb_man.save = partial(_save, nb_man, nb_man.save)
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


def _save(manager: NotebookExecutionManager, save: Callable[..., None], **changed: Any) -> None:
    is_running = any(
        cell.cell_type == "code" and cell.metadata.papermill["status"] == manager.RUNNING for cell in manager.nb.cells
    )
    if is_running or manager.end_time:
        save(**changed)


papermill_engines.register(NAME, SparingEngine)
