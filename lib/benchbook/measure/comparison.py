"""The comparison notebook, executed into a run's folder."""

from __future__ import annotations

from pathlib import Path

from benchbook.errors import StoreError
from benchbook.measure.notebook import NOTEBOOKS, execute, notebooks_dir, papermill


def execute_comparison(run_dir: Path) -> Path:
    """Execute 06_compare on the run in `run_dir` and return the executed notebook; raise StoreError when it cannot."""
    output = run_dir / "compare.ipynb"
    try:
        execute(notebooks_dir() / NOTEBOOKS["compare"], output, {"run_dir": "."})
    except papermill().exceptions.PapermillExecutionError as error:
        raise StoreError(
            f"the comparison of {run_dir} failed in a cell: {error.ename}: {error.evalue}; see {output}"
        ) from error
    return output
