"""The comparison notebook, executed into a run's folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from benchbook.notebooks.execute import COMPARE_NOTEBOOK, execute, load_ahead, papermill
from benchbook.notebooks.kernels.source import kernel_ahead
from benchbook.project import notebooks_dir
from benchbook.system_faults import is_system_fault, line_of
from benchbook.terms.errors import BenchbookError, StoreError

_MODULES = ("benchbook.report.run", "benchbook.report.cells")  # what the notebook imports from


def comparison_kernel() -> AbstractContextManager[None]:
    """Inside, `execute_comparison` finds a kernel that has been importing since: for who has something else to do first."""
    return kernel_ahead(_MODULES)


def execute_comparison(run_dir: Path) -> Path:
    """Execute 06_compare on the run in `run_dir` and return the executed notebook; raise StoreError when it cannot.

    Its cells are saved together at the end: it measures nothing, and saving it after each takes a tenth of its time.
    """
    with comparison_kernel():
        return _execute(run_dir)


def _execute(run_dir: Path) -> Path:
    output, failed = run_dir / "compare.ipynb", papermill().exceptions.PapermillExecutionError
    load_ahead()  # what rendering takes
    try:
        execute(notebooks_dir() / COMPARE_NOTEBOOK, output, {"run_dir": "."}, save_each_cell=False)
    except failed as error:
        raise StoreError(
            f"the comparison of {run_dir} failed in a cell: {error.ename}: {_one_line(error.evalue)}; see {output}"
        ) from error
    except BenchbookError:
        raise
    except Exception as error:  # of the disk, of a kernel that never was or was killed, of Papermill
        raise StoreError(f"the comparison of {run_dir} failed: {_told(error)}") from error
    return output


def _told(error: Exception) -> str:
    if is_system_fault(error):
        return line_of(error)
    said = _one_line(error)
    hint = "; did the machine run out of memory?" if isinstance(error, RuntimeError) and "died" in said else ""
    return f"{type(error).__name__}: {said}{hint}"


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:500]
