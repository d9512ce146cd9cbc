"""What practice breaks: launch lines, environments, machines and servers that people really have, kind by kind.

Each kind has what was met in the field, and at least three inputs of our own. A launch line goes through `benchbook
plan` here (practice_lines.py); what needs more than a plan is shown by a test that is named (practice.py), run here and now.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from benchbook.hosts.model import hub
from benchbook.hosts.model.files import planned_path
from benchbook.hosts.vllm.flags import known
from benchbook.sweep.preview import preview
from benchbook.terms.errors import ExperimentError
from practice import KINDS, SHOWN, Shown
from practice_lines import COMMIT, LINES, OTHER, Line
from rich.console import Console
from rows import IS_FULL
from test_pitfalls import is_slow, not_passed, run_once

FILE = """{question}
model: {model}
launches:
  d: {{args: {args}, env: {env}}}
benchmarks:
  - {benchmark}
repeats: 1
"""


def name_of(row: Line | Shown) -> str:
    """Return '03-allowed_methods'."""
    return f"{row.kind:02}-{row.name}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with adapters, a model, and a hub's cache of another in two commits, main at the first."""
    for name in ("sql", "chat", "trained"):
        (tmp_path / name).mkdir()
    (tmp_path / "trained" / "config.json").write_text("{}")
    repo = tmp_path / "hf" / "hub" / "models--some--model"
    for commit in (COMMIT, OTHER):
        (repo / "snapshots" / commit).mkdir(parents=True)
        for name in ("config.json", "tokenizer_config.json", "model.safetensors"):
            (repo / "snapshots" / commit / name).write_text("{}")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    (tmp_path / "xdg").mkdir()
    (tmp_path / "xdg" / "huggingface").symlink_to(tmp_path / "hf")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub._connection_problem.cache_clear()
    return tmp_path


def planned(line: Line, folder: Path) -> str:
    """Return what `benchbook plan --commands` prints for the line, or what it refuses it with."""
    parts = (line.question, line.model, line.args, line.env, line.benchmark)
    question, model, args, env, benchmark = (part.replace("TMP", str(folder)) for part in parts)
    path = folder / "exp.yaml"
    path.write_text(FILE.format(question=question, model=model, args=args, env=env, benchmark=benchmark))
    console = Console(file=io.StringIO(), width=10_000)
    try:
        preview(path, folder / "results", console, with_commands=True)
    except ExperimentError as refusal:
        assert line.is_refused, refusal
        return str(refusal)
    assert not line.is_refused, console.file.getvalue()
    return console.file.getvalue()


@pytest.mark.skipif(not (known() and known().flags), reason="no vLLM is installed")
@pytest.mark.parametrize("line", LINES, ids=name_of)
def test_a_launch_line_is_planned_as_it_is_meant_or_refused_with_what_to_write(folder, line) -> None:
    told = planned(line, folder).replace(planned_path("tiny"), "TINY").replace(str(folder), "TMP")
    assert [text for text in line.says if text not in told] == [], told
    assert [text for text in line.never if text in told] == [], told


@pytest.fixture(scope="module")
def quick(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    return run_once(
        [row.test for row in SHOWN if not is_slow(row.test)], request.session, tmp_path_factory.mktemp("quick")
    )


@pytest.fixture(scope="module")
def slow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    return run_once([row.test for row in SHOWN if is_slow(row.test)], request.session, tmp_path_factory.mktemp("slow"))


@pytest.mark.parametrize("row", [row for row in SHOWN if not is_slow(row.test)], ids=name_of)
def test_what_needs_more_than_a_plan_is_shown_by_a_test_that_was_run_and_passed(row, quick) -> None:
    assert not_passed([row.test], quick) == {}


@pytest.mark.integration
@pytest.mark.parametrize("row", [row for row in SHOWN if is_slow(row.test)], ids=name_of)
def test_what_needs_a_sweep_or_vllm_is_shown_by_a_test_that_was_run_and_passed(row, slow) -> None:
    if not IS_FULL and slow.get(row.test) == [["skipped"]]:
        pytest.skip("make test-full runs that test")
    assert not_passed([row.test], slow) == {}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind:02}-{KINDS[kind][0]}")
def test_a_kind_has_all_that_was_met_in_the_field_and_three_inputs_of_our_own(kind) -> None:
    rows = [row for row in (*LINES, *SHOWN) if row.kind == kind]
    assert sum(not row.is_own for row in rows) == KINDS[kind][1]
    assert sum(row.is_own for row in rows) >= 3
    assert len({row.name for row in rows}) == len(rows), "no two of one name"
