"""Benchmarks as rows of facts: every row names what there is, every registry has every row, and names stand here alone."""

import ast
from pathlib import Path

import pytest
from benchbook.judge.accounting import ROWS
from benchbook.plan.axes import EXAMPLES
from benchbook.plan.workloads import WORKLOADS
from benchbook.report.case_figures import FIGURES
from benchbook.report.case_readings import READINGS
from benchbook.report.limits import TABLES
from benchbook.terms.benchmarks import BENCHMARKS, HOST_KINDS, LEADING
from benchbook.terms.metrics import BY_KEY

PACKAGE = Path(__file__).parents[2] / "benchbook"
# Names of benchmarks written out elsewhere in the package: each is a place that a new benchmark may have to be added to.
# This number only goes down.
WRITTEN_OUT = 149
EACH = pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=lambda benchmark: benchmark.name)


@pytest.mark.parametrize(
    "registry", [WORKLOADS, EXAMPLES, ROWS, READINGS], ids=["workload", "example", "rows", "reading"]
)
def test_a_registry_of_behaviour_has_every_benchmark(registry):
    assert set(registry) == set(BENCHMARKS)


@pytest.mark.parametrize("registry", [FIGURES, TABLES], ids=["figure", "limits"])
def test_what_is_drawn_or_bounded_along_a_load_has_every_benchmark_with_one(registry):
    assert set(registry) == {name for name, benchmark in BENCHMARKS.items() if benchmark.load}


@EACH
def test_every_metric_of_a_row_is_one_that_the_benchmark_has(benchmark):
    metrics = [*benchmark.others, *benchmark.spread_by, *benchmark.columns]
    metrics += [benchmark.headline] if benchmark.headline else []
    assert not [key for key in metrics if benchmark.name not in BY_KEY[key].benchmarks]
    assert benchmark.columns[0] in metrics and benchmark.host_kind in HOST_KINDS


@EACH
def test_every_key_of_a_row_is_one_of_the_workload(benchmark):
    fields = set(WORKLOADS[benchmark.name].model_fields)
    assert {*benchmark.needed, *benchmark.same_if} <= fields and benchmark.load in fields | {None}
    assert benchmark.samples in {*fields, *BY_KEY, None}


def test_an_answer_may_rest_on_any_of_them():
    assert sorted(LEADING) == sorted(BENCHMARKS)


def test_names_of_benchmarks_are_written_out_no_more_often_than_they_were():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).as_posix() != "terms/benchmarks.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in BENCHMARKS
    ]
    assert len(found) <= WRITTEN_OUT, found
