"""A fifth benchmark is a row and an entry in each registry: here, how long a process takes to count, from YAML to the report.

Kernels register it by a startup file of IPython, this process by a fixture; all that it needs is on this page.
"""

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from benchbook.judge.accounting import ROWS
from benchbook.measure.argv import COMMANDS
from benchbook.measure.calls import CALLS
from benchbook.measure.recording import Recording
from benchbook.notebooks.comparison import execute_comparison
from benchbook.plan.experiment import load_experiment
from benchbook.plan.workload import Count, Workload
from benchbook.plan.workloads import WORKLOADS
from benchbook.records.handover import read_handover
from benchbook.records.header import RunState
from benchbook.records.host import HostFacts
from benchbook.records.record import Verdict
from benchbook.records.store import Store
from benchbook.report.drawing import canvas
from benchbook.report.html import render_report
from benchbook.report.run import load_run
from benchbook.report.shown import FIGURES, READINGS, REPORT_FIGURES
from benchbook.sweep.executors import Local
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.preview import preview
from benchbook.sweep.runner import Runner
from benchbook.terms.benchmarks import BENCHMARKS, Benchmark
from benchbook.terms.metrics import BY_KEY, Metric
from nbformat import v4
from rich.console import Console

EXPERIMENT = """
question: How long does counting take?
model: {model}
launches: {{plain: {{}}}}
benchmarks: [loop: {{steps: [20000, 80000]}}]
repeats: 1
"""
COUNTING = "import sys, time; n = 0; t = time.perf_counter()\nwhile n < int(sys.argv[1]): n += 1\n"
COUNTING += 'print(\'{"loop_s": %r, "counted": %d}\' % (time.perf_counter() - t, n))'
LOOP = Benchmark(
    name="loop", title="Counting in a process", mode="Counting", host_kind="engine", notebook="", fixed_s=(1.0, 1.0),
    metrics=("loop_s",), headline="loop_s", others=(), spread_by=("loop_s",), columns=("loop_s",), rank=4,
    load="steps", load_heading="Steps", load_text="{} steps", queues=True, samples=None, needed=("steps",), same_if=("steps",),
)  # fmt: skip
LOOP_S = Metric("loop_s", "Time of the loop", "s", False, "loop_s", "first step to last, on the process's clock")


class LoopWorkload(Workload):
    benchmark: ClassVar[str] = LOOP.name
    example: ClassVar[str] = "loop: {steps: [1000, 2000]}"
    steps: Count
    max_request_tokens: ClassVar[int] = 1

    def work_s(self, is_warm, batch_s):
        return 1e-7 * self.steps


def loop_command(workload, target):
    return [sys.executable, "-c", COUNTING, str(workload.steps)]


def time_a_loop(host, workload, *, record_path="", repeat="", seed=0):
    with Recording(workload, record_path, read_handover(repeat)) as recording:
        recording.argv = loop_command(workload, None)
        raw = json.loads(subprocess.run(recording.argv, capture_output=True, check=True).stdout)
        recording.write_raw(raw)
        return recording.finish(raw, host=HostFacts(kind="engine"), way="process", seed=seed)


def loop_figure(record, raw):
    figure, (axes,) = canvas(1, 1, height_in=2)
    axes.barh(["loop"], [raw["loop_s"]])
    return figure, f"Time of {record.workload['steps']} steps (s)."


def loop_report_figure(run):
    figure, (axes,) = canvas(1, 1, height_in=3)
    axes.plot(run.table["steps"], run.table["loop_s"], marker="o")
    return figure, "Time of the loop (s) by its steps."


ENTRIES = (
    (BY_KEY, LOOP_S.key, LOOP_S), (BENCHMARKS, LOOP.name, LOOP), (WORKLOADS, LOOP.name, LoopWorkload),
    (COMMANDS, LOOP.name, loop_command), (CALLS, LOOP.name, f"{Path(__file__).stem}:time_a_loop"),
    (ROWS, LOOP.name, lambda work, raw: [("steps", work.workload["steps"], raw.get("counted"))]),
    (FIGURES, LOOP.name, loop_figure), (REPORT_FIGURES, LOOP.name, loop_report_figure),
    (READINGS, LOOP.name, lambda record, raw: [f"It counted for {record.values['loop_s']:.4f} s."]),
)  # fmt: skip
STARTUP = f"""import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from {Path(__file__).stem} import ENTRIES
for registry, name, entry in ENTRIES: registry[name] = entry"""
PARAMETERS = 'launch: str = ""\nsteps: int = 1000\nseed: int = 0\nrecord_path: str = ""\nrepeat: str = ""'
CELLS = """from benchbook import LoopWorkload, accounting_table, repeat_figure, repeat_reading, metrics_table, time_a_loop
saved = time_a_loop(None, LoopWorkload(steps=steps), seed=seed, record_path=record_path, repeat=repeat)
for show in (accounting_table, metrics_table, repeat_figure, repeat_reading): show(saved)"""


@pytest.fixture
def file(tmp_path, monkeypatch, fake_model):
    cells = [v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), v4.new_code_cell(CELLS)]
    made = v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    (tmp_path / "loop.ipynb").write_text(v4.writes(made))
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "loop.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(STARTUP)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for registry, name, entry in ENTRIES:
        monkeypatch.setitem(registry, name, entry)
    monkeypatch.setitem(BENCHMARKS, LOOP.name, replace(LOOP, notebook=str(tmp_path / "loop.ipynb")))
    (tmp_path / "loop.yaml").write_text(EXPERIMENT.format(model=fake_model))
    return tmp_path / "loop.yaml"


class Host:
    # Nothing is started for this benchmark, which starts its own process. Who watches is told nothing, too.
    facts, parameters, plumbing, env, warmed = HostFacts(kind="engine"), {}, {}, {}, {}

    def __getattr__(self, name):
        return lambda *given: ()


@pytest.mark.integration
def test_a_fifth_benchmark_goes_from_its_file_to_the_report(kernels, file, tmp_path):
    console = Console(width=200, record=True)
    for with_commands in (False, True):
        preview(file, tmp_path / "results", console, with_commands)
    assert "80000 steps" in (text := console.export_text()) and f"{sys.executable} -c" in text and "' 80000" in text
    plan, store = RunPlan.of(load_experiment(file)), Store.create(tmp_path / "results", "loop")
    on_nothing = Local(lambda *given: nullcontext(Host()))
    assert Runner(plan, store, Host(), "benchbook run loop.yaml", on_nothing).execute() == RunState.FINISHED
    run = load_run(store.run_dir)
    assert run.alone == (Verdict.VALID,) * 2, "each by itself: whether they agree is the machine's matter"
    assert (run.table["loop_s"] > 0).all() and list(run.table["steps"]) == [20000, 80000]
    notebooks = [path.read_text() for path in store.run_dir.rglob("executed.ipynb")]
    assert len(notebooks) == 2 and all("image/svg+xml" in text and "It counted for" in text for text in notebooks)
    render_report(execute_comparison(store.run_dir), store.report_path)
    page = store.report_path.read_text()
    assert page.count("<figure>") == 1
    assert all(text in page for text in (LOOP.title, LOOP_S.label, "Time of the loop (s) by its steps"))
