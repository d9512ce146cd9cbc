"""A sweep killed at any moment loses nothing, repeats nothing and leaves nothing alive. The fake vllm stands in."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchbook.records.record_file import read_record
from benchbook.records.store import Store
from benchbook.terms.errors import StoreError
from rows import IS_FULL, rows
from storm import by_role
from sweeps import (
    ALL_MEASURED,
    SMALL_SWEEP,
    assert_report_is_made_up_for,
    benchbook,
    read_until,
    wait_nothing_left,
    write_fake_sweep,
)

pytestmark = pytest.mark.integration

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"


def measured_records(folder):
    """Return the content of every measured record, those of tries that were disturbed and measured again too."""
    # Not by way of latest/, which moves on to the next run.
    runs = [path for path in folder.glob("results/*/*") if not path.is_symlink()]
    whole = set()
    for path in (path for run in runs for path in run.glob("cases/*/repeat=*/record.json")):
        try:
            if read_record(path).is_measured:
                whole.add(path.read_bytes())
        except (
            StoreError
        ):  # a record under way when its writer was killed; it must be redone, which is checked at the end
            continue
    return whole


def check_whole(store, num_cases, num_repeats):
    records = store.records()
    assert len(records) == num_repeats and all(record.is_measured and record.verdict != "INVALID" for record in records)
    assert len({(record.identity.case_id, record.identity.repeat) for record in records}) == num_repeats
    assert len({record.identity.fingerprint for record in records}) == num_cases, (
        "one fingerprint a case: no other configuration"
    )


def kill_and_continue(folder, file, *, num_cases, num_repeats, num_kills, within_s, fake):
    """Kill the sweep of `file` at random moments, continue it each time, and check every run that this made."""
    chance = random.Random(20261123)
    kills, is_whole, kept = 0, False, set()
    while kills < num_kills or not is_whole:
        process = benchbook(folder, "run", file, fake=fake)
        try:
            process.communicate(timeout=chance.uniform(*within_s) if kills < num_kills else 600)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
        assert wait_nothing_left(folder) == []
        now = measured_records(folder)
        assert kept <= now, "a measured record was lost or changed"
        kept = now
        is_whole = process.returncode in ALL_MEASURED  # the run after it is a new one
    stores = [Store(path) for path in (folder / "results").glob("*/*") if not path.is_symlink()]
    assert len(stores) >= 1
    for store in stores:
        check_whole(store, num_cases, num_repeats)


@pytest.mark.skipif(not IS_FULL, reason="make test-full; the storms kill runners as well, see test_kill_storm.py")
def test_sweeps_killed_at_random_moments_end_whole(tmp_path):
    file = write_fake_sweep(tmp_path)
    counts = {"num_cases": 12, "num_repeats": 24, "num_kills": 25}
    kill_and_continue(tmp_path, file, **counts, within_s=(0.2, 7.0), fake=True)
    final = benchbook(tmp_path, "run", file, fake=True)
    assert "report.html" in final.communicate(timeout=300)[0] and final.returncode in ALL_MEASURED


@pytest.mark.skipif(not IS_FULL, reason="make test-full; some ten minutes")
def test_the_quickstart_killed_at_random_moments_ends_whole(tmp_path):
    shutil.copy(QUICKSTART, tmp_path)
    counts = {"num_cases": 12, "num_repeats": 24, "num_kills": 5}
    kill_and_continue(tmp_path, QUICKSTART.name, **counts, within_s=(5.0, 120.0), fake=False)


# The others come from a terminal, see test_terminal.py: Ctrl-C, once and twice, and its closing.
@pytest.fixture(scope="module", params=rows(["SIGINT", "SIGTERM", "SIGHUP"], quick=["SIGTERM"]))
def stopped(request, tmp_path_factory):
    """Give the command of a sweep a second time, kill the kernel of the first, stop that by a signal; return what was seen."""
    folder = tmp_path_factory.mktemp("stopped")
    file = write_fake_sweep(folder, more=", env: {FAKE_VLLM: '{\"itl_s\": [0.2]}'}")
    process = benchbook(folder, "run", file, fake=True)
    read_until(process, lambda line: "is ready" in line)
    second = benchbook(folder, "run", file, fake=True)
    refusal = second.communicate(timeout=60)[0]
    read_until(process, lambda line: "… fake,serve" in line)
    deadline = time.monotonic() + 20
    kernels = []
    while not kernels and time.monotonic() < deadline:
        kernels = by_role(folder).get("kernel", [])
        time.sleep(0.1)
    time.sleep(0.5)
    kernels[0].kill()
    died = read_until(process, lambda line: "once more" in line)
    os.killpg(process.pid, getattr(signal, request.param))
    end = process.communicate(timeout=30)[0]
    state = Store.open("machinery", folder / "results").header().state
    return SimpleNamespace(
        refusal=(refusal, second.returncode), died=died, end=(end, process.returncode), state=state,
        left=wait_nothing_left(folder),
    )  # fmt: skip


def test_a_second_run_of_the_same_folder_is_refused(stopped):
    said, code = stopped.refusal
    assert "another benchbook" in said and code == 1


def test_a_killed_kernel_is_seen_as_failed_although_its_cells_say_completed(stopped):
    assert "kernel_died" in stopped.died


def test_a_stop_signal_ends_a_run_in_order(stopped):
    said, code = stopped.end
    assert code == 130 and "to continue: benchbook run machinery.yaml" in said and "Traceback" not in said
    assert stopped.left == [] and stopped.state == "interrupted"


@pytest.mark.skipif(not IS_FULL, reason="make test-full; second signals are sent in test_interrupts.py")
def test_a_second_interrupt_ends_at_once_and_clean(tmp_path):
    file = write_fake_sweep(tmp_path)
    process = benchbook(tmp_path, "run", file, fake=True)
    read_until(process, lambda line: "[ 1/24]" in line)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    # A signal at the interpreter's very end, when its handlers are gone, kills: a shell calls both 130.
    assert process.returncode in (130, -signal.SIGINT) and wait_nothing_left(tmp_path) == []


@pytest.mark.skipif(not IS_FULL, reason="make test-full; test_terminal.py closes the terminal of such a run")
def test_a_sweep_under_nohup_outlives_its_terminal(tmp_path):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as nohup does it
    try:
        process = benchbook(tmp_path, "run", file, fake=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    read_until(process, lambda line: "[ 1/4]" in line or "[1/4]" in line)
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode in ALL_MEASURED and wait_nothing_left(tmp_path) == []


@pytest.mark.skipif(
    not IS_FULL and os.geteuid() == 0, reason="make test-full; so does the run whose disk was full, see test_faults.py"
)
def test_a_run_whose_report_cannot_be_written_is_summed_up_and_the_same_command_then_writes_it(tmp_path):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    process = benchbook(tmp_path, "run", file, fake=True)
    read_until(process, lambda line: "[1/4]" in line)
    store = Store.open("machinery", tmp_path / "results")
    assert_report_is_made_up_for(process, store, lambda: benchbook(tmp_path, "run", file, fake=True))


@pytest.mark.skipif(
    not IS_FULL, reason="make test-full; a notebook's is in test_kill_matrix_notebooks.py, a run's in a storm"
)
def test_a_killed_guardian_is_made_up_for_by_the_next_command(tmp_path):
    file = write_fake_sweep(tmp_path)
    process = benchbook(tmp_path, "run", file, fake=True)
    read_until(process, lambda line: "[ 1/24]" in line)
    guardians = [
        int(pid)
        for path in (tmp_path / "state" / "hosts").glob("*.json")
        for pid in re.findall(r'"guardian_pid": (\d+)', path.read_text())
    ]
    assert guardians
    for pid in (*guardians, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    benchbook(tmp_path, "ps").communicate(timeout=60)
    assert wait_nothing_left(tmp_path) == []
