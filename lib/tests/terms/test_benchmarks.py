"""Benchmarks as rows of facts: every row names what there is, every registry has every row, and names stand here alone."""

import ast
import dataclasses
import importlib
import inspect
import json
from pathlib import Path
from typing import get_args

import benchbook
import pytest
from benchbook.judge.accounting import ROWS
from benchbook.judge.binding import BOUNDED
from benchbook.measure.argv import COMMANDS, Target
from benchbook.measure.calls import CALLS
from benchbook.plan.experiment import load_experiment
from benchbook.plan.workloads import WORKLOADS
from benchbook.project import notebooks_dir
from benchbook.report.roofline import HEADINGS
from benchbook.report.shown import FIGURES, READINGS, REPORT_FIGURES
from benchbook.terms import benchmarks
from benchbook.terms.benchmarks import BENCHMARKS, HOST_KINDS, Benchmark, Bound, Role, leading, with_role
from benchbook.terms.metrics import BY_KEY

PACKAGE = Path(__file__).parents[2] / "benchbook"
# Names of benchmarks written out elsewhere in the package: each is a place that a new benchmark may have to be added to.
# This number only goes down. In the wings of hosts/ and the readers of numbers/ such words are those of other programs.
WRITTEN_OUT = 4  # three of which name an experiment that `init` writes
OF_OTHERS = ("hosts/", "numbers/")
_LENGTHS = {"input_len_tokens": 8, "output_len_tokens": 4}
EXAMPLES = {
    "serve": {**_LENGTHS, "max_concurrency": 1, "num_prompts": 2},
    "latency": {**_LENGTHS, "batch_size": 1},
    "throughput": {**_LENGTHS, "num_prompts": 2},
    "first_request": {},
}
EACH = pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=lambda benchmark: benchmark.name)


REGISTRIES = {
    "workload": WORKLOADS,
    "command": COMMANDS,
    "call": CALLS,
    "accounting": ROWS,
    "figure": FIGURES,
    "reading": READINGS,
    "figure of a report": REPORT_FIGURES,
}


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_a_registry_of_behaviour_has_every_benchmark(registry):
    assert set(registry) == set(BENCHMARKS)


def test_what_may_be_bounded_has_its_headings_and_its_numbers():
    assert set(HEADINGS) == set(BOUNDED) == set(get_args(Bound))


@EACH
def test_a_notebook_makes_the_measuring_call_of_its_benchmark(benchmark):
    module, _, name = CALLS[benchmark.name].partition(":")
    call = getattr(importlib.import_module(module), name)
    assert getattr(benchbook, name) is call
    assert {"record_path", "repeat"} <= set(inspect.signature(call).parameters)
    assert ("seed" in inspect.signature(call).parameters) == benchmark.is_load
    cells = json.loads((notebooks_dir() / benchmark.notebook).read_text())["cells"]
    assert any(f"{name}(" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@EACH
def test_a_command_names_what_it_measures_and_where_the_result_goes(benchmark):
    target = Target(model="/models/m", raw_path=Path("/raw.json"), base_url="http://h:1", served_name="n")
    workload = WORKLOADS[benchmark.name](**EXAMPLES[benchmark.name])
    words = COMMANDS[benchmark.name](workload, target)
    assert all(isinstance(word, str) for word in words)
    assert any("http://h:1" in word if benchmark.host_kind == "server" else word == "/models/m" for word in words)


@EACH
def test_every_metric_of_a_row_is_one_that_the_benchmark_has(benchmark):
    shown = {*benchmark.others, *benchmark.spread_by, *benchmark.columns, *filter(None, [benchmark.headline])}
    assert set(benchmark.metrics) <= set(BY_KEY) and shown <= set(benchmark.metrics)
    assert benchmark.columns and benchmark.host_kind in HOST_KINDS


def test_every_metric_is_one_of_some_benchmark():
    assert all(metric.benchmarks for metric in BY_KEY.values())


@EACH
def test_every_other_fact_of_a_row_is_one_that_something_knows(benchmark):
    assert benchmark.role in {*get_args(Role), None} and set(benchmark.bounds) <= set(get_args(Bound))
    assert benchmark.load or benchmark.role not in ("floor", "ceiling") and not benchmark.bounds, "found by its load"
    assert not benchmark.load or benchmark.load_heading and "8" in benchmark.load_text.format(8)
    assert benchmark.times in {"requests", "iterations", None} and min(benchmark.fixed_s) > 0


def test_a_row_that_forgets_a_fact_is_none():
    rows = [dataclasses.asdict(row) for row in BENCHMARKS.values()]
    needed = [field.name for field in dataclasses.fields(Benchmark) if field.default is dataclasses.MISSING]
    assert len(needed) >= 15
    for name in needed:
        with pytest.raises(TypeError, match=name):
            Benchmark(**{key: value for key, value in rows[0].items() if key != name})


@EACH
def test_every_key_of_a_row_is_one_of_the_workload(benchmark):
    fields = set(WORKLOADS[benchmark.name].model_fields)
    assert {*benchmark.needed, *benchmark.same_if} <= fields and benchmark.load in fields | {None}
    assert benchmark.samples in {*fields, *BY_KEY, None}


@EACH
def test_every_workload_has_an_example_that_can_be_planned(benchmark, tmp_path):
    file = tmp_path / "example.yaml"
    file.write_text(
        f"question: Why?\nmodel: tiny\nlaunches: {{a: {{}}}}\nbenchmarks: [{WORKLOADS[benchmark.name].example}]\n"
    )
    workloads = [case.workload for case in load_experiment(file).cases]
    assert workloads and {workload.benchmark for workload in workloads} == {benchmark.name}
    for workload in workloads:
        assert workload.max_request_tokens > 0 and workload.work_s(False, lambda *sizes: 1.0) > 0
        assert workload.load_text and isinstance(workload.why(""), str) and workload.sending_s == 0


def test_an_answer_may_rest_on_any_of_them():
    assert sorted(leading()) == sorted(BENCHMARKS) and len({row.rank for row in BENCHMARKS.values()}) == len(BENCHMARKS)
    assert all(with_role(role) for role in get_args(Role))


def test_names_of_benchmarks_are_written_out_no_more_often_than_they_were():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(("terms/benchmarks.py", *OF_OTHERS))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in BENCHMARKS
    ]
    assert len(found) <= WRITTEN_OUT, found


def test_only_a_registry_knows_a_row_by_its_name():
    known = {"plan/workloads.py", "measure/argv.py", "measure/calls.py", "judge/accounting.py", "report/shown.py"}
    known |= {"plan/serve_workload.py", "plan/offline_workloads.py"}  # whose classes are in the registry
    known |= {"measure/client/child.py", "measure/client/main.py"}  # vLLM's client, which is of one benchmark
    rows = {name for name, value in vars(benchmarks).items() if isinstance(value, Benchmark)}
    asking = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if not path.relative_to(PACKAGE).as_posix().startswith(OF_OTHERS)  # a reader knows what its files are of
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == benchmarks.__name__
        and rows & {alias.name for alias in node.names}
    }
    assert len(rows) == len(BENCHMARKS) and asking == known
