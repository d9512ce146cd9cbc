"""Scripted faults, through the whole sweep: each ends in the right outcome and cause, none hangs, none loses a number."""

import os
import shlex
import shutil
import subprocess
import time
from unittest import mock

import pytest
from benchbook.hosts.process import registry
from benchbook.measure import outputs
from benchbook.notebooks.kernels.source import warm_kernels
from benchbook.records.files import write_json
from benchbook.records.header import RunState
from benchbook.records.host import HostFacts
from benchbook.records.record import Outcome, Verdict
from benchbook.records.store import Store
from benchbook.sweep.session import prepare_run
from rows import IS_FULL, rows
from sweeps import (
    FAKE_PACKAGE,
    SMALL_SWEEP,
    assert_report_is_made_up_for,
    benchbook,
    read_until,
    wait_nothing_left,
    write_fake_sweep,
)

pytestmark = pytest.mark.integration

ONE_CASE = """
question: What does the sweep make of this fault?
model: {model}
launches:
  faulty:
    args: {{max_model_len: 4096}}
    env:
      FAKE_VLLM: '{script}'
benchmarks:
  - serve: {{max_concurrency: 2, lengths: [[16, 8]], num_prompts: 6, num_warmup_prompts: 0}}
repeats: 1
again: 0
limits: {{ready_s: 3, benchmark_s: 8, stall_s: 2}}
"""

HOST, NOTEBOOK, MEASURED = Outcome.HOST_FAILED, Outcome.NOTEBOOK_FAILED, Outcome.MEASURED

# name: (script of the fake server, outcome, code of the failure or, when measured, of the first reason)
FAULTS = {
    "exit_during_load": ('{"exit_code": 1, "log_text": "RuntimeError: something odd"}', HOST, "crashed"),
    "exit_with_success_during_load": ('{"exit_code": 0}', HOST, "crashed"),
    "out_of_memory": (
        '{"exit_code": 1, "log_text": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"}',
        HOST,
        "out_of_memory",
    ),
    "no_room_for_kv_cache": (
        '{"exit_code": 1, "log_text": "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine."}',
        HOST,
        "out_of_memory",
    ),
    "unknown_flag": (
        '{"exit_code": 2, "log_text": "vllm: error: unrecognized arguments: --enfore-eager"}',
        HOST,
        "unknown_flag",
    ),
    "model_not_found": (
        '{"exit_code": 1, "log_text": "OSError: nobody/nothing is not a local folder and is not a valid model identifier listed on"}',
        HOST,
        "model_not_found",
    ),
    "model_gated": (
        '{"exit_code": 1, "log_text": "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo for url"}',
        HOST,
        "model_gated",
    ),
    "unsupported_dtype": (
        '{"exit_code": 1, "log_text": "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0."}',
        HOST,
        "unsupported_dtype_or_quantization",
    ),
    "driver_mismatch": (
        '{"exit_code": 1, "log_text": "RuntimeError: The NVIDIA driver on your system is too old (found version 11040)."}',
        HOST,
        "driver_mismatch",
    ),
    "never_ready": ('{"never_ready": true}', HOST, "hung"),
    "too_slow_to_start": ('{"ready_after_s": 30}', HOST, "hung"),
    "wrong_model": ('{"served_names": ["somebody-else"]}', HOST, "wrong_model"),
    "wrong_version": ('{"version": "0.1.0"}', HOST, "wrong_version"),
    "killed_in_mid_case": ('{"die_at_request": 3}', HOST, "killed_by_signal"),
    "segmentation_fault": ('{"die_at_request": 3, "die_by_signal": 11}', HOST, "killed_by_signal"),
    "zombie_engine": ('{"die_at_request": 3, "helpers": 2, "ignore_sigterm": true}', HOST, "killed_by_signal"),
    "engine_dead": ('{"engine_dead_at_request": 3}', HOST, None),
    "all_requests_500": ('{"status": 500}', MEASURED, "requests_failed"),
    "every_third_request_500": ('{"status": 500, "fault_every": 3}', MEASURED, "requests_failed"),
    "all_requests_refused_401": ('{"status": 401}', MEASURED, "requests_failed"),
    "cut_streams": ('{"cut_after_tokens": 3, "fault_every": 2}', MEASURED, "outputs_short"),
    "early_stop": ('{"output_tokens": 5}', MEASURED, "outputs_short"),
    "half_a_stream_then_silence": ('{"silent_after_tokens": 3, "fault_every": 2}', NOTEBOOK, "stalled"),
    "deaf_server": ('{"deaf_at_request": 3}', None, None),  # stalled, or dead to its next question: both are right
    "slow_loris": ('{"byte_s": 0.005}', NOTEBOOK, None),  # late or stalled, whichever limit comes first
    "slow_but_sound": ('{"ttft_s": [0.3], "itl_s": [0.02]}', MEASURED, None),
    "deaf_to_sigterm": ('{"ignore_sigterm": true}', MEASURED, None),
}


class Quiet:
    """A listener that is told everything and says nothing."""

    def begin(self, total, already_done, left): ...

    def left(self, left): ...
    def say(self, text): ...
    def working_on(self, what, at_most_s=None): ...
    def more(self, number, why): ...
    def recorded(self, record, wall_s, log): ...


def write_fault(folder, script):
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    return write_fault_file(folder, script)


def write_fault_file(folder, script):
    (folder / "fault.yaml").write_text(ONE_CASE.format(model=folder / "model", script=script))
    return folder / "fault.yaml"


# One of each kind.
SAMPLE = ("exit_during_load", "out_of_memory", "never_ready", "wrong_model", "zombie_engine", "every_third_request_500",
          "cut_streams", "half_a_stream_then_silence", "slow_but_sound", "deaf_to_sigterm")  # fmt: skip


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Have the repeats of all faults executed in forks of one process, as those of one run are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FAKE_PACKAGE))
        with warm_kernels(tmp_path_factory.mktemp("kernels")):
            yield


@pytest.mark.parametrize("name", rows(FAULTS, quick=SAMPLE))
def test_a_fault_ends_in_its_outcome_and_cause(kernels, name, tmp_path, monkeypatch):
    script, outcome, code = FAULTS[name]
    monkeypatch.setenv("BENCHBOOK_TEST", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(FAKE_PACKAGE))
    monkeypatch.setattr(outputs, "TIMEOUT_S", 3.0)  # for answers that never come
    runner = prepare_run(
        write_fault(tmp_path, script), tmp_path / "results", new=True, share_gpu=False, command="", listener=Quiet()
    )
    state = runner.execute()
    (record,) = runner.store.records()
    codes = [record.failure.code] if record.failure else [reason.code for reason in record.reasons]
    assert outcome is None or record.outcome is outcome, (record.outcome, record.failure)
    assert code is None or codes[0] == code, (record.outcome, record.failure, record.reasons)
    is_good = outcome is MEASURED and code is None
    assert (record.verdict is Verdict.INVALID) is not is_good  # six requests are SUSPECT for their number alone
    assert state == (RunState.FINISHED if is_good else RunState.FAILED)
    assert wait_nothing_left(tmp_path) == []


def test_a_run_that_failed_says_how_to_try_again_and_why_in_its_log_and_in_a_report_without_one_number(tmp_path):
    file = write_fault(tmp_path, '{"exit_code": 1, "log_text": "RuntimeError: the first cause"}')
    process = benchbook(tmp_path, "run", "fault.yaml", "--results", "kept here", fake=True)
    text = process.communicate(timeout=120)[0]
    again = "benchbook run fault.yaml '--results=kept here'"
    assert process.returncode == 1 and f"To try again: {again} (measures only what failed, or was disturbed)" in text
    file.write_text(file.read_text().replace('"exit_code": 1', '"status": 500').replace("first cause", "second cause"))
    process = benchbook(tmp_path, *shlex.split(again)[1:], fake=True)
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 1 and "Traceback" not in text and "report.html" in text
    assert "Continuing" in text and "stale" not in text
    (log,) = (tmp_path / "kept here").glob("fault/2*/launches/faulty/server.log")
    assert log.read_text().index("the first cause") < log.read_text().index("the second cause")
    assert "requests_failed" in Store.open("fault", tmp_path / "kept here").report_path.read_text()


class Told(Quiet):
    """Remembers what it is told to say and what is being done."""

    def __init__(self):
        self.lines, self.doing = [], []

    def say(self, text):
        self.lines.append(text)

    def working_on(self, what, at_most_s=None):
        self.doing.append(what)


@pytest.mark.parametrize(("options", "is_said"), [({}, True), ({"keep": True}, False)])
def test_a_run_beside_another_says_so_at_once_and_what_it_is_getting_ready(tmp_path, fake_server, options, is_said):
    file, told = write_fault_file(tmp_path, "{}"), Told()
    # The server is this process's own; to the registry the run is another process's.
    with fake_server(options), mock.patch.object(registry, "os", mock.Mock(wraps=os, getpid=lambda: 1)):
        prepare_run(file, tmp_path / "results", new=True, share_gpu=False, command="", listener=told)
    assert any("Another benchbook is at work" in line for line in told.lines[:1]) is is_said
    assert len(told.doing) == len(set(told.doing)) == 3
    assert any("model" in what for what in told.doing)


@pytest.mark.parametrize("new", [False, True])
def test_a_run_after_a_finished_one_says_that_it_begins_anew_unless_it_was_told_to(tmp_path, new):
    file, told = write_fault(tmp_path, "{}"), Told()
    finished = Store.create(tmp_path / "results", "fault")
    write_json(finished.run_dir / "run.json", {"state": RunState.FINISHED})
    prepare_run(file, tmp_path / "results", new=new, share_gpu=False, command="", listener=told)
    is_said = any(f"fault/{finished.run_id} is finished and is not extended" in line for line in told.lines)
    assert is_said is not new and "New run" in told.lines[-1]


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of its own, of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_a_clear_error_and_the_run_continues_when_there_is_room(tmp_path, small_disk):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)

    def run():
        return benchbook(tmp_path, "run", file, "--results", str(small_disk), fake=True)

    process = run()
    read_until(process, lambda line: "[2/4]" in line)
    filler = small_disk / "filler"
    with filler.open("wb") as stream:
        try:
            while True:
                stream.write(b"x" * 65536)
                stream.flush()
        except OSError:
            pass
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 1 and "disk is full" in text and "Traceback" not in text, text
    assert wait_nothing_left(tmp_path) == []
    store = Store((small_disk / "machinery" / "latest").resolve())
    kept = len(store.records())
    assert kept >= 2, (text, sorted((str(path), path.stat().st_size) for path in store.run_dir.rglob("*.json")))
    filler.unlink()
    text = assert_report_is_made_up_for(run(), store, again=run)
    assert f"({kept} measured earlier are kept)" in text, text


def test_read_only_results_are_refused_before_anything_is_started(tmp_path, small_disk):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    process = benchbook(tmp_path, "run", file, "--results", str(small_disk), fake=True)
    text = process.communicate(timeout=60)[0]
    assert "Read-only file system; choose another folder" in text
    assert "Traceback" not in text and "starting" not in text
    assert process.returncode == 2


def test_a_folder_deleted_in_mid_run_is_named(tmp_path):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    process = benchbook(tmp_path, "run", file, fake=True)
    read_until(process, lambda line: "[2/4]" in line)
    (tmp_path / "results").rename(tmp_path / "gone")  # at once, unlike a removal file by file
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 1 and "deleted while the run was going on" in text and "Traceback" not in text, text
    assert wait_nothing_left(tmp_path) == []


@pytest.mark.skipif(not IS_FULL, reason="make test-full; the runner does so in test_runner.py")
def test_a_record_cut_on_disk_is_redone_and_the_others_are_kept(tmp_path):
    file = write_fake_sweep(tmp_path, template=SMALL_SWEEP)
    benchbook(tmp_path, "run", file, fake=True).communicate(timeout=300)
    store = Store.open("machinery", tmp_path / "results")
    path = next(store.run_dir.glob("cases/*/repeat=1/record.json"))
    path.write_bytes(path.read_bytes()[:50])
    header = store.header()
    store.write_header(header.model_copy(update={"state": RunState.FAILED}))
    text = benchbook(tmp_path, "run", file, fake=True).communicate(timeout=300)[0]
    assert "(3 measured earlier are kept)" in text


def test_a_clock_that_jumps_back_changes_no_duration(monkeypatch, tmp_path):
    """Durations come from the monotonic clock, whatever the wall clock does meanwhile."""
    from benchbook.measure import recording
    from benchbook.plan.workloads import FirstRequestWorkload

    stamps = iter(["2026-11-23T20:00:10+00:00", "2026-11-23T19:00:00+00:00"])
    monkeypatch.setattr(recording, "utc_now", lambda: next(stamps))
    begun = recording.Recording(FirstRequestWorkload(), tmp_path / "record.json")
    time.sleep(0.01)
    record = begun.finish({"text": "w1"}, host=HostFacts(), way="test").record
    assert record.ended_utc < record.started_utc and record.ended_monotonic_s - record.started_monotonic_s >= 0.01


def test_an_unreadable_experiment_starts_nothing(tmp_path):
    (tmp_path / "bad.yaml").write_bytes(os.urandom(300))
    process = benchbook(tmp_path, "run", "bad.yaml", fake=True)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and len(text.strip().splitlines()) == 1 and not (tmp_path / "results").exists()
