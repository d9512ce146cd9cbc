"""The committed notebooks: clean, parameterized, and made of prose and single calls."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import benchbook
import pytest
from benchbook.notebooks.execute import (
    COMPARE_NOTEBOOK,
    check_parameters,
    modules_of,
    papermill,
    parameters_of,
    source_sha256,
)
from benchbook.plan.experiment import load_experiment
from benchbook.plan.named_launches import NAMED_LAUNCHES
from benchbook.project import notebooks_dir
from benchbook.terms.benchmarks import BENCHMARKS, SERVE
from benchbook.terms.errors import ExperimentError

PATHS = sorted(notebooks_dir().glob("*.ipynb"))


def cells_of(path, kind):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def test_what_a_notebook_imports_is_known_without_executing_it(tmp_path):
    sources = [
        "import a.b, c as d\nfrom e.f import g",
        "%magic\nimport never",
        "def later():\n    import late",
        "x = 1",
    ]
    cells = [{"cell_type": "code", "source": source.splitlines(keepends=True)} for source in sources]
    (tmp_path / "n.ipynb").write_text(
        json.dumps({"cells": [*cells, {"cell_type": "markdown", "source": ["import m"]}]})
    )
    assert modules_of(tmp_path / "n.ipynb") == {"a.b", "c", "e.f"}
    assert {path.name[:2] for path in PATHS if "openai" in modules_of(path)} == {"02"}


def test_there_are_six_of_them_and_one_to_start_with():
    assert [path.name[:2] for path in PATHS] == ["00", "01", "02", "03", "04", "05", "06"]
    of_benchmarks = {benchmark.notebook for benchmark in BENCHMARKS.values()}
    assert {COMPARE_NOTEBOOK, *of_benchmarks} <= {path.name for path in PATHS} and len(of_benchmarks) == 4


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_no_output_is_committed(path):
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells_of(path, "code"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_parameter_has_a_literal_default_on_one_line_with_its_meaning(path):
    (tagged,) = [cell for cell in cells_of(path, "code") if "parameters" in cell["metadata"].get("tags", [])]
    lines = "".join(tagged["source"]).splitlines()
    assert len(parameters_of(path)) == len(lines)
    for line in lines:
        assert line.partition("=")[0].count(":") == 1, f"what is not annotated is no parameter in the kernel: {line}"
        assert "=" not in line.partition("#")[2], f"Papermill does not see a parameter with '=' in its comment: {line}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_parameter_and_its_meaning_fit_into_a_cell_and_papermill_knows_its_type(path):
    (tagged,) = [cell for cell in cells_of(path, "code") if "parameters" in cell["metadata"].get("tags", [])]
    assert max(map(len, "".join(tagged["source"]).splitlines())) <= 110
    inspected = papermill().inspect_notebook(str(path))
    assert set(inspected) == set(parameters_of(path))
    assert all(parameter["inferred_type_name"] not in ("None", "") for parameter in inspected.values())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_of_a_notebook_that_is_opened_and_saved_jupyter_adds_the_language_of_its_kernel_only(path):
    text = path.read_text()
    notebook = json.loads(text)
    # What JupyterLab would fill in or put straight.
    assert notebook["metadata"]["kernelspec"] == {
        "display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3",
    }  # fmt: skip
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert all(cell["id"] for cell in notebook["cells"])
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def test_the_notebooks_launch_is_the_quickstarts():
    quickstart = load_experiment(notebooks_dir().parent / "experiments" / "quickstart.yaml").launches[0]
    named = NAMED_LAUNCHES["tiny-cpu"]
    assert (quickstart.model, quickstart.args, quickstart.env) == (named.model, named.args, named.env)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_code_is_calls_of_the_public_names_only(path):
    for cell in cells_of(path, "code"):
        source = "".join(cell["source"])
        assert len(source.splitlines()) <= 12 or "parameters" in cell["metadata"].get("tags", [])
        assert not any(line.startswith(("!", "%")) for line in source.splitlines())
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("benchbook"):
                assert node.module == "benchbook" and {alias.name for alias in node.names} <= set(benchbook.__all__)


def test_an_unknown_parameter_is_an_error_that_names_the_nearest():
    with pytest.raises(ExperimentError, match="max_concurency.*did you mean 'max_concurrency'"):
        check_parameters(notebooks_dir() / SERVE.notebook, {"max_concurency": 64})


def test_prose_may_change_without_making_records_stale(tmp_path):
    notebook = json.loads(PATHS[2].read_text())
    copy = tmp_path / "copy.ipynb"
    notebook["cells"][0]["source"] = "other prose"
    copy.write_text(json.dumps(notebook))
    assert source_sha256(copy) == source_sha256(PATHS[2])
    notebook["cells"][-1]["source"] = "other_code()"
    copy.write_text(json.dumps(notebook))
    assert source_sha256(copy) != source_sha256(PATHS[2])


def test_a_public_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="bench_sevre"):
        _ = benchbook.bench_sevre


def test_every_public_name_can_be_had():
    assert all(getattr(benchbook, name) is not None for name in benchbook.__all__)


def test_notebooks_lie_beside_the_package():
    assert notebooks_dir() == Path(__file__).parents[3] / "notebooks"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_kernel_without_benchbook_is_told_which_python_it_runs_and_what_mends_it(path):
    source = next(text for cell in cells_of(path, "code") if "import" in (text := "".join(cell["source"])))
    # Without site-packages, as the kernel of somebody else's environment.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, timeout=60)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"this kernel's Python has no benchbook; to mend it: {sys.executable} -m pip install -e lib")
