"""Another executor is one class: here, a process for each launch, two at once, from an experiment's file to the report.

What it needs of benchbook is on this page: `Executor.run`, which is given blocks; `run_block`, which it calls wherever it
likes; a listener, whose calls it passes on. Servers and benchmarks are those of fake_package, whose numbers mean nothing.
"""

import json
import multiprocessing
import os
import pickle
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchbook.notebooks.comparison import execute_comparison
from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.plan.experiment import load_experiment
from benchbook.records.header import RunState
from benchbook.records.store import Store
from benchbook.report.html import render_report
from benchbook.report.run import load_run
from benchbook.sweep.block import run_block
from benchbook.sweep.block_result import BlockResult, Work
from benchbook.sweep.hosts import host_opener
from benchbook.sweep.planning import RunPlan
from benchbook.sweep.runner import Runner

FAKE_PACKAGE = Path(__file__).parents[1] / "fake_package"
LIMIT_S = 300.0
EXPERIMENT = """
question: Do two machines give one report?
model: {model}
launches:
  quick: {{args: {{max_model_len: 4096}}, env: {{FAKE_VLLM: '{quick}'}}}}
  slow: {{args: {{max_model_len: 4096}}, env: {{FAKE_VLLM: '{slow}'}}}}
benchmarks:
  - serve: {{max_concurrency: 2, lengths: [[16, 8]], num_prompts: 4}}
repeats: 2
again: 0
"""


@dataclass
class FarListener:
    """In the process of a block: sends what it is told to the runner's process."""

    told: multiprocessing.Queue

    def __getattr__(self, name):
        return lambda *given: self.told.put((name, given))

    def more(self, block):
        return ()  # nobody is asked: what is proposed comes as further blocks


def run_some(blocks, work, told, meeting):
    """Be one of the two processes: run `blocks` in turn, each once the other process has a host ready as well."""
    opener, listener = host_opener(), FarListener(told)

    @contextmanager
    def open_host(*given):
        with opener(*given) as host:
            meeting.wait(LIMIT_S)
            yield host

    with warm_kernels(work.store.run_dir / str(os.getpid())):
        for block in blocks:
            told.put(("say", (f"in process {os.getpid()}",)))
            told.put(("noted", (run_block(block, work, open_host, listener),)))
    told.put(("ended", ()))


@dataclass
class ByLaunch:
    """The executor: a process for each launch."""

    def run(self, blocks, work, listener):
        by_launch = defaultdict(list)
        for block in blocks:
            by_launch[block.launch].append(block)
        context = multiprocessing.get_context("spawn")  # all that a block needs is pickled
        told, meeting = context.Queue(), context.Barrier(len(by_launch))
        given = [(mine, work, told, meeting) for mine in by_launch.values()]
        children = [context.Process(target=run_some, args=args, daemon=True) for args in given]
        for child in children:
            child.start()
        results, running = {}, len(children)
        while running:
            name, args = told.get(timeout=LIMIT_S)
            if name == "ended":
                running -= 1
                continue
            if name == "noted":
                results[args[0].block] = args[0]
            getattr(listener, name)(*args)
        for child in children:
            child.join()
        yield from results.values()


class Lines:
    """Who watches: keeps what stays."""

    def __init__(self):
        self.lines, self.records = [], []

    def say(self, text):
        self.lines.append(text)

    def recorded(self, record, wall_s, log):
        self.records.append(record)

    def __getattr__(self, name):
        return lambda *_: None


@pytest.mark.integration
def test_blocks_that_two_processes_run_at_once_become_one_report(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(FAKE_PACKAGE), os.environ.get("PYTHONPATH")])))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    scripts = {"quick": json.dumps({"ttft_s": [0.01]}), "slow": json.dumps({"ttft_s": [0.05]})}
    path = tmp_path / "two.yaml"
    path.write_text(EXPERIMENT.format(model=tmp_path / "model", **scripts))

    plan, store, watching = RunPlan.of(load_experiment(path)), Store.create(tmp_path / "results", "two"), Lines()
    assert Runner(plan, store, watching, "benchbook run two.yaml", ByLaunch()).execute() == RunState.FINISHED
    render_report(execute_comparison(store.run_dir), store.report_path)

    pids = Counter(line for line in watching.lines if line.startswith("in process"))
    assert sorted(pids.values()) == [2, 2] and f"in process {os.getpid()}" not in pids
    run = load_run(store.run_dir)
    assert not run.damage and not run.missing and len(run.records) == len(watching.records) == 4
    assert {name: len(launch.hosts) for name, launch in run.header.launches.items()} == {"quick": 2, "slow": 2}
    assert sum(len(times) for times in run.header.wall_s_by_job.values()) == 4 + 4, "each start, and each repeat"
    page = store.report_path.read_text()
    assert "Do two machines give one report?" in page and "quick" in page and "slow" in page


def test_a_block_its_work_and_its_result_can_be_sent_to_another_process(tmp_path, fake_model):
    path = tmp_path / "two.yaml"
    path.write_text(EXPERIMENT.format(model=fake_model, quick="{}", slow="{}"))
    work = Work(RunPlan.of(load_experiment(path)), Store(tmp_path))
    blocks = work.plan.experiment.planned_rounds()
    assert pickle.loads(pickle.dumps(blocks)) == blocks and len(blocks) == 4
    assert pickle.loads(pickle.dumps(work)).plan == work.plan
    assert pickle.loads(pickle.dumps(BlockResult(blocks[0]))) == BlockResult(blocks[0])
