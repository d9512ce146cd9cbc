"""A sweep of a launch that runs from another Python: its server and its offline benchmarks are those, and none outlives it."""

import os
import re
import signal
from pathlib import Path

import pytest
from benchbook.records.store import Store
from other_python import make_environment
from rows import rows
from storm import by_role
from sweeps import (
    ALL_MEASURED,
    FAKE_SWEEP,
    SMALL_SWEEP_OF_BOTH,
    benchbook,
    read_until,
    wait_nothing_left,
    write_fake_sweep,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("environments") / "next", "0.99.1+cpu")


def sweep(folder, other, template=FAKE_SWEEP):
    file = write_fake_sweep(folder, more=f", python: {other}", template=template)
    return benchbook(folder, "run", file, fake=True)


def test_all_of_a_launch_runs_from_its_python_and_every_record_names_it(tmp_path, other):
    text = (process := sweep(tmp_path, other, SMALL_SWEEP_OF_BOTH)).communicate(timeout=240)[0]
    assert process.returncode in ALL_MEASURED, text
    store = Store.open("machinery", tmp_path / "results")
    records = store.records()
    assert {record.benchmark for record in records} == {"serve", "latency"} and wait_nothing_left(tmp_path) == []
    for record in records:
        assert record.host.python == other and record.host.packages["vllm"] == "0.99.1+cpu"
        assert record.provenance.packages["vllm"] != "0.99.1+cpu"  # of the client
    hosts = store.header().launches["fake"].hosts
    assert {host.argv[0] for host in hosts} == {other}
    report = Path(store.report_path).read_text()
    assert "Packages of launch fake" in report and "0.99.1+cpu" in report


@pytest.mark.parametrize("whom", rows(["runner", "server", "runner and guardians"], quick=["runner and guardians"]))
def test_whoever_is_killed_of_a_sweep_of_another_environment_nothing_is_left(tmp_path, other, whom):
    process = sweep(tmp_path, other)
    read_until(process, lambda line: "[ 1/24]" in line)
    assert any(other in found.cmdline() for found in by_role(tmp_path)["server"])
    if whom == "server":
        by_role(tmp_path)["server"][0].kill()
        read_until(process, lambda line: "[ 3/24]" in line)  # it goes on with a fresh one
        os.killpg(process.pid, signal.SIGINT)
    else:
        entries = (tmp_path / "state" / "hosts").glob("*.json") if "guardians" in whom else ()
        guardians = [int(pid) for path in entries for pid in re.findall(r'"guardian_pid": (\d+)', path.read_text())]
        for pid in (*guardians, process.pid):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    benchbook(tmp_path, "ps").communicate(timeout=60)
    assert wait_nothing_left(tmp_path) == []
