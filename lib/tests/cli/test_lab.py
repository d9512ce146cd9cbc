"""Working copies: the tracked notebooks stay clean, and nobody's changes are lost."""

import json
import subprocess
import sys

import pytest
from benchbook.lab import copy_notebooks
from benchbook.project import notebooks_dir


def notebook(path, source, outputs=()):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 1, "outputs": list(outputs)}
    cell["source"] = source
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text())["metadata"] if path.exists() else {}
    path.write_text(json.dumps({"cells": [cell], "metadata": known, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def original(tmp_path):
    notebook(tmp_path / "notebooks" / "a.ipynb", "x: int = 1")
    return tmp_path / "notebooks" / "a.ipynb"


@pytest.fixture
def copy(original, tmp_path):
    copy_notebooks(original.parent, tmp_path / "lab")
    return tmp_path / "lab" / "a.ipynb"


def source(path):
    return json.loads(path.read_text())["cells"][0]["source"]


def test_all_seven_are_copied_once_and_differ_in_a_mark_only(tmp_path):
    assert len(copy_notebooks(notebooks_dir(), tmp_path)) == 7
    assert copy_notebooks(notebooks_dir(), tmp_path) == []
    for path in notebooks_dir().glob("*.ipynb"):
        made = json.loads((tmp_path / path.name).read_text())
        assert made["metadata"].pop("benchbook")
        assert made == json.loads(path.read_text())


def test_a_copy_that_was_only_run_follows_its_original(original, copy):
    notebook(copy, "x: int = 1", outputs=[{"output_type": "stream", "name": "stdout", "text": "ran"}])
    assert copy_notebooks(original.parent, copy.parent) == [] and "ran" in copy.read_text()
    notebook(original, "x: int = 2")
    assert "is a new copy" in copy_notebooks(original.parent, copy.parent)[0]
    assert source(copy) == "x: int = 2"


def test_a_copy_with_changes_stays_and_it_is_said_that_the_original_is_newer(original, copy):
    notebook(copy, "x: int = 9")
    assert copy_notebooks(original.parent, copy.parent) == []
    notebook(original, "x: int = 2")
    assert "has changes of yours" in copy_notebooks(original.parent, copy.parent)[0]
    assert source(copy) == "x: int = 9" and source(original) == "x: int = 2"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": [], "metadata": {}}'])
def test_what_is_no_copy_of_ours_is_left_alone(original, copy, text):
    copy.write_text(text)
    copy_notebooks(original.parent, copy.parent)
    assert copy.read_text() == text


def test_the_program_says_whose_the_copies_are(original, tmp_path):
    command = [sys.executable, "-m", "benchbook.lab", str(original.parent), str(tmp_path / "lab")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "yours to change" in done.stdout, done.stderr
