"""Launches of several environments in one file: each is checked against its own vLLM, and told with its version."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from benchbook.hosts.process.pythons import HERE
from benchbook.plan.experiment import load_experiment
from benchbook.plan.launches import Launch
from benchbook.plan.models import ModelRef
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preflight import Preflight, preflight_of
from benchbook.sweep.preview import preview
from benchbook.terms.errors import ExperimentError
from other_python import make_environment
from rich.console import Console

FILE = """question: Is the next one faster?
model: {{path: tiny}}
launches:
  now: {now}
  next: {next}
benchmarks:
  - serve: {{max_concurrency: [1], lengths: [[8, 4]], num_prompts: 4}}
repeats: 3
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("environments") / "next"
    return make_environment(folder, "0.99.1+cpu", ("--max-model-len", "--of-tomorrow"), ("VLLM_OF_TOMORROW",))


def written(folder: Path, now: str, following: str) -> Path:
    path = folder / "versions.yaml"
    path.write_text(FILE.format(now=now, next=following))
    return path


def checked(folder: Path, now: str, following: str) -> Preflight:
    return preflight_of(written(folder, now, following))


def test_each_launch_is_checked_against_its_own_vllm_and_all_that_is_wrong_is_told_at_once(tmp_path, other) -> None:
    both = "args: {of_tomorrow: 3}, env: {VLLM_OF_TOMORROW: 1}"
    with pytest.raises(ExperimentError) as refusal:
        checked(tmp_path, f"{{{both}}}", f"{{python: {other}, {both}, plugin_env: {{}}}}")
    assert f"launches.now.args.of_tomorrow: 3: vLLM {HERE.version_of('vllm')} has no such flag" in str(refusal.value)
    assert "launches.next" not in str(refusal.value)
    with pytest.raises(ExperimentError) as refusal:
        checked(tmp_path, "{args: {enforce_eagr: true}}", f"{{python: {other}, args: {{enforce_eager: true}}}}")
    assert "launches.now.args.enforce_eagr" in str(refusal.value)
    assert "launches.next.args.enforce_eager: true: vLLM 0.99.1+cpu has no such flag" in str(refusal.value)
    assert checked(tmp_path, "{}", f"{{python: {other}, {both}}}").version_of(Launch("now", ModelRef("tiny"), {}, {}))


def test_where_a_python_is_none_its_line_says_so_beside_all_other_faults(tmp_path, other) -> None:
    folder = Path(other).parents[1]
    rows = {
        "/no/such/python": "no such file",
        "nowhere/bin/python": f"no such file; looked for {tmp_path}/nowhere/bin/python and ",
        ".venv-0.31.0/bin/python": "environment/cpu/setup.sh --version 0.31.0 makes that of a CPU",
        "$HOME/venv/bin/python": "no shell reads this file",
        str(folder): f"is a folder: write {folder}/bin/python",
        str(tmp_path): "is a folder: write the path of its interpreter",
        str(folder / "pyvenv.cfg"): "is no program: nobody may execute it",
        "/bin/true": "is no Python: it says 'true ",
        "''": "is empty: leave the key out to have benchbook's own",
        "3": "must be text",
    }
    for said, told in rows.items():
        with pytest.raises(ExperimentError) as refusal:
            checked(tmp_path, "{args: {max_model_len: soon}}", f"{{python: {said}}}")
        line = next(line for line in str(refusal.value).splitlines() if ":5: launches.next.python" in line)
        assert told in line, line
        if said != "3":
            assert "launches.now.args.max_model_len" in str(refusal.value)


def test_a_relative_python_is_looked_for_beside_the_file_and_its_links_are_left_as_they_are(tmp_path, other) -> None:
    (tmp_path / "env").symlink_to(Path(other).parents[1])
    launch = load_experiment(written(tmp_path, "{}", "{python: env/bin/python}")).launch("next")
    assert launch.python == str(tmp_path / "env" / "bin" / "python")
    assert launch.named_engine == {"python": launch.python} and "python" not in launch.settings


def test_a_base_and_a_matrix_name_pythons_as_a_launch_does(tmp_path, other) -> None:
    path = written(tmp_path, f"{{matrix: {{python: [null, {other}]}}}}", "{}")
    experiment = load_experiment(path)
    assert [launch.python for launch in experiment.launches] == ["", other, ""]
    path.write_text(
        f"base: {{python: {other}}}\n" + path.read_text().replace(f"matrix: {{python: [null, {other}]}}", "")
    )
    assert [launch.python for launch in load_experiment(path).launches] == [other, other]


def test_the_plan_tells_the_python_its_vllm_and_which_packages_differ(tmp_path, other) -> None:
    path, text = written(tmp_path, "{}", f"{{python: {other}}}"), io.StringIO()
    preview(path, tmp_path / "results", Console(file=text, width=500))
    assert f"launch 'next' runs from {other} (Python " in text.getvalue()
    assert "vLLM 0.99.1+cpu, against which it was checked" in text.getvalue()
    assert f"next differs from now in vllm 0.99.1+cpu (now: {HERE.version_of('vllm')})." in text.getvalue()
    commands = io.StringIO()
    preview(path, tmp_path / "results", Console(file=commands, width=500), with_commands=True)
    assert f"$ {other} -P -m vllm.entrypoints.cli.main serve" in commands.getvalue()


def test_versions_there_are_part_of_the_fingerprint_and_a_part_of_their_own(tmp_path, other) -> None:
    plan = RunPlan.of(checked(tmp_path, "{}", f"{{python: {other}}}").experiment)
    now, following = (planned.parts for planned in plan.cases.values())
    assert set(following) - set(now) == {"server_packages"} and now["launch"] != following["launch"]
    assert now["packages"] == following["packages"]
