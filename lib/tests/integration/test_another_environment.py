"""A sweep of a launch that runs from another Python: its server and its offline benchmarks are those, and none outlives it.

The shell of its whole run is full of secrets, which the server prints too: none is in any file, on the screen or in a list.
"""

import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.records.store import Store
from other_python import make_environment
from planted import NAMED, PLACED, SHAPED
from rows import IS_FULL
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


def write_sweep(folder, other, template=FAKE_SWEEP):
    return write_fake_sweep(folder, more=f", python: {other}", template=template)


def full_of_secrets():
    """Return the variables of a shell, and how often its server prints one."""
    placed = {name: text for name, (text, _) in PLACED.items()}
    shell = {
        **NAMED,
        **{f"VLLM_NOTE_{name.upper()}": text for name, text in {**SHAPED, **placed}.items()},
        "HTTP_PROXY": placed["proxy"],
        "HF_ENDPOINT": placed["git"],
        "NCCL_HOME": placed["token_for_a_name"],
    }
    printed = "\n".join(f"vLLM says that {name}={value}" for name, value in shell.items())
    return {**shell, "FAKE_VLLM": json.dumps({"log_text": printed})}, len(shell)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, other):
    """Run a sweep in a shell full of secrets, and the commands that tell of it; return what was said."""
    folder = tmp_path_factory.mktemp("measured")
    file, (shell, num_printed) = write_sweep(folder, other, SMALL_SWEEP_OF_BOTH), full_of_secrets()
    said = {}
    for words in (["plan", file, "--commands"], ["run", file], ["ps"], ["list"], ["table"], ["show"]):
        process = benchbook(folder, *words, fake=True, **shell)
        said[words[0]] = process.communicate(timeout=240)[0]
        assert words[0] != "run" or process.returncode in ALL_MEASURED, said["run"]
    return SimpleNamespace(folder=folder, said=said, num_printed=num_printed)


def test_all_of_a_launch_runs_from_its_python_and_every_record_names_it(measured, other):
    store = Store.open("machinery", measured.folder / "results")
    records = store.records()
    assert {record.benchmark for record in records} == {"serve", "latency"} and wait_nothing_left(measured.folder) == []
    for record in records:
        assert record.host.python == other and record.host.packages["vllm"] == "0.99.1+cpu"
        assert record.provenance.packages["vllm"] != "0.99.1+cpu"  # of the client
    hosts = store.header().launches["fake"].hosts
    assert {host.argv[0] for host in hosts} == {other}
    report = Path(store.report_path).read_text()
    assert "Packages of launch fake" in report and "0.99.1+cpu" in report


def test_no_secret_of_the_shell_or_of_a_log_is_in_any_file_of_a_run(measured):
    paths = [path for path in measured.folder.rglob("*") if path.is_file()]
    texts = measured.said | {str(path): path.read_text(errors="replace") for path in paths}
    names = {os.path.basename(name) for name in texts}
    assert {"run.json", "record.json", "executed.ipynb", "report.html", "server.log", "experiment.yaml"} <= names
    log = next(text for name, text in texts.items() if name.endswith("server.log"))
    assert log.count("vLLM says that") == measured.num_printed
    secrets = {**NAMED, **SHAPED, **{name: secret for name, (_, secret) in PLACED.items()}}
    assert len(secrets) >= 45
    assert [(where, name) for where, text in texts.items() for name, secret in secrets.items() if secret in text] == []


@pytest.mark.skipif(not IS_FULL, reason="make test-full; test_kill_storm.py kills those of this environment")
@pytest.mark.parametrize("whom", ["runner", "server", "runner and guardians"])
def test_whoever_is_killed_of_a_sweep_of_another_environment_nothing_is_left(tmp_path, other, whom):
    process = benchbook(tmp_path, "run", write_sweep(tmp_path, other), fake=True)
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
